"""HTTP connections to one server, kept for the next request: posting is many small requests to the same server.

A general client takes several times the CPU for a request. This one has no redirects, no proxies (`HTTP_PROXY` and the
like are ignored), no cookies, no compression and no streaming.
"""

from __future__ import annotations

import asyncio
import ssl
import time

from mangum.exceptions import ConfigurationError

try:
    from mangum.core.http1 import HTTPConnection, HTTPResponse
except ImportError as _error:
    # The adapter imports this module for every `dsn`, before the store's own: SQLite and third-party stores are checked
    # too. They have no extra of their own, so the message names `runtime`, which installs httptools and nothing else.
    raise ConfigurationError(f"WebSocket connections (`dsn`) need httptools: {_error}") from _error

__all__ = ["Pool", "Unreached"]

_MOST_BYTES = 256 * 1024  # of a response with its head and the framing of its chunks
_BUFFER_BYTES = 4 * 1024  # responses are small, and there may be many connections
_CLOSE_S = 1.0
# Measured with the wall clock, because the loop's clock may stop in a freeze. Servers and proxies close a connection
# that is idle for a minute or more, some of them silently.
_MOST_IDLE_S = 20.0


class Unreached(Exception):
    """No connection could be opened, so nothing has been sent. The cause says why."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Pool:
    """Connections to one server, opened when they are needed and kept for the next request. Belongs to the running
    event loop."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, *, most: int) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._turns = asyncio.Semaphore(most)
        self._idle: list[tuple[HTTPConnection, float]] = []  # and since when; the last one used is used next
        self._connections: set[HTTPConnection] = set()
        self._is_closed = False

    async def request(self, request: bytes, *, due: float, limit_s: float, on_new: bool = False) -> HTTPResponse:
        """Send a request, given as bytes, and get its response: by `due`, in the loop's time, and in `limit_s` seconds
        once it has its turn. If a kept connection turns out to be dead, the request is sent again on a new one.
        `on_new` uses no kept connection, so that the request is sent once.

        Raises:
            Unreached: no connection could be opened.
            OSError: the server does not answer in time (`TimeoutError`), or ends the connection.
        """
        if self._turns.locked():
            async with asyncio.timeout_at(due):
                await self._turns.acquire()
        else:
            await self._turns.acquire()
        try:
            return await self._exchange(request, min(due, self._loop.time() + limit_s), on_new)
        finally:
            self._turns.release()

    async def close(self) -> None:
        """Close all connections. Requests under way fail."""
        closed = self.abort()
        if closed:
            await asyncio.wait(closed, timeout=_CLOSE_S)

    def abort(self) -> list[asyncio.Future[None]]:
        """The same without waiting. Returns what is done when the connections are closed."""
        self._is_closed = True
        closed = [connection.closed for connection in self._connections]
        for connection in self._connections:
            connection.abort()
        return closed

    async def _exchange(self, request: bytes, due: float, on_new: bool) -> HTTPResponse:
        kept = self._take_idle()
        if on_new and kept is not None:  # in whose place the new one comes
            kept.abort()
            kept = None
        if kept is not None:
            try:
                response = await kept.ask(request, due)
            except OSError as error:
                self._drop_idle()
                if isinstance(error, TimeoutError) or kept.has_answered:
                    raise
            else:
                self._keep(kept)
                return response
        try:
            fresh = await self._connect(due)
        except OSError as error:
            if kept is not None:  # the server may have the request
                raise
            raise Unreached(error) from error
        response = await fresh.ask(request, due)
        self._keep(fresh)
        return response

    async def _connect(self, due: float) -> HTTPConnection:
        connection = await HTTPConnection.open(
            self._host, self._port, due=due, tls=self._tls, buffer_bytes=_BUFFER_BYTES, most_bytes=_MOST_BYTES
        )
        self._connections.add(connection)
        connection.closed.add_done_callback(lambda _: self._connections.discard(connection))
        if self._is_closed:
            connection.abort()
            raise ConnectionAbortedError("the connections were closed")
        return connection

    def _take_idle(self) -> HTTPConnection | None:
        while self._idle:
            connection, since = self._idle.pop()
            if time.time() - since > _MOST_IDLE_S:
                connection.abort()
            elif not connection.is_lost:
                return connection
        return None

    def _keep(self, connection: HTTPConnection) -> None:
        if not connection.is_lost:
            self._idle.append((connection, time.time()))

    def _drop_idle(self) -> None:
        """Close the idle connections: what happened to one has usually happened to all."""
        for connection, _ in self._idle:
            connection.abort()
        self._idle.clear()
