"""A TCP proxy whose connections break as they do in the world: cut off, or gone silent, as after a freeze."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.from_thread import BlockingPortal, start_blocking_portal

from tests.servers import HOST

__all__ = ["Proxy", "proxy_to"]


class Proxy:
    """Connections to `port` are forwarded to a port of a server. Its methods are called from any other thread."""

    def __init__(self, portal: BlockingPortal, target: int) -> None:
        self.port = 0
        self.accepted = 0  # connections, ever
        self._portal = portal
        self._target = target
        self._connections: set[_Connection] = set()
        self._answers = True

    def cut(self) -> None:
        """Close all connections, from both sides. New ones work."""
        self._portal.call(self._set, True, _Connection.cut)

    def freeze(self) -> None:
        """Make all connections silent: they stay, and nothing goes through any more. New ones work."""
        self._portal.call(self._set, True, _Connection.freeze)

    def silence(self) -> None:
        """Make all connections silent, and those that are yet to come."""
        self._portal.call(self._set, False, _Connection.freeze)

    def _set(self, answers: bool, fate: Callable[[_Connection], None]) -> None:
        self._answers = answers
        for connection in self._connections:
            fate(connection)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        async with await anyio.create_tcp_listener(local_host=HOST) as listener, anyio.create_task_group() as tasks:
            self.port = listener.extra(SocketAttribute.local_port)
            tasks.start_soon(listener.serve, self._serve)
            yield self
            tasks.cancel_scope.cancel()

    async def _serve(self, client: SocketStream) -> None:
        self.accepted += 1
        connection = _Connection(is_silent=not self._answers)
        self._connections.add(connection)
        try:
            await connection.serve(client, self._target)
        finally:
            self._connections.discard(connection)


class _Connection:
    def __init__(self, *, is_silent: bool) -> None:
        self._is_silent = is_silent
        self._scope = anyio.CancelScope()

    def cut(self) -> None:
        self._scope.cancel()

    def freeze(self) -> None:
        self._is_silent = True

    async def serve(self, client: SocketStream, target: int) -> None:
        with self._scope:
            async with client:
                if self._is_silent:
                    await anyio.sleep_forever()
                try:
                    server = await anyio.connect_tcp(HOST, target)
                except OSError:
                    return
                async with server, anyio.create_task_group() as both_ways:
                    both_ways.start_soon(self._pass_on, client, server)
                    both_ways.start_soon(self._pass_on, server, client)

    async def _pass_on(self, source: SocketStream, sink: SocketStream) -> None:
        try:
            async for data in source:
                if self._is_silent:
                    break
                await sink.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        if self._is_silent:
            await anyio.sleep_forever()
        self.cut()


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """A proxy to a port of 127.0.0.1, which runs in a thread."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Proxy(portal, port).running()) as proxy:
        yield proxy
