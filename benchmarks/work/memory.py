"""What a process holds: what grows from one invocation to the next is a leak."""

from __future__ import annotations

import asyncio
import gc
import os
import sys

__all__ = ["footprint"]


def footprint() -> dict[str, int | None]:
    """What this process holds, once its garbage is collected.

    Resident memory in bytes (its peak, where the system tells no more), open file descriptors (`None` where the system
    does not list them), asyncio's tasks that are not done, and objects that the garbage collector knows.
    """
    gc.collect()
    objects = gc.get_objects()
    tasks = sum(isinstance(item, asyncio.Task) and not item.done() for item in objects)
    return {"resident_bytes": _resident_bytes(), "descriptors": _descriptors(), "tasks": tasks, "objects": len(objects)}


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _descriptors() -> int | None:
    try:
        return len(os.listdir("/dev/fd"))
    except FileNotFoundError:
        return None
