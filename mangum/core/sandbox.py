"""What one adapter keeps for the life of the sandbox: its lifespan, and the store of connections."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from mangum.core.invocation import LifespanPolicy, NoLifespan
from mangum.core.loop import is_inside_running_loop, warm_loop
from mangum.core.signals import Sigterm, close_at_exit, stay_open
from mangum.types import ASGI, LifespanMode, LifespanScope

if TYPE_CHECKING:
    from mangum.core.policies import PerProcess

__all__ = ["Closeable", "Sandbox"]

logger: logging.Logger = logging.getLogger("mangum")

_EXIT_WAIT_S = 2.0
# For the runtime to send the answer of an invocation during which SIGTERM came. Lambda gives it 300 ms at least.
_ANSWER_S = 0.2
_NOT_SHUT_DOWN = "The application could not be shut down."


class Closeable(Protocol):
    """What is closed on the event loop."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...


class Sandbox:
    """Opened by the first invocation or by `start`; closed by SIGTERM, by `close`, or at the interpreter's exit.

    It does not refer to the adapter, so that one that is dropped can be collected.
    """

    def __init__(self, app: ASGI, mode: LifespanMode, scope: LifespanScope, hub: Closeable | None) -> None:
        self.is_closed: bool = False
        self._app = app
        self._mode = mode
        self._hub = hub
        self._waits_for_answer = False  # of an invocation during which SIGTERM came
        self._has_started = False  # whether a lifespan that stays has been started
        self._sigterm = Sigterm(self._close_on_signal)
        self.lifespan: LifespanPolicy
        self._resident: PerProcess | None = None
        if mode == "off":
            self.lifespan = NoLifespan()
        elif scope == "invocation":
            from mangum.core.policies import PerInvocation

            self.lifespan = PerInvocation(app, mode)
        else:
            self.lifespan = self._resident = self._per_process()
        if hub is not None:  # a store may have a thread of its own
            close_at_exit(self)
        _sandboxes.add(self)

    def _per_process(self) -> PerProcess:
        from mangum.core.policies import PerProcess

        return PerProcess(self._app, self._mode, self._started)

    @property
    def needs_closing(self) -> bool:
        """Whether there may be something to close."""
        return self._hub is not None or self._has_started

    def _started(self) -> None:
        self._has_started = True
        if warm_loop().is_running_here():
            if not warm_loop().is_serving:
                self._sigterm.hook()
            close_at_exit(self)

    async def start(self) -> None:
        """Open all that stays open."""
        if self._hub is not None:
            await self._hub.open()
        if self._resident is not None:
            await self._resident.start()

    async def aclose(self) -> None:
        """Shut the application down, on the loop where it was started, and close the store.

        Raises:
            LifespanFailure: it said that its shutdown failed.
            LoopError: it was started on another event loop.
        """
        try:
            if self._resident is not None:
                await self._resident.stop()
        finally:
            if self._hub is not None:
                await self._hub.close()

    def close(self, *, timeout_s: float = -1) -> None:
        """`aclose` on the warm loop, for good. Does nothing a second time.

        Raises:
            LifespanFailure: the application said that its shutdown failed.
            LoopError: called inside a running event loop.
            TimeoutError: an invocation in another thread went on for `timeout_s` seconds.
        """
        warm_loop().check("`await handler.aclose()`")
        try:
            if not self.is_closed and self.needs_closing:
                warm_loop().try_run(self.aclose, timeout_s=timeout_s)
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Close nothing any more."""
        self.is_closed = True
        self._sigterm.unhook()
        stay_open(self)

    def close_at_exit(self) -> None:
        """`close` at the interpreter's exit: logs errors, and waits a few seconds at most."""
        self._close_quietly(_EXIT_WAIT_S)

    def drop(self) -> None:
        """`close` for an adapter that was dropped, wherever the garbage collector runs."""
        if not self.needs_closing:
            self.let_go()
        elif warm_loop().is_running():
            self.let_go()
            warm_loop().start_soon(self._aclose_quietly, "mangum-close")
        else:  # not now if this thread is about to run the loop
            warm_loop().when_idle(partial(self._close_quietly, _EXIT_WAIT_S))

    def start_afresh(self) -> None:
        """In a forked child: a lifespan that was started belongs to the parent. The store sees to itself."""
        if self._resident is not None:
            self.lifespan = self._resident = self._per_process()
            self._has_started = False

    async def _aclose_quietly(self) -> None:
        try:
            await self.aclose()
        except Exception:
            logger.exception(_NOT_SHUT_DOWN)

    def _close_on_signal(self, again: Callable[[], None]) -> bool:
        """Close, and then send the signal `again`. During an invocation, wait until its answer has been sent."""
        if self.is_closed:
            return False
        if self._waits_for_answer:  # a second signal is no news
            return True
        if warm_loop().is_running():
            self._waits_for_answer = True
            warm_loop().when_idle(partial(self._signal_after_answer, again))
            return True

        def close() -> None:
            self._close_quietly()
            again()

        warm_loop().when_idle(close)
        return True

    def _signal_after_answer(self, again: Callable[[], None]) -> None:
        def signal_again() -> None:
            self._waits_for_answer = False
            again()

        timer = threading.Timer(_ANSWER_S, signal_again)
        timer.daemon = True
        timer.start()

    def _close_quietly(self, timeout_s: float = -1) -> None:
        if is_inside_running_loop():  # another one, which cannot wait for the warm loop; but a thread can
            thread = threading.Thread(target=self._close_quietly, args=(timeout_s,), name="mangum-close")
            thread.start()
            thread.join()
            self._sigterm.unhook()  # which is for this thread to do
            return
        try:
            self.close(timeout_s=timeout_s)
        except Exception:
            logger.exception(_NOT_SHUT_DOWN)


_sandboxes: weakref.WeakSet[Sandbox] = weakref.WeakSet()


def _start_afresh() -> None:
    for sandbox in list(_sandboxes):
        sandbox.start_afresh()


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows
    os.register_at_fork(after_in_child=_start_afresh)
