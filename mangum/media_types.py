"""Which content types are text. Compared as media types (RFC 9110, section 8.3.1), not as substrings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

__all__ = ["TOKEN", "TextTypes", "is_media_range", "media_type"]

# What is kept of the types that were asked for: an application may send the types of its clients back.
_CACHED_CONTENT_TYPES = 256
_LONGEST_CACHED = 128

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110, section 5.6.2
_MEDIA_RANGE = re.compile(rf"{TOKEN}/({TOKEN})?")


def is_media_range(value: str) -> bool:
    """Whether it is a media type ("application/yaml") or all of a type ("text/", "text/*")."""
    return _MEDIA_RANGE.fullmatch(value.partition(";")[0].strip()) is not None


def media_type(content_type: str) -> str:
    """The type and subtype of a Content-Type, lower-case, without parameters."""
    return content_type.partition(";")[0].strip().lower()


class TextTypes(list[str]):
    """Media types that are text. A list, because users of mangum 0.22 append to `handler.config["text_mime_types"]`."""

    def __init__(self, text_types: Iterable[str]) -> None:
        super().__init__(text_types)
        self._known = 0
        self._match: Callable[[str], bool] = _matcher(())
        self._cached_match = self._match

    def match(self, content_type: str) -> bool:
        """Is the media type of a Content-Type one of these?

        A type with a structured syntax suffix (RFC 6839) counts as the syntax that it names, and as itself without the
        suffix: "application/problem+json" is text where "application/json" is.
        """
        if len(self) != self._known:
            self._known = len(self)
            self._match = _matcher(self)
            self._cached_match = lru_cache(_CACHED_CONTENT_TYPES)(self._match)
        return (self._cached_match if len(content_type) <= _LONGEST_CACHED else self._match)(content_type)


def _matcher(text_types: Iterable[str]) -> Callable[[str], bool]:
    exact = set()
    whole_types = set()
    for text_type in map(media_type, text_types):
        name, _, subtype = text_type.partition("/")
        if subtype in ("", "*"):
            whole_types.add(name)
        else:
            exact.add(text_type)

    def match(content_type: str) -> bool:
        name = media_type(content_type)
        if name in exact or name.partition("/")[0] in whole_types:
            return True
        base, plus, suffix = name.rpartition("+")
        return bool(plus) and (base in exact or f"application/{suffix}" in exact)

    return match
