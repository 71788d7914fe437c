"""A query string from the maps that AWS makes of it: key to value, or to a list of values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote, quote_plus

__all__ = ["join_query", "quote_query", "quote_unknown_query"]


def quote_query(parameters: Mapping[str, Any] | None) -> bytes:
    """The query of a map that has it decoded: quoted again, and with the order of a key's own values only."""
    return _joined(parameters, quote_plus)


def join_query(parameters: Mapping[str, Any] | None) -> bytes:
    """The query of a map whose keys and values are still quoted, as the client sent them."""
    return _joined(parameters, str)


def quote_unknown_query(parameters: Mapping[str, Any] | None) -> bytes:
    """The query of a map of which nobody says whether it is quoted: "%" stays, so that nothing is quoted twice."""
    return _joined(parameters, partial(quote, safe="%"))


def _joined(parameters: Mapping[str, Any] | None, written: Callable[[str], str]) -> bytes:
    if not parameters:
        return b""
    pairs = [
        f"{written(key)}={written(value or '')}"
        for key, values in parameters.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    return "&".join(pairs).encode()
