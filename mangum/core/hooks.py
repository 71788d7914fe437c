"""Observers of invocations: telemetry, metrics, the timing of `mangum dev`.

A hook is called with the `Observation` of each invocation and returns an asynchronous context manager that goes around
it. An adapter without hooks does not pay for them: with hooks, it wraps its application and its store when it is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mangum.types import Hook

__all__ = ["installed", "with_installed"]

installed: list[Hook] = []  # for every adapter that is built, behind its own hooks


@contextmanager
def with_installed(hook: Hook) -> Iterator[None]:
    """Install a hook for the adapters that are built meanwhile, by whomever."""
    installed.append(hook)
    try:
        yield
    finally:
        installed.remove(hook)
