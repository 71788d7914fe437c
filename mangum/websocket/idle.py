"""Can anything on the event loop still run, or does everything wait?"""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import sys
from collections.abc import Callable, Collection
from contextvars import ContextVar
from types import CodeType
from typing import Any

__all__ = ["invocation", "is_at_rest", "rest", "wait_others_blocked"]

logger = logging.getLogger("mangum.websocket")

# The invocation that a task belongs to, where several run on one loop at the same time.
invocation: ContextVar[object] = ContextVar("mangum_invocation", default=None)

# What a task that has just ended sets going (`gather`, `wait`) takes a callback, or one after another, until the next
# task can run; no task tells of those. So everything has to wait for a few turns of the loop.
_QUIET_TURNS = 4

# How long tasks are waited for that wait for something like a database or a thread, and for a timer, counted from the
# last answer of the former. A heartbeat, which sleeps again and again, has nothing that anybody waits for.
_PATIENCE_S = 10.0
_PATIENCE_WITH_TIMERS_S = 1.0

# Who waits in one of these waits for another task, and that one is looked at by itself.
_INSIDE = (
    "asyncio/locks.py",
    "asyncio/queues.py",
    "asyncio/taskgroups.py",
    "asyncio/tasks.py",
    "anyio/_core/_synchronization.py",
    "anyio/streams/memory.py",
)
_ANYIO_BACKEND = "anyio/_backends/_asyncio.py"  # it has threads and sockets too
_ANYIO_INSIDE = ("__aexit__", "acquire", "acquire_on_behalf_of", "wait")

Tasks = Collection[asyncio.Task[Any]]


def is_at_rest(strangers: Tasks) -> bool:
    """Whether all tasks but the current one and `strangers` wait for each other: none can run, and none waits for
    something from outside, such as a database."""
    others = _others()
    return all(map(_is_blocked, others)) and not _waits(others, strangers, _PATIENCE_WITH_TIMERS_S)


async def rest(strangers: Tasks, changed: asyncio.Event, is_over: Callable[[], bool]) -> None:
    """Wait until all tasks but the current one and `strangers` are at rest, or until `is_over`; it is asked again when
    `changed` is set. Who waits for something from outside that does not come in time is no longer waited for."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    while not is_over():
        changed.clear()
        await wait_others_blocked()
        others = _others()
        waits = _waits(others, strangers, start + _PATIENCE_WITH_TIMERS_S - loop.time())
        if not waits or is_over():
            return
        for future in waits:
            future.add_done_callback(lambda _: changed.set())
        try:
            async with asyncio.timeout_at(start + _PATIENCE_S):
                await changed.wait()
        except TimeoutError:
            logger.warning(
                "The event ends while a task of the application waits for something else than a message: %s.",
                ", ".join(sorted(waits.values())),
            )
            return
        if any(future.done() and name != asyncio.sleep.__name__ for future, name in waits.items()):
            start = loop.time()


async def wait_others_blocked() -> None:
    """Wait until all tasks but the current one wait for something that has not come.

    This is `anyio.wait_all_tasks_blocked` without its steps of a tenth of a second.
    """
    loop = asyncio.get_running_loop()
    quiet = 0
    while quiet < _QUIET_TURNS:
        await asyncio.sleep(0)
        if _has_nothing_ready(loop):
            return
        is_quiet = all(map(_is_blocked, _others()))
        quiet = quiet + 1 if is_quiet else 0


def _has_nothing_ready(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the caller is all that can run, where the loop tells: asyncio's own do, by no public name. To look at all
    tasks instead, turn after turn, takes a tenth of the time of a message, and half of it where a process has a
    thousand, as `mangum dev` has with two hundred clients."""
    ready = getattr(loop, "_ready", None)
    return ready is not None and not ready


def _others() -> list[asyncio.Task[Any]]:
    """All tasks but the current one, and but those of other invocations that run at the same time."""
    current = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not current]
    own = invocation.get()
    if sys.version_info >= (3, 12) and own is not None:  # before which tasks do not tell their context
        return [task for task in tasks if task.get_context().get(invocation) in (own, None)]
    return tasks


def _is_blocked(task: asyncio.Task[Any]) -> bool:
    waiter = _waiter_of(task)
    return waiter is not None and not waiter.done()


def _waiter_of(task: asyncio.Task[Any]) -> asyncio.Future[Any] | None:
    waiter: asyncio.Future[Any] | None = task._fut_waiter  # type: ignore[attr-defined] # as anyio: no public way to ask
    return waiter


def _waits(tasks: Tasks, strangers: Tasks, timers_s: float) -> dict[asyncio.Future[Any], str]:
    """What tasks wait for that comes from outside, with the name of the coroutine that awaits it; of timers those that
    end within `timers_s`."""
    found = {}
    for task in tasks:
        waiter = None if task in strangers else _waiter_of(task)
        if waiter is None or isinstance(waiter, asyncio.Task) or type(waiter).__name__ == "_GatheringFuture":
            continue
        code, local = _innermost(task.get_coro())
        if code is asyncio.sleep.__code__:
            if local["delay"] <= timers_s:
                found[waiter] = asyncio.sleep.__name__
        elif code is not None and not _is_inside(code):
            found[waiter] = code.co_qualname
    return found


def _is_inside(code: CodeType) -> bool:
    path = code.co_filename.replace("\\", "/")
    return path.endswith(_INSIDE) or (path.endswith(_ANYIO_BACKEND) and code.co_name in _ANYIO_INSIDE)


def _innermost(awaited: Any) -> tuple[CodeType | None, dict[str, Any]]:
    """The code that awaits a future in the end, and its variables."""
    code, frame = None, None
    while awaited is not None:
        kind = next((kind for kind in ("cr", "gi", "ag") if hasattr(awaited, f"{kind}_code")), None)
        if kind is not None:
            code, frame = getattr(awaited, f"{kind}_code"), getattr(awaited, f"{kind}_frame")
            awaited = getattr(awaited, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")
        else:  # such as the step of an asynchronous generator, which does not tell whose it is
            awaited = next((item for item in gc.get_referents(awaited) if inspect.isasyncgen(item)), None)
    return code, {} if frame is None else frame.f_locals
