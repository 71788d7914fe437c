"""Hooks: what observers of invocations are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mangum import Mangum
from mangum.core.hooks import MeasuredObservation, ObservedCalls, current
from mangum.exceptions import UnsupportedEvent
from mangum.local.events.requests import HTTPRequest
from mangum.types import Observation, Receive, Scope, Send
from tests.apps import Context, WithLifespan, hello, respond
from tests.sources import BY_NAME

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
    monkeypatch.setattr("mangum.core.hooks.time.perf_counter", lambda: now)
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
