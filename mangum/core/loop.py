"""The warm event loop: sync in, async out."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import selectors
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, TypeVar

from mangum.exceptions import LoopError

__all__ = ["WarmLoop", "is_inside_running_loop"]

logger = logging.getLogger("mangum")

_WIND_DOWN_S = 5.0

# The loop in whose invocation this code runs, in whatever thread.
_inside: ContextVar[WarmLoop | None] = ContextVar("mangum_inside", default=None)

T = TypeVar("T")


def is_inside_running_loop() -> bool:
    """Whether an event loop runs in this thread."""
    return asyncio._get_running_loop() is not None


class _PatientSelector(selectors.DefaultSelector):
    """A selector that asks the system for I/O only in every eighth turn of a loop that has work at hand.

    asyncio asks in each turn. An invocation takes two to six turns without any I/O, and each question is a system call:
    a tenth of a warm invocation.
    """

    _MOST_TURNS = 8
    _turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0 and self._turns < self._MOST_TURNS:
            self._turns += 1
            return []
        self._turns = 0
        return super().select(timeout)


class WarmLoop:
    """One asyncio event loop that is made for its first run and kept for all that follow.

    Runs from several threads are served one at a time. No loop but its own is looked at or touched.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._when_idle: list[Callable[[], None]] = []
        self._main: asyncio.Task[Any] | None = None  # that runs

    @property
    def is_closed(self) -> bool:
        return self._closed

    @property
    def is_running_here(self) -> bool:
        """Whether the caller runs on this loop."""
        return self._loop is not None and asyncio._get_running_loop() is self._loop

    def run(self, main: Coroutine[Any, Any, T], instead: str) -> T:
        """Run a coroutine to its end and return its result. Tasks that it leaves behind go on in the next run.

        `instead` names what the caller should have used where a loop is running already.

        Raises:
            LoopError: called inside a running event loop, or after `close`.
        """
        refusal = self._refusal(f"{instead} there")
        if refusal is not None:
            main.close()
            raise refusal
        self._lock.acquire()
        try:
            return self._run(main)
        finally:
            self._lock.release()
            if self._when_idle:
                self._call_when_idle()

    def _refusal(self, instead: str) -> LoopError | None:
        """Why this code may not wait for the loop, if it may not."""
        if is_inside_running_loop():
            return LoopError(
                f"The handler was called inside a running event loop, which it would block: use {instead}."
            )
        if _inside.get() is self:
            return LoopError(
                "The handler was called in a thread of its own invocation, which would wait for itself: "
                "use `await handler.invoke(event, context)` on the event loop."
            )
        return None

    def _run(self, main: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            main.close()
            raise LoopError("The handler is closed: build a new Mangum(app).")
        if self._loop is None:
            self._loop = asyncio.SelectorEventLoop(_PatientSelector())
            _spare_the_collector()
        loop = self._loop
        token = _inside.set(self)
        task = loop.create_task(_stop_after(loop, main))  # which takes the context along, into its threads too
        _inside.reset(token)
        self._main = task
        try:
            while not task.done():  # another's stop may be left from a run that broke off
                loop.run_forever()
        except BaseException:  # KeyboardInterrupt, SystemExit: the loop broke off, the task has to be ended
            if not task.done():
                task.cancel()
                with suppress(BaseException):  # such as a second Ctrl-C
                    loop.run_until_complete(asyncio.wait([task], timeout=_WIND_DOWN_S))
            if task.done() and not task.cancelled():
                task.exception()  # fetched, so that the loop does not report it as lost
            raise
        self._main = None
        return task.result()

    def interrupt(self) -> None:
        """Cancel what runs, from whatever thread: its `run` raises `CancelledError`. Does not wait for that."""
        loop, main = self._loop, self._main
        if loop is not None and main is not None and not main.done():
            with suppress(RuntimeError):  # the loop was closed at this moment
                loop.call_soon_threadsafe(main.cancel)

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Call back now if nothing runs on the loop, else right after what runs. For signal handlers: never waits."""
        self._when_idle.append(callback)
        self._call_when_idle()

    def _call_when_idle(self) -> None:
        while self._when_idle and self._lock.acquire(blocking=False):
            callbacks, self._when_idle = self._when_idle, []
            self._lock.release()
            for callback in callbacks:
                callback()

    def close(self, last: Callable[[], Coroutine[Any, Any, None]], *, timeout_s: float = -1) -> None:
        """Run `last`, end what is left on the loop, and release it. Does nothing a second time.

        A run in another thread is waited for, `timeout_s` seconds at the most (-1: as long as it takes).

        Raises:
            LoopError: called inside a running event loop.
            TimeoutError: something ran on for `timeout_s` seconds.
        """
        refusal = self._refusal("`await handler.aclose()` there")
        if refusal is not None:
            raise refusal
        if not self._lock.acquire(timeout=timeout_s):
            raise TimeoutError("The handler is still at work in another thread.")
        try:
            if self._loop is not None and not self._closed:
                try:
                    self._run(last())
                finally:
                    self._close(self._loop)
        finally:
            self._closed = True
            self._lock.release()
            self._call_when_idle()

    def _close(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._run(_wind_down(loop))
        finally:
            loop.close()


def _spare_the_collector() -> None:
    """In Lambda, keep the garbage collector from what is there before the first event, all of which stays as long as
    the process: to look through it takes 17 ms for FastAPI alone, and the first time is as a rule the first request's.
    """
    if "AWS_LAMBDA_RUNTIME_API" in os.environ:
        gc.freeze()


async def _stop_after(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, T]) -> T:
    """`main`, and the end of the loop's run in the turn after it, when the callbacks of its task have run: with one of
    those anyio ends its worker threads. `run_until_complete` does the same with a callback of its own, at twice the
    cost."""
    try:
        return await main
    finally:
        if not loop.is_closed():  # a task that did not end, and was left when the loop was closed
            loop.call_soon(loop.stop)


async def _wind_down(loop: asyncio.AbstractEventLoop) -> None:
    """End what is left on the loop: tasks and asynchronous generators. The threads of its executor are told to end
    when it is closed."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        ended, left = await asyncio.wait(others, timeout=_WIND_DOWN_S)
        for task in ended:
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("A task of the application failed while it was cancelled.", exc_info=error)
        if left:
            logger.warning("%d tasks of the application had not ended after %s s.", len(left), _WIND_DOWN_S)
    with suppress(TimeoutError):
        async with asyncio.timeout(_WIND_DOWN_S):
            await loop.shutdown_asyncgens()
