"""HTTP requests: each becomes an event, the function's answer a response."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from mangum.local.answers import HTTPResponse
from mangum.local.events.requests import HTTPRequest
from mangum.local.fronts import FrontDoor
from mangum.local.integration import Fault, Integration, NoAnswer
from mangum.local.invocations import Invocation, Journal
from mangum.local.scopes import head_of
from mangum.local.service import LambdaService
from mangum.protocols.http import request_line
from mangum.types import Receive, Scope, Send

__all__ = ["HTTPFront"]

logger = logging.getLogger("mangum.local")

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
        if response is None:
            response = await self._respond(head, receive, title)
        if response is None:
            return  # nobody is there any more
        self._report(f"{title} {response[0]} {(time.perf_counter() - begin) * 1000:.1f} ms")
        await _send(response, head.method, send)

    async def send_again(self, invocation: Invocation) -> None:
        """Invoke the function once more with the event of an earlier invocation. There is nobody to answer."""
        await self._invoke(invocation.again())

    async def _respond(self, head: HTTPRequest, receive: Receive, title: str) -> HTTPResponse | None:
        """The response, or `None` for a client that went before it had sent its body."""
        door = self._door
        try:
            body = await _read_body(head, receive, door.most_body)
        except _BodyTooLarge:
            logger.error("%s: %s takes bodies of %d bytes at the most.", title, door.source, door.most_body)
            return door.error(*door.too_large)
        if body is None:
            return None
        return await self._invoke(Invocation(source=door.source, title=title, event=door.event(head, body)))

    async def _invoke(self, invocation: Invocation) -> HTTPResponse:
        with self._integration.noted(invocation):
            response = await self._answer(invocation)
            invocation.status = response[0]
            return response

    async def _answer(self, invocation: Invocation) -> HTTPResponse:
        """The function's answer, or what the front door says in its place."""
        door = self._door
        try:
            return await self._integration.answer(invocation, door.read, door.most_answer)
        except NoAnswer as error:
            if error.fault is Fault.TIMEOUT:
                return door.error(504, "Endpoint request timed out")
            return door.error(*(door.too_large if error.fault is Fault.TOO_LARGE else door.failed))


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
    headers = [(name.encode("ascii"), value.encode(errors="replace")) for name, value in pairs]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
