"""The warm event loop: one for the process, shared by all adapters. Sync in, async out."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import gc
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar, cast

from mangum.core.idle_selector import IdleSelector
from mangum.core.reply import KeptReply
from mangum.core.root import Root, adopt, root_of
from mangum.core.signals import close_at_exit, stay_open
from mangum.exceptions import LoopError

__all__ = ["WarmLoop", "is_inside_running_loop", "leave_warm_loop", "warm_loop"]

logger: logging.Logger = logging.getLogger("mangum")

_WIND_DOWN_S = 5.0
_EXIT_WAIT_S = 2.0

# Whether this code runs in an invocation on the warm loop, in whatever thread.
_is_inside: contextvars.ContextVar[bool] = contextvars.ContextVar("mangum_is_inside", default=False)

T = TypeVar("T")
_Call: TypeAlias = concurrent.futures.Future[Any]


def is_inside_running_loop() -> bool:
    """Whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class WarmLoop:
    """The event loop on which synchronous calls run, and which is kept between them.

    It is the thread's current event loop if there is one that is neither running nor closed, else a new one by
    `asyncio.new_event_loop`, which becomes the current one. So clients and pools that a program creates at import
    belong to it. Calls from several threads run one at a time.

    On a loop of mangum's own, a root task stays from the first call to the loop's end. anyio keeps its worker threads
    as long as the root task lives. An adopted loop has none: its owner may close it, and those threads would never end.
    """

    def __init__(self) -> None:
        self._selector: IdleSelector | None = None  # of an own loop, if asyncio's class made it
        self._loop: asyncio.AbstractEventLoop | None = None
        self._root: Root | None = None  # of an own loop
        self._lock = threading.Lock()
        self._when_idle: list[Callable[[], None]] = []
        self._main: asyncio.Task[Any] | None = None  # that runs
        self._is_warm = False  # see `prepare`
        self._submitted: set[_Call] | None = None  # calls from other threads, while it serves

    # The loop

    def prepare(self, warm_up: Callable[[], Coroutine[Any, Any, None]] | None) -> None:
        """Make or adopt the loop in the init phase, unless an event loop runs in this thread. `warm_up` runs on a new
        loop of mangum's own."""
        if is_inside_running_loop() or not self._lock.acquire(blocking=False):
            return
        try:
            loop = self._open()
            if warm_up is not None and self._root is not None and not self._is_warm:
                self._is_warm = True
                is_debug = loop.get_debug()
                loop.set_debug(False)  # in which asyncio logs a task that imports something as slow
                self._run(warm_up(), None)
                loop.set_debug(is_debug)
        finally:
            self._lock.release()

    def is_running_here(self) -> bool:
        """Whether the caller runs on this loop."""
        return self._loop is not None and is_inside_running_loop() and asyncio.get_running_loop() is self._loop

    def idle_selector(self) -> IdleSelector | None:
        """The selector that tells when this loop is idle, if the caller runs on it and it has one."""
        return self._selector if self.is_running_here() else None

    def is_running(self) -> bool:
        """Whether the loop runs, in whatever thread."""
        return self._loop is not None and self._loop.is_running()

    def start_soon(self, function: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """Run a function in a child of the loop's root task, while the loop runs in whatever thread."""
        loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(lambda: root_of(loop).start_soon(function, name))

    def _open(self) -> asyncio.AbstractEventLoop:
        loop = self._loop
        if loop is None or loop.is_closed():
            loop, self._root, self._selector, self._is_warm = _current_loop(), None, None, False
            if loop is None or loop.is_closed():
                loop, self._selector = _new_loop()
                asyncio.set_event_loop(loop)
                self._root = Root(loop, stays=True)
            self._loop = loop
            close_at_exit(self, last=True)
        elif self._root is not None and not loop.is_running() and _current_loop() is None:
            asyncio.set_event_loop(loop)  # after an `asyncio.run`, or in another thread
        return loop

    # Calls

    def run(self, main: Coroutine[Any, Any, T], instead: str, reply: KeptReply | None = None) -> T:
        """Run a coroutine to its end and return its result. Tasks that it leaves behind go on in the next run.

        `instead` is what the caller should use if an event loop is running already. With a `reply`, the run may end
        before the coroutine has: when the reply is left.

        Raises:
            LoopError: called inside a running event loop, or in a thread of an invocation.
        """
        try:
            self.check(instead)
        except LoopError:
            main.close()
            raise
        if self._submitted is not None:
            return self._submit(main, self._submitted, reply)
        with self._lock:
            if not _is_spared:
                _spare_the_collector()
            result = self._run(main, reply)
        if self._when_idle:
            self._call_when_idle()
        return result

    def serve(self, main: Coroutine[Any, Any, T]) -> T:
        """`run`, while calls from other threads run on the loop at the same time."""
        with self._lock:
            if not _is_spared:
                _spare_the_collector()
            self._submitted = submitted = set[_Call]()
            try:
                return self._run(main, None)
            finally:
                self._submitted = None
                for call in submitted:
                    call.cancel()

    def outside(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function of a thread that an invocation's task waits for, but which is not part of that invocation."""
        context = contextvars.copy_context()
        context.run(_is_inside.set, False)
        return context.run(function, *arguments)

    def check(self, instead: str) -> None:
        """Whether code here may wait for the loop.

        Raises:
            LoopError: called inside a running event loop, or in a thread of an invocation.
        """
        refusal = None
        if is_inside_running_loop():
            refusal = f"The handler was called inside a running event loop, which it would block: use {instead} there."
        elif _is_inside.get():
            refusal = (
                "The handler was called in a thread of its own invocation, which would wait for itself: "
                "use `await handler.invoke(event, context)` on the event loop."
            )
        if refusal is not None:
            raise LoopError(refusal)

    def _run(self, main: Coroutine[Any, Any, T], reply: KeptReply | None) -> T:
        loop = self._loop
        if loop is None or loop.is_closed():
            loop = self._open()
        elif loop.is_running():
            main.close()
            raise LoopError("The process's event loop is running in another thread: call the handler from there.")
        token = _is_inside.set(True)
        task = loop.create_task(main)  # which takes the context along, into its threads too
        _is_inside.reset(token)
        if reply is not None:
            reply.when_left = self._leave
        self._main = task
        try:
            while self._main is not None and not task.done():  # the application may stop the loop, or cancel the root
                self._run_loop(loop, task)
        except BaseException:  # KeyboardInterrupt, SystemExit: the loop was interrupted, and the task has to be ended
            if not task.done():
                task.cancel()
                with suppress(BaseException):  # such as a second Ctrl-C
                    loop.run_until_complete(asyncio.wait([task], timeout=_WIND_DOWN_S))
            if task.done() and not task.cancelled():
                task.exception()  # fetched, so that the loop does not report it as lost
            self._main = None
            raise
        if self._main is None:  # it was left, and the reply has the answer
            return cast("T", None)
        self._main = None
        return task.result()

    def _run_loop(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
        """Run the loop until the task is done, or the loop is stopped."""
        if self._root is None:  # an adopted loop
            until = task
        else:
            if self._root.task.done():
                self._root = Root(loop, stays=True)
            until = self._root.task
            task.add_done_callback(self._stop)
        try:
            loop.run_until_complete(until)
        except (Exception, asyncio.CancelledError):  # the loop was stopped; an error of the task is raised later
            task.remove_done_callback(self._stop)

    def _stop(self, task: asyncio.Task[Any]) -> None:
        if task is self._main:  # a KeyboardInterrupt that came out of the task has ended the run before
            task.get_loop().stop()

    def _leave(self, task: asyncio.Task[Any]) -> None:
        """Let `run` end, although the task has not ended."""
        loop = task.get_loop()
        adopt(task, "An invocation")
        self._main = None
        loop.stop()

    def _submit(self, main: Coroutine[Any, Any, T], submitted: set[_Call], reply: KeptReply | None) -> T:
        """Run a coroutine on the loop, which runs in another thread, and wait for it here."""
        context = contextvars.copy_context()
        context.run(_is_inside.set, True)
        assert self._loop is not None
        call = context.run(asyncio.run_coroutine_threadsafe, main, self._loop)
        submitted.add(call)
        call.add_done_callback(submitted.discard)
        left = threading.Event()

        def leave(task: asyncio.Task[Any]) -> None:
            left.set()
            adopt(task, "An invocation")
            call.cancel()

        if reply is not None:
            reply.when_left = leave
        try:
            return call.result()
        except concurrent.futures.CancelledError:
            if left.is_set():
                return cast("T", None)  # the reply has the answer
            raise asyncio.CancelledError from None

    def interrupt(self) -> None:
        """Cancel what runs, from any thread: its `run` raises `CancelledError`. Does not wait for that."""
        main = self._main
        if main is not None and not main.done():
            with suppress(RuntimeError):  # the loop was closed at this moment
                main.get_loop().call_soon_threadsafe(main.cancel)

    # The end

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Call back now if nothing runs on the loop, else right after the current run. For signal handlers: never
        waits."""
        self._when_idle.append(callback)
        self._call_when_idle()

    def _call_when_idle(self) -> None:
        while self._when_idle and self._lock.acquire(blocking=False):
            callbacks, self._when_idle = self._when_idle, []
            self._lock.release()
            for callback in callbacks:
                callback()

    def try_run(self, main: Callable[[], Coroutine[Any, Any, None]], *, timeout_s: float) -> None:
        """`run` for a clean-up, which waits `timeout_s` seconds at most for a run in another thread (-1: any time).

        Raises:
            LoopError: called inside a running event loop, or in a thread of an invocation.
            TimeoutError: the other run went on.
        """
        self.check("`await handler.aclose()`")
        if not self._lock.acquire(timeout=timeout_s):
            raise TimeoutError("The handler is still at work in another thread.")
        try:
            self._run(main(), None)
        finally:
            self._lock.release()
            self._call_when_idle()

    def close(self, *, timeout_s: float = -1) -> None:
        """End what is left on a loop of mangum's own, and close it. The next call makes a new one. An adopted loop is
        let go. Does nothing if there is no loop.

        Raises:
            TimeoutError: a run in another thread went on for `timeout_s` seconds.
        """
        if not self._lock.acquire(timeout=timeout_s):
            raise TimeoutError("The handler is still at work in another thread.")
        try:
            loop, root = self._loop, self._root
            if root is not None and loop is not None and not loop.is_closed():
                try:
                    loop.run_until_complete(_wind_down(loop, root))
                finally:
                    loop.close()
            self._loop = self._root = self._selector = None
        finally:
            self._lock.release()

    def close_at_exit(self) -> None:
        """`close` at the interpreter's exit: logs errors, and waits a few seconds at most."""
        try:
            self.close(timeout_s=_EXIT_WAIT_S)
        except Exception:
            logger.exception("The event loop could not be closed.")


def _current_loop() -> asyncio.AbstractEventLoop | None:
    """The thread's current event loop, if it has one. None is made."""
    try:
        if sys.version_info >= (3, 12):
            with warnings.catch_warnings():  # which asyncio warns with before it makes one
                warnings.simplefilter("error", DeprecationWarning)
                return asyncio.get_event_loop()
        policy = asyncio.get_event_loop_policy()
        policy.new_event_loop = _make_none  # type: ignore[method-assign]
        try:
            return policy.get_event_loop()
        finally:
            del policy.new_event_loop
    except (RuntimeError, DeprecationWarning):
        return None


def _make_none() -> asyncio.AbstractEventLoop:
    raise RuntimeError("There is no current event loop.")


def _new_loop() -> tuple[asyncio.AbstractEventLoop, IdleSelector | None]:
    """A new loop of the policy's, such as uvloop's. asyncio's own gets a selector that tells when the loop is idle."""
    loop = asyncio.new_event_loop()
    if type(loop) is not asyncio.SelectorEventLoop:
        return loop, None
    loop.close()
    selector = IdleSelector()
    return asyncio.SelectorEventLoop(selector), selector


def _spare_the_collector() -> None:
    """In Lambda, exclude the objects that exist before the first event from garbage collection: they stay for the life
    of the process, and the first pass over them usually falls into the first request."""
    global _is_spared
    _is_spared = True
    if "AWS_LAMBDA_RUNTIME_API" in os.environ:
        gc.freeze()


_is_spared = False


async def _wind_down(loop: asyncio.AbstractEventLoop, root: Root) -> None:
    """End what is left on the loop: the root with its children, other tasks, and asynchronous generators. The threads
    of its executor are told to end when the loop is closed."""
    for _ in range(2):  # anyio does not expect a task to be cancelled before it has begun
        await asyncio.sleep(0)
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


_warm_loop = WarmLoop()


def warm_loop() -> WarmLoop:
    """The warm loop of the process."""
    return _warm_loop


def leave_warm_loop() -> None:
    """Leave the warm loop to itself, with what runs on it and cannot be ended. The process gets another one."""
    global _warm_loop
    stay_open(_warm_loop)
    _warm_loop = WarmLoop()
