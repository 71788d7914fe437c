"""Tasks that this project starts, each with an owner that waits for it."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar, cast

__all__ = ["begin", "join"]

T = TypeVar("T")

# From Python 3.12 on, a task can begin at once, and not in the next turn of the loop: a sixth of a warm invocation with
# a lifespan of its own.
_BEGINS_AT_ONCE: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


def begin(
    work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop, context: contextvars.Context | None = None
) -> asyncio.Task[T]:
    """Run something in a task of its own, on the running loop: at once as far as it comes, where Python can do that."""
    return asyncio.Task(work, loop=loop, context=context, **_BEGINS_AT_ONCE)


async def join(task: asyncio.Task[None]) -> None:
    """Wait until a task of the caller's has ended. Who cancels the caller cancels it; others may cancel it alone."""
    host = cast("asyncio.Task[Any]", asyncio.current_task())
    before = host.cancelling()
    with suppress(asyncio.CancelledError):
        await task
    if host.cancelling() > before:
        raise asyncio.CancelledError
