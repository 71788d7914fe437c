"""What CONNECT, MESSAGE and DISCONNECT do with the application, the store and API Gateway."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import pytest

from mangum import Mangum
from mangum.exceptions import BackendError, ConfigurationError, UnexpectedMessage
from mangum.types import Receive, Scope, Send
from tests.apps import Context, WithLifespan
from tests.memory_backend import Memory
from tests.servers.connections import SILENCE, ConnectionsEndpoint
from tests.websocket_client import Client, connect_event, disconnect_event, message_event, serving


@pytest.fixture
def endpoint() -> Iterator[ConnectionsEndpoint]:
    with ConnectionsEndpoint() as running:
        yield running


@pytest.fixture
def visit(endpoint: ConnectionsEndpoint) -> Iterator[Callable[..., Client]]:
    """A client of an application, whose handler is closed at the end of the test."""
    handlers: list[Mangum] = []

    def client_of(app: Any, **arguments: Any) -> Client:
        arguments.setdefault("lifespan", "off")
        handler = Mangum(app, dsn="sqlite://:memory:", api_gateway_endpoint_url=endpoint.url, **arguments)
        handlers.append(handler)
        return Client(handler, endpoint)

    yield client_of
    for handler in handlers:
        handler.close()


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """The example of the README of mangum 0.12, which loops for ever."""
    if scope["type"] == "websocket":
        while True:
            message = await receive()
            if message["type"] == "websocket.connect":
                await send({"type": "websocket.accept"})
            if message["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": f"Received message: {message['text']}"})
            if message["type"] == "websocket.disconnect":
                await send({"type": "websocket.close", "code": 1000})


class Script:
    """Accepts, and for each message does what `on_message` does; keeps all that it receives."""

    def __init__(
        self, on_message: Callable[..., Any] | None = None, greeting: Callable[..., Any] | None = None
    ) -> None:
        self.log: list[Any] = []
        self._greeting = greeting
        self._on_message = on_message

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.accept"})
        if self._greeting is not None:
            await self._greeting(scope, send)
        while True:
            message = await receive()
            self.log.append(message)
            if message["type"] == "websocket.disconnect":
                return
            if self._on_message is not None:
                await self._on_message(scope, send, message)


def say(*texts: str) -> Callable[..., Any]:
    async def send_each(scope: Scope, send: Send, *_: Any) -> None:
        for text in texts:
            await send({"type": "websocket.send", "text": text})

    return send_each


def test_the_example_of_old(visit: Callable[..., Client]) -> None:
    client = visit(echo)
    assert client.connect() == 200
    assert client.answer == {"statusCode": 200}
    assert [client.send("one"), client.send("two")] == [200, 200]
    assert client.received == ["Received message: one", "Received message: two"]
    assert client.disconnect() == 200
    assert not client.is_closed
    assert client.send("three") == 410


def test_without_a_dsn() -> None:
    with Mangum(echo) as handler, pytest.raises(ConfigurationError, match=r"no store .* dsn="):
        handler(connect_event("a"), None)
    with pytest.raises(ConfigurationError, match="no store"):
        _ = handler.connections


def test_the_scope(visit: Callable[..., Client]) -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(dict(scope))
        await Script()(scope, receive, send)

    client = visit(app, websocket_path="/ws/é", root_path="/v1")
    client.connect(headers={"Sec-WebSocket-Protocol": "a, b", "Cookie": "s=ü"}, query={"q": ["1", "2 3"], "r": [""]})
    client.send("hello")
    client.disconnect()
    connect, message, disconnect = scopes
    assert connect.pop("aws.event")["requestContext"]["eventType"] == "CONNECT"
    assert message.pop("aws.event")["body"] == "hello"
    assert disconnect.pop("aws.event")["requestContext"]["eventType"] == "DISCONNECT"
    for scope in scopes:
        assert scope.pop("aws.context") is client.context
        assert scope.pop("aws.connections") is not None
        assert callable(scope.pop("aws.task_group"))
    assert connect == message == disconnect
    assert connect == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "wss",
        "path": "/v1/ws/é",
        "raw_path": b"/v1/ws/%C3%A9",
        "root_path": "/v1",
        "query_string": b"q=1&q=2+3&r=",
        "headers": [
            [b"host", b"k7s4w9w1zh.execute-api.eu-west-1.amazonaws.com"],
            [b"sec-websocket-key", b"R5xXz2b0Zc1vW8rN3m6kPg=="],
            [b"sec-websocket-version", b"13"],
            [b"x-forwarded-for", b"203.0.113.17"],
            [b"x-forwarded-port", b"443"],
            [b"x-forwarded-proto", b"https"],
            [b"sec-websocket-protocol", b"a, b"],
            [b"cookie", "s=ü".encode()],
        ],
        "client": ("203.0.113.17", 0),
        "server": ("k7s4w9w1zh.execute-api.eu-west-1.amazonaws.com", 443),
        "subprotocols": ["a", "b"],
        "extensions": {"websocket.http.response": {}},
    }


# CONNECT


def answering(*messages: dict[str, Any]) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for message in messages:
            await send(message)

    return app


ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close", "code": 1008}
DENIAL = {"type": "websocket.http.response.start", "status": 401, "headers": []}
DENIAL_BODY = {"type": "websocket.http.response.body", "body": b"no"}


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        ([CLOSE], 403),
        ([ACCEPT, CLOSE], 403),
        ([ACCEPT], 403),
        ([DENIAL, DENIAL_BODY], 401),
        ([{**DENIAL, "status": 200}, DENIAL_BODY], 403),
        ([], 500),
    ],
    ids=["closed", "accepted and closed", "accepted and returned", "denied", "denied with 200", "no answer"],
)
def test_a_refusal(
    messages: list[dict[str, Any]],
    status: int,
    visit: Callable[..., Client],
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = visit(answering(*messages))
    assert client.connect() == status
    assert client.answer == {"statusCode": status}
    assert client.send("x") == 410
    assert ("returned before it had accepted" in caplog.text) is (status == 500)


def test_who_receives_after_a_response_to_the_handshake_is_told_of_the_end(visit: Callable[..., Client]) -> None:
    received: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        reader = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        await send(DENIAL)
        await send({**DENIAL_BODY, "more_body": True})
        await send(DENIAL_BODY)
        received.append(await reader)

    assert visit(app).connect() == 401
    assert received == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


def test_who_refuses_in_the_replay_does_not_get_the_message(visit: Callable[..., Client]) -> None:
    received: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if received:
            await send(CLOSE)
            received.append((await receive())["type"])
            await receive()
        await send(ACCEPT)
        received.append("")
        await receive()

    client = visit(app)
    assert [client.connect(), client.send("x")] == [200, 403]
    assert received == ["", "websocket.disconnect"]


def test_an_exception_at_connect(visit: Callable[..., Client], caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        raise RuntimeError("broken")

    client = visit(app)
    assert client.connect() == 500
    assert "broken" in caplog.text
    assert client.send("x") == 410


def test_the_subprotocol(visit: Callable[..., Client], caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        headers = [[b"set-cookie", b"a=1"]]
        await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][-1], "headers": headers})
        await receive()

    client = visit(app)
    assert client.connect(headers={"Sec-WebSocket-Protocol": "chat, superchat"}) == 200
    assert client.answer == {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "superchat"}}
    assert "API Gateway passes on no headers of websocket.accept" in caplog.text


@pytest.mark.parametrize("subprotocol", ["", "a\r\nSet-Cookie: b", "a b", "\xe4", 5, b"chat"])
def test_a_subprotocol_that_is_no_token(
    subprotocol: Any, visit: Callable[..., Client], caplog: pytest.LogCaptureFixture
) -> None:
    client = visit(answering({**ACCEPT, "subprotocol": subprotocol}))
    assert client.connect() == 500
    assert client.answer == {"statusCode": 500}
    assert "needs a token as `subprotocol`" in caplog.text


@pytest.mark.parametrize("status", [0, 101, 199, 600, -1, "401", None, True])
def test_a_response_to_the_handshake_without_a_final_status(
    status: Any, visit: Callable[..., Client], caplog: pytest.LogCaptureFixture
) -> None:
    client = visit(answering({**DENIAL, "status": status}))
    assert client.connect() == 500
    assert "needs a `status` from 200 to 599" in caplog.text


def test_what_is_sent_at_connect_arrives_once_and_in_order(visit: Callable[..., Client]) -> None:
    client = visit(Script(say("answer"), greeting=say("one", "two")))
    client.connect()
    assert client.received == []
    client.send("x")
    assert client.received == ["one", "two", "answer"]
    client.send("x")
    assert client.received == ["one", "two", "answer", "answer"]


def test_a_greeting_that_api_gateway_does_not_take_waits_on(
    visit: Callable[..., Client], endpoint: ConnectionsEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    client = visit(Script(greeting=say("one", "two")))
    client.connect()
    endpoint.script(200, 403, to=client.id)
    assert client.send("x") == 200
    assert client.received == ["one"]
    assert "What was sent at CONNECT waits on" in caplog.text
    client.send("x")
    assert client.received == ["one", "two"]


def test_a_greeting_of_a_client_that_has_gone(visit: Callable[..., Client], endpoint: ConnectionsEndpoint) -> None:
    app = Script(say("answer"), greeting=say("one"))
    client = visit(app)
    client.connect()
    endpoint.script(410, to=client.id, always=True)
    client.handler.run(grow_older, client)
    assert client.send("x") == 200
    assert client.received == []
    assert client.disconnect() == 200


async def grow_older(client: Client, seconds: float = 60) -> None:
    """Make the connection older: by default than the time in which a 410 may pass."""
    gateway = client.handler._hub
    assert gateway is not None
    record = await gateway.load(client.id)
    assert record is not None
    old = replace(record, target=replace(record.target, connected_at=record.target.connected_at - seconds))
    await gateway.store.save(old.as_entry())


# MESSAGE


def test_text_and_bytes(visit: Callable[..., Client]) -> None:
    async def reply(scope: Scope, send: Send, message: dict[str, Any]) -> None:
        kind = "bytes" if message.get("bytes") is not None else "text"
        await send({"type": "websocket.send", kind: message[kind]})

    app = Script(reply)
    client = visit(app)
    client.connect()
    client.send("grüße")
    client.send("aGVsbG8=", isBase64Encoded=True)
    client.send({"type": "Buffer", "data": [104, 111]})
    client.send(None)
    assert app.log == [
        {"type": "websocket.receive", "text": "grüße"},
        {"type": "websocket.receive", "bytes": b"hello"},
        {"type": "websocket.receive", "bytes": b"ho"},
        {"type": "websocket.receive", "text": ""},
    ]
    assert client.received == ["grüße", "hello", "ho", ""]


def test_the_application_closes(visit: Callable[..., Client], endpoint: ConnectionsEndpoint) -> None:
    farewells = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        await send({"type": "websocket.close", "code": 4000, "reason": "enough"})
        farewells.append(await receive())
        await receive()

    client = visit(app)
    client.connect()
    assert client.send("x") == 200
    assert farewells == [{"type": "websocket.disconnect", "code": 4000, "reason": "enough"}]
    assert client.is_closed
    assert client.disconnect() == 200
    assert len(farewells) == 1
    assert client.send("late") == 410


def test_the_application_returns(visit: Callable[..., Client]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        await send({"type": "websocket.send", "bytes": b"bye"})

    client = visit(app)
    client.connect()
    assert client.send("x") == 200
    assert client.received == ["bye"]
    assert client.is_closed


def test_the_application_raises(visit: Callable[..., Client], caplog: pytest.LogCaptureFixture) -> None:
    async def fail(*_: Any) -> None:
        raise LookupError("no such thing")

    client = visit(Script(fail))
    client.connect()
    assert client.send("x") == 500
    assert "no such thing" in caplog.text
    assert client.is_closed
    assert client.send("x") == 410


def test_a_cancellation_that_nobody_asked_for(visit: Callable[..., Client], caplog: pytest.LogCaptureFixture) -> None:
    async def fail(*_: Any) -> None:
        task = asyncio.ensure_future(asyncio.sleep(60))
        task.cancel()
        await task

    client = visit(Script(fail))
    client.connect()
    assert client.send("x") == 500
    assert "CancelledError" in caplog.text
    assert client.is_closed


@pytest.mark.parametrize(
    ("errors", "is_stores"),
    [
        ([BackendError("down")], True),
        ([BackendError("down"), ExceptionGroup("more", [BackendError("down too")])], True),
        ([BackendError("down"), LookupError("no such thing")], False),
    ],
)
def test_a_task_group_raises(
    errors: list[Exception], is_stores: bool, visit: Callable[..., Client], caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: Any) -> None:
        raise ExceptionGroup("of a task group", errors)

    client = visit(Script(fail))
    client.connect()
    if is_stores:
        with pytest.raises(BackendError, match="down"):
            client.send("x")
        assert not client.is_closed
    else:
        assert client.send("x") == 500
        assert "no such thing" in caplog.text
        assert client.is_closed


def test_it_refuses_in_the_replay(visit: Callable[..., Client]) -> None:
    is_open = True

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT if is_open else CLOSE)
        await receive()

    client = visit(app)
    assert client.connect() == 200
    is_open = False
    assert client.send("x") == 403
    assert client.is_closed
    assert client.send("x") == 410


def test_an_unknown_connection(
    visit: Callable[..., Client], endpoint: ConnectionsEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    client = visit(echo)
    endpoint.script(500, to=client.id, always=True)
    client.context = Context(300)
    assert client.send("x") == 410
    assert "is not in the store" in caplog.text
    assert "could not be closed" in caplog.text


def test_a_connection_that_has_expired(visit: Callable[..., Client], caplog: pytest.LogCaptureFixture) -> None:
    client = visit(echo)
    client.connect()
    client.handler.run(grow_older, client, 131 * 60)
    assert client.send("x") == 410
    assert client.is_closed
    assert "is not in the store" in caplog.text


def test_a_client_that_has_gone_is_no_error_of_the_application(
    visit: Callable[..., Client], endpoint: ConnectionsEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    app = Script(say("answer"))
    client = visit(app)
    client.connect()
    client.handler.run(grow_older, client)
    endpoint.script(410, to=client.id, always=True)
    assert client.send("x") == 200
    assert "ERROR" not in caplog.text
    assert not client.is_closed
    assert client.disconnect() == 200
    assert len(app.log) == 1  # the application ended at the message, so that its clean-up has been


def test_an_application_that_goes_on_after_its_client_has_gone(
    visit: Callable[..., Client], endpoint: ConnectionsEndpoint
) -> None:
    async def reply(scope: Scope, send: Send, message: dict[str, Any]) -> None:
        with pytest.raises(OSError, match="closed"):
            await send({"type": "websocket.send", "text": "answer"})

    app = Script(reply)
    client = visit(app)
    client.connect()
    client.handler.run(grow_older, client)
    endpoint.script(410, to=client.id, always=True)
    assert client.send("x") == 200
    assert client.disconnect(1006) == 200
    assert [message["type"] for message in app.log] == ["websocket.receive", "websocket.disconnect"]


def test_a_reader_and_a_writer_task(visit: Callable[..., Client]) -> None:
    log: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()

        async def read() -> None:
            while (message := await receive())["type"] == "websocket.receive":
                await queue.put(message["text"])
            log.append("disconnected")
            await queue.put("")

        async def write() -> None:
            await send({"type": "websocket.send", "text": "greeting"})
            while text := await queue.get():
                await asyncio.sleep(0)
                await send({"type": "websocket.send", "text": text.upper()})

        await receive()
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(read())
            await asyncio.sleep(0)
            await send(ACCEPT)
            group.create_task(write())
            assert not reader.done()

    client = visit(app)
    assert client.connect() == 200
    assert [client.send("a"), client.send("b")] == [200, 200]
    assert client.received == ["greeting", "A", "B"]
    assert client.disconnect() == 200
    assert log == ["disconnected"]


def test_clean_up_can_await_and_has_no_effect_while_the_connection_goes_on(visit: Callable[..., Client]) -> None:
    log: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        connections = scope["aws.connections"]
        await receive()
        await send(ACCEPT)
        await connections.join("room")
        try:
            while (await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": "answer"})
        finally:
            await asyncio.sleep(0)
            await send({"type": "websocket.send", "text": "cleaned up"})
            await send({"type": "websocket.close"})
            await connections.leave("room")
            log.append("cleaned up")

    client = visit(app)
    client.connect()
    client.send("x")
    assert (client.received, client.is_closed, len(log)) == (["answer"], False, 2)
    assert client.handler.run(client.handler.connections.broadcast, "room", "to all").sent == 1
    client.disconnect()
    assert client.handler.run(client.handler.connections.broadcast, "room", "to all").sent == 0
    assert (client.received, len(log)) == (["answer", "to all"], 3)


def test_clean_up_that_fails_spoils_nothing(visit: Callable[..., Client], caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        try:
            while True:
                await receive()
                await send({"type": "websocket.send", "text": "answer"})
        finally:
            raise RuntimeError("clean-up failed")

    client = visit(app)
    assert [client.connect(), client.send("x"), client.send("x")] == [200, 200, 200]
    assert client.received == ["answer", "answer"]
    assert caplog.text.count("RuntimeError: clean-up failed") == 3


def test_one_that_receives_again_when_it_is_cancelled(visit: Callable[..., Client]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        for _ in range(3):
            try:
                await receive()
            except asyncio.CancelledError:
                continue

    client = visit(app)
    assert client.connect() == 200


# DISCONNECT


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ((1001, "Going away"), (1001, "Going away")),
        ((1000, None), (1000, "")),
        ((None, None), (1005, "")),
    ],
)
def test_code_and_reason(told: tuple[Any, Any], expected: tuple[int, str], visit: Callable[..., Client]) -> None:
    app = Script()
    client = visit(app)
    client.connect()
    assert client.disconnect(*told) == 200
    assert app.log == [{"type": "websocket.disconnect", "code": expected[0], "reason": expected[1]}]
    assert client.disconnect(*told) == 200
    assert len(app.log) == 1


def test_what_is_sent_at_disconnect_is_dropped(visit: Callable[..., Client], endpoint: ConnectionsEndpoint) -> None:
    results = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await scope["aws.connections"].join("room")
        await receive()
        await send({"type": "websocket.send", "text": "too late"})
        await send({"type": "websocket.close"})
        await send({"type": "websocket.send", "text": "too late"})
        results.append(await scope["aws.connections"].broadcast("room", "left"))

    client = visit(app)
    other = Client(client.handler, endpoint)
    client.connect()
    other.connect()
    assert client.disconnect() == 200
    assert client.received == []
    assert other.received == ["left"]
    assert (results[0].sent, results[0].gone) == (1, 1)


def test_an_exception_at_disconnect(visit: Callable[..., Client], caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        if (await receive())["type"] == "websocket.disconnect":
            raise RuntimeError("at the end")

    client = visit(app)
    client.connect()
    assert client.disconnect() == 500
    assert "at the end" in caplog.text
    assert client.disconnect() == 200
    assert not client.is_closed


# The order of messages


@pytest.mark.parametrize(
    ("messages", "match"),
    [
        ([{"type": "websocket.send", "text": "x"}], "has not been accepted"),
        ([ACCEPT, ACCEPT], "has been accepted"),
        ([CLOSE, ACCEPT], "is closed"),
        ([DENIAL, ACCEPT], "response to the handshake"),
        ([{**DENIAL, "status": "401"}], "`status` from 200 to 599"),
        ([ACCEPT, {"type": "websocket.send"}], "either `text`"),
        ([ACCEPT, {"type": "websocket.send", "text": "x", "bytes": b"x"}], "either `text`"),
        ([ACCEPT, {"type": "websocket.send", "text": b"x"}], "either `text`"),
    ],
)
def test_a_message_out_of_order(messages: list[dict[str, Any]], match: str, visit: Callable[..., Client]) -> None:
    errors = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for message in messages[:-1]:
            await send(message)
        with pytest.raises(UnexpectedMessage, match=match) as raised:
            await send(messages[-1])
        errors.append(raised.value)

    visit(app).connect()
    assert len(errors) == 1


@pytest.mark.parametrize(
    ("answer", "status"), [(ACCEPT, 200), (CLOSE, 403), (DENIAL, 401)], ids=["accept", "close", "denial"]
)
def test_an_answer_before_the_first_receive(answer: dict[str, Any], status: int, visit: Callable[..., Client]) -> None:
    """Servers allow it, and Starlette does it where no route matches."""
    received = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(answer)
        if answer is ACCEPT:
            while True:
                received.append((await receive())["type"])

    client = visit(app)
    assert client.connect() == status
    assert received == ["websocket.connect"] * (answer is ACCEPT)
    assert client.send("x") == (200 if answer is ACCEPT else 410)


def test_memoryview_and_bytearray(visit: Callable[..., Client]) -> None:
    async def reply(scope: Scope, send: Send, message: dict[str, Any]) -> None:
        await send({"type": "websocket.send", "bytes": bytearray(b"a")})
        await send({"type": "websocket.send", "bytes": memoryview(b"b"), "text": None})

    client = visit(Script(reply))
    client.connect()
    client.send("x")
    assert client.received == ["a", "b"]


# Lifespan, deadline


@pytest.mark.parametrize("scope", ["invocation", "process"])
def test_lifespan(scope: Any, visit: Callable[..., Client]) -> None:
    states = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        states.append(scope["state"]["started"])
        await echo(scope, receive, send)

    recorded = WithLifespan(app)
    client = visit(recorded, lifespan="auto", lifespan_scope=scope)
    client.connect()
    client.send("x")
    client.disconnect()
    client.handler.close()
    assert states == ([1, 2, 3] if scope == "invocation" else [1, 1, 1])
    assert recorded.log.count("startup") == recorded.log.count("shutdown") == states[-1]


@pytest.fixture
def _large_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline comes early, and leaves a busy machine time for what follows it."""
    monkeypatch.setattr("mangum.core.deadline._RESERVE_SHARE", 0.7)
    monkeypatch.setattr("mangum.core.deadline._MOST_RESERVE_S", 5.0)


@pytest.mark.usefixtures("_large_reserve")
def test_the_deadline(visit: Callable[..., Client], caplog: pytest.LogCaptureFixture) -> None:
    log = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        message = await receive()
        try:
            if message.get("text") != "quick":
                await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            log.append("cleaned up")
            raise
        await receive()

    client = visit(app)
    assert client.connect() == 200
    client.context = Context(1000)
    assert client.send("slow") == 504
    assert log == ["cleaned up"]
    assert "WebSocket MESSAGE was cancelled shortly before the function's timeout: the answer is a 504." in caplog.text
    client.context = Context()
    assert client.send("quick") == 200  # the connection goes on
    client.context = Context(1000)
    assert client.disconnect() == 504
    assert client.send("quick") == 410  # all is forgotten


@pytest.mark.usefixtures("_large_reserve")
def test_the_deadline_at_connect(visit: Callable[..., Client]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await asyncio.sleep(60)

    client = visit(app)
    client.context = Context(1000)
    assert client.connect() == 504
    client.context = Context()
    assert client.send("x") == 410


@pytest.mark.usefixtures("_large_reserve")
@pytest.mark.parametrize("kind", ["CONNECT", "MESSAGE", "DISCONNECT"])
def test_an_answer_stands_if_the_clean_up_never_ends(
    kind: str, visit: Callable[..., Client], caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({**ACCEPT, "subprotocol": "chat"})
        try:
            while (await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": "answer"})
            await receive()
        finally:
            if client.context.get_remaining_time_in_millis() == 1000:
                await asyncio.Event().wait()

    client = visit(app)
    soon, late = Context(1000), client.context
    client.context = soon if kind == "CONNECT" else late
    assert client.connect() == 200
    assert client.answer["headers"] == {"Sec-WebSocket-Protocol": "chat"}
    client.context = soon if kind == "MESSAGE" else late
    assert client.send("x") == 200
    client.context = late
    assert client.send("x") == 200  # the connection goes on
    assert client.received == ["answer", "answer"]
    client.context = soon if kind == "DISCONNECT" else late
    assert client.disconnect() == 200
    assert f"WebSocket {kind} was cancelled shortly before the function's timeout: its response was complete" in (
        caplog.text
    )
    client.context = late
    assert client.send("x") == 410


@pytest.mark.usefixtures("_large_reserve")
@pytest.mark.parametrize("receives", [True, False], ids=["waits for a message", "hangs"])
def test_a_connection_is_closed_if_the_application_hangs_after_its_close(
    receives: bool, visit: Callable[..., Client]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        await send(CLOSE)
        try:
            if receives:
                await receive()
                await receive()
        finally:
            await asyncio.Event().wait()

    client = visit(app)
    assert client.connect() == 200
    client.context = Context(1000)
    assert client.send("x") == (200 if receives else 504)
    assert client.is_closed
    client.context = Context()
    assert client.send("x") == 410


@pytest.mark.usefixtures("_large_reserve")
def test_a_connection_that_has_gone_is_not_closed_at_the_deadline(
    visit: Callable[..., Client], endpoint: ConnectionsEndpoint
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        with pytest.raises(OSError, match="closed"):
            await send({"type": "websocket.send", "text": "answer"})
        await send(CLOSE)
        await asyncio.Event().wait()

    client = visit(app)
    assert client.connect() == 200
    client.handler.run(grow_older, client)
    endpoint.script(410, to=client.id, always=True)
    client.context = Context(1000)
    assert client.send("x") == 504
    assert not client.is_closed


def test_clean_up_that_fails_after_a_disconnect_spoils_nothing(
    visit: Callable[..., Client], caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        try:
            await receive()
        finally:
            raise RuntimeError("clean-up failed")

    client = visit(app)
    assert [client.connect(), client.disconnect()] == [200, 200]
    assert caplog.text.count("RuntimeError: clean-up failed") == 1


def test_without_a_context(visit: Callable[..., Client]) -> None:
    client = visit(echo)
    assert client.handler(connect_event(client.id), None) == {"statusCode": 200}
    assert client.handler(message_event(client.id, "x"), None) == {"statusCode": 200}
    assert client.handler(disconnect_event(client.id), None) == {"statusCode": 200}


def test_each_event_is_a_line_in_the_log(visit: Callable[..., Client], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mangum")
    client = visit(echo)
    client.connect()
    client.send("x")
    client.disconnect()
    lines = [record.getMessage() for record in caplog.records if record.name == "mangum.websocket"]
    assert lines == ["WebSocket CONNECT 200", "WebSocket MESSAGE 200", "WebSocket DISCONNECT 200"]


def test_all_is_opened_once_and_kept_warm(memory_dsn: str, endpoint: ConnectionsEndpoint) -> None:
    with serving(echo, endpoint, memory_dsn, lifespan="off") as handler:
        assert handler._hub is not None
        calls = cast(Memory, handler._hub.store._backend).calls
        assert calls == []
        handler.start()
        assert calls == ["open"]
        client = Client(handler, endpoint)
        client.connect()
        for _ in range(5):
            client.send("x")
        client.disconnect()
        assert calls == ["open"]
        assert endpoint.accepted == 1
        endpoint.wait_until(lambda endpoint: endpoint.open_connections == 1)
    assert calls == ["open", "close"]
    endpoint.wait_until(lambda endpoint: endpoint.open_connections == 0)


@pytest.mark.anyio
async def test_a_connection_is_forgotten_before_it_is_closed(endpoint: ConnectionsEndpoint) -> None:
    """DISCONNECT may come while API Gateway is still closing it: the application is not run for it."""
    runs = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        runs.append(scope["aws.event"]["requestContext"]["eventType"])
        await receive()
        await send(ACCEPT)
        await receive()
        await send(CLOSE)

    async with Mangum(app, dsn="sqlite://:memory:", lifespan="off", api_gateway_endpoint_url=endpoint.url) as handler:
        assert await handler.invoke(connect_event("a"), None) == {"statusCode": 200}
        endpoint.script(SILENCE, to="a")
        message = asyncio.create_task(handler.invoke(message_event("a", "x"), None))
        await endpoint.reached(lambda endpoint: endpoint.count == 1)
        assert await handler.invoke(disconnect_event("a"), None) == {"statusCode": 200}
        assert not message.done()
        endpoint.cut()
        assert await message == {"statusCode": 200}
    assert runs == ["CONNECT", "MESSAGE"]


@pytest.mark.anyio
async def test_an_invocation_is_cancelled(endpoint: ConnectionsEndpoint) -> None:
    is_reached = asyncio.Event()
    log = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        while (await receive())["text"] == "slow":
            try:
                is_reached.set()
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0)
                log.append("cleaned up")
        await receive()

    async with Mangum(app, dsn="sqlite://:memory:", lifespan="off", api_gateway_endpoint_url=endpoint.url) as handler:
        await handler.invoke(connect_event("a"), None)
        message = asyncio.create_task(handler.invoke(message_event("a", "slow"), None))
        await is_reached.wait()
        message.cancel()
        with pytest.raises(asyncio.CancelledError):
            await message
        assert log == ["cleaned up"]
        assert await handler.invoke(message_event("a", "quick"), None) == {"statusCode": 200}


@pytest.mark.anyio
async def test_on_a_loop_of_the_callers(endpoint: ConnectionsEndpoint) -> None:
    async with Mangum(echo, dsn="sqlite://:memory:", api_gateway_endpoint_url=endpoint.url) as handler:
        await handler.astart()
        assert await handler.invoke(connect_event("a"), None) == {"statusCode": 200}
        assert await handler.invoke(message_event("a", "x"), None) == {"statusCode": 200}
    assert endpoint.posts["a"] == [b"Received message: x"]


def test_the_client_of_these_tests(endpoint: ConnectionsEndpoint) -> None:
    with serving(echo, endpoint, "sqlite://:memory:") as handler:
        client = Client(handler, endpoint, "an id/with odd=characters")
        client.connect()
        client.send("x")
        assert client.received == ["Received message: x"]


def test_an_error_that_nobody_expects_comes_out_as_it_is(
    visit: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not in a group of errors, as a task group has it."""

    def breaks(*arguments: Any) -> Any:
        raise LookupError("unexpected")

    monkeypatch.setattr("mangum.websocket.invocation.Connections", breaks)
    with pytest.raises(LookupError, match="unexpected"):
        visit(echo).connect()
