"""One HTTP request, and its response as the application sends it, piece by piece."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from mangum.core.error_text import text_of
from mangum.core.http import HTTPExchange
from mangum.exceptions import ResponseError
from mangum.types import ASGI, Headers, LambdaHandler, Message, Response, Scope

if TYPE_CHECKING:
    from mangum.core.reply import Reply, Stream

__all__ = ["StreamedExchange", "StreamingHandler"]

logger: logging.Logger = logging.getLogger("mangum.http")


class StreamingHandler(LambdaHandler, Protocol):
    """A handler of a front door that has streams."""

    def prelude(self, status: int, headers: Headers) -> bytes:
        """What goes ahead of the body."""
        ...


class StreamedExchange(HTTPExchange):
    """An `HTTPExchange` whose response goes out as it comes. It begins with the first part of the body, as ASGI has it:
    before that, an error is still a 500."""

    __slots__ = ("_error", "_stream", "_streams")

    def __init__(self, app: ASGI, handler: StreamingHandler, scope: Scope, body: bytes, reply: Reply) -> None:
        super().__init__(app, handler, scope, body, reply)
        self._streams = handler
        self._stream: Stream | None = None
        self._error: BaseException | None = None  # that ended the application

    @staticmethod
    async def respond(  # type: ignore[override] # of a handler that has streams
        handler: StreamingHandler, reply: Reply, scope: Scope | None, response: Response
    ) -> None:
        stream = reply.stream(handler.prelude(response["status"], response["headers"]), _ignore)
        try:
            await stream.write(response["body"])
        except OSError:
            logger.info("The client went before it was answered.")
        else:
            stream.end()

    @property
    def is_cut_off(self) -> bool:
        return self._stream is not None and self.response is None

    async def finish(self, *, in_time: bool) -> None:
        self.abandon()
        await super().finish(in_time=in_time)

    def abandon(self) -> None:
        """Cut off a response that has begun and not ended, and give the reason."""
        stream, error = self._stream, self._error
        if stream is None or stream.is_over:
            return
        if error is None:
            stream.fail("Runtime.IncompleteResponse", f"The response to {self.line} is not complete.")
        else:
            stream.fail(type(error).__name__, text_of(error))

    async def _respond(self, response: Response) -> None:
        if self._stream is None:
            await super()._respond(response)

    async def _receive(self) -> Message:
        if self._body is None and self._stream is not None and self._stream.is_gone:
            return {"type": "http.disconnect"}
        return await super()._receive()

    async def _send(self, message: Message) -> None:
        body = self._read(message)
        if body is None:
            return
        if self._stream is None:
            try:
                prelude = self._streams.prelude(self._status or 0, self._headers)
            except ResponseError as error:  # the application hears of it, so that an endless stream ends
                logger.error("%s: %s", self.line, error)
                raise
            self._stream = self._reply.stream(prelude, self._disconnect)
        await self._stream.write(body)
        if not message.get("more_body"):
            self._stream.end()
            self._complete(b"")  # the body is out before the application hears of a disconnect

    def _disconnect(self) -> None:
        """The client has disconnected."""
        if self._completed is not None:
            self._completed.set()

    def _fail(self, error: BaseException) -> None:
        self._error = error
        if self._stream is not None and self._stream.is_gone:
            logger.info("The client of %s went before its response was complete.", self.line)
        else:
            super()._fail(error)


def _ignore() -> None:
    """There is no application to tell of the disconnect."""
