"""WebSocket APIs of API Gateway: what CONNECT, MESSAGE and DISCONNECT say.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api.html
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mangum.config import AUTO, Config
from mangum.handlers.bodies import decode_body
from mangum.handlers.fields import Check, flag, invalid_event, list_of, optional, present, table_of, text
from mangum.handlers.headers import encode_multi_value_headers
from mangum.handlers.origin import CAPITALISED, origin_of, server
from mangum.handlers.paths import place_under, quote_decoded_path
from mangum.handlers.queries import QUERY_MAP, quote_query
from mangum.handlers.sources import Source
from mangum.types import Headers, LambdaEvent, Message, Scope
from mangum.websocket.management.endpoint import aws_host, environment_region

__all__ = ["EventType", "Handshake", "WebSocketEvent"]

_NO_STATUS = 1005  # RFC 6455, section 7.4.1: the close frame had no code
_LONGEST_ID = 1024  # bytes of UTF-8: what every store can keep. API Gateway's have some 16
_EMULATOR = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\]):[0-9]{1,5}")
_UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)


def _connection_id(path: str, value: object) -> str | None:
    fault = text(path, value)
    if fault is None and isinstance(value, str) and (not 1 <= len(value.encode()) <= _LONGEST_ID or "\0" in value):
        return f"`{path}` is no connection id, which has 1 to {_LONGEST_ID} bytes of UTF-8 and no NUL"
    return fault


def _status_code(path: str, value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isdecimal() and value.isascii():
        return None
    return f"`{path}` is no status code"


def _text_or_buffer(path: str, value: object) -> str | None:
    if not isinstance(value, dict):
        return text(path, value)
    if value.get("type") != "Buffer":
        return f"`{path}` is an object, not a string"
    return None if _is_byte_list(value.get("data")) else f"`{path}.data` is no list of bytes"


_TEXT_OR_LIST = table_of(optional(text), list_of(optional(text)))
_FIELDS = (
    ("requestContext.connectionId", _connection_id),
    ("headers", _TEXT_OR_LIST),
    ("multiValueHeaders", _TEXT_OR_LIST),
    ("queryStringParameters", QUERY_MAP),
    ("multiValueQueryStringParameters", QUERY_MAP),
    ("requestContext.identity", optional(present)),
    ("requestContext.identity.sourceIp", optional(text)),
    ("requestContext.domainName", optional(text)),
    ("requestContext.stage", optional(text)),
    ("requestContext.apiId", optional(text)),
    ("requestContext.disconnectStatusCode", optional(_status_code)),
    ("requestContext.disconnectReason", optional(text)),
    ("body", optional(_text_or_buffer)),
    ("isBase64Encoded", flag),
)


class EventType(enum.Enum):
    """The three invocations that API Gateway makes of a WebSocket."""

    CONNECT = "CONNECT"
    MESSAGE = "MESSAGE"
    DISCONNECT = "DISCONNECT"


@dataclass(frozen=True)
class Handshake:
    """What CONNECT tells of the client, and no later event repeats."""

    headers: Headers
    query_string: bytes
    client: str | None
    server: tuple[str, int] | None
    scheme: str  # "ws" or "wss"

    @property
    def subprotocols(self) -> list[str]:
        """What the client offers, in its order."""
        offered = b",".join(value for name, value in self.headers if name == b"sec-websocket-protocol")
        return [name for name in (part.strip() for part in offered.decode("latin-1").split(",")) if name]

    def as_json(self) -> dict[str, Any]:
        """What JSON can say of it, and `of_json` reads."""
        return {
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in self.headers],
            "query_string": self.query_string.decode("ascii"),
            "client": self.client,
            "server": self.server,
            "scheme": self.scheme,
        }

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Handshake:
        """What `as_json` has made, in this version or another: what is missing is empty.

        Raises:
            AttributeError, TypeError, ValueError: a field is something else.
        """
        client, scheme = value.get("client"), value.get("scheme", "wss")
        if not (client is None or isinstance(client, str)) or scheme not in ("ws", "wss"):
            raise ValueError("`client` or `scheme` is something else")
        return cls(
            headers=[[name.encode("latin-1"), text.encode("latin-1")] for name, text in value.get("headers", ())],
            query_string=value.get("query_string", "").encode("ascii"),
            client=client,
            server=_host_and_port(value.get("server")),
            scheme=scheme,
        )


class WebSocketEvent:
    """One event of a WebSocket API.

    Raises:
        InvalidEvent: a field is missing or of the wrong type.
    """

    def __init__(self, event: LambdaEvent, context: Any, config: Config) -> None:
        self.event = event
        self.context = context
        self.config = config
        try:
            request: Mapping[str, Any] = event["requestContext"]
            self.type: EventType = EventType(request["eventType"])
            self.connection_id: str = request["connectionId"]
            _insist(_connection_id, self.connection_id)
            self.endpoint_url: str | None = config.api_gateway_endpoint_url or _endpoint_url(request, config)
        except _UNREADABLE as error:
            raise self._invalid(error) from error

    def _invalid(self, error: Exception) -> Exception:
        return invalid_event(Source.WEBSOCKET.value, self.event, _FIELDS, error)

    def handshake(self) -> Handshake:
        """What a CONNECT event says of the client."""
        event = self.event
        try:
            given = event.get("headers")
            headers = encode_multi_value_headers(given, event.get("multiValueHeaders"))
            host, port, proto = origin_of(headers, given, CAPITALISED)
            request = event["requestContext"]
            is_local = str(request.get("domainName") or host or "").startswith(("localhost", "127.0.0.1", "[::1]"))
            scheme = "ws" if (proto or ("http" if is_local else "https")) == "http" else "wss"
            return Handshake(
                headers=headers,
                query_string=quote_query(
                    event.get("multiValueQueryStringParameters") or event.get("queryStringParameters")
                ),
                client=_text((request.get("identity") or {}).get("sourceIp")) or None,
                server=server(host, port, scheme) or server(_text(request.get("domainName")), port, scheme),
                scheme=scheme,
            )
        except _UNREADABLE as error:
            raise self._invalid(error) from error

    def message(self) -> Message:
        """What the application receives: the message of a MESSAGE event, the code and reason of a DISCONNECT.

        A binary message is one that the event marks as base64, or the `Buffer` that serverless-offline makes of it.
        """
        event = self.event
        try:
            if self.type is EventType.DISCONNECT:
                request = event["requestContext"]
                code = request.get("disconnectStatusCode")
                if code is not None:
                    _insist(_status_code, code)
                return {
                    "type": "websocket.disconnect",
                    "code": int(code) if code else _NO_STATUS,
                    "reason": _text(request.get("disconnectReason")),
                }
            body = event.get("body")
            if isinstance(body, dict) and body.get("type") == "Buffer":
                _insist(_text_or_buffer, body)
                return {"type": "websocket.receive", "bytes": bytes(body["data"])}
            if event.get("isBase64Encoded"):
                return {"type": "websocket.receive", "bytes": decode_body(body, event["isBase64Encoded"])}
            return {"type": "websocket.receive", "text": _text(body)}
        except _UNREADABLE as error:
            raise self._invalid(error) from error

    def scope(self, handshake: Handshake) -> Scope:
        """A new ASGI scope for the connection: https://asgi.readthedocs.io/en/latest/specs/www.html#websocket-connection-scope"""
        config = self.config
        path, raw_path = quote_decoded_path(config.websocket_path)
        root_path = "" if config.root_path in (None, AUTO) else str(config.root_path)
        if root_path:
            path, raw_path = place_under(path, raw_path, root_path)
        return {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": handshake.scheme,
            "path": path,
            "raw_path": raw_path,
            "root_path": root_path,
            "query_string": handshake.query_string,
            "headers": [list(pair) for pair in handshake.headers],
            "client": (handshake.client, 0) if handshake.client else None,
            "server": handshake.server,
            "subprotocols": handshake.subprotocols,
            "extensions": {"websocket.http.response": {}},
            "aws.event": self.event,
            "aws.context": self.context,
        }


def _host_and_port(value: Any) -> tuple[str, int] | None:
    """The `server` of a stored handshake.

    Raises:
        TypeError, ValueError: it is something else.
    """
    if value is None:
        return None
    host, port = value
    if not isinstance(host, str) or not isinstance(port, int):
        raise ValueError("`server` is no host and port")
    return host, port


def _insist(check: Check, value: object) -> None:
    fault = check("", value)
    if fault is not None:
        raise ValueError(fault)


def _text(value: Any) -> str:
    """A string that can be written as UTF-8; empty for null.

    Raises:
        TypeError: it is no string.
        UnicodeEncodeError: it has a lone surrogate.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError("not a string")
    if not value.isascii():
        value.encode()
    return value


def _is_byte_list(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item <= 255 for item in value)


def _endpoint_url(request: Mapping[str, Any], config: Config) -> str | None:
    """Where messages to the connection are posted; `None` where the event does not tell.

    The default host has the stage in its path. A custom domain has the key of its mapping there, which no event tells,
    so that the default host of the same API stands in for it:
    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
    """
    domain, stage, api_id = (_text(request.get(name)) for name in ("domainName", "stage", "apiId"))
    if _EMULATOR.fullmatch(domain):
        return f"http://{domain}/{stage}"
    if aws_host(domain):
        return f"https://{domain}/{stage}"
    region = config.api_gateway_region_name or environment_region() or ""
    host = f"{api_id}.execute-api.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
    is_custom = "." in domain and ":" not in domain and ".execute-api." not in domain  # others are an emulator's
    return f"https://{host}/{stage}" if is_custom and aws_host(host) else None
