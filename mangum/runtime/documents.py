"""JSON as Lambda's events and answers have it."""

from __future__ import annotations

import json
import sys
from typing import Any

from mangum.runtime.loading import Handler, is_adapter

__all__ = ["Documents", "documents_for"]


class Documents:
    """As AWS's runtime for Python reads and writes them."""

    def read(self, body: bytes) -> Any:
        """An event.

        Raises:
            ValueError: it is no JSON.
        """
        return json.loads(body.decode())  # of bytes, it would look for their encoding

    def write(self, answer: Any) -> bytes:
        """An answer.

        Raises:
            TypeError: something in it has no form in JSON.
            ValueError: it contains itself.
            RecursionError: it is too deep.
        """
        text = _encode(answer)
        try:
            return text.encode()
        except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can say
            return json.dumps(answer, default=_number).encode()


class _FastDocuments(Documents):
    """By orjson, which takes 3 us for what the standard library takes 9 for: an event and an answer."""

    def __init__(self) -> None:
        import orjson

        self._loads = orjson.loads
        self._dumps = orjson.dumps

    def read(self, body: bytes) -> Any:
        try:
            return self._loads(body)
        except ValueError:  # NaN, half of a surrogate pair, or what is no JSON: the standard library says so better
            return super().read(body)

    def write(self, answer: Any) -> bytes:
        try:
            return self._dumps(answer)
        except TypeError:  # half of a surrogate pair
            return super().write(answer)


def documents_for(handler: Handler) -> Documents:
    """What reads and writes them for a handler: orjson (`mangum[speed]`) for requests and their responses only, since
    it makes floats of integers that are longer than 64 bits, and null of NaN."""
    if is_adapter(handler) and handler.config.event_path is None and not handler.custom_handlers:
        try:
            return _FastDocuments()
        except ImportError:
            pass
    return Documents()


def _number(value: object) -> int | float:
    """AWS's runtime for Python writes decimals as numbers."""
    decimal = sys.modules.get("decimal")  # which takes 3 ms to import, for those who have one
    if decimal is not None and isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


# As AWS's runtime for Python 3.12 and later: characters beyond ASCII stay what they are.
_encode = json.JSONEncoder(ensure_ascii=False, default=_number).encode
