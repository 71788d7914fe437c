"""Where the answer to an event goes. A plain call keeps it; a runtime sends it on while the application is still at
work, or as a stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["KeptReply", "Reply", "Stream"]


class Stream(Protocol):
    """A streamed answer on its way to the client."""

    @property
    def is_gone(self) -> bool:
        """Whether the client disconnected before the stream had ended."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether the stream has ended, one way or another."""
        ...

    async def write(self, data: bytes) -> None:
        """Send a part of the body. Waits for a client that reads slowly.

        Raises:
            OSError: the client has disconnected.
        """
        ...

    def end(self) -> None:
        """End a complete body. Call this or `fail` once, and not if the stream `is_over`."""
        ...

    def fail(self, error_type: str, message: str) -> None:
        """End an incomplete body, and give the reason."""
        ...


class Reply(Protocol):
    """Takes the answer to one event: whole, or as a stream."""

    is_streaming: bool  # whether it takes streams, from those front doors that have them
    sends_at_once: bool  # whether the answer reaches Lambda before the invocation has ended
    is_sent: bool  # whether it has been given the answer, or the beginning of one

    def send(self, answer: Any) -> None:
        """Take a whole answer: what Lambda gets."""
        ...

    def stream(self, prelude: bytes, when_gone: Callable[[], None]) -> Stream:
        """Begin a streamed answer. `prelude` is its status and headers, see `HTTPHandler.prelude`; `when_gone` is
        called if the client disconnects before the stream has ended."""
        ...

    @property
    def when_left(self) -> Callable[[asyncio.Task[Any]], None] | None:
        """Called with the invocation's task if that does not end though it has been cancelled. The answer has been
        sent, and whoever waits for the invocation goes on. `None` if the invocation runs in the caller's own task."""
        ...


class KeptReply:
    """Keeps the answer for the caller."""

    is_streaming = False
    sends_at_once = False
    is_sent: bool = False
    answer: Any = None
    when_left: Callable[[asyncio.Task[Any]], None] | None = None

    def send(self, answer: Any) -> None:
        self.answer = answer
        self.is_sent = True

    def stream(self, prelude: bytes, when_gone: Callable[[], None]) -> Stream:
        raise NotImplementedError("a kept answer is whole")  # pragma: no cover - see `is_streaming`
