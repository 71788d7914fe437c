"""Who cancelled? asyncio has one exception for two things."""

from __future__ import annotations

import asyncio

__all__ = ["is_cancelled_from_outside"]


def is_cancelled_from_outside() -> bool:
    """Whether somebody asked the current task to stop. If not, a `CancelledError` that came out of an application is
    an error of its own: it awaited something that was cancelled, and let the exception escape."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
