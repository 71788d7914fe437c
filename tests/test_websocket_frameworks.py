"""Applications as they are written: FastAPI, Starlette, Quart, Litestar, and task groups, through CONNECT, several
MESSAGEs and DISCONNECT."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Annotated, Any

import anyio
import litestar
import pytest
import quart
from fastapi import Depends, FastAPI, HTTPException, Query, WebSocket, WebSocketDisconnect, WebSocketException
from litestar.handlers import WebsocketListener, websocket
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import WebSocketRoute

from mangum import Mangum
from mangum.types import ASGI, Receive, Scope, Send
from tests.servers.connections import ConnectionsEndpoint
from tests.websocket_client import Client, serving

Visit = Callable[..., Client]


@pytest.fixture
def visit(endpoint: ConnectionsEndpoint) -> Iterator[Visit]:
    """A client of an application, at the path /ws."""
    with ExitStack() as handlers:

        def client_of(app: Any, **arguments: Any) -> Client:
            arguments = {"websocket_path": "/ws", **arguments}
            return Client(handlers.enter_context(serving(app, endpoint, "sqlite://:memory:", **arguments)), endpoint)

        yield client_of


async def tasks_beside() -> int:
    """How many tasks are on the loop beside this one and the root task."""
    return len(asyncio.all_tasks()) - 2


def talk(client: Client, *texts: str, code: int = 1001) -> list[int]:
    """Connect, say something, and leave: the statuses. Nothing of the application is left behind."""
    statuses = [client.connect(), *(client.send(text) for text in texts), client.disconnect(code)]
    gc.collect()
    assert client.handler.run(tasks_beside) == 0
    return statuses


# Echoes, in each framework's own ways


def fastapi_loop() -> ASGI:
    """The first example of FastAPI's documentation."""
    app = FastAPI()

    @app.websocket("/ws")
    async def websocket_endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            data = await websocket.receive_text()
            await websocket.send_text(f"Message text was: {data}")

    return app


def fastapi_caught() -> ASGI:
    app = FastAPI()

    @app.websocket("/ws")
    async def websocket_endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                data = await websocket.receive_text()
                await websocket.send_text(f"Message text was: {data}")
        except WebSocketDisconnect:
            pass

    return app


def starlette_iterator() -> ASGI:
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        async for data in websocket.iter_text():
            await websocket.send_text(f"Message text was: {data}")

    return Starlette(routes=[WebSocketRoute("/ws", echo)])


def starlette_endpoint() -> ASGI:
    class Echo(WebSocketEndpoint):
        encoding = "text"

        async def on_receive(self, websocket: Any, data: Any) -> None:
            await websocket.send_text(f"Message text was: {data}")

    return Starlette(routes=[WebSocketRoute("/ws", Echo)])


def starlette_in_middleware() -> ASGI:
    class Dispatch(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            return await call_next(request)

    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        async for data in websocket.iter_text():
            await websocket.send_text(f"Message text was: {data}")

    middleware = [Middleware(Dispatch), Middleware(CORSMiddleware, allow_origins=["*"])]
    return Starlette(routes=[WebSocketRoute("/ws", echo)], middleware=middleware)


def quart_echo() -> ASGI:
    app = quart.Quart(__name__)

    @app.websocket("/ws")
    async def echo() -> None:
        while True:
            await quart.websocket.send(f"Message text was: {await quart.websocket.receive()!s}")

    return app


def litestar_listener() -> ASGI:
    class Echo(WebsocketListener):
        path = "/ws"

        def on_receive(self, data: str) -> str:
            return f"Message text was: {data}"

    return litestar.Litestar([Echo], logging_config=None)


def litestar_loop() -> ASGI:
    @websocket("/ws")
    async def echo(socket: litestar.WebSocket[Any, Any, Any]) -> None:
        await socket.accept()
        async for data in socket.iter_data("text"):
            await socket.send_text(f"Message text was: {data}")

    return litestar.Litestar([echo], logging_config=None)


def anyio_tasks() -> ASGI:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            return
        source, sink = anyio.create_memory_object_stream[str](10)

        async def read() -> None:
            with source:
                while (message := await receive())["type"] != "websocket.disconnect":
                    if message["type"] == "websocket.receive":
                        await source.send(message["text"])

        async def write() -> None:
            with sink:
                async for text in sink:
                    await anyio.sleep(0)
                    await send({"type": "websocket.send", "text": f"Message text was: {text}"})

        await receive()
        await send({"type": "websocket.accept"})
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            group.start_soon(write)

    return app


def asyncio_wait() -> ASGI:
    """A reader and a writer, of which the first that ends ends the other."""
    app = FastAPI()

    @app.websocket("/ws")
    async def websocket_endpoint(websocket: WebSocket) -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()

        async def read() -> None:
            async for text in websocket.iter_text():
                await queue.put(text)

        async def write() -> None:
            while True:
                await websocket.send_text(f"Message text was: {await queue.get()}")

        await websocket.accept()
        tasks = [asyncio.create_task(read()), asyncio.create_task(write())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    return app


def asyncio_wait_for_all() -> ASGI:
    """A reader and a writer that end each by itself."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            return
        queue: asyncio.Queue[str] = asyncio.Queue()

        async def read() -> None:
            while (message := await receive())["type"] == "websocket.receive":
                await queue.put(message["text"])
            await queue.put("")

        async def write() -> None:
            while text := await queue.get():
                await send({"type": "websocket.send", "text": f"Message text was: {text}"})

        await receive()
        await send({"type": "websocket.accept"})
        tasks = [asyncio.create_task(read()), asyncio.create_task(write())]
        try:
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return app


def a_reader_that_is_left_behind() -> ASGI:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            return
        ended = asyncio.Event()

        async def read() -> None:
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": f"Message text was: {message['text']}"})
            ended.set()

        await receive()
        await send({"type": "websocket.accept"})
        scope["reader"] = asyncio.create_task(read())
        await ended.wait()

    return app


@pytest.mark.parametrize(
    "build",
    [
        fastapi_caught,
        starlette_iterator,
        starlette_endpoint,
        starlette_in_middleware,
        quart_echo,
        litestar_listener,
        litestar_loop,
        anyio_tasks,
        asyncio_wait,
        asyncio_wait_for_all,
        a_reader_that_is_left_behind,
    ],
)
@pytest.mark.parametrize("lifespan", ["auto", "off"])
def test_an_echo(build: Callable[[], ASGI], lifespan: str, visit: Visit, caplog: pytest.LogCaptureFixture) -> None:
    client = visit(build(), lifespan=lifespan)
    assert talk(client, "one", "two", "drei ü") == [200] * 5
    assert client.received == [f"Message text was: {text}" for text in ("one", "two", "drei ü")]
    assert not client.is_closed
    assert client.send("late") == 410
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_fastapis_first_example(visit: Visit, caplog: pytest.LogCaptureFixture) -> None:
    """It lets WebSocketDisconnect escape, which every server logs; all is forgotten nevertheless."""
    client = visit(fastapi_loop())
    assert talk(client, "one", "two") == [200, 200, 200, 500]
    assert client.received == ["Message text was: one", "Message text was: two"]
    assert "WebSocketDisconnect" in caplog.text
    assert client.disconnect() == 200
    assert client.send("late") == 410


# FastAPI and Starlette in detail


def test_path_query_state_and_json(visit: Visit) -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        yield {"database": "open"}

    app = FastAPI(lifespan=lifespan)

    @app.websocket("/rooms/{room}")
    async def endpoint(websocket: WebSocket, room: str, q: Annotated[list[str], Query()], limit: int = 5) -> None:
        await websocket.accept()
        try:
            while True:
                data = await websocket.receive_json()
                answer = [room, q, limit, websocket.state.database, websocket.headers["x-token"], data]
                await websocket.send_json(answer)
        except WebSocketDisconnect:
            pass

    client = visit(app, websocket_path="/rooms/föö")
    assert client.connect(query={"q": ["a b", "ü"], "limit": ["7"]}, headers={"X-Token": "t"}) == 200
    assert client.send('{"n": 1}') == 200
    assert client.disconnect() == 200
    assert [json.loads(text) for text in client.received] == [["föö", ["a b", "ü"], 7, "open", "t", {"n": 1}]]


def test_a_query_that_does_not_validate(visit: Visit) -> None:
    app = FastAPI()

    @app.websocket("/ws")
    async def endpoint(websocket: WebSocket, limit: int) -> None:
        raise AssertionError

    client = visit(app)
    assert client.connect(query={"limit": ["many"]}) == 403
    assert client.send("x") == 410


def test_no_route(visit: Visit) -> None:
    client = visit(FastAPI(), websocket_path="/elsewhere")
    assert client.connect() == 403
    assert client.send("x") == 410


@pytest.mark.parametrize("lifespan", ["auto", "off"])
def test_subprotocol(lifespan: str, visit: Visit) -> None:
    app = FastAPI()

    @app.websocket("/ws")
    async def endpoint(websocket: WebSocket) -> None:
        offered = websocket.scope["subprotocols"]
        await websocket.accept(subprotocol="chat" if "chat" in offered else None)
        async for _ in websocket.iter_text():
            await websocket.send_text(str(offered))

    client = visit(app, lifespan=lifespan)
    assert client.connect(headers={"Sec-WebSocket-Protocol": "mqtt, chat"}) == 200
    assert client.answer == {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "chat"}}
    assert client.send("x") == 200
    assert client.received == ["['mqtt', 'chat']"]


def denial(response: Response) -> Callable[[WebSocket], Any]:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.send_denial_response(response)

    return endpoint


def raising(error: Exception) -> Callable[[WebSocket], Any]:
    async def endpoint(websocket: WebSocket) -> None:
        raise error

    return endpoint


async def closing(websocket: WebSocket) -> None:
    await websocket.close(1008, "no")


@pytest.mark.parametrize(
    ("refuse", "status"),
    [
        (denial(PlainTextResponse("who are you?", 401)), 401),
        (denial(JSONResponse({"detail": "later"}, 503)), 503),
        (raising(HTTPException(418, "teapot")), 418),
        (raising(WebSocketException(1008, "policy")), 403),
        (raising(LookupError("nothing")), 500),
        (closing, 403),
    ],
    ids=["denial", "JSON", "HTTPException", "WebSocketException", "error", "close"],
)
def test_a_refusal(refuse: Callable[[WebSocket], Any], status: int, visit: Visit) -> None:
    app = FastAPI()
    app.add_api_websocket_route("/ws", refuse)
    client = visit(app)
    assert client.connect() == status
    assert client.answer == {"statusCode": status}
    assert client.send("x") == 410
    assert client.disconnect() == 200


def test_an_exception_after_accept(visit: Visit, caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()

    @app.websocket("/ws")
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        if await websocket.receive_text() == "policy":
            raise WebSocketException(1008, "policy")
        raise LookupError("nothing")

    for said, status in (("policy", 200), ("other", 500)):
        client = visit(app)
        client.connect()
        assert client.send(said) == status
        assert client.is_closed
        assert client.disconnect() == 200
    assert "LookupError: nothing" in caplog.text


async def session(websocket: WebSocket) -> AsyncIterator[str]:
    log = websocket.app.state.log
    kind = websocket.scope["aws.event"]["requestContext"]["eventType"]
    log.append(f"{kind} begins")
    try:
        yield "session"
    finally:
        await asyncio.sleep(0.001)
        await anyio.to_thread.run_sync(log.append, f"{kind} ends")


def settings() -> Iterator[str]:
    yield "settings"


@pytest.mark.parametrize("lifespan", ["auto", "off"])
def test_dependencies_clean_up_at_every_event(lifespan: str, visit: Visit) -> None:
    log: list[str] = []
    app = FastAPI()
    app.state.log = log

    @app.websocket("/ws")
    async def endpoint(
        websocket: WebSocket, a: Annotated[str, Depends(session)], b: Annotated[str, Depends(settings)]
    ) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_text(f"{a} {b} {await websocket.receive_text()}")
        except WebSocketDisconnect:
            log.append("disconnected")

    client = visit(app, lifespan=lifespan)
    assert talk(client, "one", "two") == [200] * 4
    assert client.received == ["session settings one", "session settings two"]
    assert log == [
        *("CONNECT begins", "CONNECT ends"),
        *("MESSAGE begins", "MESSAGE ends"),
        *("MESSAGE begins", "MESSAGE ends"),
        *("DISCONNECT begins", "disconnected", "DISCONNECT ends"),
    ]


def test_hooks_of_an_endpoint(visit: Visit) -> None:
    log: list[Any] = []

    class Endpoint(WebSocketEndpoint):
        encoding = "json"

        async def on_connect(self, websocket: Any) -> None:
            await websocket.accept()
            await websocket.send_text("welcome")

        async def on_receive(self, websocket: Any, data: Any) -> None:
            log.append(data)

        async def on_disconnect(self, websocket: Any, close_code: int) -> None:
            log.append(close_code)

    client = visit(Starlette(routes=[WebSocketRoute("/ws", Endpoint)]))
    # Starlette calls `on_disconnect` in a `finally`, which comes at the end of each event.
    assert talk(client, '{"n": 1}', "[2]", code=1001) == [200] * 4
    assert client.received == ["welcome"]
    assert [entry for entry in log if not isinstance(entry, int)] == [{"n": 1}, [2]]
    assert log.count(1001) == 1
    assert log[-1] == 1001


def test_a_connection_manager_in_a_global(visit: Visit) -> None:
    """FastAPI's example of a chat. In one sandbox it holds dead connections, whose sends have no effect."""
    active: list[WebSocket] = []
    app = FastAPI()

    @app.websocket("/ws")
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        active.append(websocket)
        try:
            while True:
                text = await websocket.receive_text()
                await websocket.send_text(f"You wrote: {text}")
        except WebSocketDisconnect:
            active.remove(websocket)

    client = visit(app)
    assert talk(client, "one", "two") == [200] * 4
    assert client.received == ["You wrote: one", "You wrote: two"]


def test_a_chat_that_goes_by_groups(visit: Visit, endpoint: ConnectionsEndpoint) -> None:
    app = FastAPI()

    @app.websocket("/ws")
    async def chat(websocket: WebSocket, name: str) -> None:
        connections = websocket.scope["aws.connections"]
        await websocket.accept()
        await connections.join("room")
        await connections.broadcast("room", f"{name} joined")
        try:
            async for text in websocket.iter_text():
                await connections.broadcast("room", f"{name}: {text}")
        finally:
            if websocket.client_state.name == "DISCONNECTED":
                await connections.leave("room")
                await connections.broadcast("room", f"{name} left")

    ann = visit(app)
    bob = Client(ann.handler, endpoint)
    assert ann.connect(query={"name": ["ann"]}) == 200
    assert ann.send("anyone?") == 200
    assert bob.connect(query={"name": ["bob"]}) == 200
    assert bob.send("me") == 200
    assert ann.disconnect() == 200
    assert bob.send("still there?") == 200
    assert ann.received == ["ann joined", "ann: anyone?", "bob joined", "bob: me"]
    assert bob.received == ["bob joined", "bob: me", "ann left", "bob: still there?"]


def test_a_client_that_has_gone_is_no_error_of_a_task_group(visit: Visit, caplog: pytest.LogCaptureFixture) -> None:
    client = visit(anyio_tasks())
    client.connect()
    leave(client)
    assert client.send("x") == 200
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def leave(client: Client) -> None:
    """From now on API Gateway says that the connection is gone, and is believed."""
    from dataclasses import replace

    async def age() -> None:
        gateway = client.handler._hub
        assert gateway is not None
        record = await gateway.load(client.id)
        assert record is not None
        old = replace(record, target=replace(record.target, connected_at=record.target.connected_at - 60))
        await gateway.store.save(old.as_entry())

    client.handler.run(age)
    client._endpoint.script(410, to=client.id, always=True)


def test_quart_in_detail(visit: Visit) -> None:
    log: list[str] = []
    app = quart.Quart(__name__)

    @app.websocket("/ws")
    async def endpoint() -> Any:
        if quart.websocket.args.get("token") != "right":
            return "who are you?", 401
        await quart.websocket.accept(subprotocol=quart.websocket.requested_subprotocols[0])
        await quart.websocket.send("welcome")
        try:
            while True:
                await quart.websocket.send(await quart.websocket.receive())
        finally:
            await asyncio.sleep(0)
            log.append(quart.websocket.scope["aws.event"]["requestContext"]["eventType"])  # type: ignore[typeddict-item]

    client = visit(app)
    assert client.connect(query={"token": ["wrong"]}) == 401
    assert client.connect(query={"token": ["right"]}, headers={"Sec-WebSocket-Protocol": "a, b"}) == 200
    assert client.answer["headers"] == {"Sec-WebSocket-Protocol": "a"}
    assert [client.send("one"), client.send("two"), client.disconnect()] == [200, 200, 200]
    assert client.received == ["welcome", "one", "two"]
    assert log == ["CONNECT", "MESSAGE", "MESSAGE", "DISCONNECT"]


def test_one_handler_for_http_and_websockets(visit: Visit) -> None:
    from mangum.local.events.requests import HTTPRequest
    from tests.sources import BY_NAME

    app = FastAPI()

    @app.post("/notify/{connection_id}")
    async def notify(connection_id: str, request: Request) -> dict[str, bool]:
        await request.scope["aws.connections"].send(connection_id, (await request.body()).decode())
        return {"sent": True}

    @app.websocket("/ws")
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        async for _ in websocket.iter_text():
            pass

    client = visit(app)
    client.id = "an-id"
    client.connect()
    request = HTTPRequest(method="POST", path="/notify/an-id", body=b"from HTTP")
    assert client.handler(BY_NAME["rest-api"].event(request), client.context)["statusCode"] == 200
    assert client.received == ["from HTTP"]


def test_mounted(visit: Visit) -> None:
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        async for _ in websocket.iter_text():
            await websocket.send_text(f"{websocket.url.path} {websocket.scope['root_path']}")

    client = visit(Starlette(routes=[WebSocketRoute("/ws", echo)]), root_path="/v1")
    assert isinstance(client.handler, Mangum)
    assert client.connect() == 200
    client.send("x")
    assert client.received == ["/v1/ws /v1"]
