"""SnapStart: https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html

The process is frozen after its init phase, and each execution environment begins as a copy of it: without its
connections, with the same random numbers.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

__all__ = ["run_after_restore", "run_before_snapshot"]


async def run_before_snapshot() -> None:
    """What the function's code has registered with `snapshot_restore_py`, last in, first out."""
    for hook in reversed(_hooks("get_before_snapshot")):
        await _run(hook)


async def run_after_restore() -> None:
    """The same after the restore, in order. Random numbers begin anew before that."""
    import random  # here: without SnapStart, nobody may need it

    random.seed()
    for hook in _hooks("get_after_restore"):
        await _run(hook)


def _hooks(getter: str) -> list[Any]:
    """Without the library loaded, nobody has registered any."""
    library = sys.modules.get("snapshot_restore_py")
    return [] if library is None else list(getattr(library, getter)())


async def _run(hook: tuple[Any, Any, Any]) -> None:
    function, arguments, named = hook
    result = function(*arguments, **named)
    if inspect.isawaitable(result):
        await result
