"""Can anything on the event loop still run, or does everything wait?"""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["others_are_blocked", "wait_others_blocked"]

# What a task that has just ended sets going (`gather`, `wait`) takes a callback, or one after another, until the next
# task can run; no task tells of those. So everything has to wait for a few turns of the loop.
_QUIET_TURNS = 4


def others_are_blocked() -> bool:
    """Whether all tasks but the current one wait for something that has not come.

    This is `anyio.wait_all_tasks_blocked` without the wait, which goes on in steps of a tenth of a second.
    """
    current = asyncio.current_task()
    return all(task is current or _is_blocked(task) for task in asyncio.all_tasks())


async def wait_others_blocked() -> None:
    """Wait until all tasks but the current one wait for something that has not come."""
    quiet = 0
    while quiet < _QUIET_TURNS:
        await asyncio.sleep(0)
        quiet = quiet + 1 if others_are_blocked() else 0


def _is_blocked(task: asyncio.Task[Any]) -> bool:
    waiter = task._fut_waiter  # type: ignore[attr-defined] # as anyio does: there is no public way to ask
    return waiter is not None and not waiter.done()
