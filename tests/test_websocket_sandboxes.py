"""WebSockets over the whole way: sandboxes that share a store, freezes, and what fails around them."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from uuid import uuid4

import pytest

from mangum import Mangum
from mangum.exceptions import BackendError, ConnectionGone, ConnectionsError, MessageTooLarge
from mangum.types import Receive, Scope, Send
from mangum.websocket.connections import BroadcastResult
from tests.apps import Context
from tests.servers import Server
from tests.servers.connections import CUT, SILENCE, ConnectionsEndpoint, Script
from tests.servers.proxy import Proxy, proxy_to
from tests.websocket_client import Client, connect_event, disconnect_event, message_event, serving
from tests.websocket_sandbox import Sandbox

DEAD_CONNECTION_S = 3.0
DOWN_S = 10.0


def received(endpoint: ConnectionsEndpoint, connection_id: str) -> list[str]:
    return [message.decode() for message in endpoint.posts[connection_id]]


@contextmanager
def within(limit_s: float) -> Iterator[None]:
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < limit_s


# Sandboxes that share a store


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def sandboxes(request: pytest.FixtureRequest, endpoint: ConnectionsEndpoint) -> Iterator[list[Sandbox]]:
    dsn = request.getfixturevalue(f"{request.param}_dsn")
    room = uuid4().hex
    with ExitStack() as processes:
        yield [processes.enter_context(Sandbox(name, dsn, endpoint.url, room)) for name in ("one", "two")]


def test_one_conversation_in_two_sandboxes(sandboxes: list[Sandbox], endpoint: ConnectionsEndpoint) -> None:
    one, two = sandboxes
    ann, bob = f"ann-{uuid4().hex}=", f"bob-{uuid4().hex}="
    assert one.invoke(connect_event(ann)) == 200
    assert two.invoke(connect_event(bob)) == 200
    assert two.invoke(message_event(ann, "hello")) == 200
    assert one.invoke(message_event(bob, "hi")) == 200
    assert received(endpoint, ann) == ["welcome", "enjoy", "hello by two"]
    assert received(endpoint, bob) == ["welcome", "enjoy", "hi by one"]

    assert one.invoke(message_event(ann, "all: good morning")) == 200
    assert two.invoke(message_event(bob, "all: good night")) == 200
    for client in (ann, bob):
        assert received(endpoint, client)[3:] == ["all: good morning", "all: good night"]

    assert two.invoke(disconnect_event(ann)) == 200
    assert one.invoke(disconnect_event(ann)) == 200
    assert received(endpoint, bob)[5:] == [f"{ann} left"]
    assert one.invoke(message_event(ann, "late")) == 410


def test_two_first_messages_at_once(sandboxes: list[Sandbox], endpoint: ConnectionsEndpoint) -> None:
    one, two = sandboxes
    for turn in range(10):
        client = f"{turn}-{uuid4().hex}"
        assert sandboxes[turn % 2].invoke(connect_event(client)) == 200
        for sandbox in sandboxes:
            sandbox.begin(message_event(client, "x"))
        assert [one.answer(), two.answer()] == [200, 200]
        texts = received(endpoint, client)
        assert sorted(texts) == ["enjoy", "welcome", "x by one", "x by two"]
        assert texts.index("welcome") < texts.index("enjoy")


# A freeze


@pytest.fixture(params=["postgresql", "redis"])
def server(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[Server]:
    """A server, of which no log may tell the password."""
    found: Server = request.getfixturevalue(f"{request.param}_server")
    caplog.set_level(logging.DEBUG)
    yield found
    assert found.password is not None
    assert found.password not in caplog.text


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with proxy_to(server.port) as proxy:
        yield proxy


@pytest.mark.parametrize("fate", ["cut", "freeze"])
def test_a_sandbox_is_frozen_for_long(server: Server, proxy: Proxy, fate: str, endpoint: ConnectionsEndpoint) -> None:
    """So long that API Gateway has closed its connections, and those to the store are closed or forgotten."""
    client = uuid4().hex
    with Sandbox("one", server.dsn(proxy.port), endpoint.url, uuid4().hex) as sandbox:
        assert sandbox.invoke(connect_event(client)) == 200
        assert sandbox.invoke(message_event(client, "before")) == 200
        for text in ("after", "after another"):
            sandbox.freeze()
            endpoint.cut()
            endpoint.wait_until(lambda endpoint: endpoint.open_connections == 0)
            getattr(proxy, fate)()
            sandbox.thaw()
            with within(DEAD_CONNECTION_S):
                assert sandbox.invoke(message_event(client, text)) == 200
    assert received(endpoint, client)[2:] == ["before by one", "after by one", "after another by one"]


def test_a_sandbox_is_frozen_for_longer_than_a_pool_keeps_a_connection(
    postgresql_dsn: str, endpoint: ConnectionsEndpoint
) -> None:
    client = uuid4().hex
    endpoint.keep_alive_s = 0.2
    dsn = f"{postgresql_dsn}?max_inactive_connection_lifetime=0.1"
    with Sandbox("one", dsn, endpoint.url, uuid4().hex) as sandbox:
        assert sandbox.invoke(connect_event(client)) == 200
        for text in ("one", "two", "three"):
            assert sandbox.invoke(message_event(client, text)) == 200
            sandbox.freeze()
            endpoint.wait_until(lambda endpoint: endpoint.open_connections == 0)
            sandbox.thaw()
    assert received(endpoint, client)[2:] == ["one by one", "two by one", "three by one"]


# The store fails, and the handler in this process


class Room:
    """Joins a room, echoes, and does what `act` says at a message "act", or at the end."""

    def __init__(self) -> None:
        self.name = uuid4().hex
        self.act: Callable[[Any], Any] | None = None
        self.at_connect: Callable[[Any], Any] | None = None
        self.at_disconnect: Callable[[Any], Any] | None = None
        self.farewells = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connections = scope["aws.connections"]
        await receive()
        await send({"type": "websocket.accept"})
        if self.at_connect is not None:
            await self.at_connect(connections)
        await connections.join(self.name)
        while (message := await receive())["type"] == "websocket.receive":
            if message["text"] == "act" and self.act is not None:
                await self.act(connections)
            await send({"type": "websocket.send", "text": message["text"]})
        self.farewells += 1
        if self.at_disconnect is not None:
            await self.at_disconnect(connections)


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def client(room: Room, server: Server, endpoint: ConnectionsEndpoint) -> Iterator[Client]:
    """Connected, on a warm handler."""
    with serving(room, endpoint, server.dsn(), lifespan="off") as handler:
        client = Client(handler, endpoint, uuid4().hex)
        assert [client.connect(), client.send("first")] == [200, 200]
        yield client


def fails(call: Callable[[], Any], secret: str | None) -> BackendError:
    """The error with which an event ends, in time, and without a secret."""
    with within(DOWN_S), pytest.raises(BackendError, match=r"^The store .*") as caught:
        call()
    assert secret is not None
    shown = [str(caught.value), repr(caught.value), *traceback.format_exception(caught.value)]
    assert [text for text in shown if secret in text] == []
    return caught.value


def test_the_server_is_restarted_between_two_messages(server: Server, client: Client) -> None:
    server.stop()
    server.start()
    with within(DEAD_CONNECTION_S):
        assert client.send("second") == 200
    server.stop()
    server.start()
    with within(DEAD_CONNECTION_S):
        assert client.disconnect() == 200
    assert client.received == ["first", "second"]


def test_the_connection_to_the_store_is_silent(
    server: Server, proxy: Proxy, room: Room, endpoint: ConnectionsEndpoint
) -> None:
    with serving(room, endpoint, server.dsn(proxy.port), lifespan="off") as handler:
        client = Client(handler, endpoint, uuid4().hex)
        assert [client.connect(), client.send("one")] == [200, 200]
        proxy.freeze()
        with within(DEAD_CONNECTION_S):
            assert client.send("two") == 200
        proxy.freeze()
        with within(DEAD_CONNECTION_S):
            assert client.disconnect() == 200
    assert client.received == ["one", "two"]


def test_the_store_is_down(server: Server, room: Room, client: Client, endpoint: ConnectionsEndpoint) -> None:
    other = Client(client.handler, endpoint, uuid4().hex)
    server.stop()
    try:
        for call in (other.connect, lambda: client.send("second"), client.disconnect):
            fails(call, server.password)
    finally:
        server.start()
    assert other.send("x") == 410  # nothing was stored
    assert client.send("third") == 200
    assert room.farewells == 0
    assert client.disconnect() == 200
    assert room.farewells == 1
    assert client.received == ["first", "third"]
    assert other.connect() == 200


def test_the_store_goes_down_while_the_application_runs(server: Server, room: Room, client: Client) -> None:
    async def join(connections: Any) -> None:
        server.stop()
        await connections.join("another room")

    async def broadcast(connections: Any) -> None:
        server.stop()
        await connections.broadcast(room.name, "x")

    async def both(connections: Any) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(join(connections))
            group.create_task(broadcast(connections))

    for act in (join, broadcast, both):
        room.act = act
        try:
            fails(lambda: client.send("act"), server.password)
        finally:
            server.start()
        assert client.send("again") == 200
    assert client.received == ["first", "again", "again", "again"]
    room.act = None
    assert client.disconnect() == 200
    assert room.farewells == 1


def test_the_store_goes_down_at_connect(
    server: Server, room: Room, client: Client, endpoint: ConnectionsEndpoint
) -> None:
    """After `accept`: what is stored then is deleted, if the store is there again."""

    async def stop(connections: Any) -> None:
        server.stop()

    async def restart(connections: Any) -> None:
        server.stop()
        try:
            await connections.broadcast(room.name, "x")
        finally:
            server.start()

    other = Client(client.handler, endpoint, uuid4().hex)
    room.at_connect = stop
    try:
        fails(other.connect, server.password)
    finally:
        server.start()
    room.at_connect = restart
    another = Client(client.handler, endpoint, uuid4().hex)
    fails(another.connect, server.password)
    room.at_connect = None
    assert another.send("x") == 410
    assert another.connect() == 200
    assert another.send("x") == 200


def test_an_application_that_swallows_the_stores_error(server: Server, endpoint: ConnectionsEndpoint) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        with suppress(BackendError):
            await send({"type": "websocket.accept"})
        await receive()

    with serving(app, endpoint, server.dsn(), lifespan="off") as handler:
        handler.start()
        client = Client(handler, endpoint, uuid4().hex)
        server.stop()
        try:
            fails(client.connect, server.password)
        finally:
            server.start()
        assert client.connect() == 200


def test_a_greeting_that_the_store_does_not_keep(server: Server, endpoint: ConnectionsEndpoint) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "welcome"})
        server.stop()
        await receive()

    with serving(app, endpoint, server.dsn(), lifespan="off") as handler:
        handler.start()
        client = Client(handler, endpoint, uuid4().hex)
        try:
            fails(client.connect, server.password)
        finally:
            server.start()


def test_a_store_that_failed_at_disconnect_forgets_the_connection_nevertheless(
    server: Server, room: Room, client: Client
) -> None:
    async def restart(connections: Any) -> None:
        server.stop()
        try:
            await connections.broadcast(room.name, "left")
        finally:
            server.start()

    room.at_disconnect = restart
    fails(client.disconnect, server.password)
    room.at_disconnect = None
    assert client.disconnect() == 200
    assert room.farewells == 1
    assert client.handler.run(client.handler.connections.broadcast, room.name, "x") == BroadcastResult()


def test_a_password_that_is_wrong(server: Server, room: Room, endpoint: ConnectionsEndpoint) -> None:
    wrong = f"wrong@/:{server.password}"
    with serving(room, endpoint, server.dsn(password=wrong), lifespan="off") as handler:
        client = Client(handler, endpoint, uuid4().hex)
        assert server.password is not None
        for call in (client.connect, lambda: client.send("x"), client.disconnect, handler.start):
            fails(call, server.password)
        shown = f"{handler.config!r} {handler!r} {handler.connections!r} {handler._hub!r}"
        assert server.password not in shown


# What API Gateway answers to the application's `send`


class Sender:
    """Sends "x" at each message, and keeps what that raised."""

    def __init__(self) -> None:
        self.outcome: BaseException | None = None
        self.size = 1
        self.greeting: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        if self.greeting is not None:
            await send({"type": "websocket.send", "text": self.greeting})
        while (await receive())["type"] == "websocket.receive":
            self.outcome = None
            try:
                await send({"type": "websocket.send", "text": "x" * self.size})
            except Exception as error:
                self.outcome = error


@pytest.fixture
def sender() -> Sender:
    return Sender()


@pytest.fixture
def handler(sender: Sender, endpoint: ConnectionsEndpoint) -> Iterator[Mangum]:
    with serving(sender, endpoint, "sqlite://:memory:", lifespan="off") as handler:
        yield handler


def age(client: Client) -> None:
    """Make the connection older than the time in which a 410 may pass."""
    from dataclasses import replace

    async def save() -> None:
        gateway = client.handler._hub
        assert gateway is not None
        record = await gateway.load(client.id)
        assert record is not None
        old = replace(record, target=replace(record.target, connected_at=record.target.connected_at - 60))
        await gateway.store.save(old.as_entry())

    client.handler.run(save)


@pytest.mark.parametrize(
    ("answers", "lasts", "error"),
    [
        ([429, 429], False, None),
        ([500], False, None),
        ([CUT], False, None),
        ([SILENCE], True, ConnectionsError),
        ([429], True, ConnectionsError),
        ([500], True, ConnectionsError),
        ([410], True, ConnectionGone),
        ([413], True, MessageTooLarge),
        ([403], True, ConnectionsError),
    ],
    ids=[
        *("429 and then well", "500 and then well", "cut and then well"),
        *("silence", "429", "500", "410", "413", "403"),
    ],
)
def test_what_send_raises(
    answers: list[Script],
    lasts: bool,
    error: type[Exception] | None,
    sender: Sender,
    handler: Mangum,
    endpoint: ConnectionsEndpoint,
) -> None:
    client = Client(handler, endpoint, "a")
    client.connect()
    age(client)
    endpoint.script(*answers, to="a", always=lasts)
    client.context = Context(1000 if lasts else 20_000)
    with within(2.0):
        client.send("x")
    assert type(sender.outcome) is (error or type(None))
    if error is ConnectionGone:
        assert isinstance(sender.outcome, OSError)
    endpoint.script(to="a")
    client.context = Context()
    assert client.send("x") == 200  # the connection goes on in any case
    assert sender.outcome is None
    assert client.received == ["x"] * (1 if error else 2)
    assert not client.is_closed


def test_a_message_of_more_than_128_kb(sender: Sender, handler: Mangum, endpoint: ConnectionsEndpoint) -> None:
    client = Client(handler, endpoint, "a")
    client.connect()
    sender.size = 131_073
    assert client.send("x") == 200
    assert isinstance(sender.outcome, MessageTooLarge)
    assert "131,073" in str(sender.outcome)
    assert "131,072" in str(sender.outcome)
    assert endpoint.requests == []


def test_a_greeting_is_not_lost_at_the_deadline(sender: Sender, handler: Mangum, endpoint: ConnectionsEndpoint) -> None:
    """API Gateway is silent for the whole of an event: what was said at CONNECT goes out at the next."""
    client = Client(handler, endpoint, "a")
    sender.greeting = "welcome"
    client.connect()
    endpoint.script(SILENCE, to="a", always=True)
    client.context = Context(500)
    client.send("x")
    endpoint.script(to="a")
    client.context = Context()
    assert client.send("x") == 200
    assert client.received == ["welcome", "x"]


@pytest.mark.anyio
async def test_a_greeting_is_not_lost_with_its_invocation(endpoint: ConnectionsEndpoint) -> None:
    sender = Sender()
    sender.greeting = "welcome"
    url = endpoint.url
    async with Mangum(sender, lifespan="off", dsn="sqlite://:memory:", api_gateway_endpoint_url=url) as handler:
        await handler.invoke(connect_event("a"), Context())
        endpoint.script(SILENCE, to="a")
        message = asyncio.create_task(handler.invoke(message_event("a", "x"), Context()))
        await endpoint.reached(lambda endpoint: endpoint.count == 1)
        message.cancel()
        with pytest.raises(asyncio.CancelledError):
            await message
        await handler.invoke(message_event("a", "x"), Context())
    assert received(endpoint, "a") == ["welcome", "x"]
