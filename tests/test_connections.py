"""`scope["aws.connections"]` and `handler.connections`: to one connection, and to a group of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mangum import Mangum
from mangum.exceptions import ConfigurationError, ConnectionGone, ConnectionsError, MessageTooLarge
from mangum.local.events.requests import HTTPRequest
from mangum.types import Receive, Scope, Send
from mangum.websocket.connections import BroadcastResult, Connections
from mangum.websocket.records import Address
from tests.apps import Context, respond
from tests.servers.connections import ConnectionsEndpoint
from tests.sources import BY_NAME
from tests.websocket_client import Client, connect_event, message_event

HTTP_EVENT = BY_NAME["http-api-2.0"].event(HTTPRequest(method="GET", path="/"))
Act = Callable[[Connections, Scope], Any]


class Room:
    """Joins a room at CONNECT, and does what `act` says when a message or a request comes."""

    def __init__(self) -> None:
        self.act: Act | None = None
        self.result: Any = None
        self.greet: Act | None = None
        self.farewells = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connections = scope["aws.connections"]
        if scope["type"] == "http":
            await self._do(connections, scope)
            await respond(send)
            return
        await receive()
        await connections.join("room")
        await send({"type": "websocket.accept"})
        if self.greet is not None:
            await self.greet(connections, scope)
        while (await receive())["type"] == "websocket.receive":
            await self._do(connections, scope)
        self.farewells += 1

    async def _do(self, connections: Connections, scope: Scope) -> None:
        if self.act is not None:
            try:
                self.result = await self.act(connections, scope)
            except Exception as error:
                self.result = error


@pytest.fixture
def endpoint() -> Iterator[ConnectionsEndpoint]:
    with ConnectionsEndpoint() as running:
        yield running


@pytest.fixture
def app() -> Room:
    return Room()


@pytest.fixture
def handler(app: Room, endpoint: ConnectionsEndpoint) -> Iterator[Mangum]:
    url = endpoint.url
    with Mangum(app, lifespan="off", dsn="sqlite://:memory:", api_gateway_endpoint_url=url) as running:
        yield running


@pytest.fixture
def ann(handler: Mangum, endpoint: ConnectionsEndpoint) -> Client:
    client = Client(handler, endpoint, "ann")
    assert client.connect() == 200
    return client


@pytest.fixture
def bob(handler: Mangum, endpoint: ConnectionsEndpoint) -> Client:
    client = Client(handler, endpoint, "bob")
    assert client.connect() == 200
    return client


def do(client: Client, act: Act) -> Any:
    """What `act` gives or raises in the application, when a message of `client` comes."""
    app = client.handler.app
    assert isinstance(app, Room)
    app.act, app.result = act, None
    assert client.send("x") == 200
    return app.result


def in_a_request(handler: Mangum, act: Act) -> Any:
    """What `act` gives or raises in the application, when an HTTP request comes."""
    app = handler.app
    assert isinstance(app, Room)
    app.act, app.result = act, None
    assert handler(HTTP_EVENT, Context())["statusCode"] == 200
    return app.result


def age(handler: Mangum, connection_id: str) -> None:
    """Make a connection older than the time in which a 410 may pass, and its membership of the room too."""

    async def save() -> None:
        gateway = handler._hub
        assert gateway is not None
        record = await gateway.load(connection_id)
        assert record is not None
        record = replace(record, target=replace(record.target, connected_at=record.target.connected_at - 60))
        await gateway.store.save(record.as_entry())
        await gateway.store.join("room", record.target.as_member(connection_id))

    handler.run(save)


def members(handler: Mangum) -> int:
    """How many are in the room."""

    async def count() -> int:
        gateway = handler._hub
        assert gateway is not None
        return sum([len(page) async for page in gateway.store.pages("room")])

    return handler.run(count)


def test_send_to_another_and_to_itself(ann: Client, bob: Client) -> None:
    assert do(ann, lambda connections, _: connections.send("bob", "to bob")) is None
    assert do(ann, lambda connections, _: connections.send("ann", b"to ann")) is None
    assert (ann.received, bob.received) == (["to ann"], ["to bob"])


def test_send_from_a_request(handler: Mangum, ann: Client) -> None:
    assert in_a_request(handler, lambda connections, _: connections.send("ann", "from a request")) is None
    assert ann.received == ["from a request"]


def test_send_from_a_function(handler: Mangum, ann: Client) -> None:
    handler.run(handler.connections.send, "ann", "from a function")
    assert ann.received == ["from a function"]


def test_send_to_nobody(handler: Mangum) -> None:
    with pytest.raises(ConnectionGone, match="There is no WebSocket connection 'nobody'"):
        handler.run(handler.connections.send, "nobody", "x")


@pytest.mark.parametrize("size", [131_072, 131_073])
def test_the_limit_of_a_message(size: int, ann: Client, bob: Client) -> None:
    result = do(ann, lambda connections, _: connections.send("bob", "x" * size))
    broadcast = do(ann, lambda connections, _: connections.broadcast("room", "x" * size, exclude=["ann"]))
    if size == 131_072:
        assert result is None
        assert broadcast == BroadcastResult(sent=1)
        assert [len(message) for message in bob.received] == [size, size]
    else:
        assert isinstance(result, MessageTooLarge)
        assert isinstance(broadcast, MessageTooLarge)
        assert "131,073" in str(result)
        assert "131,072" in str(result)
        assert bob.received == []


@pytest.mark.parametrize("data", [1, None, ["x"]])
def test_what_is_no_message(data: Any, handler: Mangum) -> None:
    with pytest.raises(TypeError, match="a string or bytes"):
        handler.run(handler.connections.send, "ann", data)


def test_one_that_has_gone(ann: Client, bob: Client, handler: Mangum, endpoint: ConnectionsEndpoint) -> None:
    age(handler, "bob")
    endpoint.script(410, to="bob", always=True)
    assert isinstance(do(ann, lambda connections, _: connections.send("bob", "x")), ConnectionGone)
    assert members(handler) == 1
    assert bob.disconnect() == 200  # its record has stayed for that


def test_one_that_is_not_open_yet(ann: Client, bob: Client, endpoint: ConnectionsEndpoint) -> None:
    endpoint.script(410, 410, to="bob")
    assert do(ann, lambda connections, _: connections.send("bob", "x")) is None
    assert bob.received == ["x"]


def test_close(ann: Client, bob: Client, handler: Mangum) -> None:
    assert do(ann, lambda connections, _: connections.close("bob")) is None
    assert bob.is_closed
    assert bob.disconnect() == 200
    handler.run(handler.connections.close, "bob")
    handler.run(handler.connections.close, "nobody")


def test_close_that_is_refused(handler: Mangum, ann: Client, endpoint: ConnectionsEndpoint) -> None:
    endpoint.script(403, to="ann")
    with pytest.raises(ConnectionsError):
        handler.run(handler.connections.close, "ann")


def test_join_and_leave(ann: Client, bob: Client, handler: Mangum) -> None:
    assert members(handler) == 2
    do(ann, lambda connections, _: connections.leave("room"))
    assert members(handler) == 1
    do(ann, lambda connections, _: connections.leave("room", "bob"))
    assert members(handler) == 0
    do(ann, lambda connections, _: connections.join("room", "bob"))
    do(ann, lambda connections, _: connections.join("room", "ann"))
    do(ann, lambda connections, _: connections.join("room"))
    assert members(handler) == 2


def test_join_by_nobody(handler: Mangum) -> None:
    with pytest.raises(ConnectionGone):
        handler.run(handler.connections.join, "room", "nobody")


@pytest.mark.parametrize("verb", ["join", "leave"])
def test_whose_membership(verb: str, handler: Mangum) -> None:
    result = in_a_request(handler, lambda connections, _: getattr(connections, verb)("room"))
    assert isinstance(result, ValueError)
    assert f'{verb}("group", connection_id)' in str(result)


def test_a_join_waits_for_accept(handler: Mangum, endpoint: ConnectionsEndpoint) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        connections = scope["aws.connections"]
        await receive()
        await connections.join("room")
        await connections.join("left again")
        await connections.leave("left again")
        if scope["query_string"] == b"refuse=":
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept"})
        await connections.leave("room")
        await connections.join("room")
        await receive()

    handler.app = app
    client = Client(handler, endpoint)
    assert client.connect(query={"refuse": [""]}) == 403
    assert members(handler) == 0
    assert client.connect() == 200
    assert members(handler) == 1
    assert handler.run(handler.connections.broadcast, "left again", "x") == BroadcastResult()


def test_broadcast(ann: Client, bob: Client, handler: Mangum) -> None:
    assert do(ann, lambda connections, _: connections.broadcast("room", "to all")) == BroadcastResult(sent=2)
    result = do(ann, lambda connections, _: connections.broadcast("room", "to others", exclude={"ann"}))
    assert result == BroadcastResult(sent=1)
    assert (ann.received, bob.received) == (["to all"], ["to all", "to others"])
    assert handler.run(handler.connections.broadcast, "nowhere", "x") == BroadcastResult()


def test_an_exclude_that_is_a_string(handler: Mangum) -> None:
    async def broadcast() -> None:
        await handler.connections.broadcast("room", "x", exclude="ann")

    with pytest.raises(TypeError, match=r"\{'ann'\}"):
        handler.run(broadcast)


def test_broadcast_to_those_that_have_gone_and_those_that_fail(
    ann: Client, bob: Client, handler: Mangum, endpoint: ConnectionsEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    cleo = Client(handler, endpoint, "cleo")
    cleo.connect()
    age(handler, "bob")
    endpoint.script(410, to="bob", always=True)
    endpoint.script(403, to="cleo", always=True)
    result = do(ann, lambda connections, _: connections.broadcast("room", "x"))
    assert result == BroadcastResult(sent=1, gone=1, failed=1)
    assert "A member of a group did not get a broadcast" in caplog.text
    assert do(ann, lambda connections, _: connections.broadcast("room", "x")) == BroadcastResult(sent=1, failed=1)


def test_throttling_is_waited_for(ann: Client, bob: Client, endpoint: ConnectionsEndpoint) -> None:
    endpoint.script(429, 429, to="bob")
    assert do(ann, lambda connections, _: connections.broadcast("room", "x")) == BroadcastResult(sent=2)
    assert bob.received == ["x"]


def test_broadcast_to_many(handler: Mangum, ann: Client, endpoint: ConnectionsEndpoint) -> None:
    gateway = handler._hub
    assert gateway is not None
    ids = {f"c{index}" for index in range(1200)}

    async def join_all() -> None:
        record = await gateway.load("ann")
        assert record is not None
        for connection_id in ids:
            await gateway.store.join("many", record.target.as_member(connection_id))

    handler.run(join_all)
    assert handler.run(handler.connections.broadcast, "many", "x") == BroadcastResult(sent=1200)
    assert {connection_id for connection_id in ids if endpoint.posts[connection_id] == [b"x"]} == ids
    assert endpoint.accepted <= 65


def test_a_broadcast_at_connect_reaches_itself_when_it_is_open(app: Room, ann: Client, endpoint: Any) -> None:
    results = []

    async def greet(connections: Connections, scope: Scope) -> None:
        event = scope["aws.event"]["requestContext"]["eventType"]
        results.append((event, await connections.broadcast("room", "cleo joined")))
        await connections.send("cleo", "welcome")

    app.greet = greet
    cleo = Client(ann.handler, endpoint, "cleo")
    cleo.connect()
    assert (ann.received, cleo.received) == (["cleo joined"], [])
    cleo.send("x")
    cleo.send("x")
    assert (ann.received, cleo.received) == (["cleo joined"], ["cleo joined", "welcome"])
    assert results == [
        ("CONNECT", BroadcastResult(sent=2)),
        ("MESSAGE", BroadcastResult()),
        ("MESSAGE", BroadcastResult()),
    ]


def test_what_waits_goes_out_before_a_direct_send(app: Room, ann: Client, endpoint: ConnectionsEndpoint) -> None:
    async def greet(connections: Connections, scope: Scope) -> None:
        await connections.send("cleo", "welcome")

    app.greet = greet
    cleo = Client(ann.handler, endpoint, "cleo")
    cleo.connect()
    do(ann, lambda connections, _: connections.send("cleo", "hello"))
    assert cleo.received == ["welcome", "hello"]
    do(cleo, lambda connections, _: connections.send("cleo", "to myself"))
    assert cleo.received == ["welcome", "hello", "to myself"]


def test_what_has_no_effect_in_a_replay(ann: Client, bob: Client, app: Room, handler: Mangum) -> None:
    async def greet(connections: Connections, scope: Scope) -> None:
        if scope["aws.event"]["requestContext"]["eventType"] != "CONNECT":
            await connections.send("bob", "again")
            await connections.close("bob")
            await connections.leave("room", "bob")
            await connections.join("another room")
            await connections.broadcast("room", "again")
            with pytest.raises(MessageTooLarge):
                await connections.send("bob", b"x" * 200_000)

    app.greet = greet
    assert ann.send("x") == 200
    assert ann.disconnect() == 200
    assert (bob.received, bob.is_closed, members(handler)) == ([], False, 1)


def test_clean_up_runs_once_for_one_that_a_broadcast_found_gone(
    app: Room, ann: Client, bob: Client, handler: Mangum, endpoint: ConnectionsEndpoint
) -> None:
    age(handler, "bob")
    endpoint.script(410, to="bob", always=True)
    assert do(ann, lambda connections, _: connections.broadcast("room", "x")) == BroadcastResult(sent=1, gone=1)
    assert do(ann, lambda connections, _: connections.broadcast("room", "x")) == BroadcastResult(sent=1)
    assert [bob.disconnect(), bob.disconnect()] == [200, 200]
    assert app.farewells == 1


def test_each_connection_is_reached_where_it_came_from() -> None:
    """Without `api_gateway_endpoint_url` the record tells, to an event of a queue too."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        connections = scope["aws.connections"]
        if scope["type"] == "http":
            result = await connections.broadcast("room", "from a queue")
            await connections.send("ann", str(result.sent))
            await respond(send, 204)
            return
        await receive()
        await send({"type": "websocket.accept"})
        await connections.join("room")
        await receive()

    queue_event = {"Records": [{"eventSource": "aws:sqs", "body": "x"}]}
    with (
        ConnectionsEndpoint(stage="/blue") as blue,
        ConnectionsEndpoint(stage="/green") as green,
        Mangum(app, lifespan="off", dsn="sqlite://:memory:", event_path="/events") as handler,
    ):
        for name, api in (("ann", blue), ("bob", green)):
            event = connect_event(name)
            address, _, stage = api.url.removeprefix("http://").partition("/")
            event["requestContext"] |= {"domainName": address, "stage": stage}
            assert handler(event, Context()) == {"statusCode": 200}
        handler(queue_event, Context())
        assert blue.posts == {"ann": [b"from a queue", b"2"]}
        assert green.posts == {"bob": [b"from a queue"]}


def test_an_endpoint_that_the_event_does_not_tell(app: Room, caplog: pytest.LogCaptureFixture) -> None:
    event = connect_event("ann")
    event["requestContext"] |= {"domainName": "localhost", "stage": "local"}
    with Mangum(app, lifespan="off", dsn="sqlite://:memory:") as handler:
        assert handler(event, Context()) == {"statusCode": 200}
        with pytest.raises(ConnectionsError, match="api_gateway_endpoint_url="):
            handler.run(handler.connections.send, "ann", "x")
        with pytest.raises(ConnectionsError, match="api_gateway_endpoint_url="):
            handler.run(handler.connections.close, "ann")
        assert handler.run(handler.connections.broadcast, "room", "x") == BroadcastResult(failed=1)
        assert handler(message_event("ann", "x"), Context()) == {"statusCode": 200}
    assert (
        "A member of a group did not get a broadcast: The CONNECT event of the connection 'ann' did not" in caplog.text
    )


@pytest.mark.usefixtures("no_aws")
def test_what_no_post_can_do_without_ends_a_broadcast(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is raised as it is, not in a group."""
    (tmp_path / "ca.pem").write_text("no certificate")
    for name, value in {
        "AWS_CA_BUNDLE": str(tmp_path / "ca.pem"),
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    url = "https://abc.execute-api.eu-west-1.amazonaws.com/prod"
    with Mangum(Room(), lifespan="off", dsn="sqlite://:memory:", api_gateway_endpoint_url=url) as handler:
        hub = handler._hub
        assert hub is not None
        for name in ("ann", "bob"):
            handler.run(hub.store.join, "room", Address(url, time.time()).as_member(name))
        with pytest.raises(ConfigurationError, match="holds no certificates"):
            handler.run(handler.connections.broadcast, "room", "x")


@pytest.mark.usefixtures("no_aws")
@pytest.mark.parametrize("domain", ["weird", "ws.example.com", ""])
def test_a_broadcast_goes_on_behind_a_member_without_an_endpoint(
    domain: str, app: Room, endpoint: ConnectionsEndpoint, tmp_path: Path
) -> None:
    dsn = f"sqlite://{tmp_path}/connections.db"
    address, _, stage = endpoint.url.removeprefix("http://").partition("/")
    with Mangum(app, lifespan="off", dsn=dsn) as handler:
        for name, context in (
            ("ann", {"domainName": domain}),
            ("bob", {"domainName": address, "stage": stage}),
        ):
            event = connect_event(name)
            event["requestContext"] |= context
            assert handler(event, Context()) == {"statusCode": 200}
        assert handler.run(handler.connections.broadcast, "room", "x") == BroadcastResult(sent=1, failed=1)
    assert endpoint.posts == {"bob": [b"x"]}
    with Mangum(app, lifespan="off", dsn=dsn, api_gateway_endpoint_url=endpoint.url) as healed:
        assert healed.run(healed.connections.broadcast, "room", "y") == BroadcastResult(sent=2)
        healed.run(healed.connections.send, "ann", "z")
        healed.run(healed.connections.close, "ann")
    assert endpoint.posts == {"ann": [b"y", b"z"], "bob": [b"x", b"y"]}
    assert endpoint.deleted == ["ann"]


def test_ids_and_names_that_no_store_keeps(handler: Mangum) -> None:
    for name in ("", "x" * 1025, "nul\0"):
        with pytest.raises(ValueError, match="1 to 1024 bytes"):
            handler.run(handler.connections.broadcast, name, "x")


def test_run_has_its_arguments_and_result(handler: Mangum) -> None:
    async def add(a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    assert handler.run(add, 1, 2) == 3


def test_a_secret_is_not_in_what_is_shown(handler: Mangum, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    arguments: dict[str, Any] = {"dsn": "postgresql://user:s3cr3t@127.0.0.1:1/db"}
    with Mangum(Room(), **arguments) as other, pytest.raises(Exception, match="postgresql") as raised:
        other.start()
    shown = f"{raised.value} {raised.value!r} {other.config!r} {other.connections!r} {caplog.text}"
    assert "s3cr3t" not in shown
