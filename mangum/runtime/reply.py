"""The answer to one event, on its way to Lambda: whole, or as a stream."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from mangum.core.error_text import text_of
from mangum.core.http1 import ConnectionLost, HTTPConnection, HTTPResponse, Outcome
from mangum.runtime.api import RuntimeAPI, checked, said
from mangum.runtime.documents import Documents
from mangum.runtime.errors import Fault, field_value

__all__ = ["ResponseStream", "RuntimeReply", "chunk"]

logger: logging.Logger = logging.getLogger("mangum.runtime")

_PIECE = 256 * 1024
_RESPONSE = b"/response"
_STREAM_FIELDS = (
    b"Content-Type: application/vnd.awslambda.http-integration-response\r\n"
    b"Lambda-Runtime-Function-Response-Mode: streaming\r\n"
    b"Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n"
)


class RuntimeReply:
    """The `mangum.core.reply.Reply` of an invocation."""

    def __init__(
        self, api: RuntimeAPI, headers: Mapping[bytes, bytes], documents: Documents, *, is_streaming: bool
    ) -> None:
        """`headers`, with names in lower case, came with the event."""
        request_id = headers[b"lambda-runtime-aws-request-id"]
        attempt = headers.get(b"lambda-runtime-invocation-id")
        self.is_streaming = is_streaming
        self.sends_at_once = True
        self.is_sent: bool = False
        self.is_left: bool = False  # whether the invocation is over for Lambda, though its task goes on
        self.when_left: Callable[[asyncio.Task[Any]], None] | None = None
        self.outcome: Outcome | None = None  # what Lambda said of it
        self.when_taken: Callable[[RuntimeReply], None] | None = None  # called when it has
        self._api = api
        self._documents = documents
        self._path = b"/invocation/" + request_id
        self._fields = b"" if attempt is None else b"Lambda-Runtime-Invocation-Id: %b\r\n" % attempt
        self._is_late = False
        self._sent: tuple[bytes, bytes] | None = None  # an answer that is whole: lines of its head, and its body
        self._stream: ResponseStream | None = None

    def send(self, answer: Any) -> None:
        """Send it, whole. Does nothing for an invocation that was left.

        Raises:
            Fault: it cannot be said as JSON.
        """
        if self.is_left:
            return
        content_type, body = self._marshal(answer)
        self._sent = b"%bContent-Type: %b\r\n" % (self._fields, content_type), body
        self._api.post(self._path + _RESPONSE, *self._sent, self._receive)
        self.is_sent = True

    def _marshal(self, answer: Any) -> tuple[bytes, bytes]:
        if isinstance(answer, bytes):
            return b"application/unknown", answer
        try:
            return b"application/json", self._documents.write(answer)
        except (TypeError, ValueError, RecursionError) as error:
            raise Fault("Runtime.MarshalError", f"Unable to marshal response: {text_of(error)}") from error

    def note(self, name: str, value: str) -> None:
        """Send a header beside the answer."""
        self._fields += f"{name}: {value}\r\n".encode()

    def stream(self, prelude: bytes, when_gone: Callable[[], None]) -> ResponseStream:
        """Begin to send it.

        Raises:
            ConnectionResetError: the invocation was left.
        """
        if self.is_left:
            raise ConnectionResetError("The invocation is over.")
        connection, head = self._api.open_stream(self._path + _RESPONSE, self._fields + _STREAM_FIELDS)
        stream = self._stream = ResponseStream(connection, when_gone)

        def receive(outcome: Outcome) -> None:
            if not stream.is_over:
                stream.break_off()
            connection.close()  # as Lambda wants it after a stream
            self._receive(outcome)

        self.is_sent = True
        connection.send(head + chunk(prelude), receive)
        return stream

    async def fail(self, document: dict[str, Any]) -> None:
        """Say that there is none, and why.

        Raises:
            ContainerBroken: the execution environment cannot go on.
        """
        await self._api.report(self._path + b"/error", document, self._fields)

    def give_up(self) -> None:
        """Wait no longer for what Lambda says of it."""
        self._is_late = True
        self._api.close()
        self._receive(ConnectionLost("the Runtime API did not take it in time"))

    async def insist(self) -> None:
        """Do what can be done where Lambda has not taken it: a connection that broke is made anew, once, and an answer
        that is too large is reported as an error.

        Raises:
            ContainerBroken: the execution environment cannot go on.
        """
        assert self.outcome is not None
        outcome = self.outcome
        if isinstance(outcome, ConnectionLost) and self._sent is not None and not self._is_late:
            try:
                outcome = await self._api.post_again(self._path + _RESPONSE, *self._sent)
            except (OSError, TimeoutError) as error:
                outcome = ConnectionLost(str(error) or "there was no answer")
        if isinstance(outcome, ConnectionLost):
            if self._stream is None or not self._stream.is_gone:
                logger.error("The answer may be lost: %s.", outcome)
        elif checked(outcome).status == 413:
            await self.fail(_too_large(outcome))
        elif outcome.status != 202:
            logger.error("Lambda has refused the answer: %s.", said(outcome))

    def _receive(self, outcome: Outcome) -> None:
        self.outcome = outcome
        if self.when_taken is not None:
            self.when_taken(self)


class ResponseStream:
    """The `mangum.core.reply.Stream` of an answer: an HTTP request whose body goes out in chunks.
    https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming"""

    def __init__(self, connection: HTTPConnection, when_gone: Callable[[], None]) -> None:
        self.is_over: bool = False
        self.is_gone: bool = False
        self._connection = connection
        self._when_gone = when_gone

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE):
            self._check()
            self._connection.write(chunk(data[start : start + _PIECE] if len(data) > _PIECE else data))
            await self._connection.drain()
        self._check()

    def _check(self) -> None:
        if self.is_over:  # or its invocation was left, and has ended it
            raise ConnectionResetError("The client has gone.")

    def end(self) -> None:
        self.is_over = True
        self._connection.write(b"0\r\n\r\n")

    def fail(self, error_type: str, message: str) -> None:
        self.is_over = True
        document = json.dumps({"errorMessage": message, "errorType": error_type, "stackTrace": []}).encode()
        self._connection.write(
            b"0\r\nLambda-Runtime-Function-Error-Type: %b\r\nLambda-Runtime-Function-Error-Body: %b\r\n\r\n"
            % (field_value(error_type), base64.b64encode(document))
        )

    def break_off(self) -> None:
        """It was answered, or lost, in the middle of it."""
        self.is_over = self.is_gone = True
        self._when_gone()


def chunk(data: bytes) -> bytes:
    """A piece of a body of unknown length (RFC 9112, section 7.1)."""
    return b"".join([b"%x\r\n" % len(data), data, b"\r\n"])


def _too_large(response: HTTPResponse) -> dict[str, Any]:
    try:
        message = str(json.loads(response.body)["errorMessage"])
    except (ValueError, TypeError, KeyError):
        message = "The response is larger than Lambda takes."
    return {"errorMessage": message, "errorType": "Function.ResponseSizeTooLarge", "stackTrace": []}
