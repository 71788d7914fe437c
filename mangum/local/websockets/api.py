"""WebSocket connections: each handshake, message and end becomes an event."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import Any, NamedTuple

from mangum.local.answers import read_websocket
from mangum.local.events.websocket import CONNECT_ROUTE, DISCONNECT_ROUTE, connect, disconnect, message, new_id
from mangum.local.integration import Fault, Integration, NoAnswer
from mangum.local.invocations import Invocation, Journal
from mangum.local.scopes import head_of
from mangum.local.service import LambdaService
from mangum.local.websockets.connection import BufferFull, Connection
from mangum.local.websockets.settings import WebSocketSettings
from mangum.types import Message, Receive, Scope, Send

__all__ = ["WebSocketAPI"]

logger: logging.Logger = logging.getLogger("mangum.local")

_MOST_AT_ONCE = 100  # messages of one connection on their way: its client has to wait with more
# RFC 6455, section 7.4.1: a close frame without a code, and none.
_NO_STATUS = 1005
_LOST = 1006
_STATUS = {Fault.TIMEOUT: 504, Fault.TOO_LARGE: 413, Fault.FAILED: 502}
_PHRASES = frozenset(HTTPStatus)
_SUBPROTOCOL = "sec-websocket-protocol"


# What API Gateway was seen to say where the close frame gave no reason.
_REASONS = {
    1000: "Connection Closed Normally",
    1001: "Going away",
    1005: "Client-side close frame status not set",
    1006: "Connection closed abnormally",
}


class _End(NamedTuple):
    """How a connection ended."""

    code: int
    reason: str


class _Outcome(NamedTuple):
    """What came of an event."""

    status: int
    headers: list[tuple[str, str]] = []  # noqa: RUF012 # of nobody's to change
    body: bytes = b""
    has_failed: bool = False


class WebSocketAPI:
    """A WebSocket API as an ASGI application. `report` is given a line about each event.

    Messages of one connection are handed on at once, each as an event of its own. DISCONNECT comes once for each
    connection that was let in, after its messages.
    """

    def __init__(
        self, settings: WebSocketSettings, service: LambdaService, journal: Journal, report: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._integration = Integration("the WebSocket API", settings.integration_timeout_s, service, journal)
        self._report = report
        self._open: dict[str, Connection] = {}
        self._has_told_of_binary = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        request = head_of(scope)
        if request.path not in self._settings.paths:
            logger.error(
                "WebSocket %s: a WebSocket API has no paths. Connect to %s; the application sees the path that "
                "Mangum's `websocket_path` names.",
                request.path,
                " or ".join(self._settings.paths),
            )
            await _deny(403, new_id(), send)
            return
        connection = Connection(request, self._settings)
        outcome = await self._invoke(connection.connection_id, CONNECT_ROUTE, connect(connection.told, request))
        if outcome.status >= 300:
            await _deny(outcome.status, connection.connection_id, send)
            return
        chosen = next((value for name, value in outcome.headers if name == _SUBPROTOCOL), None)
        with suppress(OSError):  # whoever has gone in the meantime: `receive` tells
            await send({"type": "websocket.accept", "subprotocol": chosen})
        end = await self._serve(connection, receive, send)
        await self._invoke(connection.connection_id, DISCONNECT_ROUTE, disconnect(connection.told, *end))

    @property
    def connections(self) -> Iterable[Connection]:
        """Those that are open, the oldest first."""
        return list(self._open.values())

    def find(self, connection_id: str) -> Connection | None:
        """An open connection."""
        return self._open.get(connection_id)

    async def send(self, connection_id: str, data: str | bytes) -> bool:
        """Send a message; `False` if the connection is not there, or its client reads nothing any more."""
        connection = self.find(connection_id)
        if connection is None:
            return False
        try:
            connection.post(data)
        except BufferFull:
            return False
        return True

    async def close(self, connection_id: str) -> None:
        """Close a connection, if it is still there."""
        connection = self.find(connection_id)
        if connection is not None:
            connection.close()

    async def send_again(self, invocation: Invocation) -> None:
        """Invoke the function once more with the event of an earlier invocation. Its answer has no effect."""
        await self._run(invocation.again())

    async def _serve(self, connection: Connection, receive: Receive, send: Send) -> _End:
        """From the handshake to the end of the connection, and of the events of its messages."""
        end = _End(_LOST, _REASONS[_LOST])
        async with asyncio.TaskGroup() as group:
            self._open[connection.connection_id] = connection
            try:
                with suppress(TimeoutError), connection.expiring():
                    async with asyncio.timeout(None) as patience:
                        writing = group.create_task(connection.write(send, lambda: patience.reschedule(0)))
                        end = await self._read(connection, receive, group)
            finally:
                del self._open[connection.connection_id]
                writing.cancel()
        return end

    async def _read(self, connection: Connection, receive: Receive, group: asyncio.TaskGroup) -> _End:
        at_once = asyncio.Semaphore(_MOST_AT_ONCE)

        async def handle(data: str | bytes) -> None:
            try:
                await self._message(connection, data)
            finally:
                at_once.release()

        while True:
            received = await receive()
            if received["type"] == "websocket.disconnect":
                return _end_of(received)
            connection.touch()
            await at_once.acquire()
            data = received.get("text")
            group.create_task(handle(received["bytes"] if data is None else data))

    async def _message(self, connection: Connection, data: str | bytes) -> None:
        if isinstance(data, bytes) and not self._has_told_of_binary:
            self._has_told_of_binary = True
            logger.warning("A binary message came: here the function gets it as base64, AWS closes with 1003.")
        route = self._settings.routes.select(data)
        if route is None:
            logger.error("WebSocket %s: no route for a message, and no $default.", connection.connection_id)
            _tell(connection, "Forbidden", new_id())
            return
        event = message(connection.told, route, data)
        outcome = await self._invoke(connection.connection_id, route, event)
        if outcome.has_failed:
            _tell(connection, "Internal server error", event["requestContext"]["requestId"])
        elif self._settings.route_responses and outcome.body:
            with suppress(BufferFull):
                connection.post(outcome.body)

    async def _invoke(self, connection_id: str, route: str, event: dict[str, Any]) -> _Outcome:
        begin = time.perf_counter()
        outcome = await self._run(Invocation(source="websocket", title=route, event=event, connection_id=connection_id))
        self._report(f"WebSocket {route} {outcome.status} {(time.perf_counter() - begin) * 1000:.1f} ms")
        return outcome

    async def _run(self, invocation: Invocation) -> _Outcome:
        with self._integration.noted(invocation):
            try:
                outcome = _Outcome(*await self._integration.answer(invocation, read_websocket))
            except NoAnswer as error:
                outcome = _Outcome(_STATUS[error.fault], has_failed=True)
            invocation.status = outcome.status
            return outcome


def _end_of(received: Message) -> _End:
    code, reason = received["code"], received.get("reason")
    if code == _NO_STATUS and reason is None:  # uvicorn says so of a connection that was lost
        code = _LOST
    return _End(code, reason or _REASONS.get(code, ""))


def _tell(connection: Connection, text: str, request_id: str) -> None:
    """What a client gets in place of an answer."""
    with suppress(BufferFull):
        connection.post(_error(text, connection.connection_id, request_id))


async def _deny(status: int, connection_id: str, send: Send) -> None:
    text = HTTPStatus(status).phrase if status in _PHRASES and status < 500 else "Internal server error"
    body = _error(text, connection_id, new_id()).encode()
    with suppress(OSError):  # whoever has gone
        await send(
            {
                "type": "websocket.http.response.start",
                "status": status,
                "headers": [(b"content-type", b"application/json")],
            }
        )
        await send({"type": "websocket.http.response.body", "body": body})


def _error(text: str, connection_id: str, request_id: str) -> str:
    return json.dumps({"message": text, "connectionId": connection_id, "requestId": request_id})
