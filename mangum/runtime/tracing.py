"""X-Ray's header of the invocation, where the libraries that pass it on look for it: in the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextvars import ContextVar

__all__ = ["keep_apart", "set_trace_id"]

_VARIABLE = "_X_AMZN_TRACE_ID"

_trace_id: ContextVar[str | None] = ContextVar("mangum_trace_id", default=None)


def set_trace_id(value: str | None) -> None:
    """For the invocation that the current context belongs to."""
    if type(os.environ) is _Environment:
        _trace_id.set(value)
    elif value is not None:
        os.environ[_VARIABLE] = value
    else:
        os.environ.pop(_VARIABLE, None)


def keep_apart() -> None:
    """Let each context see its own from now on, where several invocations run at once."""
    os.environ.pop(_VARIABLE, None)
    os.environ.__class__ = _Environment


class _Environment(type(os.environ)):  # type: ignore[misc] # private, and of no other name
    """The environment, with one variable that is the context's own."""

    def __getitem__(self, key: str) -> str:
        if key == _VARIABLE:
            value = _trace_id.get()
            if value is None:
                raise KeyError(key)
            return value
        found: str = super().__getitem__(key)
        return found

    def __iter__(self) -> Iterator[str]:
        yield from super().__iter__()
        if _trace_id.get() is not None:
            yield _VARIABLE

    def __len__(self) -> int:
        return int(super().__len__()) + (_trace_id.get() is not None)
