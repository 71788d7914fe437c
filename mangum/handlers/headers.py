"""Header fields, both ways: pairs until the last step, because a dict loses what is repeated."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from mangum.exceptions import InvalidResponse
from mangum.media_types import TOKEN
from mangum.types import Headers

__all__ = [
    "HeaderPairs",
    "decode_headers",
    "encode_header_records",
    "encode_headers",
    "encode_multi_value_headers",
    "joined_and_cookies",
    "listed",
    "one_value_each",
    "single_and_repeated",
]

HeaderPairs: TypeAlias = Collection[tuple[str, str]]

_Name = TypeVar("_Name", str, bytes)
_Other = TypeVar("_Other")

_SET_COOKIE = "set-cookie"
_SET_COOKIE_LETTERS = tuple(index for index, character in enumerate(_SET_COOKIE) if character.isalpha())
_MOST_SPELLINGS = 2 ** len(_SET_COOKIE_LETTERS)


# Names as the other side has them. The same few dozen come with every request and every response: looking them up takes
# a fifth off a translation, as long as these are plain dicts. Clients may send any others, so both the number and the
# length are bounded. What needs a second look is never in them: see `_joined` and `decode_headers`.
_MOST_NAMES = 1024
_LONGEST_NAME = 128
_encoded_names: dict[str, bytes] = {}
_decoded_names: dict[bytes, str] = {}


def _keep(names: dict[_Name, _Other], name: _Name, other: _Other) -> None:
    if len(name) > _LONGEST_NAME:
        return
    if len(names) >= _MOST_NAMES:
        names.clear()
    names[name] = other


# From the event to ASGI

# The fields that become one, and what stands between their values. HTTP/2 has each cookie in a field of its own, and
# HTTP/1.1, which the scope speaks, all of them in one (RFC 9113, section 8.2.3). X-Forwarded-For is one list (RFC 9110,
# section 5.3), and only its end can be trusted: whoever reads the first field would read what the client wrote. All
# others stay fields of their own, as ASGI has them. Most may come once only (Host, Content-Type, Authorization, ...):
# joined, two of them would be a value that nobody has sent.
_SEPARATORS = {b"cookie": b"; ", b"x-forwarded-for": b", "}


def _joined(pairs: Headers) -> Headers:
    """The headers with one field for each name of `_SEPARATORS`, where its first one is."""
    kept: Headers = []
    first: dict[bytes, list[bytes]] = {}
    for pair in pairs:
        name = pair[0]
        if name in first:
            first[name][1] += _SEPARATORS[name] + pair[1]
            continue
        if name in _SEPARATORS:
            first[name] = pair
        kept.append(pair)
    return kept


def encode_headers(headers: Mapping[str, Any] | None) -> Headers:
    """ASGI's headers from a map of name to value; a value may be a list, and null ones are left out."""
    if not headers:
        return []
    try:
        if not _has_distinct_names(headers):
            return _encode_mixed(headers)
        return [[_encoded_names[name], value.encode()] for name, value in headers.items()]
    except (AttributeError, KeyError, TypeError):  # a list or null among the values, which few sources have; a new name
        return _encode_mixed(headers)


def encode_multi_value_headers(headers: Mapping[str, Any] | None, multi: Mapping[str, Any] | None) -> Headers:
    """ASGI's headers from a map of name to list, and from the entries that only the single-value map has.

    Where the two say something else, because somebody has changed one of them, the lists count, as in mangum 0.22.
    """
    if not multi:
        return encode_headers(headers)
    try:
        if _has_distinct_names(multi) and {list}.issuperset(map(type, multi.values())):  # a string would fall apart
            pairs = [[_encoded_names[name], value.encode()] for name, (value,) in multi.items()]
        else:
            pairs = _encode_mixed(multi)
    except (AttributeError, KeyError, TypeError, ValueError):  # a header that is repeated or null, or a new name
        pairs = _encode_mixed(multi)
    if headers and not headers.keys() <= multi.keys():
        named = {name for name, _ in pairs}
        pairs += [pair for pair in encode_headers(headers) if pair[0] not in named]
    return pairs


def encode_header_records(headers: Mapping[str, Sequence[Mapping[str, str]]]) -> Headers:
    """ASGI's headers from CloudFront's map of name to records, each of which has a value."""
    try:
        if _has_distinct_names(headers):
            return [[_encoded_names[name], record["value"].encode()] for name, (record,) in headers.items()]
    except (KeyError, TypeError, ValueError):  # a header that is repeated; or a new name
        pass
    return _encode_mixed({name: [record["value"] for record in records] for name, records in headers.items()})


def _encode_mixed(headers: Mapping[str, Any]) -> Headers:
    """The headers, where a value may be a list or null. Of a name in two spellings, the last one counts: somebody has
    set it in place of the client's. Those of `_SEPARATORS` become one."""
    by_name: dict[bytes, Headers] = {}
    for name, values in headers.items():
        encoded = _encoded_names.get(name) or _encode_name(name)
        listed = values if isinstance(values, list) else [values]
        pairs = [[encoded, value.encode()] for value in listed if value is not None]
        by_name[encoded] = by_name.get(encoded, []) + pairs if encoded in _SEPARATORS else pairs
    return _joined([pair for pairs in by_name.values() for pair in pairs])


def _has_distinct_names(headers: Mapping[str, Any]) -> bool:
    """Whether each name comes in one spelling. AWS's are in lower case for most sources, which is quick to see."""
    return "".join(headers).islower() or len({*map(_encoded_names.__getitem__, headers)}) == len(headers)


def _encode_name(name: str) -> bytes:
    encoded = name.lower().encode()
    _keep(_encoded_names, name, encoded)
    return encoded


# From ASGI to the answer

# They are between the front door and its client, so they are not the application's to send (RFC 9110, section 7.6.1;
# ASGI says it of Transfer-Encoding): https://asgi.readthedocs.io/en/latest/specs/www.html#response-start-send-event
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)

_is_token = re.compile(TOKEN).fullmatch


def decode_headers(headers: Sequence[Sequence[bytes]]) -> tuple[dict[str, str], HeaderPairs]:
    """Headers as text, names in lower case: the last value of each name, which is all there is to most responses, and
    all pairs. Values are UTF-8, or else ISO-8859-1 (RFC 9110, section 5.5). Hop-by-hop fields are left out.

    Raises:
        InvalidResponse: something is not a pair of bytes, a name is no token, or a value has a line break or NUL.
    """
    try:
        try:
            last = {_decoded_names[name]: value.decode() for name, value in headers}
            if len(last) == len(headers):
                text = "".join([*last.values()])  # a list joins faster than a view
                if "\n" in text or "\r" in text or "\0" in text:
                    raise _broken_value(last.items())
                return last, last.items()
        except (KeyError, UnicodeDecodeError):  # a new name, or a hop-by-hop one; or a value in ISO-8859-1
            pass
        named = [(_decoded_names.get(name) or _decode_name(name), _decode(value)) for name, value in headers]
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidResponse(
            f"The `headers` of http.response.start must be pairs of bytes; these hold {_first_misfit(headers)}."
        ) from error
    pairs = [pair for pair in named if pair[0] not in _HOP_BY_HOP]
    if any(map(_is_broken, (value for _, value in pairs))):
        raise _broken_value(pairs)
    return dict(pairs), pairs


def _broken_value(pairs: HeaderPairs) -> InvalidResponse:
    name = next(name for name, value in pairs if _is_broken(value))
    return InvalidResponse(
        f"The value of the response header {name!r} has a line break or NUL (RFC 9110, section 5.5)."
    )


def _is_broken(value: str) -> bool:
    """Whether a value would end its field, and begin another or the body."""
    return "\n" in value or "\r" in value or "\0" in value


def _decode_name(name: bytes) -> str:
    decoded = name.decode("latin-1")
    if not _is_token(decoded):
        raise InvalidResponse(
            f"The response has a header whose name is no token (RFC 9110, section 5.6.2): {decoded[:64]!a}."
        )
    decoded = decoded.lower()
    if decoded not in _HOP_BY_HOP:
        _keep(_decoded_names, name, decoded)
    return decoded


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


def joined_and_cookies(last: dict[str, str], pairs: HeaderPairs, separator: str) -> tuple[dict[str, str], list[str]]:
    """Headers as name to value, repeated ones joined (RFC 9110, section 5.3), and apart from them the cookies, which
    alone cannot be joined."""
    if len(last) == len(pairs) and _SET_COOKIE not in last:  # nearly every response
        return last, []
    lists = listed(pairs)
    cookies = lists.pop(_SET_COOKIE, [])
    return {name: separator.join(values) for name, values in lists.items()}, cookies


def single_and_repeated(last: dict[str, str], pairs: HeaderPairs) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Headers that come once as name to value, and those that come more often as name to list."""
    repeated = {name: values for name, values in listed(pairs).items() if len(values) > 1}
    return {name: value for name, value in last.items() if name not in repeated}, repeated


def one_value_each(last: dict[str, str], pairs: HeaderPairs) -> dict[str, str]:
    """Headers as name to value for a source that takes no lists: each further cookie under another spelling of
    Set-Cookie, since names that differ in case are different keys of a JSON object, and one field in HTTP.

    Raises:
        InvalidResponse: there are more cookies than spellings (512).
    """
    headers, cookies = joined_and_cookies(last, pairs, ", ")
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
