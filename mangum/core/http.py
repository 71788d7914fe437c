"""One HTTP request and its response: https://asgi.readthedocs.io/en/latest/specs/www.html#http"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from mangum.core.cancellation import is_cancelled_from_outside
from mangum.exceptions import UnexpectedMessage
from mangum.types import ASGI, Headers, Message, Response, Scope

__all__ = ["HTTPCycle", "plain_response", "request_line"]

logger = logging.getLogger("mangum.http")


def plain_response(status: int, text: str) -> Response:
    """A response of mangum's own."""
    return {"status": status, "headers": [[b"content-type", b"text/plain; charset=utf-8"]], "body": text.encode()}


def request_line(scope: Scope) -> str:
    """Method and path for a log, on one line: a decoded path may hold a line break, and then is quoted."""
    path = scope["path"]
    return f"{scope['method']} {path if path.isprintable() else ascii(path)}"


class HTTPCycle:
    """One application, one request, one response: built, run once, thrown away."""

    __slots__ = (
        "_app",
        "_body",
        "_chunks",
        "_completed",
        "_headers",
        "_scope",
        "_status",
        "_when_complete",
        "response",
    )

    def __init__(
        self, app: ASGI, scope: Scope, body: bytes, when_complete: Callable[[Response], None] | None = None
    ) -> None:
        """`when_complete` gets the application's response at once, while the application may still be at work. It must
        not raise."""
        self.response: Response | None = None  # once it is complete; it then stands
        self._app = app
        self._scope = scope
        self._body: bytes | None = body or b""  # until it is received
        self._status: int | None = None
        self._headers: Headers = []
        self._chunks: list[bytes] = []  # of a body that comes in more than one
        self._completed: asyncio.Event | None = None  # made for an application that waits for the disconnect
        self._when_complete = when_complete

    @property
    def is_cut_off(self) -> bool:
        return False  # it is not sent before it is complete

    @property
    def line(self) -> str:
        """The request, for a log."""
        return request_line(self._scope)

    async def run(self, deadline: object, state: dict[str, Any] | None) -> None:
        """Run the application to its end, in the task of the caller. Without a complete response of its own, the
        response is a 500. `state` is the lifespan's."""
        if state is not None:
            self._scope["state"] = state
        try:
            await self._app(self._scope, self._receive, self._send)
        except Exception as error:
            self._fail(error)
        except asyncio.CancelledError as error:
            if is_cancelled_from_outside():
                raise
            self._fail(error)
        else:
            if self.response is None:
                logger.error(
                    "The application returned before it had %s a response to %s.",
                    "started" if self._status is None else "completed",
                    request_line(self._scope),
                )
        if self.response is None:
            self.response = plain_response(500, "Internal Server Error")

    def _fail(self, error: BaseException) -> None:
        logger.error("An error occurred running the application.", exc_info=error)

    async def _receive(self) -> Message:
        body = self._body
        if body is not None:
            self._body = None
            return {"type": "http.request", "body": body, "more_body": False}
        if self.response is None:
            if self._completed is None:
                self._completed = asyncio.Event()
            await self._completed.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if self._status is None:
            if kind != "http.response.start":
                raise UnexpectedMessage(f"Unexpected {kind}: a response begins with http.response.start.")
            status = message.get("status")
            if not isinstance(status, int):
                raise UnexpectedMessage(f"http.response.start needs an integer `status`, not {status!r}.")
            self._headers = list(message.get("headers") or ())
            self._status = status
        elif kind != "http.response.body" or self.response is not None:
            raise UnexpectedMessage(
                f"Unexpected {kind}: "
                + ("the response has been started." if self.response is None else "the response is complete.")
            )
        else:
            body = message.get("body", b"")
            if body.__class__ is not bytes:
                body = _as_bytes(body)
            if message.get("more_body"):
                self._chunks.append(body)
            else:
                self._complete(b"".join([*self._chunks, body]) if self._chunks else body)

    def _complete(self, body: bytes) -> None:
        response = self.response = {"status": self._status or 0, "headers": self._headers, "body": body}
        if self._when_complete is not None:
            self._when_complete(response)
        if self._completed is not None:
            self._completed.set()
        if logger.isEnabledFor(logging.INFO):
            logger.info("%s %s", request_line(self._scope), self._status)


def _as_bytes(body: Any) -> bytes:
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    raise UnexpectedMessage(f"http.response.body needs a `body` of bytes, not {type(body).__name__}.")
