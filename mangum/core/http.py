"""One HTTP request and its response: https://asgi.readthedocs.io/en/latest/specs/www.html#http"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from mangum.core.tasks import BackgroundTasks, is_cancelled
from mangum.exceptions import ResponseError, UnexpectedMessage
from mangum.types import ASGI, Headers, LambdaHandler, Message, Response, Scope

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from mangum.core.deadline import Deadline
    from mangum.core.reply import Reply

__all__ = ["HTTPExchange", "plain_response", "request_line"]

logger: logging.Logger = logging.getLogger("mangum.http")

_PHRASES = {
    404: "Not Found",
    413: "Content Too Large",
    500: "Internal Server Error",
    504: "Gateway Timeout",
}


def plain_response(status: int) -> Response:
    """A response of mangum's own: 404, 413, 500 or 504."""
    return {
        "status": status,
        "headers": [[b"content-type", b"text/plain; charset=utf-8"]],
        "body": _PHRASES[status].encode(),
    }


def request_line(scope: Scope) -> str:
    """Method and path for a log, on one line: what has a line break, as a decoded path may, is quoted."""
    method, path = scope["method"], scope["path"]
    return f"{method if method.isprintable() else ascii(method)} {path if path.isprintable() else ascii(path)}"


class HTTPExchange:
    """One application, one request, one response: built, run once, thrown away.

    The handler translates the response into Lambda's answer as soon as it is complete, and the reply takes that, while
    the application may still be at work.
    """

    __slots__ = (
        "_app",
        "_background",
        "_body",
        "_chunks",
        "_completed",
        "_handler",
        "_headers",
        "_reply",
        "_scope",
        "_status",
        "failure",
        "has_tasks",
        "response",
    )

    def __init__(self, app: ASGI, handler: LambdaHandler, scope: Scope, body: bytes, reply: Reply) -> None:
        self.response: Response | None = None  # once it is complete
        self.failure: Exception | None = None  # of the handler's: the caller's, not the application's
        self.has_tasks: bool = "aws.connections" in scope  # of the store of connections
        self._app = app
        self._handler = handler
        self._scope = scope
        self._reply = reply
        self._body: bytes | None = body or b""  # until it is received
        self._status: int | None = None
        self._headers: Headers = []
        self._chunks: list[bytes] = []  # of a body that comes in several messages
        self._completed: asyncio.Event | None = None  # made for an application that waits for the disconnect
        self._background = scope["aws.task_group"] = BackgroundTasks()

    @staticmethod
    async def respond(handler: LambdaHandler, reply: Reply, scope: Scope | None, response: Response) -> None:
        """Send a whole response. `scope` is the request's, for the log."""
        _send_whole(handler, reply, scope, response)

    @property
    def line(self) -> str:
        """The request, for a log."""
        return request_line(self._scope)

    @property
    def is_answered(self) -> bool:
        """Whether the application's response is complete."""
        return self.response is not None

    @property
    def is_cut_off(self) -> bool:
        """Whether a part of the response has been sent, and the rest will not be."""
        return False

    async def run(self, state: dict[str, Any] | None, deadline: Deadline | None, group: TaskGroup | None) -> None:
        """Run the application, and wait for its `aws.task_group`. `state` is the lifespan's."""
        if state is not None:
            self._scope["state"] = state
        try:
            await self._app(self._scope, self._receive, self._send)
        except Exception as error:
            self._fail(error)
        except asyncio.CancelledError as error:
            if is_cancelled():
                await self._background.cancel()
                raise
            self._fail(error)  # of something that the application awaited, and that was cancelled
        except BaseException:
            await self._background.cancel()
            raise
        else:
            if self.response is None:
                logger.error(
                    "The application returned before it had %s a response to %s.",
                    "started" if self._status is None else "completed",
                    request_line(self._scope),
                )
        if self.response is None and self.failure is None and (deadline is None or not deadline.expired):
            await self._respond(plain_response(500))
        if self._background.host is not None:
            await self._background.join()
        self._background.is_closed = True

    def abandon(self) -> None:
        """A response that is not complete has not begun to be sent."""

    async def finish(self, *, in_time: bool) -> None:
        """At the end of the invocation: answer if nothing has been answered.

        Raises:
            Exception: what the handler raised for the response.
        """
        if self.failure is None and not self._reply.is_sent:
            await self._respond(plain_response(500 if in_time else 504))
        if self.failure is not None:
            raise self.failure

    async def _respond(self, response: Response) -> None:
        """Send a response of mangum's own."""
        logger.info("%s %s", self.line, response["status"])
        try:
            await self.respond(self._handler, self._reply, self._scope, response)
        except Exception as error:
            self.failure = error

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
        body = self._read(message)
        if body is None:
            return
        if message.get("more_body"):
            self._chunks.append(body)
            return
        if self._chunks:
            body = b"".join([*self._chunks, body])
        response = self._complete(body)
        try:
            _send_whole(self._handler, self._reply, self._scope, response)
        except Exception as error:  # for the caller: the application has done its part
            self.failure = error

    def _read(self, message: Message) -> bytes | None:
        """A part of the body, or `None` for the start of the response.

        Raises:
            UnexpectedMessage: the message is not allowed here, or malformed.
        """
        kind = message["type"]
        if self._status is None:
            if kind != "http.response.start":
                raise UnexpectedMessage(f"Unexpected {kind}: a response begins with http.response.start.")
            status = message.get("status")
            if not isinstance(status, int):
                raise UnexpectedMessage(f"http.response.start needs an integer `status`, not {status!r}.")
            self._headers = list(message.get("headers") or ())
            self._status = status
            return None
        if kind != "http.response.body" or self.response is not None:
            raise UnexpectedMessage(
                f"Unexpected {kind}: "
                + ("the response has been started." if self.response is None else "the response is complete.")
            )
        body = message.get("body", b"")
        return body if body.__class__ is bytes else _as_bytes(body)

    def _complete(self, body: bytes) -> Response:
        response: Response = {"status": self._status or 0, "headers": self._headers, "body": body}
        self.response = response
        if self._completed is not None:
            self._completed.set()
        if logger.isEnabledFor(logging.INFO):
            logger.info("%s %s", request_line(self._scope), self._status)
        return response


def _send_whole(handler: LambdaHandler, reply: Reply, scope: Scope | None, response: Response) -> None:
    """Send a whole response; a 500 if the source cannot carry it."""
    try:
        answer = handler(response)
    except ResponseError as error:
        logger.error("%s: %s", "A response" if scope is None else request_line(scope), error)
        answer = handler(plain_response(500))
    reply.send(answer)


def _as_bytes(body: Any) -> bytes:
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    raise UnexpectedMessage(f"http.response.body needs a `body` of bytes, not {type(body).__name__}.")
