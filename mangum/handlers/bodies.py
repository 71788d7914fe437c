"""Bodies, both ways: text as it is, all else as base64; and how large an answer may be."""

from __future__ import annotations

import binascii
import logging
import sys
from collections.abc import Callable

from mangum.exceptions import ResponseTooLarge
from mangum.handlers.headers import HeaderPairs

__all__ = ["LAMBDA_RESPONSE_LIMIT", "check_size", "decode_body", "encode_body", "may_be_too_large"]

# The ceiling that Lambda's Runtime API names when it refuses a response: 6 MiB + 100.
LAMBDA_RESPONSE_LIMIT = 6_291_556

# JSON writes these characters as two ("\n") or, the other control characters, as six ("\u0000").
_TWO = b'"\\\b\f\n\r\t'
_SIX = bytes(set(range(32)) - set(_TWO))
_NEITHER = bytes(set(range(256)) - set(_TWO) - set(_SIX))
_NOT_SIX = bytes(set(range(256)) - set(_SIX))
_MOST_ADDED = 5  # for each byte

# Lambda's Python runtimes before 3.12 write every character beyond ASCII as an escape, and DEL: six for one, two or
# three bytes of UTF-8, twelve for four. A character is known by its first byte.
_ESCAPES_BEYOND_ASCII = sys.version_info < (3, 12)
_ADDED_BY_FIRST_BYTE = [
    (4, bytes(set(range(256)) - set(range(0xC2, 0xE0)))),
    (3, bytes(set(range(256)) - set(range(0xE0, 0xF0)))),
    (8, bytes(set(range(256)) - set(range(0xF0, 0xF5)))),
]
_MOST_ADDED_BEYOND_ASCII = 4  # for each byte that a character has more than one
_CHUNK = 256 * 1024

logger = logging.getLogger("mangum.http")

_HEADROOM = 32 * 1024
_ENVELOPE = 256  # keys, quotes and the status of the answer's JSON document


def decode_body(body: str | bytes | None, is_base64: bool | None) -> bytes:
    """The request's body as bytes. Absent, null and empty are the same."""
    if not body:
        return b""
    if is_base64:
        if is_base64 is not True:
            raise TypeError("not a boolean")
        return _decode_base64(body)
    return body if isinstance(body, bytes) else body.encode()


def _decode_base64(body: str | bytes) -> bytes:
    """Base64, perhaps in lines. AWS's flag is always right; a sample or a tool that sets it on plain text means the
    text."""
    try:
        return binascii.a2b_base64(body, strict_mode=True)
    except ValueError:
        sent = body if isinstance(body, bytes) else body.encode()
        try:
            return binascii.a2b_base64(b"".join(sent.split()), strict_mode=True)
        except ValueError:
            logger.warning("The event says that its body is base64, which it is not: it is taken as text.")
            return sent


def encode_body(
    body: bytes, content_type: str | None, content_encoding: str | None, is_text: Callable[[str], bool]
) -> tuple[str, bool]:
    """The response's body as text, and whether that text is base64.

    It goes as it is if its Content-Type is text and it decodes; whatever has a Content-Encoding is binary.
    """
    if not body:
        return "", False
    if content_type and (not content_encoding or content_encoding == "identity") and is_text(content_type):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return binascii.b2a_base64(body, newline=False).decode("ascii"), True


def may_be_too_large(body: str, limit: int) -> bool:
    """Whether the answer has to be measured: not if its body stays within the limit even were each character escaped,
    with room for headers, whose own limits are far lower."""
    return len(body) * 12 > limit - _HEADROOM


def check_size(body: bytes, text: str, is_base64: bool, pairs: HeaderPairs, limit: int, way_out: str) -> None:
    """Make sure that the answer's JSON document is not larger than its source carries.

    `body` is what was sent, `text` what it became.

    Raises:
        ResponseTooLarge: it is. The message has the size, the limit and `way_out`.
    """
    size = _ENVELOPE + sum(len(name) + len(value) + 6 for name, value in pairs)
    if is_base64:
        size += len(text)
    else:
        beyond_ascii = len(body) - len(text) if _ESCAPES_BEYOND_ASCII else 0
        size += _json_size(body, beyond_ascii, limit - size)
    if size > limit:
        raise ResponseTooLarge(
            f"The response is too large: about {size:,} bytes as Lambda's answer, and {limit:,} is the most. {way_out}"
        )


def _json_size(body: bytes, beyond_ascii: int, budget: int) -> int:
    """The size of a text as a JSON string, as far as it takes to know for sure whether it stays within `budget`: what
    is far from it is not read to its end.

    `beyond_ascii` is how many bytes the text has more than characters, if those beyond ASCII are escaped, else 0.
    """
    if not beyond_ascii or len(body) * (1 + _MOST_ADDED) <= budget:
        return _with_escapes(body, len(body), budget)
    size = len(body) + 5 * body.count(b"\x7f")
    most = _with_escapes(body, size + _MOST_ADDED_BEYOND_ASCII * beyond_ascii, budget)
    if most <= budget:
        return most
    added = sum(weight * len(body.translate(None, others)) for weight, others in _ADDED_BY_FIRST_BYTE)
    return _with_escapes(body, size + added, budget)


def _with_escapes(body: bytes, size: int, budget: int) -> int:
    """`size` and what the escapes of ASCII add to it, until it is known whether that stays within `budget`."""
    for start in range(0, len(body), _CHUNK):
        if size + (len(body) - start) * _MOST_ADDED <= budget or size > budget:
            break
        escaped = body[start : start + _CHUNK].translate(None, _NEITHER)
        size += len(escaped) + 4 * len(escaped.translate(None, _NOT_SIX))
    return size
