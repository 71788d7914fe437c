"""A query string from the maps that API Gateway makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

__all__ = ["quote_query"]


def quote_query(parameters: Mapping[str, Any] | None) -> bytes:
    """The query, quoted again: these maps have it decoded, and only the order of a key's own values."""
    if not parameters:
        return b""
    pairs = [
        f"{quote_plus(key)}={quote_plus(value or '')}"
        for key, values in parameters.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    return "&".join(pairs).encode("ascii")
