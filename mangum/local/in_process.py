"""The function in this process: breakpoints and prints work, and a change of its code is there with the next event."""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib
import inspect
import json
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from mangum.adapter import Mangum
from mangum.core.error_text import text_of
from mangum.core.hooks import with_installed
from mangum.core.loop import leave_warm_loop, warm_loop
from mangum.handlers.answer_size import ESCAPES_BEYOND_ASCII
from mangum.local.capture import Capture
from mangum.local.context import LocalContext
from mangum.local.function import (
    Function,
    FunctionFailed,
    FunctionSettings,
    FunctionTimedOut,
    check_answer,
    event_json,
)
from mangum.local.invocations import Invocation
from mangum.local.loading import load_function
from mangum.local.own_code import fresh_imports, is_own_code
from mangum.runtime.loading import adapter_of
from mangum.types import Observation

__all__ = ["InProcess"]

logger: logging.Logger = logging.getLogger("mangum.local")

_CLOSE_S = 2.0


class InProcess(Function):
    """A sandbox in this process, with a thread of its own, that takes one event at a time.

    A handler that runs into its timeout cannot be stopped, as a process could: its sandbox is left to itself, and the
    next event gets a new one, with the code imported anew.
    """

    def __init__(self, settings: FunctionSettings) -> None:
        self._settings = settings
        self._capture = Capture()
        self._turn = asyncio.Lock()  # of one event at a time, first come, first served
        self._sandbox: _FunctionThread | None = None
        self._is_stale = False  # whether modules of the last sandbox are still loaded
        self._stack = ExitStack()

    async def __aenter__(self) -> InProcess:
        before = {name: os.environ.get(name) for name in self._settings.variables()}
        self._stack.callback(_restore, before)
        os.environ.update(self._settings.variables())
        self._stack.enter_context(self._capture.installed())
        self._stack.enter_context(fresh_imports(self._settings.folder))
        try:
            self._sandbox = await self._make()
        except BaseException:
            self._stack.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._sandbox is not None:
                await self._sandbox.close()
        finally:
            self._stack.close()

    async def invoke(self, invocation: Invocation) -> str:
        event = event_json(invocation.event)
        async with self._turn:
            with self._capture.of(invocation):
                try:
                    invocation.answer = await self._run(invocation, event)
                except FunctionFailed as failure:
                    invocation.failure = str(failure)
                    raise
                return invocation.answer

    async def _run(self, invocation: Invocation, event: str) -> str:
        invocation.is_cold = self._sandbox is None or not self._sandbox.is_used
        try:
            sandbox = self._sandbox = self._sandbox or await self._make()
        except Exception as error:
            logger.error("The function cannot be loaded: %s", text_of(error))
            raise FunctionFailed("Runtime.ImportModuleError", text_of(error)) from error
        if invocation.is_cold:
            invocation.init_ms = sandbox.init_ms
        begin = time.perf_counter()
        context = LocalContext(self._settings, invocation.request_id)
        try:
            async with asyncio.timeout(self._settings.timeout_s or None):
                answer, invocation.parts_ms = await sandbox.invoke(event, context)
        except TimeoutError:
            self._sandbox = None
            sandbox.abandon()
            raise FunctionTimedOut(self._settings.timeout_s) from None
        except asyncio.CancelledError:  # the gateway ends
            sandbox.interrupt()
            raise
        except _Exited as exited:
            self._sandbox = None
            await sandbox.close()
            raise FunctionFailed("Runtime.ExitError", f"the function exited: {exited}") from None
        finally:
            invocation.duration_ms = (time.perf_counter() - begin) * 1000
        return check_answer(answer)

    async def reload(self) -> None:
        async with self._turn:
            if self._sandbox is not None:
                await self._sandbox.close()
                self._sandbox = None
            try:
                self._sandbox = await self._make()
            except Exception as error:
                logger.error("The function cannot be loaded, until its code changes: %s", text_of(error))

    async def _make(self) -> _FunctionThread:
        if self._is_stale:
            _forget_modules(self._settings.folder)
        self._is_stale = True
        sandbox = _FunctionThread()
        try:
            await sandbox.load(self._settings.target)
        except BaseException:
            await sandbox.close()
            raise
        return sandbox


class _Exited(Exception):
    """`sys.exit` was called in the function."""


class _FunctionThread:
    """A handler, and the thread that runs all its code."""

    def __init__(self) -> None:
        self.is_used = False
        self.init_ms = 0.0
        self._handler: Callable[[Any, Any], Any] | None = None
        self._adapter: Mangum | None = None  # that the handler is, or is around
        self._parts_ms: dict[str, float] = {}  # of the last invocation
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # A daemon, so that a handler that hangs does not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name="mangum-function", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    async def _call(self, function: Callable[[], Any]) -> Any:
        """Run a function in the thread.

        Raises:
            _Exited: it wanted to end the process.
        """
        outcome: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def job() -> None:
            if not outcome.set_running_or_notify_cancel():  # whoever wanted it has gone before its turn came
                return
            try:
                outcome.set_result(function())
            except (SystemExit, KeyboardInterrupt) as error:
                outcome.set_exception(_Exited(f"{type(error).__name__}({text_of(error)})"))
            except BaseException as error:
                outcome.set_exception(error)

        self._jobs.put(job)
        return await asyncio.wrap_future(outcome)

    async def load(self, target: str) -> None:
        """Import the handler, and start it as in Lambda's init phase."""

        def load() -> None:
            with with_installed(self._measure):
                handler = load_function(target)
            self._adapter = adapter_of(handler)
            if self._adapter is not None:
                self._adapter.start()
            self._handler = handler

        begin = time.perf_counter()
        await self._call(load)
        self.init_ms = (time.perf_counter() - begin) * 1000

    @asynccontextmanager
    async def _measure(self, observation: Observation) -> AsyncIterator[None]:
        """The hook of the adapters in the function's code."""
        yield
        self._parts_ms = observation.parts_ms()

    async def invoke(self, event: str, context: LocalContext) -> tuple[str, dict[str, float]]:
        """The handler's answer as JSON, and where its time went.

        Raises:
            FunctionFailed: it raised, or answered what JSON cannot say.
        """
        self.is_used = True
        result: tuple[str, dict[str, float]] = await self._call(lambda: self._invoke(event, context))
        return result

    def _invoke(self, event: str, context: LocalContext) -> tuple[str, dict[str, float]]:
        handler = self._handler
        assert handler is not None
        self._parts_ms = {}
        try:
            answer = handler(json.loads(event), context)
            if inspect.isawaitable(answer):
                answer = warm_loop().run(_awaited(answer), "an asynchronous handler")
        except Exception as error:
            logger.exception("The function failed.")
            raise FunctionFailed(type(error).__name__, text_of(error)) from error
        try:
            return json.dumps(answer, ensure_ascii=ESCAPES_BEYOND_ASCII), self._parts_ms
        except (TypeError, ValueError) as error:
            raise FunctionFailed(
                "Runtime.MarshalError", f"JSON cannot say what the function answered: {text_of(error)}"
            ) from None

    def interrupt(self) -> None:
        """Cancel what it runs, if that is an application: other code cannot be stopped."""
        warm_loop().interrupt()

    async def close(self) -> None:
        """Shut the handler down, and end the thread."""
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._call(self._shut_down)
        except TimeoutError:
            logger.warning("The function had not shut down after %s s, and is left to itself.", _CLOSE_S)
            self.abandon()
        else:
            self._jobs.put(None)
            self._thread.join()

    def _shut_down(self) -> None:
        try:
            if self._adapter is not None:
                self._adapter.close()
        except Exception:
            logger.exception("The application failed to shut down.")
        finally:
            warm_loop().close()  # nothing of this code runs in the next sandbox

    def abandon(self) -> None:
        """Leave it to itself: the thread ends when what it runs has ended, which nobody waits for."""
        if self._adapter is not None:
            self._adapter.abandon()
        leave_warm_loop()
        self._jobs.put(None)


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer


def _forget_modules(folder: Path) -> None:
    """Have the function's own code imported again."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is not None and name != "__main__" and is_own_code(Path(file), folder):
            del sys.modules[name]
    importlib.invalidate_caches()


def _restore(before: dict[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
