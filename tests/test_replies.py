"""Who gets which answer, and who gets which exception."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from mangum import Mangum
from mangum.core.reply import KeptReply
from mangum.exceptions import LifespanFailure, ResponseTooLarge
from mangum.local.events.requests import HTTPRequest
from mangum.types import Message, Receive, Scope, Send
from tests.apps import Context, WithLifespan, hello, respond
from tests.lambda_runtime import function_url
from tests.sources import BY_NAME

EVENT = BY_NAME["http-api-2.0"].event(HTTPRequest(method="GET", path="/"))
LIFESPANS = {"off": {"lifespan": "off"}, "default": {}, "process": {"lifespan_scope": "process"}}
every_lifespan = pytest.mark.parametrize("arguments", LIFESPANS.values(), ids=LIFESPANS)
with_and_without_a_deadline = pytest.mark.parametrize("context", [None, Context()], ids=["no deadline", "deadline"])


class CustomHandler:
    """A handler of the user's own, whose response `answer` makes."""

    answer: Callable[[Any], Any] = staticmethod(lambda response: response["status"])

    def __init__(self, event: Any, context: Any, config: Any) -> None:
        self._event = event

    @classmethod
    def infer(cls, event: Any, context: Any, config: Any) -> bool:
        return "custom" in event

    @property
    def body(self) -> bytes:
        return b""

    @property
    def scope(self) -> Scope:
        return {"type": "http", "method": "GET", "path": "/custom", "headers": []}

    def __call__(self, response: Any) -> Any:
        return type(self).answer(response)


def handler_whose_answer(answer: Callable[[Any], Any]) -> type[CustomHandler]:
    return type("Handler", (CustomHandler,), {"answer": staticmethod(answer)})


# A handler's exceptions are the caller's


@every_lifespan
@with_and_without_a_deadline
def test_the_caller_gets_the_exception_of_a_custom_handler(arguments: dict[str, Any], context: Any) -> None:
    cause = KeyError("cause")
    error = LookupError("no form for this")
    sent: list[str] = []

    def refuse(response: Any) -> Any:
        raise error from cause

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send)
        sent.append("without an error")

    handlers = [handler_whose_answer(refuse)]
    with (
        Mangum(WithLifespan(app), custom_handlers=handlers, **arguments) as handler,
        pytest.raises(LookupError) as caught,
    ):
        handler({"custom": 1}, context)
    assert caught.value is error
    assert caught.value.__cause__ is cause
    assert sent == ["without an error"]


@every_lifespan
def test_the_handlers_exception_stands_if_the_application_fails_too(
    arguments: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(response: Any) -> Any:
        raise LookupError("the handler's")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send)
        raise ValueError("the application's")

    with (
        Mangum(WithLifespan(app), custom_handlers=[handler_whose_answer(refuse)], **arguments) as handler,
        pytest.raises(LookupError, match="the handler's"),
    ):
        handler({"custom": 1}, None)
    assert "the application's" in caplog.text


@every_lifespan
@pytest.mark.parametrize("status", [500, 504])
def test_a_handler_that_cannot_carry_mangums_own_answer(
    arguments: dict[str, Any], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mangum.core.deadline._RESERVE_SHARE", 0.9)
    asked: list[int] = []

    def refuse(response: Any) -> Any:
        asked.append(response["status"])
        raise LookupError

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if status == 500:
            raise ValueError
        await asyncio.Event().wait()

    with (
        Mangum(WithLifespan(app), custom_handlers=[handler_whose_answer(refuse)], **arguments) as handler,
        pytest.raises(LookupError),
    ):
        handler({"custom": 1}, Context(300))
    assert asked == [status]


def test_a_response_that_is_too_large_is_a_500_that_is_made_once() -> None:
    asked: list[int] = []

    def answer(response: Any) -> Any:
        asked.append(response["status"])
        if response["status"] == 200:
            raise ResponseTooLarge("too large")
        return response["status"]

    with Mangum(hello, "off", custom_handlers=[handler_whose_answer(answer)]) as handler:
        assert handler({"custom": 1}, None) == 500
    assert asked == [200, 500]


@every_lifespan
@pytest.mark.parametrize("ends", ["raises", "returns", "groups", "exits its scope"])
def test_an_application_without_a_response_gets_one_500(arguments: dict[str, Any], ends: str) -> None:
    asked: list[int] = []

    def answer(response: Any) -> Any:
        asked.append(response["status"])
        return response["status"]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if ends == "raises":
            raise ValueError
        if ends == "groups":
            async with asyncio.TaskGroup() as group:
                group.create_task(receive_nothing())
        if ends == "exits its scope":
            with anyio.CancelScope() as own:
                own.cancel()
                await anyio.sleep_forever()

    async def receive_nothing() -> None:
        raise LookupError

    with Mangum(WithLifespan(app), custom_handlers=[handler_whose_answer(answer)], **arguments) as handler:
        assert handler({"custom": 1}, Context()) == 500
    assert asked == [500]


@every_lifespan
def test_a_response_stands_if_the_application_then_fails(
    arguments: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, body=b"done")
        raise ValueError("afterwards")

    with Mangum(WithLifespan(app), **arguments) as handler:
        assert handler(EVENT, Context())["body"] == "done"
    assert "ValueError: afterwards" in caplog.text


def test_a_refusal_is_answered_without_the_application(caplog: pytest.LogCaptureFixture) -> None:
    event = BY_NAME["http-api-2.0"].event(HTTPRequest(method="POST", path="/events"))
    app = WithLifespan()
    with Mangum(app, event_path="/events") as handler:
        assert (handler(event, None)["statusCode"], app.log) == (404, [])
    assert "The answer is a 404." in caplog.text


# Exceptions are the user's own


@every_lifespan
@with_and_without_a_deadline
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_an_exit_passes_with_its_cause(arguments: dict[str, Any], context: Any, kind: type[BaseException]) -> None:
    cause = LookupError()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise kind(3) from cause

    with Mangum(WithLifespan(app), **arguments) as handler:
        with pytest.raises(kind) as caught:
            handler(EVENT, context)
        assert caught.value.args == (3,)
        assert caught.value.__cause__ is cause


@every_lifespan
def test_an_exit_in_a_group_of_the_applications_stays_in_it(arguments: dict[str, Any]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise BaseExceptionGroup("its own", [SystemExit(3), ValueError()])

    with Mangum(WithLifespan(app), **arguments) as handler:
        with pytest.raises(BaseExceptionGroup, match="its own") as caught:
            handler(EVENT, None)
        assert [type(error) for error in caught.value.exceptions] == [SystemExit, ValueError]


@pytest.mark.parametrize("scope", ["invocation", "process"])
def test_a_lifespan_failure_has_the_applications_exception_as_its_cause(scope: Any) -> None:
    error = LookupError("no database")
    error.__context__ = KeyError("first")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise error

    with Mangum(app, "on", lifespan_scope=scope) as handler, pytest.raises(LifespanFailure) as caught:
        handler(EVENT, None)
    assert caught.value.__cause__ is error
    assert isinstance(error.__context__, KeyError)


@pytest.mark.parametrize("scope", ["invocation", "process"])
@pytest.mark.parametrize("says_so", [False, True])
def test_a_task_group_of_asyncios_fails_the_startup(scope: Any, says_so: bool) -> None:
    """Before Python 3.13, it leaves the task with a cancellation that nobody takes back."""
    error = LookupError("no database")

    async def fail() -> None:
        raise error

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
        except ExceptionGroup:
            if says_so:
                await send({"type": "lifespan.startup.failed", "message": "no database"})
            raise

    with Mangum(app, "on", lifespan_scope=scope) as handler, pytest.raises(LifespanFailure, match="startup") as caught:
        handler(EVENT, None)
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    assert caught.value.__cause__.exceptions == (error,)


@pytest.mark.parametrize("scope", ["invocation", "process"])
def test_a_group_that_the_lifespan_raises_stays_a_group(scope: Any) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise ExceptionGroup("its own", [LookupError("no database")])

    with Mangum(app, "on", lifespan_scope=scope) as handler, pytest.raises(LifespanFailure) as caught:
        handler(EVENT, None)
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    assert caught.value.__cause__.message == "its own"


# Streams


class Recorded(KeptReply):
    """A reply that takes streams, and records them. Each write waits for `gate`."""

    is_streaming = True
    sends_at_once = True

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Any] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_gone = False
        self.is_over = False

    def stream(self, prelude: bytes, when_gone: Callable[[], None]) -> Recorded:
        self.is_sent = True
        self.log.append("begins")
        self._when_gone = when_gone
        return self

    async def write(self, data: bytes) -> None:
        await self.gate.wait()
        if self.is_gone:
            raise ConnectionResetError
        self.log.append(data)

    def end(self) -> None:
        self.is_over = True
        self.log.append("ends")

    def fail(self, error_type: str, message: str) -> None:
        self.is_over = True
        self.log.append(error_type)

    def go(self) -> None:
        """The client disconnects."""
        self.is_gone = self.is_over = True
        self._when_gone()
        self.gate.set()


START: Message = {"type": "http.response.start", "status": 200, "headers": []}


def piece(body: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


@asynccontextmanager
async def responding_while_it_listens(receive: Receive, log: list[Any]) -> AsyncIterator[None]:
    """Like Starlette's StreamingResponse: the disconnect cancels what responds."""
    async with anyio.create_task_group() as group:

        async def listen() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            log.append("disconnect")
            group.cancel_scope.cancel()

        group.start_soon(listen)
        await asyncio.sleep(0)
        yield


@pytest.mark.anyio
@every_lifespan
async def test_the_disconnect_comes_after_the_last_piece_is_out(arguments: dict[str, Any]) -> None:
    reply = Recorded()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with responding_while_it_listens(receive, reply.log):
            await send(START)
            for body in (b"one", b"two"):
                reply.gate.clear()
                asyncio.get_running_loop().call_later(0.001, reply.gate.set)
                await send(piece(body, more=True))
            reply.gate.clear()
            asyncio.get_running_loop().call_later(0.001, reply.gate.set)
            await send(piece(b"last", more=False))

    async with Mangum(WithLifespan(app), **arguments) as handler:
        assert await handler.invoke(function_url(), None, reply) is None
    assert reply.log == ["begins", b"one", b"two", b"last", "ends", "disconnect"]


@pytest.mark.anyio
@every_lifespan
async def test_the_disconnect_comes_at_once_if_the_client_goes(arguments: dict[str, Any]) -> None:
    reply = Recorded()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with responding_while_it_listens(receive, reply.log):
            await send(START)
            await send(piece(b"one", more=True))
            reply.gate.clear()
            asyncio.get_running_loop().call_soon(reply.go)
            await send(piece(b"two", more=True))

    async with Mangum(WithLifespan(app), **arguments) as handler:
        await handler.invoke(function_url(), None, reply)
    assert reply.log == ["begins", b"one", "disconnect"]


@pytest.mark.anyio
@every_lifespan
@pytest.mark.parametrize("swallows", [False, True])
async def test_the_deadline_cuts_a_stream_off_once(
    arguments: dict[str, Any], swallows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mangum.core.deadline._RESERVE_SHARE", 0.9)
    reply = Recorded()
    log: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(piece(b"one", more=True))
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            log.append("cleaned up")
            if not swallows:
                raise

    async with Mangum(WithLifespan(app), **arguments) as handler:
        await handler.invoke(function_url(), Context(300), reply)
    assert reply.log == ["begins", b"one", "Runtime.IncompleteResponse"]
    assert log == ["cleaned up"]


@pytest.mark.anyio
@every_lifespan
async def test_cancelling_the_caller_cuts_a_stream_off(arguments: dict[str, Any]) -> None:
    reply = Recorded()
    has_begun = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(piece(b"one", more=True))
        has_begun.set()
        await asyncio.Event().wait()

    async with Mangum(WithLifespan(app), **arguments) as handler:
        invocation = asyncio.create_task(handler.invoke(function_url(), None, reply))
        await has_begun.wait()
        invocation.cancel()
        with pytest.raises(asyncio.CancelledError):
            await invocation
    assert reply.log == ["begins", b"one", "Runtime.IncompleteResponse"]


@pytest.mark.anyio
@every_lifespan
async def test_a_streams_background_work_runs_after_its_end(arguments: dict[str, Any]) -> None:
    reply = Recorded()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def work() -> None:
            while not reply.is_over:
                await asyncio.sleep(0)
            reply.log.append("worked")

        (await scope["aws.task_group"]()).start_soon(work)
        await send(START)
        await send(piece(b"one", more=False))

    async with Mangum(WithLifespan(app), **arguments) as handler:
        await handler.invoke(function_url(), None, reply)
    assert reply.log == ["begins", b"one", "ends", "worked"]


@pytest.mark.anyio
async def test_a_504_of_a_front_door_with_streams_is_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mangum.core.deadline._RESERVE_SHARE", 0.9)
    reply = Recorded()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async with Mangum(app, "off") as handler:
        await handler.invoke(function_url(), Context(300), reply)
    assert reply.log == ["begins", b"Gateway Timeout", "ends"]
