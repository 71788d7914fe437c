"""A fresh process to its first answer: what Lambda's init phase and first invocation take, as far as Python goes."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from benchmarks.app import HELLO, hello
from benchmarks.events import SOURCES, Context

if TYPE_CHECKING:
    from mangum.types import Message

__all__ = ["answer", "answer_bare"]


def answer() -> str:
    """The body that the adapter answers to its first event."""
    from mangum import Mangum

    body: str = Mangum(hello)(SOURCES["HTTP API 2.0"], Context())["body"]
    return body


def answer_bare() -> str:
    """The body that the application sends with no adapter."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(hello({"type": "http"}, receive, send))
    body: bytes = sent[1]["body"]
    return body.decode()


if __name__ == "__main__":
    text = answer_bare() if sys.argv[1:] == ["bare"] else answer()
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    assert text.encode() == HELLO
