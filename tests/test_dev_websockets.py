"""The WebSocket API of `mangum dev` as its users have it: a process, an application on Mangum, and real clients."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.dev_server import DevServer, serving

pytestmark = pytest.mark.anyio

APP = """
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from mangum import Mangum

app = FastAPI()
VERSION = "one"

@app.websocket("/")
async def talk(websocket: WebSocket):
    connections = websocket.scope["aws.connections"]
    room = websocket.query_params.get("room", "")
    if room == "closed":
        await websocket.close()
        return
    await websocket.accept(subprotocol="chat" if "chat" in websocket["subprotocols"] else None)
    await connections.join(room or "lobby")
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                print(f"left {message['code']}", flush=True)
                return
            match message.get("text"):
                case None:
                    await websocket.send_bytes(message["bytes"])
                case "version":
                    await websocket.send_text(VERSION)
                case "close":
                    await websocket.close()
                    return
                case text if text.startswith("all "):
                    await connections.broadcast(room, text)
                case text:
                    await websocket.send_text(f"echo {text}")
    finally:
        print("over", flush=True)

handler = Mangum(app)
"""
PLAIN = """
from mangum import Mangum

async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        pass
    print(f"left {message['code']}", flush=True)

handler = Mangum(app, "off")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "talk.py").write_text(APP)
    return tmp_path


def url_of(server: DevServer) -> str:
    return server.wait_for(r"^Its WebSocket API: (ws://127\.0\.0\.1:\d+/dev)$")[1]


async def talk(url: str, number: int, messages: int) -> int:
    """Say so much, and count the answers that are right."""
    right = 0
    async with connect(url, open_timeout=120, ping_interval=None, close_timeout=60) as client:
        for index in range(messages):
            await client.send(f"{number}-{index}")
            right += await client.recv() == f"echo {number}-{index}"
    return right


async def test_one_client_after_the_other(folder: Path) -> None:
    with serving(folder, "talk:handler", "--no-reload") as server:
        url = url_of(server)
        assert await talk(url, 1, 3) == 3
        server.wait_for("^left 1000")
        async with connect(url, subprotocols=[Subprotocol("chat")]) as client:
            assert client.subprotocol == "chat"
            await client.send(b"\x00\xff")
            assert await client.recv() == b"\x00\xff"
            await client.send("close")
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1000
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"{url}?room=closed")
        assert caught.value.response.status_code == 403
        async with connect(f"{url}?room=a") as first, connect(f"{url}?room=a") as second, connect(url) as third:
            await first.send("all of you")
            assert (await first.recv(), await second.recv()) == ("all of you", "all of you")
            await third.send("x")
            assert await third.recv() == "echo x"
        assert "Traceback" not in server.output


ECHO = """
async def app(scope, receive, send):
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": f"echo {message['text']}"})
"""


async def test_200_clients_with_50_messages_each(tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text(ECHO)
    options = ["--no-reload", "--no-dashboard", "--integration-timeout", "120"]
    with serving(tmp_path, "echo:app", *options, is_measured=False) as server:
        url = url_of(server)
        async with asyncio.timeout(300), asyncio.TaskGroup() as group:
            clients = [group.create_task(talk(url, number, 50)) for number in range(200)]
        assert sum(client.result() for client in clients) == 200 * 50
        server.wait_for(r"^WebSocket \$disconnect 200", count=200)
        assert len(re.findall(r"^WebSocket \$disconnect", server.output, re.MULTILINE)) == 200


async def test_a_change_of_the_code_leaves_clients_connected(folder: Path) -> None:
    with serving(folder, "talk:handler") as server:
        async with connect(url_of(server)) as client:
            await client.send("version")
            assert await client.recv() == "one"
            (folder / "talk.py").write_text(APP.replace('VERSION = "one"', 'VERSION = "two"'))
            server.wait_for("^Reloaded: ")
            await client.send("version")
            assert await client.recv() == "two"


async def test_ctrl_c_with_clients(folder: Path) -> None:
    async def stay(client: ClientConnection) -> int:
        await client.wait_closed()
        assert client.close_code is not None
        return client.close_code

    # As little as an application can do: a busy machine too ends all events in the half second that they have.
    (folder / "plain.py").write_text(PLAIN)
    with serving(folder, "plain:handler", "--no-reload") as server:
        url = url_of(server)
        clients = [await connect(url) for _ in range(20)]
        server.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            assert await asyncio.gather(*map(stay, clients)) == [1012] * 20
        assert await asyncio.to_thread(server.wait) == 0
        assert server.output.count("left 1012") == 20
        assert "Traceback" not in server.output


async def test_the_page_shows_connections(folder: Path) -> None:
    with serving(folder, "talk:handler", "--no-reload") as server:
        async with connect(f"{url_of(server)}?room=a") as client, httpx.AsyncClient(base_url=server.url) as browser:
            await client.send("hello")
            assert await client.recv() == "echo hello"
            page = (await browser.get("/_mangum/connections")).text
            (connection_id,) = re.findall(r'data-id="([^"]+)"', page)
            assert '<span class="group">a</span>' in page
            own = {"origin": server.url, "accept": "text/plain"}
            form = {"connection_id": connection_id, "data": "from the page"}
            assert (await browser.post("/_mangum/connections/send", data=form, headers=own)).text == "Sent."
            assert await client.recv() == "from the page"

            found = (await browser.get("/_mangum/rows", params={"q": "$default"})).text
            (request_id,) = set(re.findall(r'href="/_mangum/invocations/([^"?]+)', found))
            again = await browser.post(f"/_mangum/invocations/{request_id}/again", headers=own)
            assert again.text == "Sent again."
            assert await client.recv() == "echo hello"

            assert (await browser.post("/_mangum/connections/close", data=form, headers=own)).text == "Closed."
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1000


async def test_routes_limits_and_answers(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(
        "import json\n\ndef handler(event, context):\n"
        "    return {'statusCode': 200, 'body': json.dumps(event['requestContext'])}\n"
    )
    options = ["--route", "join", "--route", "leave", "--route-selection-expression", "$request.body.what"]
    options += ["--no-default-route", "--route-response", "--idle-timeout", "2", "--stage", "prod", "--no-reload"]
    with serving(tmp_path, "plain:handler", *options) as server:
        url = server.wait_for(r"^Its WebSocket API: (ws://127\.0\.0\.1:\d+/prod)$")[1]
        async with connect(url) as client:
            await client.send('{"what": "leave"}')
            context = json.loads(await client.recv())
            assert (context["routeKey"], context["stage"]) == ("leave", "prod")
            await client.send("what?")
            assert json.loads(await client.recv())["message"] == "Forbidden"
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1001


@pytest.mark.parametrize("option", [["--route", "$default"], ["--route-selection-expression", "x"]])
def test_routes_that_cannot_be(folder: Path, option: list[str]) -> None:
    with serving(folder, "talk:handler", *option) as server:
        assert server.wait() == 2
    assert option[1] in server.output
    assert "Traceback" not in server.output
