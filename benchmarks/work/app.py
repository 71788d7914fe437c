"""The applications that the adapters serve: plain ASGI, as little work as an application can do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mangum.types import ASGI, Headers, Receive, Scope, Send

__all__ = ["HELLO", "HELLO_HEADERS", "hello", "reading", "sending", "streaming", "with_state"]

HELLO = b"Hello, world!"
HELLO_HEADERS: Headers = [[b"content-type", b"text/plain; charset=utf-8"], [b"content-length", b"13"]]


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers `HELLO`, and knows the lifespan protocol."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": HELLO_HEADERS})
    await send({"type": "http.response.body", "body": HELLO})


def sending(body: bytes, content_type: bytes) -> ASGI:
    """An application that answers `body`."""
    headers: Headers = [[b"content-type", content_type], [b"content-length", b"%d" % len(body)]]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def reading() -> ASGI:
    """An application that reads the request's body, and answers how many bytes it has."""
    headers: Headers = [[b"content-type", b"text/plain; charset=utf-8"]]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        size = 0
        more_body = True
        while more_body:
            message = await receive()
            size += len(message.get("body", b""))
            more_body = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"%d" % size})

    return app


def with_state(entries: int) -> ASGI:
    """`hello`, whose startup leaves so many entries in the lifespan's state, as one for each route would."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"].update((f"route {index}", index) for index in range(entries))
        await hello(scope, receive, send)

    return app


async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends a body in chunks: how many, how long each, and how many seconds apart, the query says ("1000,65536,0")."""
    if scope["type"] == "lifespan":
        await hello(scope, receive, send)
        return
    chunks, size, pause_s = (scope["query_string"] or b"1,13,0").split(b",")
    chunk = b"x" * int(size)
    await send({"type": "http.response.start", "status": 200, "headers": [[b"content-type", b"image/png"]]})
    for _ in range(int(chunks)):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if float(pause_s):
            await asyncio.sleep(float(pause_s))
    await send({"type": "http.response.body", "body": b""})
