"""HTTP requests: each becomes an event, the function's answer a response."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from mangum.core.http import request_line
from mangum.local import answers
from mangum.local.answers import HTTPResponse
from mangum.local.events.requests import HTTPRequest
from mangum.local.fronts import FrontDoor
from mangum.local.integration import Fault, Integration, NoAnswer
from mangum.local.invocations import Invocation, Journal
from mangum.local.scopes import head_of
from mangum.local.service import LambdaService
from mangum.local.streams import StreamBroken, StreamedAnswer
from mangum.types import Receive, Scope, Send

__all__ = ["HTTPFront"]

logger: logging.Logger = logging.getLogger("mangum.local")

_WITHOUT_BODY = (204, 304)


class HTTPFront:
    """A front door of AWS as an ASGI application. `report` is given a line about each request."""

    def __init__(
        self, door: FrontDoor, service: LambdaService, journal: Journal, report: Callable[[str], None]
    ) -> None:
        self._door = door
        self._integration = Integration(door.source, door.timeout_s, service, journal)
        self._report = report

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin = time.perf_counter()
        head, title = head_of(scope), request_line(scope)
        response = self._door.refusal(head)
        client = _Client(receive, send, lambda status: self._report(_line(title, status, begin)))
        if response is None:
            response = await self._respond(head, client, title)
        if response is not None:
            client.report(response[0])
            await _send(response, head.method, send)

    async def send_again(self, invocation: Invocation) -> None:
        """Invoke the function once more with the event of an earlier invocation. There is nobody to answer."""
        await self._invoke(invocation.again(), _NOBODY)

    async def _respond(self, head: HTTPRequest, client: _Client, title: str) -> HTTPResponse | None:
        """The response. `None` if it has been sent, as a stream, and for a client that went before it had sent its
        body."""
        door = self._door
        try:
            body = await _read_body(head, client.receive, door.most_body)
        except _BodyTooLarge:
            logger.error("%s: %s takes bodies of %d bytes at the most.", title, door.source, door.most_body)
            return door.error(*door.too_large)
        if body is None:
            return None
        return await self._invoke(Invocation(source=door.source, title=title, event=door.event(head, body)), client)

    async def _invoke(self, invocation: Invocation, client: _Client) -> HTTPResponse | None:
        with self._integration.noted(invocation):
            response = await self._answer(invocation)
            invocation.status = response[0]
            if isinstance(response, _Streamed):
                await client.pass_on(response, invocation)
                return None
            return response

    async def _answer(self, invocation: Invocation) -> HTTPResponse | _Streamed:
        """The function's answer, or what the front door says in its place."""
        door = self._door
        read_prelude = door.read_prelude
        try:
            if read_prelude is None:
                return await self._integration.answer(invocation, door.read, door.most_answer)
            return await self._integration.answer(
                invocation,
                cast("Callable[[Any], HTTPResponse | _Streamed]", door.read),
                door.most_answer,
                lambda stream: _Streamed(*answers.read_prelude(stream.prelude, read_prelude), stream),
            )
        except NoAnswer as error:
            if error.fault is Fault.TIMEOUT:
                return door.error(504, "Endpoint request timed out")
            return door.error(*(door.too_large if error.fault is Fault.TOO_LARGE else door.failed))


class _Streamed(NamedTuple):
    """A response whose body comes bit by bit."""

    status: int
    pairs: list[tuple[str, str]]
    stream: StreamedAnswer


class _Client:
    """Who has sent a request, and gets a stream."""

    def __init__(self, receive: Receive, send: Send, report: Callable[[int], None]) -> None:
        self.receive = receive
        self.report = report
        self._send = send
        self._is_gone = False

    async def pass_on(self, response: _Streamed, invocation: Invocation) -> None:
        """Send a stream as it comes. When the client goes, the function is told, which AWS does not do."""
        stream = response.stream
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch(stream))
                self.report(response.status)
                await self._send(
                    {"type": "http.response.start", "status": response.status, "headers": _encoded(response.pairs)}
                )
                async for chunk in stream.chunks():
                    await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
                await self._send({"type": "http.response.body", "body": b""})
                watching.cancel()
        except* StreamBroken as broken:
            if not self._is_gone:
                logger.error("%s: the response is cut off: %s", invocation.title, broken.exceptions[0])
                invocation.failure = str(broken.exceptions[0])
        finally:
            stream.hang_up()
            invocation.answer = stream.summary()

    async def _watch(self, stream: StreamedAnswer) -> None:
        await self.receive()  # after the request's body, that is its disconnect
        self._is_gone = True
        stream.hang_up()


async def _ignore(message: Any) -> None:
    """There is nobody to be told."""


_NOBODY = _Client(lambda: asyncio.get_running_loop().create_future(), _ignore, lambda status: None)  # who never goes


def _line(title: str, status: int, begin: float) -> str:
    return f"{title} {status} {(time.perf_counter() - begin) * 1000:.1f} ms"


class _BodyTooLarge(Exception):
    """It is not read to its end."""


async def _read_body(head: HTTPRequest, receive: Receive, most: int) -> bytes | None:
    """The body. `None` for a client that has gone.

    Raises:
        _BodyTooLarge: it has more than `most` bytes.
    """
    if any(int(length) > most for length in head.values("content-length") if length.isdecimal()):
        raise _BodyTooLarge
    body, more_body = bytearray(), True
    while more_body:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        more_body = message.get("more_body", False)
        if len(body) > most:
            raise _BodyTooLarge
    return bytes(body)


async def _send(response: HTTPResponse, method: str, send: Send) -> None:
    """AWS computes the length, except of an answer to HEAD."""
    status, pairs, body = response
    if method == "HEAD":
        body = b""
    else:
        pairs = [pair for pair in pairs if pair[0] != "content-length"]
        if status in _WITHOUT_BODY:
            body = b""
        else:
            pairs.append(("content-length", str(len(body))))
    await send({"type": "http.response.start", "status": status, "headers": _encoded(pairs)})
    await send({"type": "http.response.body", "body": body})


def _encoded(pairs: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode(errors="replace")) for name, value in pairs]
