"""Which content types are text. Compared as media types (RFC 9110, section 8.3.1), not as substrings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

__all__ = ["is_media_range", "media_type", "text_matcher"]

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_RANGE = re.compile(rf"{_TOKEN}/({_TOKEN})?")


def is_media_range(value: str) -> bool:
    """Whether it is a media type ("application/yaml") or all of a type ("text/", "text/*")."""
    return _MEDIA_RANGE.fullmatch(value.partition(";")[0].strip()) is not None


def media_type(content_type: str) -> str:
    """The type and subtype of a Content-Type, lower-case, without parameters."""
    return content_type.partition(";")[0].strip().lower()


def text_matcher(text_types: Iterable[str]) -> Callable[[str], bool]:
    """A predicate on Content-Type values: is its media type one of `text_types`?

    A type with a structured syntax suffix (RFC 6839) counts as the syntax that it names, and as itself without the
    suffix: "application/problem+json" is text where "application/json" is.
    """
    exact = set()
    whole_types = set()
    for text_type in map(media_type, text_types):
        name, _, subtype = text_type.partition("/")
        if subtype in ("", "*"):
            whole_types.add(name)
        else:
            exact.add(text_type)

    def is_text(content_type: str) -> bool:
        name = media_type(content_type)
        if name in exact or name.partition("/")[0] in whole_types:
            return True
        base, plus, suffix = name.rpartition("+")
        return bool(plus) and (base in exact or f"application/{suffix}" in exact)

    return is_text
