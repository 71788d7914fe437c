"""The client's side of an HTTP/1.1 connection, for the Lambda Runtime API and for `@connections` (RFC 9112).

httptools parses. It wraps llhttp, which is stricter than the RFC asks of a client in most respects. What it accepts and
a client must not is refused here: other versions of HTTP, transfer codings that nobody asked for, invalid statuses,
trailers that repeat a header, a switch of protocols, and bytes that follow a response.

Only code that needs a connection imports this module: httptools is optional.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import Callable
from functools import partial
from typing import TypeAlias, cast

from mangum.core.deadline import StandingTimer

try:
    import httptools
except ImportError as _error:  # also if its compiled part is for another platform
    raise ImportError(
        f'httptools cannot be imported ({_error}): pip install "mangum[runtime]"', name="httptools"
    ) from _error

__all__ = ["ConnectionLost", "HTTPConnection", "HTTPResponse", "Outcome"]

# asyncio would allocate a larger buffer for each read. Most events of Lambda fit into this one.
_BUFFER_BYTES = 64 * 1024
# A sender waits while more than this is unsent, until half of it has gone out.
_UNSENT_BYTES = 256 * 1024

_VERSIONS = ("1.0", "1.1")
_SWITCHING_PROTOCOLS = 101


class ConnectionLost(ConnectionError):
    """The connection ended before the response was complete, or the server sent an invalid response."""


class HTTPResponse:
    """A complete response. Names of headers are in lower case; a repeated header has its first value."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        self.status: int = status
        self.headers: dict[bytes, bytes] = headers
        self.body: bytes = body


Outcome: TypeAlias = HTTPResponse | ConnectionLost


class _Refused(Exception):
    """Raised in a callback of the parser to stop it."""


class HTTPConnection(asyncio.BufferedProtocol):
    """A connection that takes one request at a time, from `open` or `adopt` until it `is_lost`."""

    def __init__(self, *, buffer_bytes: int = _BUFFER_BYTES, most_bytes: int = sys.maxsize) -> None:
        """A response of more than `most_bytes`, with its head, is refused."""
        self.is_lost: bool = False  # no request can be sent any more
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport  # set by asyncio before anything else happens
        self._is_paused = False
        self._resumed: asyncio.Future[None] | None = None
        # The request under way
        self.has_answered: bool = False  # whether anything of the response has arrived
        self._receive: Callable[[Outcome], None] | None = None
        self._answer: asyncio.Future[HTTPResponse | OSError] | None = None  # of `ask`
        self._due = 0.0  # in the loop's time
        self._timer = StandingTimer(self._loop, self._wake)
        # The response so far
        self._buffer = memoryview(bytearray(buffer_bytes))
        self._most_bytes = most_bytes
        self._received = 0
        self._fields: dict[bytes, bytes] = {}
        self._chunks: list[bytes] = []
        self._headers: dict[bytes, bytes] | None = None  # once the head is complete
        self._keeps_alive = False
        self._response: HTTPResponse | None = None
        # The parser calls these two most often. Methods of dict and list save a frame of Python for each call.
        self.on_header: Callable[[bytes, bytes], bytes] = self._fields.setdefault
        self.on_body: Callable[[bytes], None] = self._chunks.append
        self._parser = httptools.HttpResponseParser(self)

    @classmethod
    async def open(
        cls,
        host: str,
        port: int,
        *,
        due: float,
        tls: ssl.SSLContext | None = None,
        buffer_bytes: int = _BUFFER_BYTES,
        most_bytes: int = sys.maxsize,
    ) -> HTTPConnection:
        """Connect by `due`, in the loop's time.

        Raises:
            OSError: the server cannot be reached, or its certificate is not trusted.
            TimeoutError: connecting took too long.
        """
        create = partial(cls, buffer_bytes=buffer_bytes, most_bytes=most_bytes)
        async with asyncio.timeout_at(due):
            _, connection = await asyncio.get_running_loop().create_connection(create, host, port, ssl=tls)
        return connection

    @classmethod
    async def adopt(cls, sock: socket.socket) -> HTTPConnection:
        """Take over a connected socket on which a request has been sent; `answer` waits for the response."""
        connection = cls()
        connection._expect()
        connection._receive = connection._settle
        await asyncio.get_running_loop().create_connection(lambda: connection, sock=sock)
        return connection

    # Sending

    def send(self, request: bytes, receive: Callable[[Outcome], None]) -> None:
        """Send a request, or its beginning, and call `receive` once with the outcome.

        A callback takes half the time of a task that waits.
        """
        self._receive = receive
        self.has_answered = False
        self._received = 0
        if self.is_lost:  # the transport would drop the request silently
            self._hand_over(ConnectionLost("the connection was closed"))
        else:
            self._transport.write(request)

    async def ask(self, request: bytes, due: float | None = None) -> HTTPResponse:
        """Send a request and wait for the response, until `due` in the loop's time.

        If this fails or is cancelled, the connection is closed: a late response would answer the next request.

        Raises:
            ConnectionLost: there is no response.
            TimeoutError: the response was not complete in time.
        """
        self._expect()
        self.send(request, self._settle)
        return await self.answer(due)

    async def answer(self, due: float | None = None) -> HTTPResponse:
        """Wait for the response as `ask` does."""
        assert self._answer is not None
        if due is not None:
            self._watch(due)
        try:
            outcome = await self._answer
            if isinstance(outcome, OSError):
                raise outcome
        except BaseException:
            self.close()
            raise
        finally:
            self._answer = None
        return outcome

    def write(self, data: bytes) -> None:
        """Send more of a request's body. `drain` waits while it goes out slowly."""
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait until most of what was written has been sent, or the connection is lost.

        Always yields to the loop, so that a task that never stops sending still notices that the connection was lost.
        """
        await asyncio.sleep(0)
        while self._is_paused and not self.is_lost:
            self._resumed = self._loop.create_future()
            await self._resumed

    def close(self) -> None:
        """Close the connection at once, and call no `receive` any more."""
        self._receive = None
        self.abort()

    def abort(self) -> None:
        """Close the connection at once. A request under way fails."""
        self._lose()
        self._transport.abort()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(_UNSENT_BYTES)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._receive is None:
            # RFC 9112, section 9.2. Waiting for more could make it the response to the next request.
            self.abort()
            return
        self.has_answered = True
        self._received += nbytes
        if self._received > self._most_bytes:
            self._fail(f"the response has more than {self._most_bytes:,} bytes")
            return
        try:
            self._parser.feed_data(self._buffer[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self._response is None:
                # httptools wraps what a callback raises, and shows it as the context only.
                self._fail(f"invalid HTTP/1.1 response: {error.__context__ or error}")
                return
            self._keeps_alive = False
        # Not in the callback of the parser: `receive` may send the next request, which these bytes do not answer.
        if self._response is not None:
            self._finish(self._response)

    def eof_received(self) -> None:
        headers = self._headers
        if headers is not None and b"content-length" not in headers and b"transfer-encoding" not in headers:
            # httptools has no call for the end of the input, where such a response is complete.
            self.on_message_complete()
            self._finish(cast("HTTPResponse", self._response))
        self._lose()

    def connection_lost(self, error: Exception | None) -> None:
        self._lose()
        reason = str(error or "") or "the connection was closed"
        self._hand_over(ConnectionLost(f"{reason} before the response was complete" if self.has_answered else reason))
        self.closed.set_result(None)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._resume()

    # What the parser calls

    def on_message_begin(self) -> None:
        if self._response is not None:
            raise _Refused("data after the response")

    def on_headers_complete(self) -> None:
        parser, fields = self._parser, self._fields
        status = parser.get_status_code()
        if status < 200:
            fields.clear()
            if status < 100 or status == _SWITCHING_PROTOCOLS:
                raise _Refused(f"unexpected status {status}")
            return  # an interim response; the final one follows
        # Reversed, so that the first one counts of names that differ in case, as it does of names that are the same.
        headers = self._headers = {name.lower(): value.rstrip() for name, value in reversed(fields.items())}
        fields.clear()  # for trailers, which must not replace headers
        self._keeps_alive = parser.should_keep_alive()
        # Of the other versions, only a Connection header makes one keep alive.
        if not self._keeps_alive or b"connection" in headers or b"transfer-encoding" in headers:
            self._check(headers)

    def on_message_complete(self) -> None:
        if self._headers is None:
            return
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._response = HTTPResponse(self._parser.get_status_code(), self._headers, body)
        self._headers = None
        chunks.clear()
        self._fields.clear()

    def _check(self, headers: dict[bytes, bytes]) -> None:
        version = self._parser.get_http_version()
        if version not in _VERSIONS:
            raise _Refused(f"unsupported HTTP version {version}")
        coding = headers.get(b"transfer-encoding")
        if coding is None:
            return
        if coding.lower() != b"chunked":
            raise _Refused("unsupported Transfer-Encoding")
        if version == "1.0":  # RFC 9112, section 6.1: its framing is not to be trusted
            self._keeps_alive = False

    # The end of a request

    def _finish(self, response: HTTPResponse) -> None:
        self._response = None
        # The unsent rest of a request that was answered early would be taken for the beginning of the next.
        if not self._keeps_alive or self._transport.get_write_buffer_size():
            self.abort()
        self._hand_over(response)

    def _fail(self, reason: str) -> None:
        self.abort()
        self._hand_over(ConnectionLost(reason))

    def _hand_over(self, outcome: Outcome) -> None:
        receive, self._receive = self._receive, None
        if receive is not None:
            receive(outcome)

    def _lose(self) -> None:
        self.is_lost = True
        self._timer.cancel()
        self._resume()

    def _resume(self) -> None:
        if self._resumed is not None and not self._resumed.done():
            self._resumed.set_result(None)

    # What `ask` waits for

    def _expect(self) -> None:
        self._answer = self._loop.create_future()

    def _settle(self, outcome: HTTPResponse | OSError) -> None:
        # Not as an exception of the future: if the task is cancelled now, asyncio would report it as never retrieved.
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(outcome)

    def _watch(self, due: float) -> None:
        self._due = due
        if due < self._timer.armed_for and not self.is_lost:
            self._timer.arm(due)

    def _wake(self) -> None:
        if self._answer is None:
            return
        if self._loop.time() >= self._due:
            self._settle(TimeoutError("nothing was answered in time"))
        else:
            self._timer.arm(self._due)
