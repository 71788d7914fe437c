"""One event and what became of it, and the last of them: what the page of `mangum dev` shows."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["PARTS_HEADER", "Invocation", "Journal"]

# In which mangum's runtime tells the gateway where the time went, as a JSON object of milliseconds.
PARTS_HEADER = "Mangum-Parts"

_MOST_KEPT = 500
_MOST_BYTES = 64 * 1024 * 1024
_MOST_LINES = 2_000


@dataclass(eq=False, kw_only=True)
class Invocation:
    """One event on its way: the front door makes it, the function runs it and notes how that went, the front door notes
    what its client got."""

    source: str  # of which front door: "http-api", "websocket", ...
    title: str  # "GET /items/1", "$connect"
    event: dict[str, Any]
    connection_id: str | None = None  # of a WebSocket
    again_of: str | None = None  # the invocation whose event this one repeats
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))  # Lambda's
    received_at: float = field(default_factory=time.time)  # Unix seconds

    # What the function notes. Times are in milliseconds.
    is_cold: bool | None = None  # whether a sandbox was made for it; `None` until one has taken it
    init_ms: float | None = None  # what that took
    duration_ms: float | None = None  # in the function, without init
    parts_ms: dict[str, float] = field(default_factory=dict)  # "translation", "lifespan", ...: as far as it is known
    memory_mb: float | None = None  # the most that its process has used, where it has one of its own
    answer: str | None = None  # as JSON
    failure: str | None = None  # why there is none, or none of use
    lines: list[str] = field(default_factory=list)  # of its log

    # What the client got.
    status: int | None = None  # an HTTP status; `None` while it runs

    def again(self) -> Invocation:
        """Another one with the same event."""
        return Invocation(
            source=self.source,
            title=self.title,
            event=self.event,
            connection_id=self.connection_id,
            again_of=self.request_id,
        )

    def log(self, line: str) -> None:
        """Add a line of the function's output."""
        if len(self.lines) < _MOST_LINES:
            self.lines.append(line)
        elif len(self.lines) == _MOST_LINES:
            self.lines.append("... and more, which is not kept.")


class Journal:
    """The last invocations, oldest first, and who wants to know of each that begins or ends. It keeps so many, and of
    the large ones fewer, so that a day of uploads does not fill the memory; the last one always."""

    def __init__(self, most: int = _MOST_KEPT, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: dict[str, Invocation] = {}  # by request id
        self._sizes: dict[str, int] = {}  # of those that have ended
        self._bytes = 0
        self._listeners: set[Callable[[Invocation], None]] = set()

    def __iter__(self) -> Iterator[Invocation]:
        return iter(list(self._kept.values()))

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, request_id: str) -> Invocation | None:
        """The invocation of that id, if it is still kept."""
        return self._kept.get(request_id)

    def begin(self, invocation: Invocation) -> None:
        """An event has come in."""
        self._kept[invocation.request_id] = invocation
        self._forget_oldest()
        self._tell(invocation)

    def end(self, invocation: Invocation) -> None:
        """Its client has been answered: `status` is set."""
        if invocation.request_id in self._kept:
            self._sizes[invocation.request_id] = _size(invocation)
            self._bytes += self._sizes[invocation.request_id]
            self._forget_oldest()
        self._tell(invocation)

    def _forget_oldest(self) -> None:
        while len(self._kept) > self._most or (self._bytes > self._most_bytes and len(self._kept) > 1):
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            self._bytes -= self._sizes.pop(oldest, 0)

    @contextmanager
    def listening(self, listener: Callable[[Invocation], None]) -> Iterator[None]:
        """Call `listener`, which must not wait, with each invocation that begins or ends."""
        self._listeners.add(listener)
        try:
            yield
        finally:
            self._listeners.discard(listener)

    def _tell(self, invocation: Invocation) -> None:
        for listener in list(self._listeners):
            listener(invocation)


def _size(invocation: Invocation) -> int:
    """About how many bytes it takes: what can be large in it."""
    body = invocation.event.get("body")
    large = (body if isinstance(body, str) else "", invocation.answer or "", *invocation.lines)
    return sum(map(len, large))
