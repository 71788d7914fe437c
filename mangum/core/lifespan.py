"""An application's startup and shutdown: https://asgi.readthedocs.io/en/latest/specs/lifespan.html"""

from __future__ import annotations

import asyncio
import enum
import logging
from typing import Any

from mangum.core.cancellation import is_cancelled_from_outside
from mangum.core.tasks import begin, join
from mangum.exceptions import LifespanFailure, LifespanUnsupported, UnexpectedMessage
from mangum.types import ASGI, LifespanMode, Message

__all__ = ["Lifespan"]

logger = logging.getLogger("mangum.lifespan")

_MESSAGES = frozenset(
    {
        "lifespan.startup.complete",
        "lifespan.startup.failed",
        "lifespan.shutdown.complete",
        "lifespan.shutdown.failed",
    }
)


class _Stage(enum.Enum):
    CONNECTING = enum.auto()  # the application runs, and has not asked for a message
    STARTUP = enum.auto()  # it has been told to start up
    SERVING = enum.auto()  # it is up
    SHUTDOWN = enum.auto()  # it has been told to shut down


class Lifespan:
    """One run of an application's lifespan, in a task of its own. Who calls `begin` owns that task, and waits for it.

    An application does not know the protocol if it raises, returns or sends before it has received anything. It is
    served all the same, whatever the mode.
    """

    def __init__(self, app: ASGI, mode: LifespanMode) -> None:
        self.state: dict[str, Any] = {}
        self.unsupported = False
        self.task: asyncio.Task[None]  # since `begin`
        self._app = app
        self._mode = mode
        self._stage = _Stage.CONNECTING
        self._failure: LifespanFailure | None = None
        self._startup_over = asyncio.Event()
        self._shutdown_asked = asyncio.Event()

    def begin(self) -> asyncio.Task[None]:
        """Run the application's lifespan in a task, on the running loop."""
        self.task = begin(self._run(), asyncio.get_running_loop())
        return self.task

    async def _run(self) -> None:
        """Outcomes are kept for `startup` and `raise_failure`."""
        try:
            await self._app(
                {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state},
                self._receive,
                self._send,
            )
        except LifespanUnsupported:
            self.unsupported = True
        except Exception as error:
            self._take(error)
        except asyncio.CancelledError as error:
            if is_cancelled_from_outside():
                raise
            self._take(error)
        finally:
            if self._stage is _Stage.CONNECTING:
                self.unsupported = True
            self._startup_over.set()
        if self.unsupported:
            logger.info("ASGI 'lifespan' protocol appears unsupported.")

    async def startup(self) -> None:
        """Wait until the application is up, or has shown that it will not be.

        Raises:
            LifespanFailure: it said that it failed, it broke the protocol, or the mode is "on" and it raised.
        """
        await self._startup_over.wait()
        self.raise_failure()

    def end(self, *, failed: bool = False) -> None:
        """Let the application shut down, or if it failed to start, cancel it; then its task ends."""
        self._shutdown_asked.set()
        if failed:
            self.cancel()

    def cancel(self) -> None:
        """Cancel the application's task once, so that its clean-up can await."""
        self.task.cancel()

    async def wait_ended(self) -> None:
        """Wait until the task has ended, after `end`."""
        await join(self.task)

    def raise_failure(self) -> None:
        """To be called when startup has returned, and again when the task has ended.

        Raises:
            LifespanFailure: the application said that it failed, or broke the protocol.
        """
        if self._failure is not None:
            raise self._failure

    def _take(self, error: BaseException) -> None:
        if self._failure is not None:  # the application has said so before, and now raises what made it fail
            self._failure.__cause__ = self._failure.__cause__ or error
        elif isinstance(error, UnexpectedMessage):
            self._failure = LifespanFailure(str(error))
            self._failure.__cause__ = error
        elif self._stage is _Stage.CONNECTING:
            logger.warning(
                "The application raised %s: %s when it was asked for its lifespan: it is taken not to know it. "
                'Mangum(app, lifespan="off") does not ask.',
                type(error).__name__,
                error,
            )
        else:
            logger.error("Exception in 'lifespan' protocol.", exc_info=error)
            if self._mode == "on" and self._stage is _Stage.STARTUP:
                self._failure = LifespanFailure(f"Lifespan startup failure. {type(error).__name__}: {error}")
                self._failure.__cause__ = error

    async def _receive(self) -> Message:
        if self._stage is _Stage.CONNECTING:
            self._stage = _Stage.STARTUP
            return {"type": "lifespan.startup"}
        await self._shutdown_asked.wait()
        if self._stage is _Stage.SHUTDOWN:  # it was told before, and asks again instead of returning
            self.cancel()
            await asyncio.get_running_loop().create_future()
        self._stage = _Stage.SHUTDOWN
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if self._stage is _Stage.CONNECTING:
            raise LifespanUnsupported("The application sent a message before it received one.")
        if kind not in _MESSAGES:
            raise UnexpectedMessage(f"Unexpected '{kind}' in the lifespan protocol.")
        if kind == "lifespan.startup.complete" and self._stage is _Stage.STARTUP:
            self._stage = _Stage.SERVING
            self._startup_over.set()
            logger.info("Application startup complete.")
        elif kind == "lifespan.startup.failed" and self._stage is _Stage.STARTUP:
            self._fail("startup", message)
            self._startup_over.set()
        elif kind == "lifespan.shutdown.failed" and self._stage is _Stage.SHUTDOWN:
            self._fail("shutdown", message)
        elif kind == "lifespan.shutdown.complete" and self._stage is _Stage.SHUTDOWN:
            logger.info("Application shutdown complete.")

    def _fail(self, phase: str, message: Message) -> None:
        self._failure = LifespanFailure(f"Lifespan {phase} failure. {message.get('message', '')}".rstrip())
