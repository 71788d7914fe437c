"""HTTP/1.1 as a runtime speaks it: one connection on loopback, one request at a time, and answers that take hours."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TypeAlias, cast

try:
    import httptools
except ImportError as error:
    raise ImportError('mangum.runtime needs httptools: pip install "mangum[runtime]"') from error

__all__ = ["Connection", "ConnectionLost", "Outcome", "Response"]

_CONNECT_S = 5.0
# asyncio makes a buffer of 256 KiB for each answer that it reads, where it is not given one. Most events fit into this.
_BUFFER_BYTES = 64 * 1024
# Of what is sent and has not gone out: the application waits when there is more, until half of it has.
_UNSENT_BYTES = 256 * 1024


class ConnectionLost(ConnectionError):
    """The connection has ended before the answer to a request was there, or with something that is no HTTP."""


class Response:
    """What the other side has answered. Names of headers are in lower case."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


Outcome: TypeAlias = Response | ConnectionLost


class Connection(asyncio.BufferedProtocol):
    """The client's side of a connection, from `open` until `close` or until it `is_lost`."""

    def __init__(self) -> None:
        self.is_lost = False
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._fields: dict[bytes, bytes] = {}  # of the answer's head
        self.on_header = self._fields.__setitem__  # what the parser calls: a method of ours would take 3 % of an event
        self._parser = httptools.HttpResponseParser(self)
        self._chunks: list[bytes] = []
        self._receive: Callable[[Outcome], None] | None = None  # for the request that is under way
        self._is_paused = False
        self._resumed: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport

    @classmethod
    async def open(cls, host: str, port: int) -> Connection:
        """Connect.

        Raises:
            OSError: nobody listens there.
            TimeoutError: it took too long.
        """
        async with asyncio.timeout(_CONNECT_S):
            _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    @classmethod
    async def adopt(cls, sock: socket.socket) -> Connection:
        """Take over a socket that is connected."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, sock=sock)
        return connection

    def send(self, request: bytes, receive: Callable[[Outcome], None]) -> None:
        """Send a request, or the beginning of one. `receive` gets its answer, once, whenever that comes: a task that
        waits for it would take as long as all the rest."""
        self._receive = receive
        if self.is_lost:
            self._hand_over(ConnectionLost("the connection was closed by the other side"))
        else:
            self._transport.write(request)

    async def ask(self, request: bytes) -> Response:
        """Send a request, and wait for its answer.

        Raises:
            ConnectionLost: there is none.
        """
        answer: asyncio.Future[Outcome] = self._loop.create_future()

        def receive(outcome: Outcome) -> None:
            if not answer.done():
                answer.set_result(outcome)

        self.send(request, receive)
        outcome = await answer
        if isinstance(outcome, ConnectionLost):
            raise outcome
        return outcome

    def write(self, data: bytes) -> None:
        """Send more of a request's body. `drain` waits where it does not go out as fast."""
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the other side has taken most of what was sent, or is not there any more. Others get to run: who
        sends on and on would not hear that nobody is there."""
        await asyncio.sleep(0)
        while self._is_paused and not self.is_lost:
            self._resumed = self._loop.create_future()
            await self._resumed

    def close(self) -> None:
        """End it, at once. Nothing is received any more."""
        self._receive = None
        self._lose("it was closed")
        self._transport.abort()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(_UNSENT_BYTES)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        try:
            self._parser.feed_data(self._buffer[:nbytes])
        except httptools.HttpParserError as error:
            self._lose(f"what came is no HTTP: {error}")
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._lose("it was closed by the other side" if error is None else str(error))

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._wake()

    # What the parser calls

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        headers = {name.lower(): value for name, value in self._fields.items()}
        self._fields.clear()
        chunks, self._chunks = self._chunks, []
        parser = self._parser
        response = Response(parser.get_status_code(), headers, chunks[0] if len(chunks) == 1 else b"".join(chunks))
        if not parser.should_keep_alive():
            self.is_lost = True
        if self._receive is None:
            self._lose("an answer came that nobody had asked for")
            self._transport.abort()
        else:
            self._hand_over(response)

    def _hand_over(self, outcome: Outcome) -> None:
        receive, self._receive = self._receive, None
        if receive is not None:
            receive(outcome)

    def _lose(self, reason: str) -> None:
        self.is_lost = True
        self._wake()
        self._hand_over(ConnectionLost(f"the connection broke: {reason}"))

    def _wake(self) -> None:
        if self._resumed is not None and not self._resumed.done():
            self._resumed.set_result(None)
