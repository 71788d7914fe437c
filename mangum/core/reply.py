"""Where an answer goes as soon as it is there, while the application may still be at work: what a runtime hands to
`Mangum.invoke`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Reply", "Stream"]


class Stream(Protocol):
    """The answer to one event, on its way to the client."""

    @property
    def is_gone(self) -> bool:
        """Whether nobody receives it any more, though it has not ended."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether it has ended, one way or another."""
        ...

    async def write(self, data: bytes) -> None:
        """Send a part of the body. Waits while the other side does not keep up.

        Raises:
            OSError: nobody receives it any more.
        """
        ...

    def end(self) -> None:
        """The body is complete. To be called once, or `fail`, and not if it `is_over`."""
        ...

    def fail(self, error_type: str, message: str) -> None:
        """The body will not be complete, for this reason."""
        ...


class Reply(Protocol):
    """Takes the answer to one event: whole, or as a stream."""

    is_streaming: bool  # whether the caller takes streams, from those front doors that have them
    is_sent: bool  # whether it has been given the answer, or the beginning of one

    def send(self, answer: Any) -> None:
        """The answer, whole: what Lambda gets."""
        ...

    def stream(self, prelude: bytes, when_gone: Callable[[], None]) -> Stream:
        """The beginning of a streamed answer: status and headers as `HTTPHandler.prelude` says them. `when_gone` is
        called if nobody receives it any more before it has ended."""
        ...
