"""The management API of the connections, `@connections`, as boto3 and aiobotocore know it.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from mangum.local.dashboard.access import refusal_of_others
from mangum.local.hosts import is_from_page
from mangum.local.websockets.api import WebSocketAPI
from mangum.local.websockets.connection import BufferFull, Connection
from mangum.local.websockets.settings import WebSocketSettings
from mangum.types import Receive, Scope, Send
from mangum.websocket.management.endpoint import MOST_BYTES

__all__ = ["ConnectionsAPI"]

logger: logging.Logger = logging.getLogger("mangum.local")

_PATH = re.compile(r"(?P<api>(?:/[^/]+)?)/@connections/(?P<connection_id>.+)", re.DOTALL)
_ID = re.compile(r"[\w-]+={0,2}", re.ASCII)


class ConnectionsAPI:
    """POST, GET and DELETE of one connection as an ASGI application. Requests need no signature; they come from
    programs on this machine."""

    def __init__(self, settings: WebSocketSettings, api: WebSocketAPI) -> None:
        self._settings = settings
        self._api = api

    @staticmethod
    def serves(path: str) -> bool:
        """Whether a path, decoded, is one of the management API's."""
        return _PATH.fullmatch(path) is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._respond(Request(scope, receive))
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        refusal = refusal_of_others(request)
        if refusal is None and is_from_page(request.headers.keys()):
            refusal = "This is for programs, not for pages."
        found = _PATH.fullmatch(request.scope["path"])
        assert found is not None  # or it would not be here
        if refusal is None and (found["api"] or "/") not in self._settings.paths:
            refusal = f"There is no such stage: the API is at {' and '.join(self._settings.paths)}."
        if refusal is not None:
            logger.error("@connections: %s", refusal)
            return _error(403, "ForbiddenException", refusal)
        connection_id = found["connection_id"]
        if not _ID.fullmatch(connection_id):
            return _error(400, "BadRequestException", f"Invalid connectionId: {connection_id}")
        connection = self._api.find(connection_id)
        match request.method:
            case "POST":
                return await _post(connection, request)
            case "GET" if connection is not None:
                return _describe(connection)
            case "DELETE" if connection is not None:
                connection.close()
                return Response(status_code=204)
            case "GET" | "DELETE":
                return _gone()
        return _error(403, "MissingAuthenticationTokenException", "Missing Authentication Token")


async def _post(connection: Connection | None, request: Request) -> Response:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_BYTES:
            return _error(413, "PayloadTooLargeException", f"A message has {MOST_BYTES} bytes at the most.")
    if connection is None:
        return _gone()
    try:
        connection.post(bytes(data))
    except BufferFull:
        return _error(429, "LimitExceededException", "The client does not read what it is sent.")
    return Response()


def _describe(connection: Connection) -> Response:
    return JSONResponse(
        {
            "connectedAt": _iso(connection.connected_at),
            "identity": {"sourceIp": connection.client, "userAgent": connection.user_agent},
            "lastActiveAt": _iso(connection.last_active_at),
        }
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _gone() -> Response:
    return _error(410, "GoneException", "The connection is closed, or was never open.")


def _error(status: int, error_type: str, text: str) -> Response:
    return JSONResponse({"message": text}, status, {"x-amzn-errortype": error_type})
