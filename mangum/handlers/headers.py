"""Header fields, both ways: pairs until the last step, because a dict loses what is repeated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from mangum.exceptions import InvalidResponse
from mangum.types import Headers

__all__ = [
    "HeaderPairs",
    "decode_headers",
    "encode_headers",
    "encode_multi_value_headers",
    "header_names",
    "joined_and_cookies",
    "listed",
    "one_value_each",
    "single_and_repeated",
]

HeaderPairs: TypeAlias = list[tuple[str, str]]

_SET_COOKIE = "set-cookie"
_SET_COOKIE_LETTERS = tuple(index for index, character in enumerate(_SET_COOKIE) if character.isalpha())
_MOST_SPELLINGS = 2 ** len(_SET_COOKIE_LETTERS)


# From the event to ASGI


class _Encoded(dict[str, bytes]):
    """Request header names as ASGI has them. The same few dozen come with every request: looking them up takes a
    tenth off a translation. Clients may send any others, so the number that is kept is bounded."""

    def __missing__(self, name: str) -> bytes:
        if len(self) >= _MOST_NAMES:
            self.clear()
        encoded = self[name] = name.lower().encode()
        return encoded


class _Decoded(dict[bytes, str]):
    """Response header names as text in lower case, likewise."""

    def __missing__(self, name: bytes) -> str:
        if len(self) >= _MOST_NAMES:
            self.clear()
        decoded = self[name] = name.decode().lower()
        return decoded


_MOST_NAMES = 1024
header_names = _Encoded()
_decoded_names = _Decoded()


def encode_headers(headers: Mapping[str, Any] | None) -> Headers:
    """ASGI's headers from a map of name to value; a value may be a list, and null ones are left out."""
    if not headers:
        return []
    try:
        return [[header_names[name], value.encode()] for name, value in headers.items()]
    except AttributeError:  # a list or null among the values: few sources have them
        return _encode_mixed(headers)


def encode_multi_value_headers(headers: Mapping[str, Any] | None, multi: Mapping[str, Any] | None) -> Headers:
    """ASGI's headers from a map of name to list, and from the entries that only the single-value map has."""
    if not multi:
        return encode_headers(headers)
    if headers and headers.keys() == multi.keys() and _has_one_each(multi):
        return encode_headers(headers)
    if {list}.issuperset(map(type, multi.values())):  # a string would fall apart into its characters
        try:
            pairs = [[header_names[name], value.encode()] for name, values in multi.items() for value in values]
        except AttributeError:  # null among the values
            pairs = _encode_mixed(multi)
    else:
        pairs = _encode_mixed(multi)
    if headers and not headers.keys() <= multi.keys():
        named = {name for name, _ in pairs}
        pairs += [pair for pair in encode_headers(headers) if pair[0] not in named]
    return pairs


def _has_one_each(multi: Mapping[str, Any]) -> bool:
    """Whether nothing is repeated, as in most requests: then the single-value map says the same, and is read in half
    the time."""
    try:
        return sum(map(len, multi.values())) == len(multi)
    except TypeError:  # null among the lists
        return False


def _encode_mixed(headers: Mapping[str, Any]) -> Headers:
    pairs: Headers = []
    for name, values in headers.items():
        for value in values if isinstance(values, list) else [values]:
            if value is not None:
                pairs.append([header_names[name], value.encode()])
    return pairs


# From ASGI to the answer


def decode_headers(headers: Iterable[Sequence[bytes]]) -> HeaderPairs:
    """Pairs of text, names in lower case. Values are UTF-8, or else ISO-8859-1 (RFC 9110, section 5.5).

    Raises:
        InvalidResponse: something is not a pair of bytes.
    """
    try:
        try:
            return [(_decoded_names[name], value.decode()) for name, value in headers]
        except UnicodeDecodeError:
            return [(_decode(name).lower(), _decode(value)) for name, value in headers]
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidResponse(
            f"The `headers` of http.response.start must be pairs of bytes; these hold {_first_misfit(headers)}."
        ) from error


def _first_misfit(headers: Iterable[Any]) -> str:
    """The types of the first pair that is none of bytes."""
    parts = (pair if isinstance(pair, list | tuple) else [pair] for pair in headers)
    kinds = ([type(part).__name__ for part in pair] for pair in parts)
    return f"({', '.join(next(names for names in kinds if names != ['bytes', 'bytes']))})"


def _decode(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def listed(pairs: HeaderPairs) -> dict[str, list[str]]:
    """Headers as name to list of values."""
    lists: dict[str, list[str]] = {}
    for name, value in pairs:
        lists.setdefault(name, []).append(value)
    return lists


def joined_and_cookies(pairs: HeaderPairs, separator: str) -> tuple[dict[str, str], list[str]]:
    """Headers as name to value, repeated ones joined (RFC 9110, section 5.3), and apart from them the cookies, which
    alone cannot be joined."""
    last = dict(pairs)
    if len(last) == len(pairs) and _SET_COOKIE not in last:  # nearly every response
        return last, []
    lists = listed(pairs)
    cookies = lists.pop(_SET_COOKIE, [])
    return {name: separator.join(values) for name, values in lists.items()}, cookies


def single_and_repeated(pairs: HeaderPairs) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Headers that come once as name to value, and those that come more often as name to list."""
    single = dict(pairs)
    if len(single) == len(pairs):
        return single, {}
    repeated = {name: values for name, values in listed(pairs).items() if len(values) > 1}
    return {name: value for name, value in single.items() if name not in repeated}, repeated


def one_value_each(pairs: HeaderPairs) -> dict[str, str]:
    """Headers as name to value for a source that takes no lists: each further cookie under another spelling of
    Set-Cookie, since names that differ in case are different keys of a JSON object, and one field in HTTP.

    Raises:
        InvalidResponse: there are more cookies than spellings (512).
    """
    headers, cookies = joined_and_cookies(pairs, ", ")
    if len(cookies) > _MOST_SPELLINGS:
        raise InvalidResponse(
            f"The response sets {len(cookies)} cookies, and its source takes {_MOST_SPELLINGS} at the most "
            "(an ALB target group with multi-value headers enabled takes any number)."
        )
    for index, cookie in enumerate(cookies):
        headers[_spelling(index)] = cookie
    return headers


def _spelling(index: int) -> str:
    """The n-th way to write Set-Cookie: bit i of `index` says whether letter i is a capital."""
    letters = list(_SET_COOKIE)
    for bit, position in enumerate(_SET_COOKIE_LETTERS):
        if index >> bit & 1:
            letters[position] = letters[position].upper()
    return "".join(letters)
