"""What listens on the port of `mangum dev`: sends each request where it belongs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from mangum.local.hosts import AllowedHosts
from mangum.local.websockets.management import ConnectionsAPI
from mangum.types import ASGI, Receive, Scope, Send

__all__ = ["Gateway", "Part"]

logger: logging.Logger = logging.getLogger("mangum.local")

_DASHBOARD = b"/_mangum"


class Part(Protocol):
    """An ASGI application for some of the requests, which may have something that would not end by itself."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    def close(self) -> None:
        """The server ends: end what is open."""


class Gateway:
    """An ASGI application of its parts: the front door for HTTP requests, the WebSocket API with its `@connections`,
    and the page at /_mangum, if there is one. Requests for hosts that are not allowed get a 403."""

    def __init__(
        self,
        http: ASGI,
        websockets: ASGI,
        connections: ASGI,
        dashboard: Part | None,
        on_close: Callable[[], None] = lambda: None,
        hosts: AllowedHosts | None = None,
    ) -> None:
        self._http = http
        self._websockets = websockets
        self._connections = connections
        self._dashboard = dashboard
        self._on_close = on_close
        self._hosts = hosts or AllowedHosts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        part = self._part_for(scope)
        if part is self._http or part is self._websockets:  # the others are stricter themselves
            hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
            address = (scope.get("server") or ("",))[0]
            if len(hosts) != 1 or not self._hosts.include(hosts[0], address):
                await _refuse(", ".join(hosts), scope, receive, send)
                return
        await part(scope, receive, send)

    def _part_for(self, scope: Scope) -> ASGI:
        if scope["type"] == "websocket":
            return self._websockets
        path: bytes = scope["raw_path"]
        if self._dashboard is not None and (path == _DASHBOARD or path.startswith(_DASHBOARD + b"/")):
            return self._dashboard
        return self._connections if ConnectionsAPI.serves(scope["path"]) else self._http

    def close(self) -> None:
        """The server ends: end what would not end by itself."""
        self._on_close()
        if self._dashboard is not None:
            self._dashboard.close()


async def _refuse(host: str, scope: Scope, receive: Receive, send: Send) -> None:
    logger.error("Refused a request for the host %r. --allowed-host opens the gateway to a name.", host)
    kind = "http"
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        kind = "websocket.http"
    text = b"mangum dev answers to the names of this machine, and to those that --allowed-host names.\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
    with suppress(OSError):  # the client has gone
        await send({"type": f"{kind}.response.start", "status": 403, "headers": headers})
        await send({"type": f"{kind}.response.body", "body": text})
