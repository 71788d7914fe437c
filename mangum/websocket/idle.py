"""When is a WebSocket event over? When the application waits for the next message, and nothing of it can still run.

Other tasks of the application may be waiting too: for each other, which is no reason to go on, or for something from
outside, such as a database, which is. asyncio has no public way to ask a task what it waits for, so this module looks
at the coroutines.

Whether anything can run is told by the selector of a loop that mangum has made, see `IdleSelector`. On other loops
(adopted, uvloop's, the caller's own), if several invocations share the loop, and beside tasks that an invocation left
behind, the tasks are looked at turn by turn.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
from collections.abc import Callable, Collection
from types import CodeType
from typing import Any

from mangum.core.loop import warm_loop
from mangum.core.ownership import invocation, owner_of
from mangum.core.root import unruly

__all__ = ["Tasks", "is_at_rest", "rest", "wait_others_blocked"]

logger: logging.Logger = logging.getLogger("mangum.websocket")

# A task that has just ended (inside `gather`, `wait`) sets off callbacks, one after another, until the next task can
# run, and no task tells of those. So all tasks must be blocked for a few turns of the loop.
_QUIET_TURNS = 4

# How long to wait for tasks that wait for something like a database or a thread, and for a timer, since the last answer
# of the former. A heartbeat sleeps again and again, and nobody waits for it.
_PATIENCE_S = 10.0
_PATIENCE_WITH_TIMERS_S = 1.0

# A task blocked in one of these modules is waiting for another task, which is checked separately.
_INSIDE = (
    "asyncio/locks.py",
    "asyncio/queues.py",
    "asyncio/taskgroups.py",
    "asyncio/tasks.py",
    "anyio/_core/_synchronization.py",
    "anyio/streams/memory.py",
)
_ANYIO_BACKEND = "anyio/_backends/_asyncio.py"  # it has threads and sockets too
_ANYIO_INSIDE = ("__aexit__", "_wait", "acquire", "acquire_on_behalf_of", "wait")

Tasks = Collection[asyncio.Task[Any]]


def is_at_rest(strangers: Tasks) -> bool:
    """Whether all tasks but the current one and `strangers` wait for each other: none can run, and none waits for
    something from outside."""
    others = _others()
    return all(map(_is_blocked, others)) and not _waits(others, strangers, _PATIENCE_WITH_TIMERS_S)


async def rest(strangers: Callable[[], Tasks], changed: asyncio.Event, is_over: Callable[[], bool]) -> None:
    """Wait until all tasks but the current one and `strangers` are at rest, or until `is_over`, which is asked again
    when `changed` is set. If a task waits for something from outside that does not come in time, log it and return."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    while not is_over():
        changed.clear()
        await wait_others_blocked()
        waits = _waits(_others(), strangers(), start + _PATIENCE_WITH_TIMERS_S - loop.time())
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

    This is `anyio.wait_all_tasks_blocked`, which polls ten times a second.
    """
    selector = warm_loop().idle_selector()
    if selector is not None and invocation.get() is None and not unruly:
        await selector.wait_idle()
        return
    quiet = 0
    while quiet < _QUIET_TURNS:
        await asyncio.sleep(0)
        quiet = quiet + 1 if all(map(_is_blocked, _others())) else 0


def _others() -> list[asyncio.Task[Any]]:
    """All tasks except the current one, those of other invocations that run at the same time, and those that an
    earlier invocation left behind."""
    current = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not current and task not in unruly]
    own = invocation.get()
    return tasks if own is None else [task for task in tasks if owner_of(task) in (own, None)]


def _is_blocked(task: asyncio.Task[Any]) -> bool:
    waiter = _waiter_of(task)
    return waiter is not None and not waiter.done()


def _waiter_of(task: asyncio.Task[Any]) -> asyncio.Future[Any] | None:
    # Private, as in anyio: there is no public way to ask a task whether it can run.
    waiter: asyncio.Future[Any] | None = task._fut_waiter  # type: ignore[attr-defined]
    return waiter


def _waits(tasks: Tasks, strangers: Tasks, timers_s: float) -> dict[asyncio.Future[Any], str]:
    """What tasks wait for that comes from outside, with the name of the coroutine that awaits it; of timers those that
    end within `timers_s`."""
    found = {}
    for task in tasks:
        waiter = None if task in strangers else _waiter_of(task)
        if type(waiter) is not asyncio.Future:  # but a task, or what `gather` made of tasks; or none
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
