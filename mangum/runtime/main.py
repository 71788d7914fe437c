"""The life of a runtime's process: init, invocations, shutdown.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import Any, ClassVar, NoReturn

from mangum.adapter import Mangum
from mangum.core.loop import warm_loop
from mangum.exceptions import ConfigurationError
from mangum.runtime import snapstart
from mangum.runtime.api import RuntimeAPI
from mangum.runtime.errors import ContainerBroken, RuntimeAPIUnreachable, describe
from mangum.runtime.extension import Extension
from mangum.runtime.invocations import Invocations
from mangum.runtime.loading import Handler, adapter_of, extend_path, load_handler
from mangum.runtime.logs import Log
from mangum.runtime.reply import RuntimeReply
from mangum.runtime.settings import Settings

__all__ = ["Runtime", "main"]

logger: logging.Logger = logging.getLogger("mangum.runtime")

_FAILED = 1
# As AWS's runtime for Python ends where SnapStart's hooks fail.
_BEFORE_SNAPSHOT_FAILED = 64
_AFTER_RESTORE_FAILED = 65


class Runtime:
    """One process."""

    reply_class: ClassVar[type[RuntimeReply]] = RuntimeReply

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = Log(settings)
        self._extension = Extension(settings.api)

    def load(self) -> Handler:
        """The handler."""
        return load_handler(self._settings.target)

    def run(self) -> int:
        """Run until Lambda ends it. Returns the exit status."""
        extend_path(self._settings.task_root, self._settings.runtime_dir)
        if self._settings.registers:
            self._extension.begin()
        try:
            handler = self.load()
        except Exception as error:
            self._extension.close()
            return asyncio.run(self._refuse(b"/init/error", error, _FAILED))
        try:
            return warm_loop().serve(self._serve(handler))
        finally:
            self._close(handler)

    async def _serve(self, handler: Handler) -> int:
        try:
            return await self._live(handler)
        finally:
            self._extension.close()

    async def _live(self, handler: Handler) -> int:
        adapter = adapter_of(handler)
        try:
            await self._extension.register()
            if adapter is not None:
                await adapter.astart()
        except Exception as error:
            return await self._refuse(b"/init/error", error, _FAILED)
        if self._settings.is_snap_start:
            status = await self._pass_snapshot(adapter)
            if status:
                return status
        try:
            await Invocations(handler, self._settings, self._log, self.reply_class).run()
        except (ContainerBroken, RuntimeAPIUnreachable) as error:
            logger.error("%s The runtime exits.", error)
            return _FAILED
        return 0

    async def _pass_snapshot(self, adapter: Mangum | None) -> int:
        """From the end of init to an environment that was made of it. Returns the exit status if that fails."""
        api = RuntimeAPI(self._settings.api)
        try:
            await snapstart.run_before_snapshot()
            if adapter is not None:
                await adapter.disconnect()
            await api.wait_restored()
        except Exception as error:
            return await self._refuse(b"/init/error", error, _BEFORE_SNAPSHOT_FAILED, "Runtime.BeforeSnapshotError")
        finally:
            api.close()
        try:
            await snapstart.run_after_restore()
            if adapter is not None:
                await adapter.astart()
        except Exception as error:
            return await self._refuse(b"/restore/error", error, _AFTER_RESTORE_FAILED, "Runtime.AfterRestoreError")
        return 0

    async def _refuse(self, path: bytes, error: Exception, status: int, kind: str = "") -> int:
        document: dict[str, Any] = describe(error)
        self._log.error(document)
        api = RuntimeAPI(self._settings.api)
        try:
            await api.report(path, document, kind=kind)
        except ContainerBroken:
            logger.exception("The error could not be reported to Lambda.")
        finally:
            api.close()
        return status

    def _close(self, handler: Handler) -> None:
        try:
            adapter = adapter_of(handler)
            if adapter is not None:
                adapter.close()
        except Exception:
            logger.exception("The application could not be shut down.")
        self._log.flush()


def main() -> NoReturn:
    """Run what the command line and the environment say."""
    try:
        settings = Settings.of(sys.argv[1:], os.environ)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
    os.environ.pop("_LAMBDA_TELEMETRY_LOG_FD", None)
    raise SystemExit(Runtime(settings).run())
