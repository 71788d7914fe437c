"""A chat with rooms: FastAPI and WebSockets on Lambda, and the page that `./scripts/demo` opens.

    mangum dev examples.chat:handler

On AWS: an HTTP API or a Function URL for the page, and a WebSocket API whose routes $connect, $default and $disconnect
lead to the same function. Set CHAT_WEBSOCKET_URL to its URL (wss://....amazonaws.com/prod) and MANGUM_DSN to a store,
such as dynamodb://chat.

The application runs anew for each event, so that nothing of a connection is kept in variables: name and room are in the
query string of its handshake, and who is in a room is a group in the store.
"""

from __future__ import annotations

import json
import os
from html import escape
from pathlib import Path
from typing import Annotated

from fastapi import Body, FastAPI, Query, WebSocket, WebSocketDisconnect
from fastapi.requests import Request
from fastapi.responses import HTMLResponse

from mangum import Mangum

PAGE = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")

app = FastAPI(title="mangum chat")

Name = Annotated[str, Query(min_length=1, max_length=40)]


def message(kind: str, name: str, text: str = "") -> str:
    return json.dumps({"kind": kind, "name": name, "text": text})


@app.get("/", response_class=HTMLResponse, include_in_schema=False)
async def page() -> str:
    return PAGE.replace("__WEBSOCKET_URL__", escape(os.environ.get("CHAT_WEBSOCKET_URL", "")))


@app.websocket("/")
async def chat(websocket: WebSocket, name: Name, room: Name = "lobby") -> None:
    connections = websocket.scope["aws.connections"]
    own_id = websocket.scope["aws.event"]["requestContext"]["connectionId"]
    await websocket.accept()
    await connections.join(room)
    await connections.broadcast(room, message("joined", name), exclude={own_id})
    try:
        while True:
            text = await websocket.receive_text()
            await connections.broadcast(room, message("said", name, text))
    except WebSocketDisconnect:
        await connections.leave(room)
        await connections.broadcast(room, message("left", name))


@app.post("/rooms/{room}")
async def announce(
    room: str, text: Annotated[str, Body(embed=True, max_length=1000)], request: Request
) -> dict[str, int]:
    """Say something in a room from elsewhere: HTTP requests reach the connections too."""
    result = await request.scope["aws.connections"].broadcast(room, message("announced", "", text))
    return {"sent": result.sent}


handler = Mangum(app, lifespan="off", websocket_path="/")
