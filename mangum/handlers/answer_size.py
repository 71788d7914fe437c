"""How large an answer may be: its JSON document, as Lambda's Python runtime writes it, and what its source takes."""

from __future__ import annotations

import sys

from mangum.exceptions import ResponseTooLarge
from mangum.handlers.bodies import MOST_ADDED
from mangum.handlers.headers import HeaderPairs

__all__ = ["ESCAPES_BEYOND_ASCII", "check_size"]

# Whether Lambda's runtime of this Python writes characters beyond ASCII as escapes.
ESCAPES_BEYOND_ASCII = sys.version_info < (3, 12)

_ENVELOPE = 256  # keys, quotes and the status of the answer's JSON document
_CHUNK = 256 * 1024

# How far apart the bytes are that a sample takes of a text. Whatever comes again and again at the same distance is seen
# in its true share, unless that distance is a multiple of both: they are prime.
_STRIDES = (127, 131)
_SURE_SHARE = 1 / 32  # of what the source takes: samples of real texts are off by 1/250 at the most


def check_size(body: bytes, text: str, is_base64: bool, pairs: HeaderPairs, limit: int, way_out: str) -> None:
    """Make sure that the answer's JSON document is not larger than its source carries.

    `body` is what was sent, `text` what it became.

    Raises:
        ResponseTooLarge: it is. The message has the size, the limit and `way_out`.
    """
    size = _ENVELOPE + sum(len(name) + len(value) + 6 for name, value in pairs)
    size += len(text) if is_base64 else _json_size(body, _ESCAPES, limit - size)
    if size > limit:
        raise ResponseTooLarge(
            f"The response is too large: about {size:,} bytes as Lambda's answer, and {limit:,} is the most. {way_out}"
        )


class _Escapes:
    """What JSON adds to the bytes of a text, where a character is known by its first byte in UTF-8."""

    def __init__(self, added: dict[int, bytes]) -> None:
        self._plain = _all_but(b"".join(added.values()))
        self._others = [(more - 1, _all_but(those)) for more, those in added.items() if more > 1]

    def added_to(self, text: bytes) -> int:
        """By how many bytes `text` becomes longer. What is plain is deleted first, in one pass: little is left of
        most texts to tell apart. Deleting is the fastest way that `bytes` has to count more than one value."""
        escaped = text.translate(None, self._plain)
        return len(escaped) + sum(more * len(escaped.translate(None, rest)) for more, rest in self._others)


def _all_but(those: bytes) -> bytes:
    return bytes(set(range(256)).difference(those))


# JSON writes these characters as two ("\n") and the other control characters as six ("\u0000"). Lambda's Python
# runtimes before 3.12 also write DEL and each character beyond ASCII as six, instead of two bytes or three, or as
# twelve, instead of four.
_TWO = b'"\\\b\f\n\r\t'
_SIX = bytes(set(range(32)).difference(_TWO))
_OF_ASCII = _Escapes({1: _TWO, 5: _SIX})
_OF_ALL = _Escapes(
    {1: _TWO, 5: _SIX + b"\x7f", 4: bytes(range(0xC2, 0xE0)), 3: bytes(range(0xE0, 0xF0)), 8: bytes(range(0xF0, 0xF5))}
)
_ESCAPES = _OF_ALL if ESCAPES_BEYOND_ASCII else _OF_ASCII


def _json_size(text: bytes, escapes: _Escapes, budget: int) -> int:
    """The size of a text as a JSON string, as far as it takes to know whether it stays within `budget`: what is far
    from it is not read to its end.

    It is counted, unless samples say that a large text stays below by 3 % of `budget` and more: counting 5 MB takes 2
    to 7 ms, more than decoding them does, and samples of them take 0.3 ms. So what is said to be too large is so for
    sure. What is said to fit may be larger only where a text's escapes keep out of the way of both samples.
    """
    if len(text) > _CHUNK:
        estimate = len(text) + max(stride * escapes.added_to(text[::stride]) for stride in _STRIDES)
        if estimate <= budget * (1 - _SURE_SHARE):
            return estimate
    size = len(text)
    for start in range(0, len(text), _CHUNK):
        if size + (len(text) - start) * MOST_ADDED <= budget or size > budget:
            break
        size += escapes.added_to(text[start : start + _CHUNK])
    return size
