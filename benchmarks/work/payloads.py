"""Bodies of any size: text like an API's JSON, and binary; and the largest of each that Lambda carries."""

from __future__ import annotations

import json

__all__ = ["LARGEST_BINARY", "binary", "largest_text", "text"]

# A round size that leaves room for the headers below the 6 MiB (6,291,456 bytes) that Lambda allows for a request and
# for an answer, each as one JSON document.
_LARGEST_DOCUMENT = 6_000_000

LARGEST_BINARY = _LARGEST_DOCUMENT * 3 // 4

_ASCII_RECORD = {
    "id": 48213,
    "name": "Ada Lovelace",
    "email": "ada.lovelace@example.com",
    "active": True,
    "balance": 1942.5,
    "tags": ["analyst", "engine", "london"],
    "address": {"street": "12 St James's Square", "city": "London", "postcode": "SW1Y 4JH"},
    "note": "Prefers to be contacted by letter.\nLast seen at the demonstration of the difference engine.",
}
_UNICODE_RECORD = {
    **_ASCII_RECORD,
    "name": "Zoë Müller-Nuñez",
    "address": {"street": "Straße des 17. Juni 135", "city": "Kraków", "postcode": "10623"},
    "note": "Möchte lieber per Brief erreicht werden.\nPoslední setkání v Praze, 東京の後で。",
}


def text(size: int, *, beyond_ascii: bool = False) -> str:
    """Text that is `size` bytes long in UTF-8: JSON records one after the other, the last one cut off."""
    record = json.dumps(_UNICODE_RECORD if beyond_ascii else _ASCII_RECORD, ensure_ascii=False) + ","
    encoded = (record * (size // len(record.encode()) + 1)).encode()[:size]
    whole = encoded.decode(errors="ignore")  # the cut may go through a character
    return whole + " " * (size - len(whole.encode()))


def binary(size: int) -> bytes:
    """`size` bytes that are no text."""
    return (bytes(range(255, -1, -1)) * (size // 256 + 1))[:size]


def largest_text(*, beyond_ascii: bool = False) -> int:
    """The size in bytes of the text that fills Lambda's JSON document, escapes counted: quotes and, as Lambda's Python
    runtimes before 3.12 write them, all characters beyond ASCII."""
    sample = text(1_000_000, beyond_ascii=beyond_ascii)
    return _LARGEST_DOCUMENT * 1_000_000 // len(json.dumps(sample)) // 1000 * 1000
