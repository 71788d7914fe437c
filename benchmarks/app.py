"""The applications that the adapters serve: plain ASGI, as little work as an application can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mangum.types import ASGI, Headers, Receive, Scope, Send

__all__ = ["HELLO", "HELLO_HEADERS", "hello", "reading", "sending"]

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
