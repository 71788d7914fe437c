"""Bodies, both ways: text as it is, all else as base64; and how large an answer may be."""

from __future__ import annotations

import binascii
import logging
import sys
from collections.abc import Callable
from json.encoder import encode_basestring_ascii

from mangum.exceptions import ResponseTooLarge
from mangum.handlers.headers import HeaderPairs

__all__ = ["LAMBDA_RESPONSE_LIMIT", "SURELY_SMALL", "check_size", "decode_body", "encode_body"]

# The ceiling that Lambda's Runtime API names when it refuses a response: 6 MiB + 100.
LAMBDA_RESPONSE_LIMIT = 6_291_556

# No source refuses a body of this many characters, even if each were escaped: need not be measured.
SURELY_SMALL = 2048

# JSON writes these characters as two ("\n") or, the other control characters, as six ("\u0000").
_TWO = b'"\\\b\f\n\r\t'
_SIX = bytes(set(range(32)) - set(_TWO))
_NOT_ESCAPED = bytes(set(range(256)) - set(_TWO) - set(_SIX))
_NOT_SIX = bytes(set(range(256)) - set(_SIX))
_MOST_PER_CHARACTER = 6

# Lambda's Python runtimes before 3.12 write every character beyond ASCII as an escape.
_ESCAPES_NON_ASCII = sys.version_info < (3, 12)

logger = logging.getLogger("mangum.http")

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


def check_size(body: bytes, text: str, is_base64: bool, pairs: HeaderPairs, limit: int, way_out: str) -> None:
    """Make sure that the answer's JSON document is not larger than its source carries.

    `body` is what was sent, `text` what it became.

    Raises:
        ResponseTooLarge: it is. The message has the size, the limit and `way_out`.
    """
    size = _ENVELOPE + sum(len(name) + len(value) + 6 for name, value in pairs)
    budget = limit - size
    if is_base64:
        size += len(text)
    elif _ESCAPES_NON_ASCII and not text.isascii():
        size += len(encode_basestring_ascii(text))
    else:
        size += len(body) + _escapes(body, budget - len(body))
    if size > limit:
        raise ResponseTooLarge(
            f"The response is too large: about {size:,} bytes as Lambda's answer, and {limit:,} is the most. {way_out}"
        )


def _escapes(body: bytes, budget: int) -> int:
    """How many characters JSON's escapes add to a text of one byte a character, or, where that stays within `budget`
    for sure, only as many as its larger part adds: text that is far from the limit is not read to its end."""
    unread = min(max(budget // 2 // (_MOST_PER_CHARACTER - 1), 0), len(body))
    if unread:
        added = _count_escapes(body[: len(body) - unread])
        if added <= budget // 2:
            return added
    return _count_escapes(body)


def _count_escapes(body: bytes) -> int:
    escaped = body.translate(None, _NOT_ESCAPED)
    return len(escaped) + len(escaped.translate(None, _NOT_SIX)) * (_MOST_PER_CHARACTER - 2)
