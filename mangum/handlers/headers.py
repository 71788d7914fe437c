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


class _Names(dict[str, bytes]):
    """Header names as ASGI has them. The same few dozen come with every request: looking them up takes a tenth off
    a translation. Clients may send any others, so the number that is kept is bounded."""

    _MOST = 1024

    def __missing__(self, name: str) -> bytes:
        if len(self) >= self._MOST:
            self.clear()
        encoded = self[name] = name.lower().encode()
        return encoded


_names = _Names()


def encode_headers(headers: Mapping[str, Any] | None) -> Headers:
    """ASGI's headers from a map of name to value; a value may be a list, and null ones are left out."""
    if not headers:
        return []
    try:
        return [[_names[name], value.encode()] for name, value in headers.items()]
    except AttributeError:  # a list or null among the values: few sources have them
        return _encode_mixed(headers)


def encode_multi_value_headers(headers: Mapping[str, Any] | None, multi: Mapping[str, Any] | None) -> Headers:
    """ASGI's headers from a map of name to list, and from the entries that only the single-value map has."""
    if not multi:
        return encode_headers(headers)
    if all(values.__class__ is list for values in multi.values()):  # a string would fall apart into its characters
        try:
            pairs = [[_names[name], value.encode()] for name, values in multi.items() for value in values]
        except AttributeError:  # null among the values
            pairs = _encode_mixed(multi)
    else:
        pairs = _encode_mixed(multi)
    if headers and not headers.keys() <= multi.keys():
        named = {name for name, _ in pairs}
        pairs += [pair for pair in encode_headers(headers) if pair[0] not in named]
    return pairs


def _encode_mixed(headers: Mapping[str, Any]) -> Headers:
    pairs: Headers = []
    for name, values in headers.items():
        for value in values if isinstance(values, list) else [values]:
            if value is not None:
                pairs.append([_names[name], value.encode()])
    return pairs


# From ASGI to the answer


def decode_headers(headers: Iterable[Sequence[bytes]]) -> HeaderPairs:
    """Pairs of text, names in lower case. Values are UTF-8, or else ISO-8859-1 (RFC 9110, section 5.5).

    Raises:
        InvalidResponse: something is not a pair of bytes.
    """
    try:
        return [(name.decode().lower(), value.decode()) for name, value in headers]
    except UnicodeDecodeError:
        return [(_decode(name).lower(), _decode(value)) for name, value in headers]
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidResponse(
            f"The `headers` of http.response.start must be pairs of bytes; these hold {_first_misfit(headers)}."
        ) from error


def _first_misfit(headers: Iterable[Any]) -> str:
    for pair in headers:
        kinds = [type(part).__name__ for part in pair] if isinstance(pair, list | tuple) else [type(pair).__name__]
        if kinds != ["bytes", "bytes"]:
            return f"({', '.join(kinds)})"
    return "something else"


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
    joined = dict(pairs)
    if len(joined) == len(pairs) and _SET_COOKIE not in joined:  # nearly every response
        return joined, []
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
