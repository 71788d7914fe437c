"""Which invocation does a task belong to, if several run on one loop at the same time?"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Coroutine, Generator
from typing import Any, cast
from weakref import WeakKeyDictionary

__all__ = ["invocation", "mark", "owner_of", "track"]

# Set in the context of each invocation by a runtime that runs several at once, see `mark`.
invocation: contextvars.ContextVar[object] = contextvars.ContextVar("mangum_invocation", default=None)


def owner_of(task: asyncio.Task[Any]) -> object:
    """The invocation that a task belongs to; `None` for the others."""
    if sys.version_info >= (3, 12):
        return task.get_context().get(invocation)
    return _owners.get(task)


def mark(owner: object) -> None:
    """The current task begins an invocation: it belongs to `owner`, as do the tasks that it makes."""
    invocation.set(owner)
    if sys.version_info < (3, 12):  # pragma: no branch - later, the context tells
        _owners[cast("asyncio.Task[Any]", asyncio.current_task())] = owner


# Before Python 3.12, tasks do not tell their context. So it is noted when they are made.
_owners: WeakKeyDictionary[asyncio.Task[Any], object] = WeakKeyDictionary()


def track(loop: asyncio.AbstractEventLoop) -> None:
    """Have `owner_of` know the tasks of this loop from now on."""
    if sys.version_info < (3, 12) and loop.get_task_factory() is None:
        loop.set_task_factory(_make)


def _make(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    context: contextvars.Context | None = None,
) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, context=context)
    _owners[task] = invocation.get() if context is None else context.get(invocation)
    return task
