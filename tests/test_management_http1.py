"""HTTP/1.1 to one server: responses in any pieces, and connections that end at any point."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mangum.websocket.management.http1 import BadResponse, Response, ResponseReader

CRLF = b"\r\n"


def head(status: int, *fields: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    return CRLF.join([b"%b %d Whatever" % (version, status), *fields, b"", b""])


def chunked(parts: list[bytes], extension: bytes = b"", trailer: bytes = b"") -> bytes:
    chunks = (b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)
    return b"".join(chunks) + b"0" + extension + CRLF + trailer + CRLF


def read(data: bytes, cuts: list[int] | None = None) -> Response | None:
    """What is read when the data comes in pieces, which end at `cuts`; byte by byte without them."""
    reader = ResponseReader()
    ends = sorted({cut for cut in cuts if 0 < cut < len(data)}) if cuts is not None else range(1, len(data))
    response = None
    for start, end in zip([0, *ends], [*ends, len(data)], strict=True):
        assert response is None, "it was complete before the end"
        response = reader.feed(data[start:end])
        assert reader.has_begun
    return response


tokens = st.sampled_from(
    [b"date: Wed, 25 Nov 2026 00:00:00 GMT", b"x-amzn-RequestId: 1-2", b"Apigw-Requestid: a:b=", b"x:"]
)
statuses = st.integers(200, 599).filter(lambda status: status not in (204, 304))
bodies = st.binary(max_size=200)


@given(statuses, st.lists(tokens, max_size=4), bodies, st.lists(st.integers(0, 400), max_size=10), st.booleans())
def test_a_response_of_known_length_is_read_from_any_pieces(
    status: int, fields: list[bytes], body: bytes, cuts: list[int], interim: bool
) -> None:
    data = head(status, *fields, b"Content-LENGTH:  %d " % len(body)) + body
    data = head(103, b"link: </a>", b"content-length: 7") + data if interim else data
    assert read(data, cuts) == read(data, []) == Response(status, body, True)


@given(statuses, st.lists(bodies.filter(bool), max_size=4), st.lists(st.integers(0, 800), max_size=10), st.booleans())
def test_a_chunked_response_is_read_from_any_pieces(
    status: int, parts: list[bytes], cuts: list[int], extended: bool
) -> None:
    rest = chunked(parts, b';a="b"', b"Expires: never\r\nX: y\r\n") if extended else chunked(parts)
    data = head(status, b"Transfer-Encoding: Chunked") + rest
    assert read(data, cuts) == read(data) == Response(status, b"".join(parts), True)


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("fields", [[], [b"content-length: 5"], [b"transfer-encoding: chunked"]])
def test_a_response_that_can_have_no_body_has_none(status: int, fields: list[bytes]) -> None:
    assert read(head(status, *fields)) == Response(status, b"", True)


@given(bodies, st.lists(st.integers(0, 300), max_size=5))
def test_a_response_without_a_length_ends_with_the_connection(body: bytes, cuts: list[int]) -> None:
    reader = ResponseReader()
    data = head(500) + body
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
        assert reader.feed(data[start:end]) is None
    assert reader.feed_eof() == Response(500, body, False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK",
        head(200, b"content-length: 3") + b"ab",
        head(200, b"transfer-encoding: chunked") + b"3\r\nabc\r\n",
    ],
)
def test_a_connection_that_ends_too_early_leaves_no_response(data: bytes) -> None:
    reader = ResponseReader()
    assert reader.feed(data) is None
    with pytest.raises(BadResponse, match="before the response was complete"):
        reader.feed_eof()


@pytest.mark.parametrize(
    ("data", "keeps_alive"),
    [
        (head(200, b"content-length: 0", b"Connection: Close"), False),
        (head(200, b"content-length: 0", b"connection: x, close"), False),
        (head(200, b"content-length: 0", b"connection: keep-alive"), True),
        (head(200, b"content-length: 0", version=b"HTTP/1.0"), False),
        (head(200, b"content-length: 0", b"Connection: Keep-Alive", version=b"HTTP/1.0"), True),
        (head(200, b"content-length: 1") + b"ab", False),
        (head(200, b"content-length: 1", b"content-length: 1") + b"a", True),
        (head(200, b"transfer-encoding: chunked") + chunked([b"a"]) + b"b", False),
        (head(200, b"transfer-encoding: chunked") + chunked([b"a"], trailer=b"x: y\r\n") + b"b", False),
    ],
)
def test_a_connection_is_kept_when_nothing_speaks_against_it(data: bytes, keeps_alive: bool) -> None:
    response = ResponseReader().feed(data)
    assert response is not None
    assert response.keeps_alive is keeps_alive


LONG = b"x" * (64 * 1024 + 1)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "HTTP/1.1"),
        (b"HTTP/2 200 OK\r\n\r\n", "HTTP/1.1"),
        (b"HTTP/1.1 OK\r\n\r\n", "HTTP/1.1"),
        (b"HTTP/1.1 20\r\n\r\n", "HTTP/1.1"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1"),
        (b"HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1"),
        (head(200, b"content-length: -1"), "Content-Length"),
        (head(200, b"content-length: +1"), "Content-Length"),
        (head(200, b"content-length: "), "Content-Length"),
        (head(200, b"content-length: 1", b"content-length: 2"), "Content-Length"),
        (head(200, b"content-length: " + b"9" * 5000), "Content-Length"),
        (head(200, b"transfer-encoding: gzip"), "Transfer-Encoding"),
        (head(200, b"transfer-encoding: gzip, chunked"), "Transfer-Encoding"),
        (head(200, b"content-length: 65537"), "65,536"),
        (head(200) + LONG, "65,536"),
        (LONG, "65,536"),
        (head(200, LONG), "65,536"),
        (head(200, b"transfer-encoding: chunked") + b"10001\r\n", "65,536"),
        (head(200, b"transfer-encoding: chunked") + b"1\r\na\r\n10000\r\n" + LONG, "65,536"),
        (head(200, b"transfer-encoding: chunked") + LONG, "65,536"),
        (head(200, b"transfer-encoding: chunked") + b"0\r\n" + LONG, "65,536"),
        (head(200, b"transfer-encoding: chunked") + b"xyz\r\n", "size"),
        (head(200, b"transfer-encoding: chunked") + b"-1\r\n", "size"),
        (head(200, b"transfer-encoding: chunked") + b"1_0\r\n", "size"),
        (head(200, b"transfer-encoding: chunked") + b"\r\n", "size"),
        (head(200, b"transfer-encoding: chunked") + b"1" * 17 + b"\r\n", "size"),
        (head(200, b"transfer-encoding: chunked") + b"1\r\nabc", "does not end"),
    ],
)
def test_what_is_no_response_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(BadResponse, match=reason):
        ResponseReader().feed(data)


@given(st.binary(max_size=60), st.booleans(), st.booleans())
@example(b"\xb2\xb3\xb9", True, True)
def test_no_bytes_whatever_raise_another_error(noise: bytes, begins_well: bool, is_chunked: bool) -> None:
    fields = [b"transfer-encoding: chunked"] if is_chunked else [noise]
    reader = ResponseReader()
    try:
        reader.feed(head(200, *fields) + noise if begins_well else noise)
        reader.feed_eof()
    except BadResponse:
        pass
