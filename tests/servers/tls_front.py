"""TLS in front of a server that has none."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import trustme
from anyio.abc import ByteStream, SocketAttribute
from anyio.from_thread import start_blocking_portal
from anyio.streams.tls import TLSListener

from tests.servers import HOST

__all__ = ["TLSFront", "tls_front"]


class TLSFront:
    """A listener that ends TLS, and hands the connections on to a port of a server."""

    def __init__(self, certificate: trustme.LeafCert) -> None:
        self.port = 0
        self.target = 0
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(self._context)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[TLSFront]:
        tcp = await anyio.create_tcp_listener(local_host=HOST)
        listener = TLSListener(tcp, self._context, standard_compatible=False)
        async with listener, anyio.create_task_group() as tasks:
            self.port = tcp.extra(SocketAttribute.local_port)
            tasks.start_soon(listener.serve, self._serve)
            yield self
            tasks.cancel_scope.cancel()

    async def _serve(self, client: ByteStream) -> None:
        async with client:
            try:
                server = await anyio.connect_tcp(HOST, self.target)
            except OSError:
                return
            async with server, anyio.create_task_group() as both_ways:
                for source, sink in ((client, server), (server, client)):
                    both_ways.start_soon(self._pass_on, source, sink, both_ways.cancel_scope)

    async def _pass_on(self, source: ByteStream, sink: ByteStream, scope: anyio.CancelScope) -> None:
        try:
            async for data in source:
                await sink.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):  # the last in a TLS `send`
            pass
        scope.cancel()


@contextmanager
def tls_front(folder: Path) -> Iterator[tuple[TLSFront, Path]]:
    """One with a certificate of an authority of its own, and the file of that."""
    authority = trustme.CA()
    path = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    front = TLSFront(authority.issue_cert(HOST))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(front.running()):
        yield front, path
