"""One HTTP request, and its response as the application sends it, piece by piece."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias

from mangum.core.http import HTTPCycle, plain_response
from mangum.core.reply import Stream
from mangum.types import ASGI, Headers, Message, Response, Scope

__all__ = ["StreamedHTTPCycle", "stream_whole"]

logger = logging.getLogger("mangum.http")

# Takes status, headers, and what to call when the client has gone.
Open: TypeAlias = Callable[[int, Headers, Callable[[], None]], Stream]


async def stream_whole(open_stream: Open, response: Response) -> None:
    """Send a response in one piece where a stream is expected."""
    stream = open_stream(response["status"], response["headers"], _ignore)
    try:
        await stream.write(response["body"])
    except OSError:
        logger.info("The client went before it was answered.")
    else:
        stream.end()


def _ignore() -> None:
    """There is no application that could be told."""


class StreamedHTTPCycle(HTTPCycle):
    """An `HTTPCycle` whose response goes out as it comes. It begins with the first piece of the body, as ASGI has it:
    up to then, an error is still a 500."""

    __slots__ = ("_error", "_open", "_stream")

    def __init__(self, app: ASGI, scope: Scope, body: bytes, open_stream: Open) -> None:
        super().__init__(app, scope, body)
        self._open = open_stream
        self._stream: Stream | None = None
        self._error: BaseException | None = None  # that ended the application

    @property
    def is_cut_off(self) -> bool:
        return self._stream is not None and self.response is None

    async def finish(self) -> None:
        """Once the application has ended, or was cancelled: say what it has left unsaid."""
        if self._stream is None:
            await stream_whole(self._open, self.response or plain_response(504, "Gateway Timeout"))
        else:
            self.abandon()

    def abandon(self) -> None:
        """Cut a response off that has begun and not ended, and say why."""
        stream, error = self._stream, self._error
        if stream is None or stream.is_over:
            return
        if error is None:
            stream.fail("Runtime.IncompleteResponse", f"The response to {self.line} is not complete.")
        else:
            stream.fail(type(error).__name__, str(error))

    async def _receive(self) -> Message:
        if self._body is None and self._stream is not None and self._stream.is_gone:
            return {"type": "http.disconnect"}
        return await super()._receive()

    async def _send(self, message: Message) -> None:
        if self._status is None:
            await super()._send(message)
            return
        if self._stream is None and message["type"] == "http.response.body":
            self._stream = self._open(self._status, self._headers, self._disconnect)
        await super()._send(message)
        stream, response = self._stream, self.response
        assert stream is not None  # else the message would have been refused
        try:
            await stream.write(self._chunks.pop() if response is None else response["body"])
        except BaseException:  # the client has gone, or the deadline has come
            self.response = None
            raise
        if response is not None:
            stream.end()

    def _disconnect(self) -> None:
        """The client has gone."""
        if self._completed is not None:
            self._completed.set()

    def _fail(self, error: BaseException) -> None:
        self._error = error
        if self._stream is not None and self._stream.is_gone:
            logger.info("The client of %s went before its response was complete.", self.line)
        else:
            super()._fail(error)
