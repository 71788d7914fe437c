"""When is an event over? When the application waits for a message, and nothing of its has anything else to wait for."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest

from mangum import Mangum
from mangum.core.loop import WarmLoop
from mangum.types import Receive, Scope, Send
from tests.servers.connections import ConnectionsEndpoint
from tests.websocket_client import Client

Work = Callable[[], Awaitable[object]]


class ReaderAndWriter:
    """One task receives, another does `work` before its greeting and before each answer."""

    def __init__(self, work: Work, *beside: Work) -> None:
        self._work = work
        self._beside = beside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()

        async def read() -> None:
            while (message := await receive())["type"] == "websocket.receive":
                await queue.put(message["text"])
            raise asyncio.CancelledError

        async def write() -> None:
            await self._work()
            await send({"type": "websocket.send", "text": "greeting"})
            while text := await queue.get():
                await self._work()
                await send({"type": "websocket.send", "text": text})

        await receive()
        await send({"type": "websocket.accept"})
        tasks = [asyncio.ensure_future(task) for task in (read(), write(), *(work() for work in self._beside))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(autouse=True, params=[True, False], ids=["a loop that tells", "another"])
def loop_tells(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the event loop tells what is ready, as asyncio's do and uvloop does not."""
    if not request.param:
        monkeypatch.setattr(WarmLoop, "idle_selector", lambda loop: None)


@pytest.fixture
def endpoint() -> Iterator[ConnectionsEndpoint]:
    with ConnectionsEndpoint() as running:
        yield running


@contextlib.contextmanager
def visiting(app: Any, endpoint: ConnectionsEndpoint) -> Iterator[Client]:
    url = endpoint.url
    with Mangum(app, lifespan="off", dsn="sqlite://:memory:", api_gateway_endpoint_url=url) as handler:
        yield Client(handler, endpoint)


async def ask_a_server() -> None:
    """A round trip over a socket, whose answer takes its time."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for end in (ours, theirs):
            end.setblocking(False)
        timer = loop.call_later(0.02, theirs.send, b"answer")
        assert await loop.sock_recv(ours, 10) == b"answer"
        timer.cancel()


async def ask_in_a_thread() -> None:
    await anyio.to_thread.run_sync(lambda: socket.gethostbyname("127.0.0.1"))


async def ask_with_a_limit() -> None:
    await asyncio.wait_for(ask_a_server(), 10)


async def ask_many() -> None:
    await asyncio.gather(ask_a_server(), ask_a_server())


async def ask_in_turn() -> None:
    async for _ in steps():
        pass


async def steps() -> AsyncIterator[int]:
    for step in range(2):
        await ask_a_server()
        yield step


@pytest.mark.parametrize(
    "work",
    [ask_a_server, ask_in_a_thread, ask_with_a_limit, ask_many, ask_in_turn, lambda: asyncio.sleep(0.02)],
    ids=["socket", "thread", "wait_for", "gather", "asynchronous generator", "timer"],
)
def test_who_asks_somebody_else_is_waited_for(work: Work, endpoint: ConnectionsEndpoint) -> None:
    with visiting(ReaderAndWriter(work), endpoint) as client:
        assert [client.connect(), client.send("a"), client.send("b")] == [200, 200, 200]
        assert client.received == ["greeting", "a", "b"]
        client.disconnect()


async def sleep_long() -> None:
    while True:
        await asyncio.sleep(30)


async def wait_for_an_event() -> None:
    await asyncio.Event().wait()


async def wait_for_an_item() -> None:
    source, sink = anyio.create_memory_object_stream[int](1)
    with source, sink:
        await sink.receive()


async def wait_in_a_generator() -> None:
    async def items() -> AsyncIterator[int]:
        yield await asyncio.Queue[int]().get()

    async for _ in items():
        pass


async def wait_for_a_group() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.Event().wait)


async def wait_for_a_task() -> None:
    await asyncio.ensure_future(wait_for_an_event())


@pytest.mark.parametrize(
    "beside",
    [sleep_long, wait_for_an_event, wait_for_an_item, wait_in_a_generator, wait_for_a_group, wait_for_a_task],
)
def test_who_waits_for_the_application_itself_is_not(
    beside: Work, endpoint: ConnectionsEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    with visiting(ReaderAndWriter(ask_a_server, beside), endpoint) as client:
        assert [client.connect(), client.send("a")] == [200, 200]
        assert client.received == ["greeting", "a"]
        client.disconnect()
    assert "The event ends while" not in caplog.text


async def subscribe() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        await asyncio.get_running_loop().sock_recv(ours, 10)


async def beat() -> None:
    while True:
        await asyncio.sleep(0.01)


def test_nobody_is_waited_for_for_ever(
    endpoint: ConnectionsEndpoint, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mangum.websocket.idle._PATIENCE_S", 0.3)
    with visiting(ReaderAndWriter(ask_a_server, subscribe), endpoint) as client:
        assert [client.connect(), client.send("a")] == [200, 200]
        assert client.received == ["greeting", "a"]
        client.disconnect()
    assert "waits for something else than a message: BaseSelectorEventLoop.sock_recv." in caplog.text


def test_a_heartbeat_is_not_waited_for(
    endpoint: ConnectionsEndpoint, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mangum.websocket.idle._PATIENCE_WITH_TIMERS_S", 0.1)
    with visiting(ReaderAndWriter(ask_a_server, beat), endpoint) as client:
        assert [client.connect(), client.send("a")] == [200, 200]
        assert client.received == ["greeting", "a"]
        client.disconnect()
    assert "The event ends while" not in caplog.text


def test_one_that_ends_while_another_is_waited_for(endpoint: ConnectionsEndpoint) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        reader = asyncio.ensure_future(receive())
        strays.append(asyncio.ensure_future(subscribe()))
        await ask_a_server()
        reader.cancel()

    async def end_strays() -> None:
        strays[0].cancel()
        await asyncio.wait(strays)

    strays: list[asyncio.Future[None]] = []
    with visiting(app, endpoint) as client:
        assert client.connect() == 403
        client.handler.run(end_strays)
