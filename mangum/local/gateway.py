"""What listens on the port of `mangum dev`: sends each request where it belongs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mangum.local.websockets.management import ConnectionsAPI
from mangum.types import ASGI, Receive, Scope, Send

__all__ = ["Gateway", "Part"]

_DASHBOARD = b"/_mangum"


class Part(Protocol):
    """An ASGI application for some of the requests, which may have something that would not end by itself."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    def close(self) -> None:
        """The server ends: end what is open."""


class Gateway:
    """An ASGI application of its parts: the front door for HTTP requests, the WebSocket API with its `@connections`,
    and the page at /_mangum, if there is one."""

    def __init__(
        self,
        http: ASGI,
        websockets: ASGI,
        connections: ASGI,
        dashboard: Part | None,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._http = http
        self._websockets = websockets
        self._connections = connections
        self._dashboard = dashboard
        self._on_close = on_close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._part_for(scope)(scope, receive, send)

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
