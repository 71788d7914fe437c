"""Bodies, both ways: text as it is, all else as base64."""

from __future__ import annotations

import binascii
import logging
from collections.abc import Callable

__all__ = ["decode_body", "encode_body"]

logger = logging.getLogger("mangum.http")


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
