"""An application's startup and shutdown: https://asgi.readthedocs.io/en/latest/specs/lifespan.html

Once an application is up, it calls `receive()` to wait for its shutdown. The request runs inside that call: the
lifespan is then what it looks like in the application, a context around the request, in one task.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias, cast

from mangum.core.error_text import text_of
from mangum.exceptions import LifespanFailure, LifespanUnsupported, UnexpectedMessage
from mangum.types import ASGI, LifespanMode, Message

__all__ = ["Lifespan", "LifespanTask", "Serve"]

logger: logging.Logger = logging.getLogger("mangum.lifespan")

_CANCEL_S = 1.0

_MESSAGES = frozenset(
    {
        "lifespan.startup.complete",
        "lifespan.startup.failed",
        "lifespan.shutdown.complete",
        "lifespan.shutdown.failed",
    }
)

# What runs while the application is up. It gets the lifespan's state, if there is one, and raises no `Exception`.
Serve: TypeAlias = Callable[[dict[str, Any] | None], Awaitable[None]]


class _Stage(enum.Enum):
    CONNECTING = enum.auto()  # the application runs, and has not asked for a message
    STARTUP = enum.auto()  # it has been told to start up
    UP = enum.auto()  # it is up, and has not asked for its shutdown
    SERVING = enum.auto()  # the request runs
    SERVED = enum.auto()  # the request is over
    SHUTDOWN = enum.auto()  # it has been told to shut down


class Lifespan:
    """One run of an application's lifespan protocol, in the caller's task.

    An application does not support the protocol if it raises, returns or sends before it has received anything. It is
    served all the same, in every mode.
    """

    # What most lifespans do not change.
    is_unsupported: bool = False
    polls: bool = False  # whether the application cancelled a `receive()` with a request in it, and went on
    has_asked: bool = False  # whether the application has ever asked for its shutdown
    _stage = _Stage.CONNECTING
    _failure: LifespanFailure | None = None
    _task: asyncio.Task[Any] | None = None  # while the application runs in it
    _cancels = 0  # of the task, which are not for the application
    _dismissals = 0  # how often the application was cancelled by this object
    _asks_again = False  # whether it has asked for another message after its shutdown
    _is_down = False  # whether it has said that it has shut down
    _is_interrupted = False  # whether the `receive()` in which the request ran was cancelled
    _has_raised = False
    _up: asyncio.Event | None = None  # made if the application asks for its shutdown before it is up
    _served: asyncio.Event | None = None  # made if the request runs beside the application
    _is_waiting = False  # for that, in `receive()`

    def __init__(
        self,
        app: ASGI,
        mode: LifespanMode,
        serve: Serve,
        *,
        when_up: Callable[[], None] | None = None,
        serves_again: bool = False,
    ) -> None:
        """`when_up` is called when the application says that it is up, usually before it asks for its shutdown.
        `serves_again` calls `serve` again if the application cancels it and asks again."""
        self.state: dict[str, Any] = {}
        self._app = app
        self._mode = mode
        self._serve = serve
        self._when_up = when_up
        self._serves_again = serves_again

    async def run(self) -> None:
        """Start the application up, serve, and shut the application down. If startup fails, nothing is served.
        Outcomes are kept for `raise_failure`."""
        task = self._task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._cancels = task.cancelling()
        cancelled: asyncio.CancelledError | None = None
        try:
            await self._app(
                {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state},
                self._receive,
                self._send,
            )
        except LifespanUnsupported:
            pass
        except Exception as error:
            self._take(error)
            if isinstance(
                error, ExceptionGroup
            ):  # before Python 3.13, asyncio.TaskGroup does not take its cancel() back
                self._cancels = task.cancelling() - self._dismissals
        except asyncio.CancelledError as error:
            cancelled = error
        finally:
            self._task = None
        for _ in range(self._dismissals):
            task.uncancel()
        if task.cancelling() > self._cancels:  # by someone else; the application may have kept it to itself
            raise cancelled or asyncio.CancelledError
        if cancelled is not None and not self._dismissals:
            self._take(cancelled)
        self.polls = self._is_interrupted and not self._has_raised
        await self._after_the_application()

    async def _after_the_application(self) -> None:
        if self._stage is _Stage.CONNECTING:
            self.is_unsupported = True
            logger.info("ASGI 'lifespan' protocol appears unsupported.")
        if self._stage is _Stage.SERVING and self._served is None:  # in a task that the application has left behind
            self._served = asyncio.Event()
        if self._served is not None:  # it returned while the request ran beside it
            await self._served.wait()
        elif self._stage in (_Stage.CONNECTING, _Stage.STARTUP, _Stage.UP) and self._failure is None:
            self._stage = _Stage.SERVING  # for such a task, which may ask now
            await self._serve(self.state)

    async def serve_beside(self) -> bool:
        """Serve in another task, while the application runs on. Then end the application, if it has not asked for its
        shutdown by then. Does nothing if it has asked before, or has ended. Returns whether it served."""
        if self.has_asked or self._task is None:
            return False
        self._stage = _Stage.SERVING
        self._served = asyncio.Event()
        try:
            await self._serve(self.state)
        finally:
            self._stage = _Stage.SERVED
            self._served.set()
            if not self.has_asked:
                self.dismiss()
        return True

    def raise_failure(self) -> None:
        """To be called after `run`.

        Raises:
            LifespanFailure: the application said that startup or shutdown failed, it broke the protocol, or the mode is
                "on" and its startup raised.
        """
        if self._failure is not None:
            raise self._failure

    def dismiss(self) -> None:
        """Cancel an application that does not end by itself: once, so that its clean-up can await."""
        if self._task is not None:
            self._dismissals += 1
            self._task.cancel()

    def _take(self, error: BaseException) -> None:
        self._has_raised = True
        if self._failure is not None:  # the application has said so before, and now raises what made it fail
            self._failure.__cause__ = self._failure.__cause__ or error
        elif isinstance(error, UnexpectedMessage):
            self._failure = LifespanFailure(str(error))
            self._failure.__cause__ = error
        elif self._stage is _Stage.CONNECTING:
            logger.warning(
                "The application raised %s: %s when its lifespan was started. mangum assumes that it does not support "
                'lifespan. Mangum(app, lifespan="off") does not start it.',
                type(error).__name__,
                text_of(error),
            )
        else:
            logger.error("Exception in 'lifespan' protocol.", exc_info=error)
            if self._mode == "on" and self._stage is _Stage.STARTUP:
                self._failure = LifespanFailure(f"Lifespan startup failure. {type(error).__name__}: {text_of(error)}")
                self._failure.__cause__ = error

    async def _receive(self) -> Message:
        if self._stage is _Stage.CONNECTING:
            self._stage = _Stage.STARTUP
            return {"type": "lifespan.startup"}
        if self._stage is _Stage.STARTUP:  # it asks ahead of time; another task of its says when it is up
            self._up = self._up or asyncio.Event()
            await self._up.wait()
        if self._stage is _Stage.UP:
            await self._serve_inside()
        elif self._stage is _Stage.SERVING and self._served is not None and not self._is_waiting:
            self.has_asked = self._is_waiting = True
            try:
                await self._served.wait()
            finally:
                self._is_waiting = False
        if self._stage is _Stage.SERVED:
            self._stage = _Stage.SHUTDOWN
            return {"type": "lifespan.shutdown"}
        if self._stage is _Stage.SHUTDOWN:  # it asks again instead of returning; another task of its may ask too
            self._asks_again = True
            if self._is_down or asyncio.current_task() is self._task:
                self.dismiss()
        never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        return await never

    async def _serve_inside(self) -> None:
        self._stage = _Stage.SERVING
        self.has_asked = True
        try:
            await self._serve(self.state)
        except asyncio.CancelledError:
            self._is_interrupted = True
            self._stage = _Stage.UP if self._serves_again else _Stage.SERVED
            raise
        finally:
            if self._served is not None:
                self._served.set()
        self._stage = _Stage.SERVED
        if self._task is not None:
            self._cancels = self._task.cancelling()  # what the request has left of an asyncio.TaskGroup, see `run`

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if self._stage is _Stage.CONNECTING:
            raise LifespanUnsupported("The application sent a message before it received one.")
        if kind not in _MESSAGES:
            raise UnexpectedMessage(f"Unexpected '{kind}' in the lifespan protocol.")
        if kind == "lifespan.startup.complete" and self._stage is _Stage.STARTUP:
            self._stage = _Stage.UP
            logger.info("Application startup complete.")
            if self._up is not None:
                self._up.set()
            if self._when_up is not None:
                self._when_up()
        elif kind == "lifespan.startup.failed" and self._stage is _Stage.STARTUP:
            self._fail("startup", message)
            asyncio.get_running_loop().call_soon(self.dismiss)  # if it does not end by itself
        elif kind == "lifespan.shutdown.failed" and self._stage is _Stage.SHUTDOWN:
            self._fail("shutdown", message)
            self._end()
        elif kind == "lifespan.shutdown.complete" and self._stage is _Stage.SHUTDOWN:
            logger.info("Application shutdown complete.")
            self._end()

    def _end(self) -> None:
        """The application has shut down."""
        self._is_down = True
        if self._asks_again:  # and waits for that
            asyncio.get_running_loop().call_soon(self.dismiss)

    def _fail(self, phase: str, message: Message) -> None:
        self._failure = LifespanFailure(f"Lifespan {phase} failure. {message.get('message', '')}".rstrip())


class LifespanTask:
    """A lifespan in a task of its own, the child of a task group: `run` is the task's function."""

    def __init__(self, app: ASGI, mode: LifespanMode) -> None:
        self._is_up = asyncio.Event()
        self._has_asked = asyncio.Event()  # for its shutdown, or has ended
        self._is_over = asyncio.Event()
        self._has_ended = asyncio.Event()
        self._lifespan = Lifespan(app, mode, self._stay_up, when_up=self._is_up.set, serves_again=True)
        self.state: dict[str, Any] = self._lifespan.state
        self._task: asyncio.Task[Any] | None = None
        self.was_cancelled: bool = False  # by its group, or by `cancel`

    async def run(self) -> None:
        self._task = asyncio.current_task()
        try:
            if not self.was_cancelled:
                await self._lifespan.run()
        except asyncio.CancelledError:
            if not self.was_cancelled:  # by the group
                self.was_cancelled = True
                raise
        finally:
            self._is_up.set()
            self._has_asked.set()
            self._has_ended.set()

    async def _stay_up(self, state: dict[str, Any] | None) -> None:
        self._is_up.set()  # for an application that has not said so, and is served all the same
        self._has_asked.set()
        await self._is_over.wait()

    async def wait_up(self) -> None:
        """Wait until the application is up, or is served without having said so.

        Raises:
            LifespanFailure: startup failed.
        """
        try:
            await self._is_up.wait()
        except asyncio.CancelledError:
            await self.cancel()
            raise
        self._lifespan.raise_failure()

    async def shut_down(self, *, ask_s: float, timeout_s: float | None = None) -> bool:
        """Let the application shut down, and wait until its task has ended. Returns whether it has, in that time.

        An application that has never asked for its shutdown, and does not in `ask_s` seconds, is cancelled once.

        Raises:
            LifespanFailure: shutdown failed.
        """
        self._is_over.set()
        try:
            async with asyncio.timeout(timeout_s):
                with suppress(TimeoutError):
                    async with asyncio.timeout(ask_s):
                        await self._has_asked.wait()
                if not self._has_asked.is_set():
                    self._lifespan.dismiss()
                await self._has_ended.wait()
        except TimeoutError:
            await self.cancel()
            return False
        except asyncio.CancelledError:
            await self.cancel()
            raise
        self._lifespan.raise_failure()
        return True

    async def cancel(self) -> None:
        """Cancel the task once, so that its clean-up can await, and wait a moment for its end. If the caller is
        cancelled meanwhile, so is the task."""
        self.was_cancelled = True
        if self._task is None:
            self._is_up.set()  # it does not begin
            return
        self._task.cancel()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CANCEL_S):
                    await self._has_ended.wait()
        except asyncio.CancelledError:
            self._task.cancel()
            raise

    @property
    def left_over(self) -> asyncio.Task[Any] | None:
        """The task, if it was cancelled and has not ended."""
        return self._task if self.was_cancelled and not self._has_ended.is_set() else None
