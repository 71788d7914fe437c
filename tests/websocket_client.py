"""API Gateway's side of a WebSocket API: a client's doings as events, and what is posted to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from mangum import Mangum
from tests.apps import Context
from tests.servers.connections import ConnectionsEndpoint

__all__ = ["Client", "connect_event", "disconnect_event", "message_event"]

_ids = count(1)
_IDENTITY = {"sourceIp": "203.0.113.17", "userAgent": "test"}


def _event(event_type: str, route: str, connection_id: str, **fields: Any) -> dict[str, Any]:
    request = {
        "eventType": event_type,
        "routeKey": route,
        "connectionId": connection_id,
        "connectedAt": 1_783_000_000_000,
        "requestId": "HXeGmFOyDoEEBiA=",
        "messageDirection": "IN",
        "apiId": "k7s4w9w1zh",
        "stage": "prod",
        "domainName": "k7s4w9w1zh.execute-api.eu-west-1.amazonaws.com",
        "identity": _IDENTITY,
    }
    return {"requestContext": {**request, **fields.pop("context", {})}, "isBase64Encoded": False, **fields}


def connect_event(
    connection_id: str, *, headers: dict[str, str] | None = None, query: dict[str, list[str]] | None = None
) -> dict[str, Any]:
    """A handshake, as API Gateway hands it over."""
    given = {
        "Host": "k7s4w9w1zh.execute-api.eu-west-1.amazonaws.com",
        "Sec-WebSocket-Key": "R5xXz2b0Zc1vW8rN3m6kPg==",
        "Sec-WebSocket-Version": "13",
        "X-Forwarded-For": "203.0.113.17",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
        **(headers or {}),
    }
    fields: dict[str, Any] = {"headers": given, "multiValueHeaders": {name: [value] for name, value in given.items()}}
    if query:
        fields["queryStringParameters"] = {name: values[-1] for name, values in query.items()}
        fields["multiValueQueryStringParameters"] = query
    return _event("CONNECT", "$connect", connection_id, **fields)


def message_event(connection_id: str, body: Any, **fields: Any) -> dict[str, Any]:
    """A message; API Gateway repeats nothing of the handshake."""
    return _event("MESSAGE", "$default", connection_id, body=body, **fields)


def disconnect_event(connection_id: str, code: int | None = 1001, reason: str | None = "") -> dict[str, Any]:
    """The end of a connection."""
    told = {} if code is None else {"disconnectStatusCode": code, "disconnectReason": reason}
    headers = {"Host": "k7s4w9w1zh.execute-api.eu-west-1.amazonaws.com", "x-api-key": "", "X-Forwarded-For": ""}
    return _event("DISCONNECT", "$disconnect", connection_id, context=told, headers=headers)


class Client:
    """One client of a WebSocket API whose function is `handler`. Its methods give the status that Lambda answered."""

    def __init__(self, handler: Mangum, endpoint: ConnectionsEndpoint, connection_id: str | None = None) -> None:
        self.id = connection_id or f"L0SM9cOFvHcCIhw{next(_ids)}="
        self.handler = handler
        self.answer: dict[str, Any] = {}
        self._endpoint = endpoint
        self.context = Context()

    def connect(self, **handshake: Any) -> int:
        return self._call(connect_event(self.id, **handshake))

    def send(self, body: Any, **fields: Any) -> int:
        return self._call(message_event(self.id, body, **fields))

    def disconnect(self, code: int | None = 1001, reason: str | None = "") -> int:
        return self._call(disconnect_event(self.id, code, reason))

    @property
    def received(self) -> list[str]:
        """What the client got, as text."""
        return [message.decode() for message in self._endpoint.posts[self.id]]

    @property
    def is_closed(self) -> bool:
        """Whether the function has closed it."""
        return self.id in self._endpoint.deleted

    def _call(self, event: dict[str, Any]) -> int:
        self.answer = self.handler(event, self.context)
        status: int = self.answer["statusCode"]
        return status


@contextmanager
def serving(app: Any, endpoint: ConnectionsEndpoint, dsn: str, **arguments: Any) -> Iterator[Mangum]:
    """A handler whose messages go to `endpoint`."""
    with Mangum(app, dsn=dsn, api_gateway_endpoint_url=endpoint.url, **arguments) as handler:
        yield handler
