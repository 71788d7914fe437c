"""The warm event loop: one for the process, shared by all adapters. Sync in, async out."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import gc
import logging
import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias, TypeVar, cast

from mangum.core.deadline import remaining_s, reserve_s
from mangum.core.idle_selector import IdleSelector
from mangum.core.reply import KeptReply
from mangum.core.root import Root, adopt, root_of
from mangum.core.signals import close_at_exit, stay_open
from mangum.exceptions import LoopError

__all__ = ["WarmLoop", "is_inside_running_loop", "leave_warm_loop", "warm_loop"]

logger: logging.Logger = logging.getLogger("mangum")

_WIND_DOWN_S = 5.0
_EXIT_WAIT_S = 2.0

_BUSY = "The handler is still at work in another thread."

_STILL_BUSY = (
    "The handler was at work in another thread until shortly before the timeout. If that invocation waits for this "
    "thread, use `await handler.invoke(event, context)` on the event loop instead."
)

_LEAST_WAIT_S, _LONGEST_WAIT_S = 1.0, 900.0  # the latter is as long as Lambda lets a function run
_EXECUTOR_PREFIX = "asyncio_"  # of the names of threads of an event loop's own executor
_OWN_THREAD = (
    "The handler was called in a thread of its own invocation, which would wait for itself: "
    "use `await handler.invoke(event, context)` on the event loop."
)

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


def _patience_s(*contexts: Any) -> float:
    """How long a call waits for its turn: until shortly before the first timeout, while an invocation that waits for it
    can still answer."""
    remaining = min((s for s in map(remaining_s, contexts) if s is not None), default=_LONGEST_WAIT_S)
    return max(_LEAST_WAIT_S, min(remaining, _LONGEST_WAIT_S) - 2 * reserve_s(remaining))


class WarmLoop:
    """The event loop on which synchronous calls run, and which is kept between them.

    It is the thread's current event loop if there is one that is neither running nor closed, else a new one by
    `asyncio.new_event_loop`, which becomes the current one. So clients and pools that a program creates at import
    belong to it. Calls from several threads run one at a time. A forked child gets a loop of its own.

    On a loop of mangum's own, a root task stays from the first call to the loop's end. anyio keeps its worker threads
    as long as the root task lives. An adopted loop has none: its owner may close it, and those threads would never end.
    """

    def __init__(self) -> None:
        self._selector: IdleSelector | None = None  # of an own loop, if asyncio's class made it
        self._loop: asyncio.AbstractEventLoop | None = None
        self._root: Root | None = None  # of an own loop
        self._lock = threading.Lock()
        self._when_idle: deque[Callable[[], None]] = deque()
        self._main: asyncio.Task[Any] | None = None  # that runs
        self._context: Any = None  # Lambda's, of the call that runs
        self._is_warm = False  # see `prepare`
        self._submitted: set[_Call] | None = None  # calls from other threads, while it serves
        self._submitting = threading.Lock()

    # The loop

    def prepare(self, warm_up: Callable[[], Coroutine[Any, Any, None]] | None) -> None:
        """Make or adopt the loop in the init phase, unless an event loop runs in this thread. `warm_up` runs on a new
        loop of mangum's own."""
        if is_inside_running_loop() or not self._lock.acquire(blocking=False):
            return
        try:
            loop = self._open()
            if warm_up is None or self._root is None or self._is_warm or loop.is_running():
                return
            self._is_warm = True
            is_debug = loop.get_debug()
            loop.set_debug(False)  # in which asyncio logs a task that imports something as slow
            try:
                self._run(warm_up(), None)
            finally:
                loop.set_debug(is_debug)
        finally:
            self._lock.release()
            self._call_when_idle()

    @property
    def is_serving(self) -> bool:
        """Whether `serve` runs, whose caller handles signals."""
        return self._submitted is not None

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
            with suppress(RuntimeError):  # the loop was closed at this moment
                loop.call_soon_threadsafe(lambda: root_of(loop).start_soon(function, name))

    def _open(self) -> asyncio.AbstractEventLoop:
        loop = self._loop
        if loop is None or loop.is_closed():
            self._forget_root()
            loop, self._selector, self._is_warm = _current_loop(), None, False
            if loop is None or loop.is_running():
                current = loop
                loop, self._selector = _new_loop()
                self._root = _root_on(loop)
                if current is None:  # one that runs in another thread stays current
                    asyncio.set_event_loop(loop)
            self._loop = loop
            close_at_exit(self, last=True)
        elif self._root is not None and not loop.is_running() and _current_loop() is None:
            asyncio.set_event_loop(loop)  # after an `asyncio.run`, or in another thread
        return loop

    def _forget_root(self) -> None:
        if self._root is not None:
            self._root.forget()
            self._root = None

    # Calls

    def run(self, main: Coroutine[Any, Any, T], instead: str, reply: KeptReply | None = None, context: Any = None) -> T:
        """Run a coroutine to its end and return its result. Tasks that it leaves behind go on in the next run.

        `instead` is what the caller should use if an event loop is running already. With a `reply`, the run may end
        before the coroutine has: when the reply is left. Lambda's `context` tells how long to wait for a run in another
        thread.

        Raises:
            LoopError: called inside a running event loop, or in a thread of an invocation.
        """
        try:
            self.check(instead)
        except LoopError:
            main.close()
            raise
        if self._submitted is not None and (wait := self._submit(main, reply, context)) is not None:
            return wait()
        if not self._lock.acquire(blocking=False):
            self._wait_for_turn(main, context)
        try:
            if not _is_spared:
                _spare_the_collector()
            self._context = context
            return self._run(main, reply)
        finally:
            self._lock.release()
            if self._when_idle:
                self._call_when_idle()

    def _wait_for_turn(self, main: Coroutine[Any, Any, Any], context: Any) -> None:
        """Acquire the lock, while a call from another thread runs.

        Raises:
            LoopError: the other call waits for this thread. That is known of threads of the loop's executor;
                `run_in_executor` passes no context on that would tell. Any other thread waits until its timeout.
        """
        if threading.current_thread().name.startswith(_EXECUTOR_PREFIX):
            main.close()
            raise LoopError(_OWN_THREAD)
        if not self._lock.acquire(timeout=_patience_s(context, self._context)):
            main.close()
            raise LoopError(_STILL_BUSY)

    def serve(self, main: Coroutine[Any, Any, T]) -> T:
        """`run`, while calls from other threads run on the loop at the same time."""
        with self._turn():
            if not _is_spared:
                _spare_the_collector()
            self._submitted = submitted = set[_Call]()
            try:
                return self._run(main, None)
            finally:
                with self._submitting:
                    self._submitted = None
                for call in list(submitted):  # each leaves the set
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
            refusal = _OWN_THREAD
        if refusal is not None:
            raise LoopError(refusal)

    def _run(self, main: Coroutine[Any, Any, T], reply: KeptReply | None) -> T:
        loop = self._loop
        if loop is None or loop.is_closed():
            loop = self._open()
        elif loop.is_running():
            main.close()
            raise LoopError(
                "The process's event loop is running in another thread: "
                "use `await handler.invoke(event, context)` there, see `asyncio.run_coroutine_threadsafe`."
            )
        token = _is_inside.set(True)  # for the task's context, and for that of its threads
        try:
            task = loop.create_task(main)
        except BaseException:  # of a task factory
            main.close()
            raise
        finally:
            _is_inside.reset(token)
        if reply is not None:
            reply.when_left = self._leave
        self._main = task
        try:
            while self._main is not None and not task.done():  # the application may stop the loop, or cancel the root
                self._run_loop(loop, task)
        except BaseException:  # KeyboardInterrupt, SystemExit: the loop was interrupted, and the task has to be ended
            self._main = None
            if not task.done():
                task.cancel()
                with suppress(BaseException):  # such as a second Ctrl-C
                    loop.run_until_complete(asyncio.wait([task], timeout=_WIND_DOWN_S))
            if not task.done():
                adopt(task)
            elif not task.cancelled():
                task.exception()  # fetched, so that the loop does not report it as lost
            raise
        if self._main is None:  # it was left, and the reply has the answer
            return cast("T", None)
        self._main = None
        return task.result()

    def _run_loop(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
        """Run the loop until the task is done, or the loop is stopped."""
        if self._root is None:  # an adopted loop
            with suppress(Exception, asyncio.CancelledError):  # it was stopped; an error of the task is raised later
                loop.run_until_complete(task)
        else:
            if self._root.task.done():
                self._root = _root_on(loop)
            task.add_done_callback(self._stop)
            try:
                loop.run_forever()
            finally:
                if not task.done():
                    task.remove_done_callback(self._stop)

    def _stop(self, task: asyncio.Task[Any]) -> None:
        if self._main is task:  # else the application had stopped the loop, and this comes in the next run
            task.get_loop().stop()

    def _leave(self, task: asyncio.Task[Any]) -> None:
        """Let `run` end, although the task has not ended."""
        loop = task.get_loop()
        adopt(task)
        self._main = None
        loop.stop()

    def _submit(
        self, main: Coroutine[Any, Any, T], reply: KeptReply | None = None, lambda_context: Any = None
    ) -> Callable[[], T] | None:
        """Run a coroutine on the loop, which runs in another thread. Returns a function that waits for its result, or
        `None` if the loop no longer serves."""
        calls: list[concurrent.futures.Future[T]] = []
        is_left = False
        begun = threading.Event()
        turn = threading.Lock()  # of the loop's thread to begin, or of this one to give up

        async def begin() -> T:
            if not turn.acquire(blocking=False):
                raise asyncio.CancelledError
            begun.set()
            return await main

        def leave(task: asyncio.Task[Any]) -> None:
            nonlocal is_left
            is_left = True
            adopt(task)
            with self._submitting:
                calls[0].cancel()

        def wait() -> T:
            # The loop may be blocked by code that waits for this thread.
            if not begun.wait(_patience_s(lambda_context)) and turn.acquire(blocking=False):
                calls[0].cancel()
                main.close()
                raise LoopError(_STILL_BUSY)
            try:
                return calls[0].result()
            except concurrent.futures.CancelledError:
                if is_left:
                    return cast("T", None)  # the reply has the answer
                raise asyncio.CancelledError from None

        if reply is not None:  # before the call, which the loop's thread may begin at once
            reply.when_left = leave
        context = contextvars.copy_context()
        context.run(_is_inside.set, True)
        with self._submitting:
            submitted = self._submitted
            if submitted is None:
                return None
            assert self._loop is not None
            calls.append(context.run(asyncio.run_coroutine_threadsafe, begin(), self._loop))
            submitted.add(calls[0])
        calls[0].add_done_callback(submitted.discard)
        return wait

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
            try:
                callback = self._when_idle.popleft()
            except IndexError:  # pragma: no cover - another thread was faster
                return
            finally:
                self._lock.release()
            callback()

    @contextmanager
    def _turn(self, timeout_s: float = -1) -> Iterator[None]:
        """Hold the lock. Then call back whoever has waited for it."""
        if not self._lock.acquire(timeout=timeout_s):
            raise TimeoutError(_BUSY)
        try:
            yield
        finally:
            self._lock.release()
            self._call_when_idle()

    def try_run(self, main: Callable[[], Coroutine[Any, Any, None]], *, timeout_s: float) -> None:
        """`run` for a clean-up, which waits `timeout_s` seconds at most for a run in another thread (-1: any time).

        Raises:
            LoopError: called inside a running event loop, or in a thread of an invocation.
            TimeoutError: the other run went on.
        """
        self.check("`await handler.aclose()`")
        if self._submitted is not None:
            coroutine = main()
            wait = self._submit(coroutine)
            if wait is not None:
                return wait()
            coroutine.close()
        with self._turn(timeout_s):
            return self._run(main(), None)

    def close(self, *, timeout_s: float = -1) -> None:
        """End what is left on a loop of mangum's own, and close it. The next call makes a new one. An adopted loop is
        let go. Does nothing if there is no loop.

        Raises:
            TimeoutError: a run in another thread went on for `timeout_s` seconds.
        """
        with self._turn(timeout_s):
            loop = self._loop
            if self._root is not None and loop is not None and not loop.is_closed():
                try:
                    _run_to_its_end(loop, _wind_down(loop))
                finally:
                    loop.close()
            self._forget_root()
            self._loop = self._selector = None

    def close_at_exit(self) -> None:
        """`close` at the interpreter's exit: logs errors, and waits a few seconds at most."""
        try:
            self.close(timeout_s=_EXIT_WAIT_S)
        except Exception:
            logger.exception("The event loop could not be closed.")

    def detach(self) -> None:
        """In a forked child: leave the loop, with all that it has open, to the parent."""
        if self._selector is not None:
            self._selector.detach()
        if self._loop is not None:
            _of_the_parent.append(self._loop)
            if self._loop is _current_loop():
                asyncio.set_event_loop(None)


def _current_loop() -> asyncio.AbstractEventLoop | None:
    """The thread's current event loop, if it has one that is open. None is made."""
    try:
        if sys.version_info >= (3, 12):
            with warnings.catch_warnings():  # which asyncio warns with before it makes one
                warnings.simplefilter("error", DeprecationWarning)
                loop = asyncio.get_event_loop()
        else:
            loop = _get_and_make_none(asyncio.get_event_loop_policy())
    except (RuntimeError, DeprecationWarning):
        return None
    return None if loop.is_closed() else loop


def _get_and_make_none(policy: asyncio.AbstractEventLoopPolicy) -> asyncio.AbstractEventLoop:
    """The policy's current loop, in a Python whose policies make one silently."""
    make, thread = policy.new_event_loop, threading.get_ident()

    def make_none() -> asyncio.AbstractEventLoop:
        if threading.get_ident() != thread:  # another thread, which wants one
            return make()
        raise RuntimeError("There is no current event loop.")

    policy.new_event_loop = make_none  # type: ignore[method-assign]
    try:
        return policy.get_event_loop()
    finally:
        del policy.new_event_loop


def _new_loop() -> tuple[asyncio.AbstractEventLoop, IdleSelector | None]:
    """A new loop of the policy's, such as uvloop's. asyncio's own gets a selector that tells when the loop is idle."""
    loop = asyncio.new_event_loop()
    if type(loop) is not asyncio.SelectorEventLoop or _has_custom_policy():
        return loop, None
    loop.close()
    selector = IdleSelector()
    return _OwnLoop(selector), selector


class _OwnLoop(asyncio.SelectorEventLoop):
    """asyncio's, which ends the root task when it is closed, by mangum or by a program: anyio's worker threads end with
    that task, and the interpreter waits for them at its exit."""

    root: Root | None = None

    def close(self) -> None:
        root = self.root
        if root is not None and not root.task.done() and not (self.is_closed() or is_inside_running_loop()):
            self.root = None
            root.task.cancel()
            with suppress(asyncio.CancelledError):
                self.run_until_complete(root.task)
        super().close()


def _root_on(loop: asyncio.AbstractEventLoop) -> Root:
    root = Root(loop, stays=True)
    if isinstance(loop, _OwnLoop):
        loop.root = root
    return root


def _has_custom_policy() -> bool:
    """Whether a program has a policy of its own, which may change what is true of a loop that it makes."""
    with warnings.catch_warnings():  # Python 3.14 deprecates policies
        warnings.simplefilter("ignore", DeprecationWarning)
        return type(asyncio.get_event_loop_policy()) is not asyncio.DefaultEventLoopPolicy


def _spare_the_collector() -> None:
    """In Lambda, exclude the objects that exist before the first event from garbage collection: they stay for the life
    of the process, and the first pass over them usually falls into the first request."""
    global _is_spared
    _is_spared = True
    if "AWS_LAMBDA_RUNTIME_API" in os.environ:
        gc.freeze()


_is_spared = False


def _run_to_its_end(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on a loop that tasks of the application may stop meanwhile."""
    task = loop.create_task(main)
    while not task.done():
        with suppress(RuntimeError):  # the loop was stopped
            loop.run_until_complete(task)
    task.result()


async def _wind_down(loop: asyncio.AbstractEventLoop) -> None:
    """End what is left on the loop: the root with its children, other tasks and those that their clean-up starts, and
    asynchronous generators. The threads of its executor are told to end when the loop is closed."""
    end = loop.time() + _WIND_DOWN_S
    while True:
        for _ in range(3):  # anyio does not expect a task to be cancelled before it has begun
            await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if not others or loop.time() >= end:
            break
        for task in others:
            task.cancel()
        ended, others = await asyncio.wait(others, timeout=_WIND_DOWN_S)
        for task in ended:
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("A task of the application failed while it was cancelled.", exc_info=error)
        if others:
            break
    if others:
        logger.warning("%d tasks of the application had not ended after %s s.", len(others), _WIND_DOWN_S)
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


# Loops that the parent of this forked process has. Kept: a loop that is collected would close what the parent uses too.
_of_the_parent: list[asyncio.AbstractEventLoop] = []


def _start_afresh() -> None:
    """In a forked child: leave the parent's loop alone, and be outside of its invocation."""
    global _warm_loop
    _warm_loop.detach()
    if sys.version_info < (3, 12):  # pragma: no branch - later versions do so: the child's signals woke the parent up
        signal.set_wakeup_fd(-1)
    leave_warm_loop()
    _is_inside.set(False)


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows
    os.register_at_fork(after_in_child=_start_afresh)
