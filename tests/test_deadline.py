"""Lambda's timeout: what is cancelled, in which order, and what the client gets."""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import suppress
from typing import Any

import pytest

from mangum import Mangum
from mangum.core.deadline import watch
from mangum.local.events.requests import HTTPRequest
from mangum.types import LifespanScope, Receive, Scope, Send
from tests.apps import Context, Recorder, WithLifespan, respond
from tests.sources import BY_NAME

EVENT = BY_NAME["http-api-2.0"].event(HTTPRequest(method="GET", path="/slow"))
SOON = Context(500)

every_scope = pytest.mark.parametrize("arguments", [{"lifespan": "off"}, {}, {"lifespan_scope": "process"}])


@pytest.fixture(autouse=True)
def _large_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline comes early, and leaves a busy machine time for what follows it."""
    monkeypatch.setattr("mangum.core.deadline._RESERVE_SHARE", 0.9)


async def sleeps(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(60)


@every_scope
def test_an_application_that_takes_too_long(arguments: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    app = WithLifespan(sleeps)
    with Mangum(app, **arguments) as handler:
        answer = handler(EVENT, SOON)
        assert (answer["statusCode"], answer["body"]) == (504, "Gateway Timeout")
        assert "GET /slow was cancelled shortly before the function's timeout: the answer is a 504." in caplog.messages
        assert handler(EVENT, SOON)["statusCode"] == 504
    assert app.log.count("startup") == app.log.count("shutdown")


@every_scope
def test_clean_up_can_await(arguments: dict[str, Any]) -> None:
    log = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            log.append("cleaned up")

    recorded = WithLifespan(app)
    with Mangum(recorded, **arguments) as handler:
        assert handler(EVENT, SOON)["statusCode"] == 504
    assert log == ["cleaned up"]
    if "lifespan" not in arguments:
        assert recorded.log == ["startup", "request", "shutdown"]


@every_scope
def test_one_that_does_not_end_is_cancelled_for_good(arguments: dict[str, Any]) -> None:
    cancels: list[float] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while len(cancels) < 3:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancels.append(asyncio.get_running_loop().time())
        await asyncio.sleep(60)

    recorded = WithLifespan(app)
    with Mangum(recorded, **arguments) as handler:
        assert handler(EVENT, SOON)["statusCode"] == 504
    assert len(cancels) == 3
    assert cancels[1] - cancels[0] >= 0.001  # the time of grace
    if "lifespan" not in arguments:
        assert recorded.log == ["startup", "request", "shutdown"]


@every_scope
def test_a_complete_response_stands(arguments: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, body=b"done")
        await asyncio.sleep(60)

    with Mangum(WithLifespan(app), **arguments) as handler:
        assert handler(EVENT, SOON)["body"] == "done"
    assert "its response was complete, and stands" in caplog.text


@every_scope
def test_an_application_that_answers_when_it_is_cancelled(arguments: dict[str, Any]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await respond(send, 503, b"overloaded")

    with Mangum(WithLifespan(app), **arguments) as handler:
        assert handler(EVENT, SOON)["statusCode"] == 503


@pytest.mark.parametrize("scope", ["invocation", "process"])
def test_a_startup_that_takes_too_long(scope: LifespanScope) -> None:
    log: list[str] = []
    slow = [True]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await respond(send)
            return
        await receive()
        try:
            if slow[0]:
                await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            log.append("startup cancelled once")
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        log.append("shutdown")
        await send({"type": "lifespan.shutdown.complete"})

    with Mangum(app, lifespan_scope=scope) as handler:
        assert handler(EVENT, SOON)["statusCode"] == 504
        assert log == ["startup cancelled once"]
        slow[0] = False
        assert handler(EVENT, Context())["statusCode"] == 200
    assert log == ["startup cancelled once", "shutdown"]


def test_a_shutdown_that_takes_too_long(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await respond(send, body=b"in time")
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.sleep(60)

    with Mangum(app) as handler:
        assert handler(EVENT, SOON)["body"] == "in time"
    assert "stands" in caplog.text


def test_a_shutdown_after_the_deadline_has_a_time_of_its_own() -> None:
    log = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await asyncio.sleep(60)
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        try:
            await asyncio.sleep(60)
        finally:
            log.append("ended")

    with Mangum(app) as handler:
        assert handler(EVENT, SOON)["statusCode"] == 504
    assert log == ["ended"]


class Double:
    def get_remaining_time_in_millis(self) -> int:
        raise NotImplementedError


@pytest.mark.parametrize("context", [None, {}, object(), Double(), Context("soon"), Context(None), Context(10**400)])
def test_a_context_that_does_not_tell_sets_no_deadline(context: Any) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert asyncio.current_task() is not None
        await asyncio.sleep(0.01)
        await respond(send)

    with Mangum(app, "off") as handler:
        assert handler(EVENT, context)["statusCode"] == 200


@every_scope
@pytest.mark.parametrize("remaining_ms", [99, 5, 0, -1, -1e9, math.nan])
def test_a_context_that_claims_next_to_no_time(
    remaining_ms: float, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of tests and wrappers do: an application that answers at once is served, another gets a prompt 504."""
    monkeypatch.undo()  # of the large reserve: the whole time is for the application
    with Mangum(WithLifespan(Recorder()), **arguments) as handler:
        assert handler(EVENT, Context(remaining_ms))["statusCode"] == 200
    with Mangum(WithLifespan(sleeps), **arguments) as handler:
        assert handler(EVENT, Context(remaining_ms))["statusCode"] == 504


def test_invocations_share_one_timer_that_moves_with_them() -> None:
    """A long deadline before it, and an early wake-up, do not keep a short one from its time."""
    with Mangum(sleeps, "off") as handler:
        for remaining_ms in (600, 400, 800):
            assert handler(EVENT, Context(remaining_ms))["statusCode"] == 504

    async def quick(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.03 if scope["path"] == "/slow" else 0)
        await respond(send)

    fast = BY_NAME["http-api-2.0"].event(HTTPRequest(method="GET", path="/fast"))
    with Mangum(quick, "off") as handler:
        assert handler(fast, Context(200))["statusCode"] == 200  # arms the timer, which wakes up during the next
        assert handler(EVENT, Context(30_000))["statusCode"] == 200


@pytest.mark.anyio
async def test_invocations_at_the_same_time_have_their_own_deadlines() -> None:
    async with Mangum(sleeps, "off") as handler, asyncio.TaskGroup() as group:
        soon = group.create_task(handler.invoke(EVENT, Context(200)))
        late = group.create_task(handler.invoke(EVENT, Context(60_000)))
        assert (await soon)["statusCode"] == 504
        assert not late.done()
        late.cancel()


@pytest.mark.anyio
async def test_the_callers_cancellation_during_the_deadlines() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            caller.cancel()
            await asyncio.sleep(60)

    async with Mangum(app, "off") as handler:
        caller = asyncio.create_task(handler.invoke(EVENT, SOON))
        with pytest.raises(asyncio.CancelledError):
            await caller


@pytest.mark.anyio
@every_scope
async def test_a_task_of_the_caller_is_cancelled_until_it_ends(arguments: dict[str, Any]) -> None:
    """Nobody can leave it: the caller awaits it."""
    loop = asyncio.get_running_loop()

    async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
        end = loop.time() + 0.3  # long after the reserve
        while loop.time() < end:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    async with Mangum(WithLifespan(stubborn), **arguments) as handler:
        assert (await handler.invoke(EVENT, Context(100)))["statusCode"] == 504


@pytest.mark.anyio
async def test_a_watchdog_without_deadlines_sleeps(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    deadline = watch(Context(200))
    assert deadline is not None
    deadline.release()
    await asyncio.sleep(0.05)
    assert not deadline.expired


@pytest.mark.anyio
@pytest.mark.parametrize(("remaining_ms", "reserve_s"), [(1_000, 0.1), (3_000, 0.3), (29_000, 0.5), (900_000, 0.5)])
async def test_what_is_set_apart(remaining_ms: int, reserve_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    loop = asyncio.get_running_loop()
    begin = loop.time()
    deadline = watch(Context(remaining_ms))
    assert deadline is not None
    left = remaining_ms / 1000 - reserve_s
    assert begin + left <= deadline.due <= loop.time() + left
    deadline.release()
