"""ASGI applications that the tests run."""

from __future__ import annotations

import asyncio
from typing import Any

from mangum.types import ASGI, Headers, Message, Receive, Scope, Send

TEXT: Headers = [[b"content-type", b"text/plain; charset=utf-8"]]


async def respond(send: Send, status: int = 200, body: bytes = b"", headers: Headers = TEXT) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read_body(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message: dict[str, Any] = dict(await receive())
        assert message["type"] == "http.request"
        body += message["body"]
        if not message["more_body"]:
            return bytes(body)


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Knows HTTP alone, and says so as the specification asks."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await respond(send, body=b"Hello, world!")


class Recorder:
    """Answers with what it is told, and keeps what it was asked."""

    def __init__(self, status: int = 200, headers: Headers = TEXT, body: bytes = b"") -> None:
        self.scope: Scope = {}
        self.body = b""
        self._response = (status, body, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.scope = scope
            self.body = await read_body(receive)
            await respond(send, *self._response)


class WithLifespan:
    """Records what its lifespan went through; answers a request with its state."""

    def __init__(self, app: ASGI = hello) -> None:
        self.log: list[str] = []
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            self.log.append("request")
            await self._app(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == {"type": "lifespan.startup"}
        self.log.append("startup")
        scope["state"]["started"] = self.log.count("startup")
        await send({"type": "lifespan.startup.complete"})
        assert await receive() == {"type": "lifespan.shutdown"}
        await asyncio.sleep(0)
        self.log.append("shutdown")
        await send({"type": "lifespan.shutdown.complete"})


class Sender:
    """Sends the given messages and returns."""

    def __init__(self, *messages: Message) -> None:
        self._messages = messages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for message in self._messages:
            await send(message)


class Context:
    """Lambda's context, as far as mangum asks it: so many milliseconds remain, always."""

    def __init__(self, remaining_ms: Any = 30_000) -> None:
        self._remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self) -> Any:
        return self._remaining_ms
