"""`scope["aws.task_group"]`: work that an application starts, and that the invocation waits for."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest

from mangum import Mangum
from mangum.local.events.requests import HTTPRequest
from mangum.types import Receive, Scope, Send
from tests.apps import Context, WithLifespan, respond
from tests.lambda_runtime import function_url, running
from tests.servers.connections import ConnectionsEndpoint
from tests.sources import BY_NAME
from tests.websocket_client import connect_event, disconnect_event, message_event

HTTP = BY_NAME["http-api-2.0"].event(HTTPRequest(method="GET", path="/"))
QUEUE = {"Records": [{"eventSource": "aws:sqs", "messageId": "1", "body": "{}"}]}
SOON, LATE = Context(1_000), Context(60_000)
KINDS = ["http", "posted", "CONNECT", "MESSAGE", "DISCONNECT"]

LIFESPANS = {"off": {"lifespan": "off"}, "default": {}, "process": {"lifespan_scope": "process"}}
every_lifespan = pytest.mark.parametrize("arguments", LIFESPANS.values(), ids=LIFESPANS)
every_kind = pytest.mark.parametrize("kind", KINDS)

Build = Callable[..., Mangum]


@pytest.fixture(autouse=True)
def _large_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline comes early, and leaves a busy machine time for what follows it."""
    monkeypatch.setattr("mangum.core.deadline._RESERVE_SHARE", 0.8)
    monkeypatch.setattr("mangum.core.deadline._MOST_RESERVE_S", 5.0)


@pytest.fixture
def build(endpoint: ConnectionsEndpoint) -> Iterator[Build]:
    """Builds handlers for every kind of event, which are closed at the end of the test."""
    handlers: list[Mangum] = []

    def build(app: Any, **arguments: Any) -> Mangum:
        url = endpoint.url
        handler = Mangum(app, dsn="sqlite://:memory:", api_gateway_endpoint_url=url, event_path="/events", **arguments)
        handlers.append(handler)
        return handler

    yield build
    for handler in handlers:
        handler.close()


class Starts:
    """Starts `work` in its group in an event of one kind, before it answers."""

    def __init__(self, kind: str, *work: Callable[[], Any]) -> None:
        self.group: Any = None
        self.starts = True
        self._kind = kind
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._start_in("posted" if scope["path"] == "/events" else "http", scope)
            await respond(send, body=b"null", headers=[[b"content-type", b"application/json"]])
            return
        await receive()
        await send({"type": "websocket.accept"})
        if scope["aws.event"]["requestContext"]["eventType"] == "CONNECT":
            await self._start_in("CONNECT", scope)
        while True:
            message = await receive()
            await self._start_in("MESSAGE" if message["type"] == "websocket.receive" else "DISCONNECT", scope)
            if message["type"] == "websocket.disconnect":
                return
            await send({"type": "websocket.send", "text": "answer"})

    async def _start_in(self, kind: str, scope: Scope) -> None:
        if self.starts and kind == self._kind:
            self.group = await scope["aws.task_group"]()
            for each in self._work:
                self.group.start_soon(each)


def events(kind: str) -> list[Any]:
    """The events up to the one of a kind."""
    if kind in ("http", "posted"):
        return [HTTP if kind == "http" else QUEUE]
    every = {"CONNECT": connect_event("a"), "MESSAGE": message_event("a", "x"), "DISCONNECT": disconnect_event("a")}
    return list(every.values())[: list(every).index(kind) + 1]


def serve(handler: Mangum, kind: str, context: Context = LATE) -> Any:
    """Answer the events up to the one of a kind, which has the context. Returns the last one's answer."""
    *before, last = events(kind)
    for event in before:
        handler(event, LATE)
    return handler(last, context)


def succeeded(kind: str, answer: Any) -> bool:
    return bool(answer is None if kind == "posted" else answer["statusCode"] == 200)


@every_lifespan
@every_kind
def test_the_invocation_waits_for_it(arguments: dict[str, Any], kind: str, build: Build) -> None:
    log: list[str] = []

    async def work() -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        log.append("done")

    app = Starts(kind, work, work)
    assert succeeded(kind, serve(build(WithLifespan(app), **arguments), kind))
    assert log == ["done", "done"]
    assert isinstance(app.group, anyio.abc.TaskGroup)


@every_lifespan
@every_kind
def test_an_error_is_logged_as_itself_and_breaks_nothing(
    arguments: dict[str, Any], kind: str, build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise LookupError("in the background")

    assert succeeded(kind, serve(build(WithLifespan(Starts(kind, fails)), **arguments), kind))
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.getMessage() == "A task in aws.task_group failed."
    assert record.exc_info is not None
    assert type(record.exc_info[1]) is LookupError


def test_a_group_of_errors_that_a_task_raises_stays_one(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise ExceptionGroup("its own", [LookupError("one"), KeyError("two")])

    serve(build(Starts("http", fails), lifespan="off"), "http")
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ExceptionGroup)
    assert record.exc_info[1].message == "its own"


@every_lifespan
def test_after_an_error_there_is_another_group(arguments: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        is_cancelled, go_on = asyncio.Event(), asyncio.Event()

        async def fails() -> None:
            raise LookupError("in the background")

        async def cleans_up() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                is_cancelled.set()
                with anyio.CancelScope(shield=True):
                    await go_on.wait()
                log.append("cleaned up")

        async def work() -> None:
            await asyncio.sleep(0)
            log.append("worked")

        first = await scope["aws.task_group"]()
        first.start_soon(cleans_up)
        await asyncio.sleep(0)
        first.start_soon(fails)
        await is_cancelled.wait()
        asyncio.get_running_loop().call_soon(go_on.set)  # the first group ends while the second is asked for
        second = await scope["aws.task_group"]()
        assert second is not first
        assert second is await scope["aws.task_group"]()
        second.start_soon(work)
        await respond(send)

    with Mangum(WithLifespan(app), **arguments) as handler:
        assert handler(HTTP, LATE)["statusCode"] == 200
    assert log == ["cleaned up", "worked"]
    assert caplog.text.count("LookupError: in the background") == 1


def test_a_task_that_cleans_up_after_an_error_can_ask_for_its_group() -> None:
    """It would wait for itself if it had to wait for the end of the group."""
    log: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def cleans_up() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                with anyio.CancelScope(shield=True):
                    log.append(await scope["aws.task_group"]() is group)

        async def fails() -> None:
            raise LookupError

        group = await scope["aws.task_group"]()
        group.start_soon(cleans_up)
        await asyncio.sleep(0)
        group.start_soon(fails)
        await respond(send)

    with Mangum(app, "off") as handler:
        assert handler(HTTP, None)["statusCode"] == 200
    assert log == [True]


@pytest.mark.parametrize("has_asked", [True, False])
def test_there_is_no_group_after_the_invocation(has_asked: bool) -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        if has_asked:
            await scope["aws.task_group"]()
        await respond(send)

    async def ask() -> None:
        with pytest.raises(RuntimeError, match="has ended"):
            await scopes[0]["aws.task_group"]()

    with Mangum(app, "off") as handler:
        handler(HTTP, None)
        handler.run(ask)


@every_lifespan
@every_kind
def test_the_deadline_ends_it(
    arguments: dict[str, Any], kind: str, build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            log.append("ended")

    app = Starts(kind, hangs)
    handler = build(WithLifespan(app), **arguments)
    assert succeeded(kind, serve(handler, kind, SOON))
    assert log == ["ended"]
    assert "its response was complete, and stands" in caplog.text
    app.starts = False
    assert handler(HTTP, LATE)["statusCode"] == 200


@every_lifespan
def test_one_that_swallows_its_cancellation_does_not_outlive_the_invocation(
    arguments: dict[str, Any], build: Build
) -> None:
    log: list[str] = []

    async def swallows() -> None:
        for _ in range(5):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                log.append("cancelled")

    app = Starts("http", swallows)
    handler = build(WithLifespan(app), **arguments)
    assert serve(handler, "http", SOON)["statusCode"] == 200
    assert log == ["cancelled"] * 5


@every_lifespan
def test_a_group_of_a_cancelled_request_is_cancelled(arguments: dict[str, Any]) -> None:
    log: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                log.append("ended")

        (await scope["aws.task_group"]()).start_soon(work)
        await asyncio.Event().wait()

    with Mangum(WithLifespan(app), **arguments) as handler:
        assert handler(HTTP, SOON)["statusCode"] == 504
    assert log == ["ended"]


@pytest.mark.anyio
@every_lifespan
@every_kind
async def test_cancelling_the_caller_ends_it(
    arguments: dict[str, Any], kind: str, endpoint: ConnectionsEndpoint
) -> None:
    has_begun = asyncio.Event()
    log: list[str] = []

    async def hangs() -> None:
        has_begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            log.append("ended")

    app = WithLifespan(Starts(kind, hangs))
    async with Mangum(
        app, dsn="sqlite://:memory:", api_gateway_endpoint_url=endpoint.url, event_path="/events", **arguments
    ) as handler:
        *before, last = events(kind)
        for event in before:
            await handler.invoke(event, LATE)
        invocation = asyncio.create_task(handler.invoke(last, LATE))
        await has_begun.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not invocation.done()
        invocation.cancel()
        with pytest.raises(asyncio.CancelledError):
            await invocation
        assert log == ["ended"]


@pytest.mark.parametrize("kind", ["CONNECT", "MESSAGE", "DISCONNECT"])
def test_a_websocket_event_is_settled_while_it_runs(kind: str, build: Build, endpoint: ConnectionsEndpoint) -> None:
    """The connection's application is not kept from its end by the group's tasks, nor by tasks in groups of theirs."""
    log: list[str] = []
    is_settled = asyncio.Event()

    async def waits() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(is_settled.wait)
        log.append("worked")

    class Tells(Starts):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await super().__call__(scope, receive, send)
            finally:
                log.append("application ended")
                if self.group is not None:
                    is_settled.set()

    serve(build(Tells(kind, waits), lifespan="off"), kind)
    assert log[-2:] == ["application ended", "worked"]


@every_lifespan
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_an_exit_of_the_application_ends_it(arguments: dict[str, Any], kind: type[BaseException]) -> None:
    log: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                log.append("ended")

        (await scope["aws.task_group"]()).start_soon(work)
        await asyncio.sleep(0)
        raise kind

    with Mangum(WithLifespan(app), **arguments) as handler:
        with pytest.raises(kind):
            handler(HTTP, None)
        assert log == ["ended"]


# Under mangum's runtime

RUNTIME_APP = """
import os
import anyio
from mangum import Mangum

async def app(scope, receive, send):
    assert scope["type"] == "http"

    async def work():
        while not os.path.exists("go"):
            await anyio.sleep(0.005)
        print("background work done")

    (await scope["aws.task_group"]()).start_soon(work)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"one ", "more_body": True})
    await send({"type": "http.response.body", "body": b"two"})

handler = Mangum(app)
"""


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["buffered", "stream"])
async def test_the_response_has_gone_out_before(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, RUNTIME_APP, environment={"MANGUM_RESPONSE_MODE": mode}) as runtime:
        delivered = runtime.server.put(function_url())
        await delivered.settled()
        body = delivered.stream.body if mode == "stream" else json.loads(delivered.body or b"")["body"].encode()
        assert body == b"one two"
        assert runtime.server.waiting == 0  # the invocation goes on
        (tmp_path / "go").touch()
        await runtime.server.ready()
    assert "background work done" in runtime.output.decode()


def test_any_exit_of_the_application_ends_the_tasks() -> None:
    class Exit(BaseException):
        pass

    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        (await scope["aws.task_group"]()).start_soon(work)
        await asyncio.sleep(0)
        raise Exit

    with Mangum(app, "off") as handler, pytest.raises(Exit):
        handler(HTTP, None)
    assert ended == ["work"]
