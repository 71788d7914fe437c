"""Bodies, both ways: text as it is, all else as base64."""

from __future__ import annotations

import binascii
import logging
from collections.abc import Callable
from functools import cache
from types import ModuleType

__all__ = ["LAMBDA_RESPONSE_LIMIT", "MOST_ADDED", "decode_body", "encode_body", "may_be_too_large"]

logger: logging.Logger = logging.getLogger("mangum.http")

# The ceiling that Lambda's Runtime API names when it refuses a response: 6 MiB + 100.
LAMBDA_RESPONSE_LIMIT = 6_291_556
MOST_ADDED = 5  # to each byte of a text, by JSON's escapes
_HEADROOM = 32 * 1024

# From here on pybase64 is used, where it is installed (`mangum[speed]`): it takes a fortieth of the standard library's
# time, which is 25 us for this much. To import it takes 1 ms.
_LARGE = 8 * 1024


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
        fast = _fast_base64(len(body))
        if fast is not None:
            return fast.b64decode(body, validate=True)  # type: ignore[no-any-return]
        return binascii.a2b_base64(body, strict_mode=True)
    except ValueError:
        sent = body if isinstance(body, bytes) else body.encode()
        try:
            return binascii.a2b_base64(b"".join(sent.split()), strict_mode=True)
        except ValueError:
            logger.warning("The event says that its body is base64, which it is not: it is taken as text.")
            return sent


def may_be_too_large(body: bytes, limit: int) -> bool:
    """Whether the answer has to be measured (`mangum.handlers.answer_size`): not if its body stays within the limit
    even were each byte escaped, with room for headers, whose own limits are far lower."""
    return len(body) * (1 + MOST_ADDED) > limit - _HEADROOM


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
    fast = _fast_base64(len(body))
    if fast is not None:
        return fast.b64encode_as_string(body), True
    return binascii.b2a_base64(body, newline=False).decode("ascii"), True


def _fast_base64(size: int) -> ModuleType | None:
    return _pybase64() if size >= _LARGE else None


@cache
def _pybase64() -> ModuleType | None:
    try:
        import pybase64
    except ImportError:
        return None
    return pybase64
