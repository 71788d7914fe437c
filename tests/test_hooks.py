"""Hooks: what observers of invocations are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mangum import Mangum
from mangum.core.observation import MeasuredObservation, ObservedCalls, current
from mangum.core.reply import KeptReply
from mangum.exceptions import UnsupportedEvent
from mangum.local.events.requests import HTTPRequest
from mangum.types import Observation, Receive, Scope, Send
from tests.apps import Context, WithLifespan, hello, respond
from tests.lambda_runtime import function_url
from tests.servers.connections import ConnectionsEndpoint
from tests.sources import BY_NAME
from tests.websocket_client import Client

EVENT = BY_NAME["http-api-2.0"].event(HTTPRequest(method="GET", path="/x"))
PARTS = ["translation", "lifespan", "application", "backend", "response"]


class Recorded:
    """A hook that keeps what it is told."""

    def __init__(self, name: str = "hook") -> None:
        self.log: list[str] = []
        self.observations: list[Observation] = []
        self._name = name

    @asynccontextmanager
    async def __call__(self, observation: Observation) -> AsyncIterator[None]:
        assert observation.scope is None
        self.log.append(f"{self._name} begins")
        self.observations.append(observation)
        try:
            yield
        finally:
            self.log.append(f"{self._name} ends")


@pytest.mark.parametrize("arguments", [{"lifespan": "off"}, {}, {"lifespan_scope": "process"}])
def test_a_hook_goes_around_each_invocation(arguments: dict[str, Any]) -> None:
    hook = Recorded()
    context = Context()
    with Mangum(WithLifespan(), hooks=[hook], **arguments) as handler:
        for _ in range(2):
            assert handler(EVENT, context)["statusCode"] == 200
    assert hook.log == ["hook begins", "hook ends"] * 2
    observation = hook.observations[1]
    assert observation.event is EVENT
    assert observation.context is context
    assert not observation.is_cold
    assert observation.scope is not None
    assert observation.scope["path"] == "/x"
    assert observation.status == 200
    assert list(observation.parts_ms()) == PARTS
    assert observation.parts_ms()["application"] > 0


def test_hooks_nest_and_one_that_fails_affects_nothing(caplog: pytest.LogCaptureFixture) -> None:
    outer, inner = Recorded("outer"), Recorded("inner")
    log: list[str] = []
    outer.log = inner.log = log

    @asynccontextmanager
    async def fails_at_the_end(observation: Observation) -> AsyncIterator[None]:
        yield
        raise ValueError("no exporter")

    def fails_at_once(observation: Observation) -> Any:
        raise ValueError("no configuration")

    with Mangum(hello, "off", hooks=[outer, fails_at_once, fails_at_the_end, inner]) as handler:
        assert handler(EVENT, None)["statusCode"] == 200
    assert log == ["outer begins", "inner begins", "inner ends", "outer ends"]
    assert "no exporter" in caplog.text
    assert "no configuration" in caplog.text


def test_a_hook_sees_an_error_that_is_not_its_own(caplog: pytest.LogCaptureFixture) -> None:
    hook = Recorded()
    with Mangum(hello, "off", hooks=[hook]) as handler, pytest.raises(UnsupportedEvent):
        handler({"Records": []}, None)
    assert hook.log == ["hook begins", "hook ends"]
    assert caplog.messages == []
    assert hook.observations[0].parts_ms()["application"] == 0


def test_nothing_is_observed_outside_of_an_invocation() -> None:
    app = WithLifespan()
    with Mangum(app, hooks=[Recorded()], lifespan_scope="process", dsn="sqlite://:memory:") as handler:
        handler.start()
        assert current.get() is None
    assert app.log == ["startup", "shutdown"]


def test_the_store_is_measured() -> None:
    hook = Recorded()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await scope["aws.connections"].leave("room", "nobody")
        await respond(send)

    with Mangum(app, "off", hooks=[hook], dsn="sqlite://:memory:") as handler:
        assert handler(EVENT, None)["statusCode"] == 200
    parts = hook.observations[0].parts_ms()
    assert parts["backend"] > 0


@pytest.mark.anyio
async def test_calls_at_the_same_time_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Store:
        limit = 5

        async def wait(self) -> None:
            await released.wait()

    now, released = 0.0, asyncio.Event()
    monkeypatch.setattr("mangum.core.observation.time.perf_counter", lambda: now)
    observation = MeasuredObservation({}, None)
    token = current.set(observation)
    calls = ObservedCalls(Store())
    assert calls.limit == 5
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(calls.wait())
        await asyncio.sleep(0)  # they have begun
        now = 1.0
        released.set()
    assert observation.parts_ms()["backend"] == 1000.0
    now = 2.0
    await calls.wait()
    assert observation.parts_ms()["backend"] == 1000.0
    current.reset(token)


def test_each_event_of_a_websocket_is_observed(endpoint: ConnectionsEndpoint) -> None:
    hook = Recorded()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": "answer"})

    url = endpoint.url
    with Mangum(app, "off", hooks=[hook], dsn="sqlite://:memory:", api_gateway_endpoint_url=url) as handler:
        client = Client(handler, endpoint)
        assert [client.connect(), client.send("x"), client.disconnect()] == [200, 200, 200]
    assert hook.log == ["hook begins", "hook ends"] * 3
    for observation in hook.observations:
        assert observation.scope is not None
        assert observation.scope["type"] == "websocket"
        assert observation.status is None
        assert observation.parts_ms()["application"] > 0
        assert observation.parts_ms()["backend"] > 0


class Streams(KeptReply):
    """Takes streams, and forgets them."""

    is_streaming = True
    is_gone = False
    is_over = False

    def stream(self, prelude: bytes, when_gone: Any) -> Streams:
        self.is_sent = True
        return self

    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0)

    def end(self) -> None:
        self.is_over = True

    def fail(self, error_type: str, message: str) -> None:
        self.is_over = True


@pytest.mark.anyio
async def test_a_stream_is_observed_to_its_end() -> None:
    hook = Recorded()
    ends: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 203, "headers": []})
        for more in (True, True, False):
            await send({"type": "http.response.body", "body": b"piece", "more_body": more})
        ends.append(len(hook.log) == 1)

    reply = Streams()
    async with Mangum(WithLifespan(app), hooks=[hook]) as handler:
        await handler.invoke(function_url(), None, reply)
    assert reply.is_over
    assert ends == [True]
    assert hook.log == ["hook begins", "hook ends"]
    assert hook.observations[0].status == 203


@pytest.mark.anyio
@pytest.mark.parametrize("arguments", [{"lifespan": "off"}, {}, {"lifespan_scope": "process"}])
async def test_invocations_at_the_same_time_are_observed_apart(arguments: dict[str, Any]) -> None:
    hook = Recorded()
    arrived: list[str] = []
    have_arrived = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        arrived.append(scope["path"])
        if len(arrived) == 3:
            have_arrived.set()
        await have_arrived.wait()
        observation = current.get()
        assert observation is not None
        assert observation.scope is scope
        if scope["path"] == "/0":
            await scope["aws.connections"].leave("room", "nobody")
        await respond(send, 200 + int(scope["path"][1:]))

    events = [BY_NAME["http-api-2.0"].event(HTTPRequest(method="GET", path=f"/{number}")) for number in range(3)]
    async with Mangum(WithLifespan(app), hooks=[hook], dsn="sqlite://:memory:", **arguments) as handler:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(handler.invoke(event, Context())) for event in events]
        assert current.get() is None
    assert [task.result()["statusCode"] for task in tasks] == [200, 201, 202]
    assert [observation.event for observation in hook.observations] == events
    assert [observation.status for observation in hook.observations] == [200, 201, 202]
    assert [observation.parts_ms()["backend"] > 0 for observation in hook.observations] == [True, False, False]


@pytest.mark.parametrize("arguments", [{"lifespan": "off"}, {}, {"lifespan_scope": "process"}])
def test_a_hook_ends_after_the_deadline_and_after_an_exit(
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mangum.core.deadline._RESERVE_SHARE", 0.9)
    hook = Recorded()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["aws.context"] is None:
            raise SystemExit(3)
        await asyncio.Event().wait()

    with Mangum(WithLifespan(app), hooks=[hook], **arguments) as handler:
        assert handler(EVENT, Context(300))["statusCode"] == 504
        with pytest.raises(SystemExit):
            handler(EVENT, None)
    assert hook.log == ["hook begins", "hook ends"] * 2
    assert [observation.status for observation in hook.observations] == [None, None]


@pytest.mark.anyio
async def test_hooks_end_when_the_caller_cancels() -> None:
    hook = Recorded()
    has_begun = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        has_begun.set()
        await asyncio.Event().wait()

    async with Mangum(app, "off", hooks=[hook]) as handler:
        invocation = asyncio.create_task(handler.invoke(EVENT, None))
        await has_begun.wait()
        invocation.cancel()
        with pytest.raises(asyncio.CancelledError):
            await invocation
    assert hook.log == ["hook begins", "hook ends"]


def test_a_hook_that_raises_the_invocations_own_error_has_not_failed(caplog: pytest.LogCaptureFixture) -> None:
    class Passes:
        def __init__(self, observation: Observation) -> None:
            pass

        async def __aenter__(self) -> None:
            pass

        async def __aexit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
            if error is not None:
                raise error

    with Mangum(hello, "off", hooks=[Passes]) as handler, pytest.raises(UnsupportedEvent):
        handler({"Records": []}, None)
    assert caplog.messages == []
