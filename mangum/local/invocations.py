"""One event and what became of it, and the last of them: what the page of `mangum dev` shows."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Invocation", "Journal"]

_MOST_KEPT = 500
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
    """The last invocations, oldest first, and who wants to know of each that begins or ends."""

    def __init__(self, most: int = _MOST_KEPT) -> None:
        self._kept: deque[Invocation] = deque(maxlen=most)
        self._listeners: set[Callable[[Invocation], None]] = set()

    def __iter__(self) -> Iterator[Invocation]:
        return iter(list(self._kept))

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, request_id: str) -> Invocation | None:
        """The invocation of that id, if it is still kept."""
        return next((invocation for invocation in self._kept if invocation.request_id == request_id), None)

    def begin(self, invocation: Invocation) -> None:
        """An event has come in."""
        self._kept.append(invocation)
        self._tell(invocation)

    def end(self, invocation: Invocation) -> None:
        """Its client has been answered: `status` is set."""
        self._tell(invocation)

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
