"""The client's side of HTTP/1.1, against a server on loopback that sends what a test says.

A connection with a buffer of one byte reads byte by byte. With a large one it reads everything at once.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from textwrap import dedent

import anyio
import pytest
from anyio.abc import SocketStream
from hypothesis import example, given, settings
from hypothesis import strategies as st

import mangum
from mangum.core.http1 import ConnectionLost, HTTPConnection, HTTPResponse, Outcome
from tests.servers import HOST
from tests.servers.tcp import serving

pytestmark = pytest.mark.anyio

CRLF = b"\r\n"
REQUEST = b"GET / HTTP/1.1\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK"
CHUNKED = b"transfer-encoding: chunked"
LIMIT = 64 * 1024
ALL_AT_ONCE = 256 * 1024
PIECES = pytest.mark.parametrize("buffer_bytes", [1, ALL_AT_ONCE], ids=["byte by byte", "at once"])


def head(status: int, *fields: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    return CRLF.join([b"%b %d Whatever" % (version, status), *fields, b"", b""])


def chunked(*parts: bytes, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    chunks = (b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)
    return b"".join(chunks) + b"0" + extension + CRLF + trailer + CRLF


def within(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


class Server:
    """Gives the same bytes to each request."""

    def __init__(self, answer: bytes, closes: bool) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.port = 0
        self._closes = closes

    async def serve(self, stream: SocketStream) -> None:
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    self.requests.append(await stream.receive())
                    await stream.send(self.answer)
                    if self._closes:
                        return

    async def connect(self, *, buffer_bytes: int = ALL_AT_ONCE, most_bytes: int = LIMIT) -> HTTPConnection:
        return await HTTPConnection.open(
            HOST, self.port, due=within(20), buffer_bytes=buffer_bytes, most_bytes=most_bytes
        )


@asynccontextmanager
async def answering(answer: bytes, *, closes: bool = False) -> AsyncIterator[Server]:
    server = Server(answer, closes)
    async with serving(server.serve) as server.port:
        yield server


async def outcome_of(answer: bytes, buffer_bytes: int, *, closes: bool) -> tuple[Outcome, bool]:
    """What came of a request, and whether the connection can be used again."""
    async with answering(answer, closes=closes) as server:
        connection = await server.connect(buffer_bytes=buffer_bytes, most_bytes=LIMIT)
        outcome: Outcome
        try:
            outcome = await connection.ask(REQUEST, within(20))
        except ConnectionLost as error:  # raised below: a task group would wrap it
            outcome = error
        is_kept = not connection.is_lost
        connection.close()
        await connection.closed
    return outcome, is_kept


async def read(answer: bytes, buffer_bytes: int, *, closes: bool = False) -> tuple[int, bytes, bool]:
    """Status, body, and whether the connection can be used again."""
    outcome, is_kept = await outcome_of(answer, buffer_bytes, closes=closes)
    if isinstance(outcome, ConnectionLost):
        raise outcome
    return outcome.status, outcome.body, is_kept


# Responses

fields = st.lists(
    st.sampled_from(
        [b"date: Wed, 25 Nov 2026 00:00:00 GMT", b"x-amzn-RequestId: 1-2", b"Apigw-Requestid: a:b=", b"x:"]
    ),
    max_size=4,
)
statuses = st.integers(200, 599).filter(lambda status: status not in (204, 304))
bodies = st.binary(max_size=200)
sizes = st.sampled_from([1, 2, 3, 5, 17, 100, ALL_AT_ONCE])
fewer = settings(max_examples=50)  # each has a server of its own


@given(statuses, fields, bodies, sizes, st.booleans())
@fewer
def test_a_response_of_known_length_is_read_from_any_pieces(
    status: int, fields: list[bytes], body: bytes, buffer_bytes: int, has_interim: bool
) -> None:
    data = head(status, *fields, b"Content-LENGTH:  %d " % len(body)) + body
    data = head(103, b"link: </a>", b"content-length: 7") + head(100) + data if has_interim else data
    assert asyncio.run(read(data, buffer_bytes)) == (status, body, True)


@given(statuses, st.lists(bodies.filter(bool), max_size=4), sizes, st.booleans())
@fewer
def test_a_chunked_response_is_read_from_any_pieces(
    status: int, parts: list[bytes], buffer_bytes: int, is_extended: bool
) -> None:
    trailer = b"Expires: never\r\nX: y\r\n"
    rest = chunked(*parts, extension=b';a="b"', trailer=trailer) if is_extended else chunked(*parts)
    data = head(status, b"Transfer-Encoding: Chunked") + rest
    assert asyncio.run(read(data, buffer_bytes)) == (status, b"".join(parts), True)


@given(bodies, sizes)
@fewer
def test_a_response_without_a_length_ends_with_the_connection(body: bytes, buffer_bytes: int) -> None:
    assert asyncio.run(read(head(500) + body, buffer_bytes, closes=True)) == (500, body, False)


@PIECES
@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("fields", [[], [b"content-length: 5"], [CHUNKED]], ids=["plain", "length", "chunked"])
async def test_a_response_that_can_have_no_body_has_none(status: int, fields: list[bytes], buffer_bytes: int) -> None:
    assert await read(head(status, *fields), buffer_bytes) == (status, b"", True)


@PIECES
async def test_headers_are_those_of_the_final_head(buffer_bytes: int) -> None:
    """An interim response and a trailer change none, and of a repeated name the first one counts."""
    data = (
        head(103, b"A: interim")
        + head(200, b"A: 1", b"b:  2 \t", b"a: 3", b"A: 4", CHUNKED)
        + chunked(b"x", trailer=b"a: trailer\r\nc: trailer\r\n")
    )
    async with answering(data) as server:
        connection = await server.connect(buffer_bytes=buffer_bytes)
        for _ in range(2):
            response = await connection.ask(REQUEST)
            assert response.headers == {b"a": b"1", b"b": b"2", b"transfer-encoding": b"chunked"}
        connection.close()


@PIECES
@pytest.mark.parametrize(
    ("data", "is_kept"),
    [
        (head(200, b"content-length: 0", b"Connection: Close"), False),
        (head(200, b"content-length: 0", b"connection: x, close"), False),
        (head(200, b"content-length: 0", b"connection: keep-alive"), True),
        (head(200, b"content-length: 0", b"connection: upgrade", b"upgrade: h2c"), True),
        (head(200, b"content-length: 0", version=b"HTTP/1.0"), False),
        (head(200, b"content-length: 0", b"Connection: Keep-Alive", version=b"HTTP/1.0"), True),
        (head(200, CHUNKED, b"Connection: Keep-Alive", version=b"HTTP/1.0") + chunked(b"a"), False),
        (head(200, CHUNKED, CHUNKED) + chunked(b"a"), True),
        (head(204, version=b"HTTP/1.0"), False),
    ],
)
async def test_a_connection_is_kept_unless_the_response_says_otherwise(
    data: bytes, is_kept: bool, buffer_bytes: int
) -> None:
    assert (await read(data, buffer_bytes))[2] is is_kept


@pytest.mark.parametrize("rest", [b"b", b"HTTP/1.1 4", head(408, b"content-length: 0"), b"\r\n\r\nx"])
@pytest.mark.parametrize(
    "data",
    [
        head(200, b"content-length: 1") + b"a",
        head(200, CHUNKED) + chunked(b"a"),
        head(200, CHUNKED) + chunked(b"a", trailer=b"x: y\r\n"),
        head(200, b"content-length: 1", b"connection: close") + b"a",
    ],
)
async def test_a_connection_with_data_after_the_response_is_not_kept(data: bytes, rest: bytes) -> None:
    assert await read(data + rest, ALL_AT_ONCE) == (200, b"a", False)


async def test_data_after_a_response_does_not_answer_the_next_request() -> None:
    """Even if the next request is sent as soon as the response is there."""
    outcomes: list[Outcome] = []
    is_over = asyncio.Event()

    def receive(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if len(outcomes) == 1:
            connection.send(REQUEST, receive)
        else:
            is_over.set()

    async with answering(OK + OK) as server:
        connection = await server.connect()
        connection.send(REQUEST, receive)
        await is_over.wait()
    assert [type(outcome) for outcome in outcomes] == [HTTPResponse, ConnectionLost]


@PIECES
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK",
        head(103),
        head(200, b"content-length: 3") + b"ab",
        head(200, CHUNKED) + b"3\r\nabc\r\n",
        head(200, CHUNKED) + b"3\r\nabc\r\n0\r\n",
        head(200, CHUNKED, b"transfer-encoding: gzip") + b"ab",
        head(200, b"Transfer-Encoding: chunked", b"transfer-encoding: gzip") + b"ab",
    ],
)
async def test_a_connection_that_ends_too_early_leaves_no_response(data: bytes, buffer_bytes: int) -> None:
    reason = "the connection was closed before the response was complete" if data else "the connection was closed"
    with pytest.raises(ConnectionLost, match=f"^{reason}$"):
        await read(data, buffer_bytes, closes=True)


LONG = b"x" * (LIMIT + 1)


@PIECES
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "Expected HTTP/"),
        (b"HTTP/2 200 OK\r\n\r\n", "Expected dot"),
        (head(200, b"content-length: 0", version=b"HTTP/2.0"), "unsupported HTTP version 2.0"),
        (
            head(200, b"content-length: 0", b"connection: keep-alive", version=b"HTTP/0.9"),
            "unsupported HTTP version 0.9",
        ),
        (b"HTTP/1.1 OK\r\n\r\n", "Invalid status code"),
        (b"HTTP/1.1 20\r\n\r\n", "Invalid status code"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "Invalid response status"),
        (b"HTTP/1.1 099 OK\r\ncontent-length: 0\r\n\r\n", "unexpected status 99"),
        (head(101, b"connection: upgrade", b"upgrade: x"), "unexpected status 101"),
        (head(101) + OK, "unexpected status 101"),
        (head(200, b"content-length: -1"), "Content-Length"),
        (head(200, b"content-length: +1"), "Content-Length"),
        (head(200, b"content-length: ", b"x: y"), "Content-Length"),
        (head(200, b"content-length: 1", b"content-length: 2"), "Content-Length"),
        (head(200, b"content-length: 1, 2"), "Content-Length"),
        (head(200, b"content-length: " + b"9" * 5000), "Content-Length"),
        (head(200, b"content-length: 1", CHUNKED), "Content-Length"),
        (head(200, CHUNKED, b"content-length: 1"), "Content-Length"),
        (head(200, b"transfer-encoding: gzip"), "Transfer-Encoding"),
        (head(200, b"transfer-encoding: "), "Transfer-Encoding"),
        (head(200, b"transfer-encoding: gzip, chunked"), "Transfer-Encoding"),
        (head(200, b"transfer-encoding: chunked, gzip"), "Transfer-Encoding"),
        (head(200, b"transfer-encoding: gzip", CHUNKED), "Transfer-Encoding"),
        (head(200, b"transfer-encoding: gzip", b"Transfer-Encoding: chunked"), "Transfer-Encoding"),
        (head(200, b"a : b"), "header"),
        (head(200, b"a: b", b" c"), "header"),
        (head(200, b"content-length: 65536") + LONG[1:], "65,536"),
        (head(200) + LONG, "65,536"),
        (head(200, b"x: " + LONG), "65,536"),
        (head(100) * 4000, "65,536"),
        (head(200, CHUNKED) + b"1\r\na\r\n10000\r\n" + LONG, "65,536"),
        (head(200, CHUNKED) + b"1;" + LONG, "65,536"),
        (head(200, CHUNKED) + b"0\r\nx: " + LONG, "65,536"),
        (head(200, CHUNKED) + b"xyz\r\n", "chunk size"),
        (head(200, CHUNKED) + b"-1\r\n", "chunk size"),
        (head(200, CHUNKED) + b"1_0\r\n", "chunk size"),
        (head(200, CHUNKED) + b"\r\n", "chunk size"),
        (head(200, CHUNKED) + b"1" * 17 + b"\r\n", "(?i)chunk size"),
        (head(200, CHUNKED) + b"1\r\nabc", "after chunk data"),
    ],
    ids=range(39),
)
async def test_an_invalid_response_is_refused(data: bytes, reason: str, buffer_bytes: int) -> None:
    with pytest.raises(ConnectionLost, match=reason):
        await read(data, buffer_bytes)


@given(st.binary(max_size=60), st.booleans(), st.booleans(), sizes)
@example(b"\xb2\xb3\xb9", True, True, 1)
@fewer
def test_arbitrary_bytes_raise_no_other_error(
    noise: bytes, begins_well: bool, is_chunked: bool, buffer_bytes: int
) -> None:
    data = head(200, CHUNKED if is_chunked else noise) + noise if begins_well else noise
    with suppress(ConnectionLost):
        asyncio.run(read(data, buffer_bytes, closes=True))


async def test_an_error_shows_nothing_of_what_was_sent_and_received() -> None:
    for answer in (b"GET / HTTP/1.1\r\nauthorization: SECRET\r\n\r\n", head(200, b"SECRET: SECRET", b" SECRET")):
        with pytest.raises(ConnectionLost) as caught:
            await read(answer, ALL_AT_ONCE)
        assert "SECRET" not in repr(caught.value)


# Connections


async def test_requests_follow_one_another_on_a_connection() -> None:
    async with answering(OK) as server:
        connection = await server.connect()
        for _ in range(3):
            response = await connection.ask(REQUEST)
            assert (response.status, response.body) == (200, b"OK")
            assert connection.has_answered
        connection.close()
    assert server.requests == [REQUEST] * 3


async def test_a_connection_that_says_something_unasked_is_closed() -> None:
    """Half of a response would be the beginning of the next."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            await stream.send(b"HTTP/1.1 40")
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()

    async with serving(serve) as port:
        connection = await HTTPConnection.open(HOST, port, due=within(20))
        await connection.closed
        assert connection.is_lost
        with pytest.raises(ConnectionLost, match=r"^the connection was closed$"):
            await connection.ask(REQUEST, within(20))
        assert not connection.has_answered


async def test_a_reset_is_told_as_the_system_tells_it() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with await asyncio.start_server(serve, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = await HTTPConnection.open(HOST, port, due=within(20))
        with pytest.raises(ConnectionLost, match="reset by peer"):
            await connection.ask(REQUEST)


async def test_closing_calls_no_receiver_and_aborting_does() -> None:
    outcomes: list[Outcome] = []
    async with answering(b"") as server:
        for end in (HTTPConnection.close, HTTPConnection.abort):
            connection = await server.connect()
            connection.send(REQUEST, outcomes.append)
            end(connection)
            await connection.closed
    assert [str(outcome) for outcome in outcomes] == ["the connection was closed"]


async def test_a_request_that_is_cancelled_closes_the_connection() -> None:
    async with answering(b"HTTP/1.1 2") as server:
        connection = await server.connect()
        asking = asyncio.create_task(connection.ask(REQUEST))
        while not connection.has_answered:
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        with pytest.raises(ConnectionLost):
            await connection.ask(REQUEST)


async def test_a_request_that_is_cancelled_as_its_response_comes_is_cancelled() -> None:
    async with answering(OK) as server:
        connection = await server.connect()
        asking = asyncio.create_task(connection.ask(REQUEST))
        await asyncio.sleep(0)
        asking.cancel()
        connection._settle(HTTPResponse(200, {}, b""))  # before the task has run
        await asyncio.wait([asking])
        assert asking.cancelled()


async def test_a_response_that_does_not_come_in_time_is_an_error() -> None:
    async with answering(OK[:-1]) as server:
        connection = await server.connect()
        due = within(0.05)
        with pytest.raises(TimeoutError, match="nothing was answered in time"):
            await connection.ask(REQUEST, due)
        assert within(0) >= due
        assert connection.is_lost


async def test_each_request_has_its_own_time() -> None:
    async with answering(OK) as server:
        connection = await server.connect()
        await connection.ask(REQUEST, within(20))
        await connection.ask(REQUEST, within(0.05))  # before the time of the last one
        server.answer = b""
        start = within(0)
        with pytest.raises(TimeoutError):
            await connection.ask(REQUEST, within(0.2))  # the timer fires for the last one meanwhile
        assert within(0) >= start + 0.2


async def test_a_timer_that_fires_without_a_request_ends_nothing() -> None:
    async with answering(OK) as server:
        connection = await server.connect()
        await connection.ask(REQUEST, within(0.01))
        await asyncio.sleep(0.05)
        assert (await connection.ask(REQUEST)).status == 200
        connection.close()


async def test_connecting_takes_no_longer_than_it_may() -> None:
    with pytest.raises(TimeoutError):
        await HTTPConnection.open(HOST, 1, due=within(-1))


async def test_a_response_to_a_request_sent_before_is_adopted() -> None:
    async with answering(OK) as server:
        sock = socket.create_connection((HOST, server.port))
        sock.sendall(REQUEST)
        sock.setblocking(False)
        async with asyncio.timeout(20):
            while True:
                try:
                    await asyncio.sleep(0)
                    if sock.recv(1, socket.MSG_PEEK):
                        break
                except BlockingIOError:
                    pass
        connection = await HTTPConnection.adopt(sock)
        await asyncio.sleep(0.01)  # the response is there before anyone waits for it
        assert (await connection.answer()).body == b"OK"
        assert (await connection.ask(REQUEST)).body == b"OK"
        connection.close()


async def test_an_early_answer_to_a_large_request_closes_the_connection() -> None:
    """The server reads the rest as the beginning of the next request, or not at all."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            await stream.receive(100)
            await stream.send(head(413, b"content-length: 0"))
            await anyio.sleep_forever()

    async with serving(serve) as port:
        connection = await HTTPConnection.open(HOST, port, due=within(20))
        response = await connection.ask(b"POST / HTTP/1.1\r\n\r\n" + bytes(2**25), within(20))
        assert response.status == 413
        assert connection.is_lost


@pytest.mark.parametrize("is_read", [True, False], ids=["read", "lost"])
async def test_a_sender_waits_until_its_data_has_gone_out(is_read: bool) -> None:
    size = 2**26  # more than the buffers of any kernel take
    may_go_on = asyncio.Event()
    outcomes: list[Outcome] = []

    async def serve(stream: SocketStream) -> None:
        async with stream:
            await may_go_on.wait()
            received = 0
            while is_read and received < size:
                received += len(await stream.receive())

    async with serving(serve) as port:
        connection = await HTTPConnection.open(HOST, port, due=within(20))
        connection.send(b"POST / HTTP/1.1\r\n\r\n", outcomes.append)
        connection.write(bytes(size))
        draining = asyncio.create_task(connection.drain())
        await asyncio.sleep(0.01)
        assert not draining.done()
        may_go_on.set()
        async with asyncio.timeout(20):
            await draining
            await connection.drain()
            await connection.closed
    assert [type(outcome) for outcome in outcomes] == [ConnectionLost]


# httptools is optional

NEEDED = 'httptools cannot be imported (import of httptools halted; None in sys.modules): pip install "mangum[runtime]"'


def run(code: str, folder: Path) -> list[str]:
    program = f"import sys; sys.path[:0] = [{str(Path(mangum.__file__).parent.parent)!r}, {str(folder)!r}]\n"
    program += "sys.modules['httptools'] = None\n" + dedent(code)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()


@pytest.fixture
def third_party(tmp_path: Path) -> Path:
    info = tmp_path / "their_store-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-store\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mangum.backends]\ntheirs = their_store:Theirs\n")
    (tmp_path / "their_store.py").write_text("class Theirs:\n    pass\n")
    return tmp_path


@pytest.mark.parametrize("dsn", ["sqlite://:memory:", "redis://host", "theirs://name"])
def test_a_dsn_without_httptools_names_the_extra(dsn: str, third_party: Path) -> None:
    code = f"""
        from mangum import Mangum
        from mangum.exceptions import ConfigurationError
        for _ in range(2):
            try:
                Mangum(lambda scope, receive, send: None, dsn={dsn!r})
            except ConfigurationError as error:
                print(error)
    """
    assert run(code, third_party) == [f"WebSocket connections (`dsn`) need httptools: {NEEDED}"] * 2


def test_an_adapter_without_a_dsn_needs_no_httptools(tmp_path: Path) -> None:
    code = """
        import mangum.local.gateway
        from mangum import Mangum
        print(Mangum(lambda scope, receive, send: None).config.dsn)
    """
    assert run(code, tmp_path) == ["None"]


def test_the_runtime_without_httptools_names_the_extra(tmp_path: Path) -> None:
    code = """
        try:
            import mangum.runtime.main
        except ImportError as error:
            print(error.name, error)
    """
    assert run(code, tmp_path) == [f"httptools {NEEDED}"]
