"""One open connection: what waits to be sent to its client, and when it was last used."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mangum.local.events.requests import HTTPRequest
from mangum.local.events.websocket import Client, new_id
from mangum.local.websockets.settings import WebSocketSettings
from mangum.types import Message, Send

__all__ = ["BufferFull", "Connection"]

_MOST_BUFFERED = 4 * 1024 * 1024  # bytes that a client has not read yet
_SEND_S = 30.0  # for a client that reads nothing


class BufferFull(Exception):
    """The client does not read what it is sent."""


class Connection:
    """A WebSocket connection. Times are in Unix seconds."""

    def __init__(self, request: HTTPRequest, settings: WebSocketSettings) -> None:
        self.connection_id: str = new_id()
        self.connected_at: float = time.time()
        self.last_active_at: float = self.connected_at
        self.client: str = request.client
        self.user_agent: str = next(iter(request.values("user-agent")), "")
        self.path: str = request.target
        self._settings = settings
        self._outbox: asyncio.Queue[Message] = asyncio.Queue()
        self._buffered = 0
        self._loop = asyncio.get_running_loop()
        self._opened = self._active = self._loop.time()
        self._timer: asyncio.TimerHandle

    @property
    def told(self) -> Client:
        """What its events say of it."""
        settings = self._settings
        return Client(
            connection_id=self.connection_id,
            connected_at_ms=int(self.connected_at * 1000),
            domain=settings.domain,
            stage=settings.stage,
            source_ip=self.client,
            user_agent=self.user_agent or None,
        )

    def touch(self) -> None:
        """A message has gone one way or the other."""
        self.last_active_at = time.time()
        self._active = self._loop.time()

    def post(self, data: str | bytes) -> None:
        """Send a message as soon as its turn comes: text where it is UTF-8, as API Gateway sends it.

        Raises:
            BufferFull: too much waits already.
        """
        encoded = data.encode() if isinstance(data, str) else data
        if self._buffered + len(encoded) > _MOST_BUFFERED:
            raise BufferFull
        self._buffered += len(encoded)
        self.touch()
        self._outbox.put_nowait({"type": "websocket.send", **_payload(encoded)})

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it after what waits."""
        self._outbox.put_nowait({"type": "websocket.close", "code": code, "reason": reason})

    async def write(self, send: Send, give_up: Callable[[], None]) -> None:
        """Send what waits, until the connection is closed or lost, of which the server tells whoever reads. `give_up`
        is called if the client reads nothing any more."""
        while True:
            message = await self._outbox.get()
            try:
                async with asyncio.timeout(_SEND_S):
                    await send(message)
            except TimeoutError:
                give_up()
                return
            except OSError:  # it is closed or lost
                return
            if message["type"] == "websocket.close":
                return
            self._buffered -= len(message.get("bytes") or message["text"].encode())

    @contextmanager
    def expiring(self) -> Iterator[None]:
        """Close it when it has been idle, or open, for as long as it may be."""
        self._watch()
        try:
            yield
        finally:
            self._timer.cancel()

    def _watch(self) -> None:
        settings = self._settings
        due = min(self._active + settings.idle_timeout_s, self._opened + settings.connection_duration_s)
        if due <= self._loop.time():
            self.close(1001, "Going away")
        else:
            self._timer = self._loop.call_at(due, self._watch)


def _payload(data: bytes) -> dict[str, str | bytes]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"bytes": data}
