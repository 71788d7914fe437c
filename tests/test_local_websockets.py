"""The WebSocket API of `mangum dev`, with real clients and a function that answers whatever a test wants."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, NegotiationError
from websockets.typing import Subprotocol

from mangum.exceptions import ConfigurationError
from mangum.local.events.requests import HTTPRequest
from mangum.local.function import FunctionFailed
from mangum.local.server import listen, own_domain
from mangum.local.websockets import connection as connection_module
from mangum.local.websockets.routes import Routes
from mangum.local.websockets.settings import WebSocketSettings
from mangum.types import Message
from tests.local_gateway import LocalGateway, local_gateway

pytestmark = pytest.mark.anyio

OK = {"statusCode": 200}


async def accept(event: dict[str, Any]) -> Any:
    return OK


def answering(status: int = 200, *, on: str = "CONNECT", **fields: Any) -> Callable[[dict[str, Any]], Any]:
    async def answer(event: dict[str, Any]) -> Any:
        return {"statusCode": status, **fields} if event["requestContext"]["eventType"] == on else OK

    return answer


async def closed(client: ClientConnection) -> tuple[int, str]:
    """How the connection ends, after all that comes before."""
    with pytest.raises(ConnectionClosed) as caught:
        await read_on(client)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def read_on(client: ClientConnection, *, after: str | None = None) -> None:
    """Read to the end, and send a text before each message."""
    async with asyncio.timeout(20):
        while True:
            if after is not None:
                await client.send(after)
            await client.recv()


def fill(connection: connection_module.Connection) -> None:
    """Post until no more is taken."""
    while True:
        connection.post("x" * 65536)


class TestEvents:
    async def test_a_handshake(self) -> None:
        async with (
            local_gateway(accept) as gateway,
            connect(
                f"{gateway.websocket_url}?room=a%20b&room=c&empty=",
                additional_headers={"X-One": "1", "Cookie": "a=b"},
                user_agent_header="a client",
            ),
        ):
            event = await gateway.event("CONNECT")
        context = event["requestContext"]
        assert (context["routeKey"], context["stage"], context["messageDirection"]) == ("$connect", "dev", "IN")
        assert context["identity"] == {"sourceIp": "127.0.0.1", "userAgent": "a client"}
        assert context["domainName"] == f"127.0.0.1:{gateway.port}"
        assert context["requestId"] == context["extendedRequestId"]
        assert event["queryStringParameters"] == {"room": "c", "empty": ""}
        assert event["multiValueQueryStringParameters"] == {"room": ["a b", "c"], "empty": [""]}
        assert (event["headers"]["X-One"], event["headers"]["Cookie"]) == ("1", "a=b")
        assert event["headers"]["Sec-WebSocket-Version"] == "13"
        assert event["multiValueHeaders"]["X-Forwarded-For"] == ["127.0.0.1"]
        assert "body" not in event
        assert "messageId" not in context

    async def test_a_handshake_that_says_little(self) -> None:
        async with local_gateway(accept) as gateway, connect(gateway.websocket_url, user_agent_header=None):
            event = await gateway.event("CONNECT")
        assert event["requestContext"]["identity"] == {"sourceIp": "127.0.0.1"}
        assert "queryStringParameters" not in event

    async def test_messages(self, caplog: pytest.LogCaptureFixture) -> None:
        async with local_gateway(accept) as gateway, connect(gateway.websocket_url) as client:
            connected = await gateway.event("CONNECT")
            await client.send("héllo")
            text = await gateway.event("MESSAGE")
            await client.send(b"\x00\xff")
            binary = await gateway.event("MESSAGE", 2)
            await client.send(b"x")
            await gateway.event("MESSAGE", 3)
        assert [record.getMessage()[:23] for record in caplog.records] == ["A binary message came: "]
        assert (text["body"], text["isBase64Encoded"]) == ("héllo", False)
        assert (binary["body"], binary["isBase64Encoded"]) == ("AP8=", True)
        assert "headers" not in text
        first, later = connected["requestContext"], text["requestContext"]
        assert later["routeKey"] == "$default"
        assert (later["connectionId"], later["connectedAt"]) == (first["connectionId"], first["connectedAt"])
        assert later["messageId"] != binary["requestContext"]["messageId"]

    @pytest.mark.parametrize(
        ("code", "reason", "expected"),
        [
            (1000, "", (1000, "Connection Closed Normally")),
            (1001, "bye", (1001, "bye")),
            (4000, "", (4000, "")),
        ],
    )
    async def test_an_end(self, code: int, reason: str, expected: tuple[int, str]) -> None:
        async with local_gateway(accept) as gateway, connect(gateway.websocket_url) as client:
            await client.close(code, reason)
            event = await gateway.event("DISCONNECT")
            context = event["requestContext"]
            assert context["routeKey"] == "$disconnect"
            assert (context["disconnectStatusCode"], context["disconnectReason"]) == expected
            assert event["headers"]["Host"] == f"127.0.0.1:{gateway.port}"
        assert len(gateway.of_type("DISCONNECT")) == 1

    async def test_a_connection_that_is_lost(self) -> None:
        async with local_gateway(accept) as gateway, connect(gateway.websocket_url) as client:
            client.transport.abort()
            context = (await gateway.event("DISCONNECT"))["requestContext"]
        assert (context["disconnectStatusCode"], context["disconnectReason"]) == (1006, "Connection closed abnormally")

    async def test_the_server_ends(self) -> None:
        async with local_gateway(accept) as gateway, connect(gateway.websocket_url) as client:
            await gateway.event("CONNECT")
            await client.send("x")
            await gateway.event("MESSAGE")
            ending = asyncio.ensure_future(closed(client))
            gateway.server.should_exit = True
            assert await ending == (1012, "")
            assert (await gateway.event("DISCONNECT"))["requestContext"]["disconnectStatusCode"] == 1012

    async def test_all_of_it_is_told(self) -> None:
        async with local_gateway(accept) as gateway:
            async with connect(gateway.websocket_url) as client:
                await client.send("x")
            await gateway.event("DISCONNECT")
        assert [line.rpartition(" 200 ")[0] for line in gateway.lines] == [
            "WebSocket $connect",
            "WebSocket $default",
            "WebSocket $disconnect",
        ]
        assert [(entry.source, entry.title, entry.status) for entry in gateway.journal] == [
            ("websocket", "$connect", 200),
            ("websocket", "$default", 200),
            ("websocket", "$disconnect", 200),
        ]

    async def test_an_event_is_sent_again(self) -> None:
        async with local_gateway(accept) as gateway, connect(gateway.websocket_url) as client:
            await client.send("x")
            await gateway.event("MESSAGE")
            entry = list(gateway.journal)[1]
            await gateway.api.send_again(entry)
            again = list(gateway.journal)[2]
            assert (again.again_of, again.connection_id) == (entry.request_id, entry.connection_id)
            assert gateway.of_type("MESSAGE")[0] == gateway.of_type("MESSAGE")[1]


class TestHandshakes:
    async def test_a_subprotocol(self) -> None:
        answer = answering(headers={"Sec-WebSocket-Protocol": "two", "X-Lost": "1"})
        async with (
            local_gateway(answer) as gateway,
            connect(gateway.websocket_url, subprotocols=[Subprotocol("one"), Subprotocol("two")]) as client,
        ):
            assert client.subprotocol == "two"
            assert client.response is not None
            assert "x-lost" not in client.response.headers
            assert (await gateway.event("CONNECT"))["headers"]["Sec-WebSocket-Protocol"] == "one, two"

    async def test_no_subprotocol_is_chosen_by_itself(self) -> None:
        offered = [Subprotocol("one")]
        async with local_gateway(accept) as gateway, connect(gateway.websocket_url, subprotocols=offered) as client:
            assert client.subprotocol is None
        async with local_gateway(answering(headers={"Sec-WebSocket-Protocol": "none"})) as gateway:
            with pytest.raises(NegotiationError):
                await connect(gateway.websocket_url, subprotocols=offered)

    @pytest.mark.parametrize(
        ("status", "message"), [(401, "Unauthorized"), (403, "Forbidden"), (451, None), (499, None), (503, None)]
    )
    async def test_what_the_function_refuses(self, status: int, message: str | None) -> None:
        async with local_gateway(answering(status, body="lost")) as gateway:
            with pytest.raises(InvalidStatus) as caught:
                await connect(gateway.websocket_url)
            response = caught.value.response
            assert response.status_code == status
            told = json.loads(response.body or b"")
            assert told["connectionId"] == gateway.events[0]["requestContext"]["connectionId"]
            if message is not None:
                assert told["message"] == message
        assert len(gateway.events) == 1  # there was no connection: nothing ends

    @pytest.mark.parametrize("path", ["/other", "/dev/x", "/ws", "/dev/"])
    async def test_there_are_no_paths(self, path: str, caplog: pytest.LogCaptureFixture) -> None:
        async with local_gateway(accept) as gateway:
            with pytest.raises(InvalidStatus) as caught:
                await connect(f"ws://127.0.0.1:{gateway.port}{path}")
            assert caught.value.response.status_code == 403
            assert gateway.events == []
        assert f"WebSocket {path}: a WebSocket API has no paths. Connect to / or /dev;" in caplog.text

    @pytest.mark.parametrize("path", ["", "/", "/prod", "/v1"])
    async def test_where_the_api_is(self, path: str) -> None:
        async with (
            local_gateway(accept, stage="prod", base_path="/v1") as gateway,
            connect(f"ws://127.0.0.1:{gateway.port}{path}"),
        ):
            assert (await gateway.event("CONNECT"))["requestContext"]["stage"] == "prod"

    async def test_a_function_that_fails(self, caplog: pytest.LogCaptureFixture) -> None:
        async def fail(event: dict[str, Any]) -> Any:
            raise FunctionFailed("Runtime.ExitError", "it exited")

        async with local_gateway(fail) as gateway:
            with pytest.raises(InvalidStatus) as caught:
                await connect(gateway.websocket_url)
            assert caught.value.response.status_code == 502
            assert json.loads(caught.value.response.body or b"")["message"] == "Internal server error"
        assert "$connect: Runtime.ExitError: it exited" in caplog.text
        assert [entry.status for entry in gateway.journal] == [502]

    async def test_a_malformed_answer(self, caplog: pytest.LogCaptureFixture) -> None:
        async def nonsense(event: dict[str, Any]) -> Any:
            return {"status": 200}

        async with local_gateway(nonsense) as gateway:
            with pytest.raises(InvalidStatus) as caught:
                await connect(gateway.websocket_url)
            assert caught.value.response.status_code == 502
        assert "the function's answer is malformed: `statusCode` is None" in caplog.text

    async def test_a_function_that_takes_too_long(self, caplog: pytest.LogCaptureFixture) -> None:
        async def hang(event: dict[str, Any]) -> Any:
            await asyncio.Event().wait()

        async with local_gateway(hang, integration_timeout_s=0.05) as gateway:
            with pytest.raises(InvalidStatus) as caught:
                await connect(gateway.websocket_url)
            assert caught.value.response.status_code == 504
        assert "$connect: no answer within the 0.05 s that the WebSocket API waits." in caplog.text

    async def test_a_client_that_goes_before_it_is_let_in(self) -> None:
        asked, gone = asyncio.Event(), asyncio.Event()

        async def wait(event: dict[str, Any]) -> Any:
            if event["requestContext"]["eventType"] == "CONNECT":
                asked.set()
                await gone.wait()
            return OK

        async with local_gateway(wait) as gateway:
            connecting = asyncio.ensure_future(connect(gateway.websocket_url).__aenter__())
            await asked.wait()
            connecting.cancel()
            await asyncio.wait((connecting,))
            gone.set()
            assert (await gateway.event("DISCONNECT"))["requestContext"]["disconnectStatusCode"] == 1006
            assert list(gateway.api.connections) == []

    async def test_a_client_that_goes_before_it_is_refused(self) -> None:
        asked, gone = asyncio.Event(), asyncio.Event()

        async def wait(event: dict[str, Any]) -> Any:
            asked.set()
            await gone.wait()
            return {"statusCode": 403}

        async with local_gateway(wait) as gateway:
            connecting = asyncio.ensure_future(connect(gateway.websocket_url).__aenter__())
            await asked.wait()
            connecting.cancel()
            await asyncio.wait((connecting,))
            gone.set()
        assert len(gateway.events) == 1


class TestMessages:
    async def test_routes(self) -> None:
        routes = Routes(["join", "leave"], expression="$request.body.do.what")
        async with local_gateway(accept, routes=routes) as gateway, connect(gateway.websocket_url) as client:
            for text in ('{"do": {"what": "join"}}', '{"do": {"what": "other"}}'):
                await client.send(text)
            await gateway.event("MESSAGE", 2)
        assert [event["requestContext"]["routeKey"] for event in gateway.of_type("MESSAGE")] == ["join", "$default"]

    async def test_a_message_without_a_route(self, caplog: pytest.LogCaptureFixture) -> None:
        routes = Routes(["join"], default=False)
        async with local_gateway(accept, routes=routes) as gateway, connect(gateway.websocket_url) as client:
            await client.send("x")
            told = json.loads(await client.recv())
            assert (told["message"], sorted(told)) == ("Forbidden", ["connectionId", "message", "requestId"])
            await client.send('{"action": "join"}')
            assert (await gateway.event("MESSAGE"))["requestContext"]["routeKey"] == "join"
        assert "no route for a message, and no $default" in caplog.text

    async def test_answers_are_silent(self) -> None:
        answer = answering(500, on="MESSAGE", body="lost")
        async with local_gateway(answer) as gateway, connect(gateway.websocket_url) as client:
            await client.send("x")
            await gateway.event("MESSAGE")
            connection_id = gateway.events[0]["requestContext"]["connectionId"]
            assert await gateway.api.send(connection_id, "the first that comes")
            assert await client.recv() == "the first that comes"

    async def test_the_answers_of_a_route_with_responses(self) -> None:
        answer = answering(on="MESSAGE", body="aGVsbG8=", isBase64Encoded=True)
        async with local_gateway(answer, route_responses=True) as gateway, connect(gateway.websocket_url) as client:
            await client.send("x")
            assert await client.recv() == "hello"

    async def test_a_function_that_fails(self) -> None:
        async def fail(event: dict[str, Any]) -> Any:
            if event.get("body") == "fail":
                raise FunctionFailed("ValueError", "no")
            return OK

        async with local_gateway(fail) as gateway, connect(gateway.websocket_url) as client:
            await client.send("fail")
            told = json.loads(await client.recv())
            context = (await gateway.event("MESSAGE"))["requestContext"]
            assert told == {
                "message": "Internal server error",
                "connectionId": context["connectionId"],
                "requestId": context["requestId"],
            }
            await client.send("go on")
            assert (await gateway.event("MESSAGE", 2))["body"] == "go on"

    async def test_messages_of_one_client_run_at_the_same_time(self) -> None:
        both = asyncio.Barrier(2)

        async def meet(event: dict[str, Any]) -> Any:
            if event["requestContext"]["eventType"] == "MESSAGE":
                await both.wait()
            return OK

        async with local_gateway(meet) as gateway, connect(gateway.websocket_url) as client:
            await client.send("one")
            await client.send("two")
            await gateway.event("MESSAGE", 2)
            async with asyncio.timeout(20):
                await client.close()
                await gateway.event("DISCONNECT")

    @pytest.mark.parametrize("frames", [[b"x" * (32 * 1024 + 1)], [b"x" * (32 * 1024)] * 4 + [b"x"]])
    async def test_what_is_too_large(self, frames: list[bytes]) -> None:
        async with local_gateway(accept) as gateway, connect(gateway.websocket_url) as client:
            with suppress(ConnectionClosed):  # it may be before all is sent
                await client.send(frame.decode() for frame in frames)
            assert (await closed(client))[0] == 1009
            assert (await gateway.event("DISCONNECT"))["requestContext"]["disconnectStatusCode"] == 1009
            assert gateway.of_type("MESSAGE") == []

    async def test_the_largest_message(self) -> None:
        async with local_gateway(accept) as gateway, connect(gateway.websocket_url) as client:
            await client.send(["x" * (32 * 1024)] * 4)
            assert (await gateway.event("MESSAGE"))["body"] == "x" * (128 * 1024)


class TestTime:
    async def test_an_idle_connection(self) -> None:
        async with local_gateway(accept, idle_timeout_s=0.1) as gateway, connect(gateway.websocket_url) as client:
            assert await closed(client) == (1001, "Going away")
            context = (await gateway.event("DISCONNECT"))["requestContext"]
        assert (context["disconnectStatusCode"], context["disconnectReason"]) == (1001, "Going away")

    async def test_messages_keep_it_open_until_its_time_is_over(self) -> None:
        answer = answering(on="MESSAGE", body="x")
        settings = {"idle_timeout_s": 1.0, "connection_duration_s": 1.5, "route_responses": True}
        async with local_gateway(answer, **settings) as gateway, connect(gateway.websocket_url) as client:
            loop = asyncio.get_running_loop()
            begin = loop.time()
            with pytest.raises(ConnectionClosed) as caught:
                await read_on(client, after="x")
            assert loop.time() - begin > 1.2  # later than the idle timeout
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1001


class TestSlowClients:
    async def test_a_client_that_reads_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection_module, "_SEND_S", 0.2)
        monkeypatch.setattr(connection_module, "_MOST_BUFFERED", 16 * 1024 * 1024)  # 4 MB fit into the kernel's buffers
        async with local_gateway(accept) as gateway:
            with socket.create_connection(("127.0.0.1", gateway.port)) as own:
                own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # which else grows to what comes
                async with connect(gateway.websocket_url, sock=own, max_queue=1) as client:
                    client.transport.pause_reading()
                    (connection,) = gateway.api.connections
                    with pytest.raises(connection_module.BufferFull):
                        fill(connection)
                    assert not await gateway.api.send(connection.connection_id, "x" * 65536)
                    assert (await gateway.event("DISCONNECT"))["requestContext"]["disconnectStatusCode"] == 1006
                    client.transport.abort()

    async def test_what_comes_instead_of_an_answer_may_be_lost(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def answer(event: dict[str, Any]) -> Any:
            if event.get("body") == "fail":
                raise FunctionFailed("ValueError", "no")
            return {"statusCode": 200, "body": event.get("body")}

        async with local_gateway(answer, route_responses=True) as gateway, connect(gateway.websocket_url) as client:
            with monkeypatch.context() as full:
                full.setattr(connection_module, "_MOST_BUFFERED", 0)
                for text in ("fail", "x"):
                    await client.send(text)
                while len(gateway.lines) < 3:
                    await asyncio.sleep(0)
            await client.send("y")
            assert await client.recv() == "y"

    async def test_a_client_that_is_lost_meanwhile(self) -> None:
        async def lost(message: Message) -> None:
            raise OSError

        connection = connection_module.Connection(
            HTTPRequest(method="GET", path="/"), WebSocketSettings(domain="127.0.0.1:8000")
        )
        connection.post("x")
        given_up: list[bool] = []
        await connection.write(lost, lambda: given_up.append(True))
        assert given_up == []


async def test_what_the_dashboard_does(gateway_and_client: tuple[LocalGateway, ClientConnection]) -> None:
    gateway, client = gateway_and_client
    (connection,) = gateway.api.connections
    assert connection.path == "/dev?room=a"
    assert await gateway.api.send(connection.connection_id, b"\xff")
    assert await client.recv() == b"\xff"  # nothing is lost, though API Gateway sends text only
    await gateway.api.close(connection.connection_id)
    assert await closed(client) == (1000, "")
    await gateway.event("DISCONNECT")
    assert not await gateway.api.send(connection.connection_id, "x")
    await gateway.api.close(connection.connection_id)


@pytest.fixture
async def gateway_and_client() -> Any:
    async with local_gateway(accept) as gateway, connect(f"{gateway.websocket_url}?room=a") as client:
        yield gateway, client


@pytest.mark.parametrize(
    ("expression", "text", "route"),
    [
        ("$request.body.action", '{"action": "join"}', "join"),
        ("${request.body.action}", '{"action": "join"}', "join"),
        ("$request.body.a.b-c", '{"a": {"b-c": "join"}}', "join"),
        ("$request.body.a.b", '{"a": "join"}', "$default"),
        ("$request.body.action", '{"action": "other"}', "$default"),
        ("$request.body.action", '{"action": 5}', "$default"),
        ("$request.body.action", '["join"]', "$default"),
        ("$request.body.action", "join", "$default"),
        ("$request.body.action", "[" * 100_000, "$default"),
        ("$request.body.action", b"\xff", "$default"),
    ],
)
def test_a_route_is_selected(expression: str, text: str | bytes, route: str) -> None:
    assert Routes(["join"], expression=expression).select(text) == route


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"expression": "$request.header.x"}, "'$request.header.x' cannot be used"),
        ({"expression": "action"}, "as in $request.body.action"),
        ({"names": ["$default"]}, "'$default' is no custom route"),
        ({"names": [""]}, "'' is no custom route"),
    ],
)
def test_routes_that_cannot_be(arguments: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Routes(**arguments)
    assert message in str(caught.value)


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
@pytest.mark.parametrize(("host", "own"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]")])
def test_how_the_function_reaches_the_gateway(host: str, own: str) -> None:
    with listen(host, 0) as listener:
        assert own_domain(listener) == f"{own}:{listener.getsockname()[1]}"
