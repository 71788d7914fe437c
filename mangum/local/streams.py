"""A streamed answer on its way from the runtime to the client."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

__all__ = ["StreamBroken", "StreamedAnswer"]

_DELIMITER = bytes(8)
_MOST_PRELUDE = 16 * 1024
# Of a body that the client has not taken. When there is more, the runtime has to wait.
_MOST_BYTES = 256 * 1024


class StreamBroken(Exception):
    """There is no more of it, though it has not ended."""


class StreamedAnswer:
    """Fed by a connection of the runtime's; read once, by the front door."""

    def __init__(self, pause: Callable[[bool], None], hang_up: Callable[[], None]) -> None:
        """`pause` stops the runtime, or lets it go on; `hang_up` ends the connection to it."""
        self.prelude: dict[str, Any] = {}
        self.size: int = 0  # of the body so far
        self._pause = pause
        self._hang_up = hang_up
        self._head = b""
        self._has_prelude = False
        self._chunks: deque[bytes] = deque()
        self._unread = 0
        self._failure: str | None = None
        self._is_over = False
        self._changed = asyncio.Event()

    def feed(self, data: bytes) -> bool:
        """What has come from the runtime. Returns whether this made the prelude complete.

        Raises:
            ValueError: that is none.
        """
        if self._has_prelude:
            self._keep(data)
            return False
        self._head += data
        prelude, delimiter, rest = self._head.partition(_DELIMITER)
        if not delimiter:
            if len(self._head) > _MOST_PRELUDE:
                raise ValueError("there is no prelude in its first 16 KB")
            return False
        self.prelude = json.loads(prelude)
        if not isinstance(self.prelude, dict):
            raise ValueError("its prelude is no object")
        self._has_prelude = True
        self._keep(rest)
        return True

    def end(self, trailers: Mapping[str, str]) -> None:
        """The runtime has ended it, and says in trailers if something went wrong."""
        self._is_over = True
        encoded = trailers.get("lambda-runtime-function-error-body")
        if encoded is not None:
            try:
                document = json.loads(base64.b64decode(encoded))
                self._failure = f"{document['errorType']}: {document['errorMessage']}"
            except (ValueError, TypeError, KeyError):
                self._failure = trailers.get("lambda-runtime-function-error-type", "Runtime.Unknown")
        self._changed.set()

    def break_off(self, reason: str) -> None:
        """The runtime has gone."""
        if not self._is_over:
            self._is_over = True
            self._failure = reason
            self._changed.set()

    def hang_up(self) -> None:
        """The client has gone: so that the application hears of it, the runtime is told."""
        if not self._is_over:
            self._hang_up()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body.

        Raises:
            StreamBroken: it ends early.
        """
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                self._unread -= len(chunk)
                if self._unread <= _MOST_BYTES // 2:
                    self._pause(False)
                yield chunk
            if self._is_over:
                break
            self._changed.clear()
            await self._changed.wait()
        if self._failure is not None:
            raise StreamBroken(self._failure)

    def summary(self) -> str:
        """For those who look at it later, as JSON: its body has not been kept."""
        return json.dumps({**self.prelude, "body": f"({self.size:,} bytes, streamed)"})

    def _keep(self, data: bytes) -> None:
        if data:
            self.size += len(data)
            self._chunks.append(data)
            self._unread += len(data)
            if self._unread > _MOST_BYTES:
                self._pause(True)
            self._changed.set()
