"""A query string from the maps that AWS makes of it: key to value, or to a list of values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote, quote_plus

from mangum.handlers.fields import list_of, optional, table_of, text_or_number

__all__ = ["QUERY_MAP", "join_query", "quote_query", "quote_unknown_query"]

QUERY_MAP = table_of(optional(text_or_number), list_of(optional(text_or_number)))


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
        f"{written(_text(key))}={written(_text(value))}"
        for key, values in parameters.items()
        for value in (values if isinstance(values, list | tuple) else [values])
    ]
    return "&".join(pairs).encode()


def _text(value: object) -> str:
    """AWS has strings only. An event that was made by hand may have numbers and booleans, which are written as `urllib`
    does it, and null, which is empty."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, int | float):
        return str(value)
    raise TypeError("not a string")
