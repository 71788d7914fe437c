"""The function's code as it is now: watched, and loaded anew when it changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from watchfiles import PythonFilter, awatch

from mangum.local.function import Function

__all__ = ["reload_on_change"]

_SETTLE_MS = 200  # an editor that saves several files, a checkout: one reload
_STEP_MS = 25
_MOST_NAMED = 3


async def reload_on_change(function: Function, folder: Path, report: Callable[[str], None]) -> None:
    """Reload the function whenever a Python file under `folder` has changed, until cancelled. Virtual environments,
    caches and version control are not looked at."""
    watcher = awatch(folder, watch_filter=PythonFilter(), debounce=_SETTLE_MS, step=_STEP_MS)
    async with aclosing(watcher):
        async for changes in watcher:
            changed = sorted({Path(path) for _, path in changes})
            await function.reload()
            report(f"Reloaded: {_names(changed, folder)}")


def _names(paths: list[Path], folder: Path) -> str:
    names = [os.path.relpath(path, folder) for path in paths[:_MOST_NAMED]]
    return ", ".join(names) + (f" and {len(paths) - _MOST_NAMED} more" if len(paths) > _MOST_NAMED else "")
