"""X-Ray's header of the invocation, where the libraries that pass it on look for it: in `os.environ`.

It is not in the process's own environment: the C library keeps each value that a variable has ever had, 100 bytes for
each invocation. Child processes have it where they are given `env=os.environ`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextvars import ContextVar

__all__ = ["install", "set_trace_id"]

_VARIABLE = "_X_AMZN_TRACE_ID"

_own: ContextVar[str | None] = ContextVar("mangum_trace_id", default=None)  # where several invocations run at once
_only: str | None = None  # else, so that threads have it that know no context
_is_apart = False


def install(*, apart: bool) -> None:
    """Show it in `os.environ` from now on: each context its own, if several invocations run at once."""
    global _is_apart
    _is_apart = apart
    os.environ.pop(_VARIABLE, None)
    os.environ.__class__ = _Environment


def set_trace_id(value: str | None) -> None:
    """For the invocation that the current context belongs to."""
    global _only
    if _is_apart:
        _own.set(value)
    else:
        _only = value


def _trace_id() -> str | None:
    return _own.get() if _is_apart else _only


class _Environment(type(os.environ)):  # type: ignore[misc] # private, and of no other name
    """The environment, with one variable that is kept here."""

    def __getitem__(self, key: str) -> str:
        if key == _VARIABLE:
            value = _trace_id()
            if value is None:
                raise KeyError(key)
            return value
        found: str = super().__getitem__(key)
        return found

    def __setitem__(self, key: str, value: str) -> None:
        if key != _VARIABLE:
            super().__setitem__(key, value)
        elif isinstance(value, str):
            set_trace_id(value)
        else:
            raise TypeError(f"str expected, not {type(value).__name__}")

    def __delitem__(self, key: str) -> None:
        if key != _VARIABLE:
            super().__delitem__(key)
        elif _trace_id() is None:
            raise KeyError(key)
        else:
            set_trace_id(None)

    def __iter__(self) -> Iterator[str]:
        yield from super().__iter__()
        if _trace_id() is not None:
            yield _VARIABLE

    def __len__(self) -> int:
        return int(super().__len__()) + (_trace_id() is not None)
