"""Events of any source by hand: a request, or what happens to a WebSocket connection, as its front door tells of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, urlencode

from mangum.exceptions import ConfigurationError
from mangum.local.events import EVENT_BUILDERS, websocket
from mangum.local.events.requests import API_DOMAIN, EventSettings, HTTPRequest
from mangum.local.fronts import checked

__all__ = ["SOURCES", "WEBSOCKET", "sample_event", "sample_request", "sample_websocket_event"]

WEBSOCKET = "websocket"
SOURCES = (*EVENT_BUILDERS, WEBSOCKET)

_CONNECTION_ID = "L0SM9cOFvHcCIhw="
_CLOSED = 1000, "Connection Closed Normally"
_QUOTED = "/%:@!$&'()*+,;=-._~"  # what a path may have as it is, and what is quoted already: RFC 3986, section 3.3


def sample_request(
    method: str | None,
    target: str,
    *,
    query: Iterable[str] = (),
    headers: Iterable[str] = (),
    data: bytes | None = None,
    host: str = API_DOMAIN,
) -> HTTPRequest:
    """A request as a client sends it.

    Args:
        method: By default GET, or POST with data.
        target: A path, quoted or not, with or without a query.
        query: More of the query, as "name=value" without any quoting.
        headers: Fields, as "Name: value".
        data: The body. Its type is a header, or else what it looks like: JSON, text, or bytes.

    Raises:
        ConfigurationError: one of them is not so.
    """
    path, _, query_string = target.partition("?")
    if not path.startswith("/"):
        raise ConfigurationError(f"The path {target!r} has to begin with a slash.")
    added = urlencode([_pair(text, "=", "--query is NAME=VALUE") for text in query])
    fields = [_pair(text, ":", '--header is "Name: value"') for text in headers]
    given = {name.lower() for name, _ in fields}
    default = {"Host": host, "Accept": "*/*", "User-Agent": "mangum"}
    if data is not None:
        default |= {"Content-Type": _type_of(data), "Content-Length": str(len(data))}
    return HTTPRequest(
        method=(method or ("GET" if data is None else "POST")).upper(),
        path=quote(path, safe=_QUOTED),
        query_string="&".join(part for part in (quote(query_string, safe=f"{_QUOTED}?"), added) if part),
        headers=(*((name, value) for name, value in default.items() if name.lower() not in given), *fields),
        body=data or b"",
        client="192.0.2.1",
        scheme="https",
        port=443,
    )


def sample_event(source: str, request: HTTPRequest, settings: EventSettings) -> dict[str, Any]:
    """The event of a request.

    Raises:
        ConfigurationError: the source has no such setting.
    """
    return EVENT_BUILDERS[source](request, checked(source, settings))


def sample_websocket_event(
    event_type: str | None,
    request: HTTPRequest,
    *,
    data: bytes | None = None,
    route: str | None = None,
    stage: str = "dev",
    connection_id: str = _CONNECTION_ID,
) -> dict[str, Any]:
    """What happens to a connection: "CONNECT", "MESSAGE" or "DISCONNECT"; by default a message if there is data.

    Raises:
        ConfigurationError: it is none of the three.
    """
    client = websocket.Client(
        connection_id=connection_id,
        connected_at_ms=int(time.time() * 1000),
        domain=API_DOMAIN,
        stage=stage,
        source_ip=request.client,
        user_agent=next(iter(request.values("user-agent"))),
    )
    text = _text(data or b"")
    makers: dict[str, Callable[[], dict[str, Any]]] = {
        "CONNECT": lambda: websocket.connect(client, request),
        "MESSAGE": lambda: websocket.message(client, route or websocket.DEFAULT_ROUTE, text),
        "DISCONNECT": lambda: websocket.disconnect(client, *_CLOSED),
    }
    name = (event_type or ("CONNECT" if data is None else "MESSAGE")).upper()
    if name not in makers:
        raise ConfigurationError(f"A WebSocket API's events are {', '.join(makers)}, not {event_type}.")
    return makers[name]()


def _pair(text: str, separator: str, form: str) -> tuple[str, str]:
    name, found, value = text.partition(separator)
    if separator == ":":
        name, value = name.strip(), value.strip()
    if not found or not name:
        raise ConfigurationError(f"{form}, not {text!r}.")
    return name, value


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _type_of(data: bytes) -> str:
    text = _text(data)
    if isinstance(text, bytes):
        return "application/octet-stream"
    try:
        json.loads(text)
    except ValueError:
        return "text/plain; charset=utf-8"
    return "application/json"
