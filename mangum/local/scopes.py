"""From the server's ASGI scope to the request as a front door sees it."""

from __future__ import annotations

from mangum.local.events.requests import HTTPRequest
from mangum.types import Scope

__all__ = ["head_of"]

_HTTP = {"ws": "http", "wss": "https"}


def head_of(scope: Scope) -> HTTPRequest:
    """A request without its body; a WebSocket's handshake is one too."""
    client, server = scope.get("client"), scope.get("server") or ("127.0.0.1", 80)
    scheme = scope["scheme"]
    return HTTPRequest(
        method=scope.get("method", "GET"),
        path=scope["raw_path"].decode("latin-1"),
        query_string=scope["query_string"].decode("latin-1"),
        headers=tuple((_spelled(name.decode("latin-1")), value.decode("latin-1")) for name, value in scope["headers"]),
        client=client[0] if client else "127.0.0.1",
        scheme=_HTTP.get(scheme) or str(scheme),
        port=server[1] or 80,
    )


def _spelled(name: str) -> str:
    """A header's name as clients write it: the server hands all of them on in lower case."""
    return name.title().replace("Websocket", "WebSocket")
