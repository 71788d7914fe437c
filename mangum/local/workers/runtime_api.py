"""Lambda's Runtime API for one sandbox: hands events to a runtime, and takes its answers.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, and for streams
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming. Refusals have the
words of AWS's own emulator, https://github.com/aws/aws-lambda-runtime-interface-emulator.
"""

from __future__ import annotations

import asyncio
import enum
import json
import re
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from typing import NoReturn

from mangum.handlers.bodies import LAMBDA_RESPONSE_LIMIT
from mangum.local.function import FunctionFailed, FunctionSettings
from mangum.local.hosts import is_from_page, is_loopback
from mangum.local.invocations import PARTS_HEADER
from mangum.local.streams import StreamedAnswer
from mangum.local.workers.extensions import Extensions
from mangum.local.workers.runtime_http import BodySink, HTTPConnection, Request

__all__ = ["Delivery", "Refusal", "RuntimeAPI", "State"]

_ERROR_TYPE = "lambda-runtime-function-error-type"
_INVOCATION_ID = "lambda-runtime-invocation-id"
_RESPONSE_MODE = "lambda-runtime-function-response-mode"


class Delivery:
    """An event for a runtime, and what comes back."""

    def __init__(self, request_id: str, event: str, settings: FunctionSettings) -> None:
        self.request_id = request_id
        self.invocation_id: str = str(uuid.uuid4())
        self.body: bytes = event.encode()
        self.arn: str = settings.arn
        self.deadline_ms: int = int((time.time() + settings.limit_s) * 1000)
        self.trace_id: str = (
            f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=0"
        )
        self.parts_ms: dict[str, float] = {}
        # The answer as JSON, or the beginning of a stream, or `FunctionFailed`.
        self.answer: asyncio.Future[str | StreamedAnswer] = asyncio.get_running_loop().create_future()
        self.answer.add_done_callback(asyncio.Future.exception)  # whoever waited for it may be gone: no complaint then

    def headers(self) -> dict[str, str]:
        """What Lambda says beside the event."""
        return {
            "Lambda-Runtime-Aws-Request-Id": self.request_id,
            "Lambda-Runtime-Invocation-Id": self.invocation_id,
            "Lambda-Runtime-Deadline-Ms": str(self.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": self.arn,
            "Lambda-Runtime-Trace-Id": self.trace_id,
        }

    def succeed(self, body: bytes) -> None:
        """The runtime has answered."""
        try:
            answer = body.decode()
            json.loads(answer, parse_constant=_refuse_constant)
        except ValueError as error:
            self.fail(FunctionFailed("Runtime.InvalidResponse", f"the answer is no JSON: {error}"))
            return
        if not self.answer.done():
            self.answer.set_result(answer)

    def begin(self, stream: StreamedAnswer) -> None:
        """The runtime has begun to answer."""
        if not self.answer.done():
            self.answer.set_result(stream)

    def fail(self, failure: FunctionFailed) -> None:
        """There will be no answer."""
        if not self.answer.done():
            self.answer.set_exception(failure)


class State(enum.Enum):
    """What the runtime is at."""

    STARTED = "Started"
    INIT_ERROR = "InitError"
    READY = "Ready"  # it waits for an event
    RUNNING = "Running"
    REFUSED = "InvocationResponse"  # its answer was too large; it may still say so by an error
    STREAMING = "Streaming"
    ANSWERED = "ResponseSent"


class Refusal(Exception):
    """What a request gets that cannot be granted."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.document: dict[str, str] = {"errorMessage": message, "errorType": error_type}


class RuntimeAPI:
    """Where one runtime asks for events, one at a time, on a port of its own."""

    def __init__(self, settings: FunctionSettings) -> None:
        self._state = State.STARTED
        self._poll: HTTPConnection | None = None  # of the `next` that waits
        self._delivery: Delivery | None = None  # the last one
        self._failure: FunctionFailed | None = None  # once there is no runtime any more
        self._changed = asyncio.Event()  # whether it is ready, or has failed
        self._extensions = Extensions(settings)
        self._connections: set[HTTPConnection] = set()
        self._server: asyncio.Server | None = None

    # For the gateway

    async def listen(self) -> str:
        """Open the port. Returns its address, for `AWS_LAMBDA_RUNTIME_API`."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: HTTPConnection(self), "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    def close(self) -> None:
        """Close the port and all connections."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.abort()

    @property
    def is_ready(self) -> bool:
        """Whether the runtime waits for an event."""
        return self._poll is not None and self._failure is None

    async def wait_ready(self) -> None:
        """Wait until the runtime asks for an event.

        Raises:
            FunctionFailed: it will not.
        """
        await self._changed.wait()
        if self._failure is not None:
            raise self._failure

    def deliver(self, delivery: Delivery) -> None:
        """Hand an event to the runtime, which has to be ready. Its answer is `delivery.answer`."""
        self._delivery = delivery
        if self._failure is not None:  # meanwhile
            delivery.fail(self._failure)
            return
        assert self._poll is not None
        poll, self._poll = self._poll, None
        self._state = State.RUNNING
        self._changed.clear()
        self._hand_over(delivery, poll)
        self._extensions.tell(delivery.request_id, delivery.deadline_ms, delivery.arn, delivery.trace_id)

    def fail(self, failure: FunctionFailed) -> None:
        """There is no runtime any more: whoever waits for it is told why."""
        self._failure = self._failure or failure
        self._changed.set()
        if self._delivery is not None:
            self._delivery.fail(self._failure)

    # For its connections

    def opened(self, connection: HTTPConnection) -> None:
        self._connections.add(connection)

    def closed(self, connection: HTTPConnection) -> None:
        self._connections.discard(connection)
        self._extensions.closed(connection)
        if self._poll is connection:
            self._poll = None
            self._state = State.STARTED if self._delivery is None else State.ANSWERED
            if self._failure is None:
                self._changed.clear()

    def sink_for(self, head: Request, connection: HTTPConnection) -> BodySink | None:
        """For the body of a streamed answer."""
        delivery = self._answered_by(head) if head.headers.get(_RESPONSE_MODE) == "streaming" else None
        if delivery is None:
            return None
        try:
            self._go(State.STREAMING, State.RUNNING, name="InvocationResponse")
        except Refusal:
            return None  # and `_respond` says so
        return _StreamSink(self, delivery, connection)

    def streamed(self) -> None:
        """A streamed answer has come to its end, whatever that is."""
        self._state = State.ANSWERED

    def truncated(self, request: Request) -> None:
        """It ended in the middle of a body. If that was an answer, there is none."""
        delivery = self._answered_by(request)
        if self._state is State.RUNNING and delivery is not None:
            self._state = State.ANSWERED
            delivery.fail(FunctionFailed("Runtime.TruncatedResponse", "the runtime's answer ended too early"))

    def handle(self, request: Request, connection: HTTPConnection) -> None:
        if not _is_from_program(request):
            text = "This is for the runtime on this machine, not for web pages."
            connection.reply_json(403, {"errorMessage": text, "errorType": "Forbidden"})
            return
        for method, pattern, route in _ROUTES:
            match = pattern.fullmatch(request.path)
            if match is not None:
                if request.method != method:
                    connection.reply(405, b"", {"allow": method})
                    return
                try:
                    route(self, request, connection, *match.groups())
                except Refusal as refusal:
                    connection.reply_json(refusal.status, refusal.document)
                return
        connection.reply(404, b"404 page not found\n", {"content-type": "text/plain; charset=utf-8"})

    # The runtime's requests

    def _next(self, request: Request, connection: HTTPConnection) -> None:
        if self._state is State.RUNNING and self._delivery is not None:  # it has asked again: so does AWS's emulator
            self._hand_over(self._delivery, connection)
            return
        self._go(State.READY, State.STARTED, State.REFUSED, State.ANSWERED)
        self._extensions.close_registration()
        self._poll = connection
        self._changed.set()

    def _respond(self, request: Request, connection: HTTPConnection, request_id: str) -> None:
        delivery = self._find(request, request_id)
        self._check("InvocationResponse", State.RUNNING)
        if request.headers.get(_RESPONSE_MODE, "streaming") != "streaming":
            self._state = State.ANSWERED
            delivery.fail(FunctionFailed("Runtime.InvalidResponseModeHeader", ""))
            raise Refusal(400, "InvalidFunctionResponseMode", "Invalid function response mode")
        if request.is_too_large:
            self._state = State.REFUSED
            message = f"Exceeded maximum allowed payload size ({LAMBDA_RESPONSE_LIMIT} bytes)."
            delivery.fail(FunctionFailed("Function.ResponseSizeTooLarge", message))
            raise Refusal(413, "RequestEntityTooLarge", message)
        self._state = State.ANSWERED
        delivery.parts_ms = _read_parts(request)
        delivery.succeed(request.body)
        _accept(connection)

    def _report(self, request: Request, connection: HTTPConnection, request_id: str) -> None:
        delivery = self._find(request, request_id)
        self._go(State.ANSWERED, State.RUNNING, State.REFUSED, name="InvocationErrorResponse")
        delivery.fail(_read_failure(request))
        _accept(connection)

    def _report_init(self, request: Request, connection: HTTPConnection) -> None:
        self._go(State.INIT_ERROR, State.STARTED)
        _accept(connection)
        self.fail(_read_failure(request))

    # What they are held against

    def _go(self, state: State, *allowed: State, name: str = "") -> None:
        self._check(name or state.value, *allowed)
        self._state = state

    def _check(self, name: str, *allowed: State) -> None:
        if self._state not in allowed:
            raise Refusal(
                403,
                "InvalidStateTransition",
                f"State transition from {self._state.value} to {name} failed for runtime. "
                "Error: State transition is not allowed",
            )

    def _find(self, request: Request, request_id: str) -> Delivery:
        delivery = self._delivery
        if delivery is None or delivery.request_id != request_id:
            raise Refusal(400, "InvalidRequestID", "Invalid request ID")
        if request.headers.get(_INVOCATION_ID, delivery.invocation_id) != delivery.invocation_id:
            raise Refusal(400, "InvalidInvocationId", "Invalid invocation ID")
        return delivery

    def _answered_by(self, request: Request) -> Delivery | None:
        """The event that a request answers, whose body need not be there yet; `None` if it will be refused."""
        match = _RESPONSE_PATH.fullmatch(request.path)
        if match is None or request.method != "POST" or not _is_from_program(request):
            return None
        try:
            return self._find(request, match[1])
        except Refusal:
            return None

    def _hand_over(self, delivery: Delivery, connection: HTTPConnection) -> None:
        connection.reply(200, delivery.body, delivery.headers())

    # The requests of extensions that run inside the runtime's process

    def _register_extension(self, request: Request, connection: HTTPConnection) -> None:
        self._extensions.register(request, connection)

    def _next_of_extension(self, request: Request, connection: HTTPConnection) -> None:
        self._extensions.next(request, connection)


class _StreamSink:
    """From a request's body to a streamed answer."""

    def __init__(self, api: RuntimeAPI, delivery: Delivery, connection: HTTPConnection) -> None:
        self._api = api
        self._delivery = delivery
        self._connection = connection
        self._stream = StreamedAnswer(connection.pause, connection.abort)

    def feed(self, data: bytes) -> None:
        try:
            if self._stream.feed(data):
                self._delivery.begin(self._stream)
        except ValueError as error:
            self._delivery.fail(FunctionFailed("Runtime.InvalidResponse", f"the stream is malformed: {error}"))
            self._connection.abort()

    def end(self, trailers: Mapping[str, str]) -> None:
        self._delivery.fail(FunctionFailed("Runtime.InvalidResponse", "the stream has no prelude"))  # if it had none
        self._stream.end(trailers)
        self._api.streamed()
        _accept(self._connection)

    def break_off(self) -> None:
        self._stream.break_off("Runtime.TruncatedResponse: the runtime's answer ended too early")
        self._delivery.fail(FunctionFailed("Runtime.TruncatedResponse", "the runtime's answer ended too early"))
        self._api.streamed()


_RESPONSE_PATH = re.compile("/2018-06-01/runtime/invocation/([^/]+)/response")
_ROUTES: tuple[tuple[str, re.Pattern[str], Callable[..., None]], ...] = (
    ("GET", re.compile("/2018-06-01/runtime/invocation/next"), RuntimeAPI._next),
    ("POST", _RESPONSE_PATH, RuntimeAPI._respond),
    ("POST", re.compile("/2018-06-01/runtime/invocation/([^/]+)/error"), RuntimeAPI._report),
    ("POST", re.compile("/2018-06-01/runtime/init/error"), RuntimeAPI._report_init),
    ("POST", re.compile("/2020-01-01/extension/register"), RuntimeAPI._register_extension),
    ("GET", re.compile("/2020-01-01/extension/event/next"), RuntimeAPI._next_of_extension),
)


def _is_from_program(request: Request) -> bool:
    """Whether it was not sent by a web page, which could answer in the runtime's place."""
    return is_loopback(request.headers.get("host", "")) and not is_from_page(request.headers)


def _accept(connection: HTTPConnection) -> None:
    connection.reply_json(202, {"status": "OK"})


def _read_failure(request: Request) -> FunctionFailed:
    """What a runtime says of an error: a JSON object, or any text, and its type in a header."""
    error_type = request.headers.get(_ERROR_TYPE) or "Runtime.Unknown"
    try:
        document = json.loads(request.body)
        return FunctionFailed(str(document.get("errorType") or error_type), str(document.get("errorMessage", "")))
    except (ValueError, AttributeError):
        return FunctionFailed(error_type, request.body.decode(errors="replace"))


def _read_parts(request: Request) -> dict[str, float]:
    try:
        document = json.loads(request.headers.get(PARTS_HEADER.lower(), "{}"))
        return {str(name): float(value) for name, value in document.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
