"""Whether a text repeats a secret, however it is written."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from urllib.parse import unquote

__all__ = ["repeats"]

_PIECE = 12  # characters of a secret that no text may have
_MOST_LAYERS = 3  # of encoding, one in another
_ESCAPE = re.compile(r"\\(?:u([0-9a-f]{4})|x([0-9a-f]{2}))", re.IGNORECASE)
_OTHER = re.compile(r"[^a-z0-9]+")


def repeats(text: str, secrets: Iterable[str]) -> bool:
    """Whether a text has 12 characters of a secret in a row, or all of a shorter one.

    Only letters and digits count, without their case, so that escapes, line breaks and quotes hide nothing. The text is
    looked at as it is and with percent-encoding, HTML and backslash escapes decoded.
    """
    pieces = {piece for secret in secrets for piece in _pieces(_plain(secret))}
    for _ in range(_MOST_LAYERS + 1):
        plain = _plain(text)
        if any(piece in plain for piece in pieces):
            return True
        text = _decoded(text)
    return False


def _plain(text: str) -> str:
    return _OTHER.sub("", text.lower())


def _pieces(secret: str) -> set[str]:
    return {secret[start : start + _PIECE] for start in range(max(len(secret) - _PIECE, 0) + 1)} - {""}


def _decoded(text: str) -> str:
    return unquote(html.unescape(_ESCAPE.sub(lambda escape: chr(int(escape[1] or escape[2], 16)), text)))
