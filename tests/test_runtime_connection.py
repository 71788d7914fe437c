"""The client's side of a connection to the Runtime API."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from mangum.runtime.api import host_and_port
from mangum.runtime.connection import Connection, ConnectionLost

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"


async def test_whoever_asked_has_gone() -> None:
    """The answer is nobody's, and no error."""
    asked, may_answer, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            asked.set()
            await may_answer.wait()
            writer.write(OK)

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(quietly, "127.0.0.1", 0) as server:
        connection = await Connection.open(*server.sockets[0].getsockname())
        request = b"GET / HTTP/1.1\r\n\r\n"
        asking = asyncio.ensure_future(connection.ask(request))
        await asked.wait()
        asking.cancel()
        await asyncio.wait([asking])
        may_answer.set()
        async with asyncio.timeout(20):
            while connection._receive is not None:
                await asyncio.sleep(0)
        assert (await connection.ask(request)).body == b"OK"
        connection.close()
        with pytest.raises(ConnectionLost):
            await connection.ask(request)
        await ended.wait()


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1:9001", ("127.0.0.1", 9001)), ("[::1]:80", ("::1", 80)), (":9001", ("127.0.0.1", 9001))],
)
def test_addresses(address: str, expected: tuple[str, int]) -> None:
    assert host_and_port(address) == expected
