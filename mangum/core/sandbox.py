"""What lives as long as the sandbox: the warm loop, the store of connections, and with `lifespan_scope="process"` the
application's lifespan."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import weakref
from functools import cache
from types import FrameType
from typing import Any, Protocol

from mangum.core.deadline import Watchdog
from mangum.core.lifespan import Lifespan
from mangum.core.loop import WarmLoop, is_inside_running_loop
from mangum.exceptions import LifespanFailure, LoopError
from mangum.types import ASGI, LifespanMode

__all__ = ["Sandbox"]

logger = logging.getLogger("mangum")

_SHUTDOWN_S = 10.0
_CANCEL_S = 1.0
_EXIT_WAIT_S = 2.0


class Closeable(Protocol):
    """What has to be closed on the event loop."""

    async def close(self) -> None: ...


class Sandbox:
    """Opened by the first invocation or by `start`, closed by SIGTERM, `close` or the interpreter's exit.

    It does not know the adapter, so that one that is dropped can be collected.
    """

    def __init__(self, app: ASGI, mode: LifespanMode, *, keeps_lifespan: bool, hub: Closeable | None = None) -> None:
        self._app = app
        self._mode = mode
        self.keeps_lifespan = keeps_lifespan
        self.hub = hub
        if hub is not None:  # a store may have a thread of its own
            _close_before_threads_end()
            _to_close.add(self)
        self.loop = WarmLoop()
        self._watchdog: Watchdog | None = None
        self._resident: _ResidentLifespan | None = None
        self._sigterm = _Sigterm(self)

    def watchdog(self) -> Watchdog:
        """The watchdog of the running event loop."""
        loop = asyncio.get_running_loop()
        watchdog = self._watchdog
        if watchdog is None or watchdog.loop is not loop:
            watchdog = self._watchdog = Watchdog(loop)
        return watchdog

    async def state(self) -> dict[str, Any]:
        """A copy of the state of the lifespan that the sandbox keeps, once the application is up.

        Raises:
            LifespanFailure: startup failed. It is tried again the next time.
            LoopError: the lifespan runs on another event loop.
        """
        while True:
            resident = self._resident
            if resident is None or resident.is_over:
                resident = self._resident = _ResidentLifespan(Lifespan(self._app, self._mode))
                if self.loop.is_running_here:
                    self._sigterm.hook()
                    _close_before_threads_end()
                    _to_close.add(self)
            await resident.wait_started()
            if not resident.is_over:  # over: another invocation, which started it, was cancelled meanwhile
                return resident.lifespan.state.copy()

    async def aclose(self) -> None:
        """Shut the application down, on the loop where it was started, and close what connections need.

        Raises:
            LifespanFailure: it said that its shutdown failed.
            LoopError: it was started on another event loop.
        """
        resident = self._resident
        try:
            if resident is not None and not resident.is_over:
                resident.check_loop()
                self._resident = None
                await resident.shut_down()
        finally:
            if self.hub is not None:
                await self.hub.close()

    def close(self, *, timeout_s: float = -1) -> None:
        """`aclose`, and release the warm loop. Does nothing a second time.

        Raises:
            LifespanFailure: the application said that its shutdown failed.
            LoopError: called inside a running event loop.
            TimeoutError: an invocation in another thread ran on for `timeout_s` seconds.
        """
        try:
            self.loop.close(self.aclose, timeout_s=timeout_s)
        finally:
            self._sigterm.unhook()

    @property
    def is_closed(self) -> bool:
        return self.loop.is_closed

    def close_at_exit(self) -> None:
        """`close`, for the interpreter's exit and for the garbage collector: wherever that is, without an error."""
        self._close_quietly(_EXIT_WAIT_S)

    def abandon(self) -> None:
        """Leave it to itself, with what runs in it and cannot be ended: it is not closed at the interpreter's exit."""
        _to_close.discard(self)
        self._sigterm.unhook()

    def close_and_signal_again(self) -> None:
        """Close as soon as no invocation runs, and then send SIGTERM again, to whoever else waits for it."""
        self.loop.when_idle(self._close_on_signal)

    def _close_on_signal(self) -> None:
        self._close_quietly()
        os.kill(os.getpid(), signal.SIGTERM)

    def _close_quietly(self, timeout_s: float = -1) -> None:
        if is_inside_running_loop():  # it is another, and cannot wait for this one; but a thread can
            thread = threading.Thread(target=self._close_quietly, args=(timeout_s,), name="mangum-close")
            thread.start()
            thread.join()
            self._sigterm.unhook()
            return
        try:
            self.close(timeout_s=timeout_s)
        except Exception:
            logger.exception("The application could not be shut down.")


_to_close: weakref.WeakSet[Sandbox] = weakref.WeakSet()


@cache
def _close_before_threads_end() -> None:
    """Have sandboxes closed before the interpreter waits for its threads, not after that, as `atexit` has it: an
    application's shutdown may need threads, and some of its threads may end with its lifespan only."""
    import concurrent.futures.thread  # noqa: F401 # it registers too, and the last to register is called first

    def close_all() -> None:
        for sandbox in list(_to_close):
            sandbox.close_at_exit()

    threading._register_atexit(close_all)  # type: ignore[attr-defined] # private, and the only way


class _ResidentLifespan:
    """A lifespan whose task outlives the invocation that started it, and the one that waits for that task."""

    def __init__(self, lifespan: Lifespan) -> None:
        self.lifespan = lifespan
        self._loop = asyncio.get_running_loop()
        self._task = lifespan.begin()
        self._given_up = False

    @property
    def is_over(self) -> bool:
        """Whether it has to be started anew. An application that is done with its lifespan early is not over."""
        return self._given_up or self._task.cancelled() or self._loop.is_closed()

    def check_loop(self) -> None:
        if self._loop is not asyncio.get_running_loop():
            raise LoopError(
                "The application was started on another event loop, and its lifespan lives there: "
                "use either handler(event, context) or `await handler.invoke(event, context)`, from one loop."
            )

    async def wait_started(self) -> None:
        self.check_loop()
        try:
            await self.lifespan.startup()
        except (LifespanFailure, asyncio.CancelledError):
            self._given_up = True
            await self._end_task()
            raise

    async def shut_down(self) -> None:
        self._given_up = True
        self.lifespan.end()
        await asyncio.wait([self._task], timeout=_SHUTDOWN_S)
        if not self._task.done():
            logger.error("The application had not shut down after %s s, and was cancelled.", _SHUTDOWN_S)
            await self._end_task()
        self.lifespan.raise_failure()

    async def _end_task(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task], timeout=_CANCEL_S)


class _Sigterm:
    """Closes a sandbox on SIGTERM, and passes the signal on to the handler that was there before.

    Lambda's Python runtimes from 3.12 on deliver it to functions that have an extension:
    https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._hooked = False
        self._previous: Any = None

    def hook(self) -> None:
        """Take the signal, if this is the main thread, which alone may."""
        if not self._hooked and threading.current_thread() is threading.main_thread():
            self._hooked = True
            self._previous = signal.signal(signal.SIGTERM, self._handle)

    def unhook(self) -> None:
        """Give the signal back, unless somebody has taken it since: then it is passed on."""
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == self._handle:
            signal.signal(signal.SIGTERM, self._previous or signal.SIG_DFL)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if not self._sandbox.is_closed:
            self._sandbox.close_and_signal_again()
        elif callable(self._previous):
            self._previous(signum, frame)
        elif self._previous != signal.SIG_IGN:  # pragma: no cover - it ends the process; a test does so in another
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
