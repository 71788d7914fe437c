"""WebSocket APIs: what CONNECT, MESSAGE and DISCONNECT tell the function.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-mapping-template-reference.html
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from typing import Any

from mangum.local.events.requests import (
    API_ID,
    HTTPRequest,
    decoded_query,
    forwarded_headers,
    lists,
    now_ms,
    request_time,
)

__all__ = ["CONNECT_ROUTE", "DEFAULT_ROUTE", "DISCONNECT_ROUTE", "Client", "connect", "disconnect", "message", "new_id"]

CONNECT_ROUTE = "$connect"
DEFAULT_ROUTE = "$default"
DISCONNECT_ROUTE = "$disconnect"


@dataclass(frozen=True, kw_only=True)
class Client:
    """What every event of a connection repeats."""

    connection_id: str
    connected_at_ms: int  # Unix milliseconds
    domain: str  # of the API, with its port if that is not the default one
    stage: str
    source_ip: str
    user_agent: str | None


def new_id() -> str:
    """An id as API Gateway makes them for connections, requests and messages: 15 characters and a "="."""
    return base64.urlsafe_b64encode(secrets.token_bytes(11)).decode("ascii")


def connect(client: Client, request: HTTPRequest) -> dict[str, Any]:
    """The handshake. The keys of a query are there only if it has one."""
    pairs = forwarded_headers(request)
    event: dict[str, Any] = {"headers": dict(pairs), "multiValueHeaders": lists(pairs)}
    query = decoded_query(request.query_string)
    if query:
        event["queryStringParameters"] = {name: values[-1] for name, values in query.items()}
        event["multiValueQueryStringParameters"] = query
    return event | _context(client, "CONNECT", CONNECT_ROUTE)


def message(client: Client, route: str, data: str | bytes) -> dict[str, Any]:
    """A message, on the route that was selected; bytes as base64, which only emulators of API Gateway do."""
    event = _context(client, "MESSAGE", route, messageId=new_id())
    if isinstance(data, bytes):
        return event | {"body": base64.b64encode(data).decode("ascii"), "isBase64Encoded": True}
    return event | {"body": data}


def disconnect(client: Client, code: int, reason: str) -> dict[str, Any]:
    """The end of a connection, and what the close frame said."""
    headers = {"Host": client.domain, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""}
    event = {"headers": headers, "multiValueHeaders": lists(headers.items())}
    return event | _context(client, "DISCONNECT", DISCONNECT_ROUTE, disconnectStatusCode=code, disconnectReason=reason)


def _context(client: Client, event_type: str, route: str, **more: object) -> dict[str, Any]:
    request_id = new_id()
    identity = {"sourceIp": client.source_ip}
    if client.user_agent is not None:
        identity["userAgent"] = client.user_agent
    return {
        "requestContext": {
            "routeKey": route,
            "eventType": event_type,
            "extendedRequestId": request_id,
            "requestTime": request_time(),
            "messageDirection": "IN",
            "stage": client.stage,
            "connectedAt": client.connected_at_ms,
            "requestTimeEpoch": now_ms(),
            "identity": identity,
            "requestId": request_id,
            "domainName": client.domain,
            "connectionId": client.connection_id,
            "apiId": API_ID,
            **more,
        },
        "isBase64Encoded": False,
    }
