"""Startup and shutdown, in both scopes and all modes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from mangum import Mangum
from mangum.exceptions import LifespanFailure, LoopError, UnexpectedMessage
from mangum.local.events.requests import HTTPRequest
from mangum.types import ASGI, LifespanMode, LifespanScope, Receive, Scope, Send
from tests.apps import Context, WithLifespan, hello, respond
from tests.sources import BY_NAME

EVENT = BY_NAME["http-api-2.0"].event(HTTPRequest(method="GET", path="/"))

both_modes = pytest.mark.parametrize("mode", ["auto", "on"])
both_scopes = pytest.mark.parametrize("scope", ["invocation", "process"])


def _invoke_and_close(handler: Mangum) -> None:
    handler(EVENT, None)
    handler.close()


class Lifespan:
    """An application whose lifespan is the given function; requests are answered with the state."""

    def __init__(self, live: ASGI) -> None:
        self._live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            await respond(send, body=repr(scope.get("state")).encode())


@both_modes
@pytest.mark.parametrize("context", [None, Context()])
def test_around_each_invocation(mode: LifespanMode, context: Context | None) -> None:
    app = WithLifespan()
    with Mangum(app, mode) as handler:
        for _ in range(2):
            assert handler(EVENT, context)["body"] == "Hello, world!"
    assert app.log == ["startup", "request", "shutdown"] * 2


@both_modes
def test_once_in_the_process(mode: LifespanMode) -> None:
    app = WithLifespan()
    with Mangum(app, mode, lifespan_scope="process") as handler:
        for _ in range(2):
            handler(EVENT, None)
        assert app.log == ["startup", "request", "request"]
    assert app.log == ["startup", "request", "request", "shutdown"]


@both_scopes
def test_off_never_enters_it(scope: LifespanScope) -> None:
    app = WithLifespan()
    with Mangum(app, "off", lifespan_scope=scope) as handler:
        handler.start()
        handler(EVENT, None)
    assert app.log == ["request"]


def test_start_is_for_the_init_phase() -> None:
    app = WithLifespan()
    handler = Mangum(app, lifespan_scope="process")
    handler.start()
    handler.start()
    assert app.log == ["startup"]
    handler(EVENT, None)
    handler.close()
    handler.close()
    assert app.log == ["startup", "request", "shutdown"]


def test_start_in_invocation_scope_makes_the_loop_only() -> None:
    app = WithLifespan()
    with Mangum(app) as handler:
        handler.start()
    assert app.log == []


@both_scopes
def test_each_request_gets_a_shallow_copy_of_the_state(scope: LifespanScope) -> None:
    shared: list[int] = []
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"]["shared"] = shared
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            seen.append(dict(scope["state"]))
            scope["state"]["mine"] = True
            scope["state"]["shared"].append(1)
            await respond(send)

    with Mangum(app, lifespan_scope=scope) as handler:
        handler(EVENT, None)
        handler(EVENT, None)
    assert shared == [1, 1]
    assert all(set(state) == {"shared"} for state in seen)


def test_starlettes_state_and_context() -> None:
    log = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        log.append("up")
        yield {"pool": "open"}
        log.append("down")

    async def show(request: Request) -> JSONResponse:
        return JSONResponse(request.state.pool)

    app = Starlette(routes=[Route("/", show)], lifespan=lifespan)
    with Mangum(app) as handler:
        assert handler(EVENT, None)["body"] == '"open"'
    assert log == ["up", "down"]


async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    return


async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    raise NotImplementedError(scope["type"])


async def sends(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200})


@both_modes
@both_scopes
@pytest.mark.parametrize("live", [returns, raises, sends], ids=lambda live: live.__name__)
def test_an_application_that_does_not_know_lifespan_is_served(
    mode: LifespanMode, scope: LifespanScope, live: ASGI, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.INFO, "mangum.lifespan"),
        Mangum(Lifespan(live), mode, lifespan_scope=scope) as handler,
    ):
        assert handler(EVENT, None)["body"] == "{}"
        assert handler(EVENT, None)["body"] == "{}"
    assert "ASGI 'lifespan' protocol appears unsupported." in caplog.messages
    assert ("The application raised NotImplementedError: lifespan" in caplog.text) is (live is raises)


def test_auto_asks_an_application_once() -> None:
    asked = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["type"])
        await hello(scope, receive, send)

    for mode in ("auto", "on"):
        with Mangum(app, mode) as handler:
            handler(EVENT, None)
            handler(EVENT, None)
    assert asked == ["lifespan", "http", "http"] + ["lifespan", "http"] * 2


async def raises_in_startup(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    raise ValueError("no database")


@both_scopes
def test_auto_serves_after_an_error_of_startup(scope: LifespanScope, caplog: pytest.LogCaptureFixture) -> None:
    with Mangum(Lifespan(raises_in_startup), lifespan_scope=scope) as handler:
        assert handler(EVENT, None)["statusCode"] == 200
    assert "ValueError: no database" in caplog.text


@both_scopes
def test_on_makes_an_error_of_startup_a_failure(scope: LifespanScope) -> None:
    with Mangum(Lifespan(raises_in_startup), "on", lifespan_scope=scope) as handler:
        for _ in range(2):
            with pytest.raises(LifespanFailure, match="ValueError: no database") as caught:
                handler(EVENT, None)
            assert isinstance(caught.value.__cause__, ValueError)


class Untold(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


@both_modes
@pytest.mark.parametrize("in_startup", [True, False])
def test_an_error_whose_text_cannot_be_told(
    mode: LifespanMode, in_startup: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        if in_startup:
            await receive()
        raise Untold

    with Mangum(Lifespan(live), mode) as handler:
        if in_startup and mode == "on":
            with pytest.raises(LifespanFailure, match="Untold: <its text cannot be told>"):
                handler(EVENT, None)
        else:
            assert handler(EVENT, None)["statusCode"] == 200
    assert in_startup or "raised Untold: <its text cannot be told> when" in caplog.text


@both_modes
@both_scopes
@pytest.mark.parametrize("goes_on", [True, False])
def test_startup_failed(mode: LifespanMode, scope: LifespanScope, goes_on: bool) -> None:
    ended = []

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": "Failed."})
            if not goes_on:
                raise ValueError("cause")
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    with Mangum(Lifespan(live), mode, lifespan_scope=scope) as handler:
        with pytest.raises(LifespanFailure, match=r"^Lifespan startup failure\. Failed\.$") as caught:
            handler(EVENT, None)
        assert isinstance(caught.value.__cause__, ValueError) is not goes_on
        assert ended == [True]


def test_startup_is_tried_again_in_the_next_invocation() -> None:
    attempts = []

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        attempts.append(1)
        await receive()
        await send({"type": f"lifespan.startup.{'failed' if len(attempts) == 1 else 'complete'}"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    with Mangum(Lifespan(live), lifespan_scope="process") as handler:
        with pytest.raises(LifespanFailure):
            handler.start()
        assert handler(EVENT, None)["statusCode"] == 200
        assert handler(EVENT, None)["statusCode"] == 200
    assert len(attempts) == 2


@both_modes
@both_scopes
def test_shutdown_failed(mode: LifespanMode, scope: LifespanScope) -> None:
    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "Failed."})
        raise ValueError("cause")

    handler = Mangum(Lifespan(live), mode, lifespan_scope=scope)
    with pytest.raises(LifespanFailure, match=r"Lifespan shutdown failure\. Failed\."):
        _invoke_and_close(handler)
    handler.close()


@both_modes
@both_scopes
@pytest.mark.parametrize("when", ["startup", "shutdown"])
def test_a_message_of_another_protocol(mode: LifespanMode, scope: LifespanScope, when: str) -> None:
    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if when == "shutdown":
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "http.response.start", "status": 200})

    handler = Mangum(Lifespan(live), mode, lifespan_scope=scope)
    with pytest.raises(LifespanFailure, match=r"Unexpected 'http\.response\.start'") as caught:
        _invoke_and_close(handler)
    assert isinstance(caught.value.__cause__, UnexpectedMessage)
    handler.close()


def test_messages_out_of_place_are_ignored() -> None:
    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        await send({"type": "lifespan.shutdown.failed"})
        await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.startup.failed"})
        await receive()
        await send({"type": "lifespan.startup.complete"})

    with Mangum(Lifespan(live)) as handler:
        assert handler(EVENT, None)["statusCode"] == 200


@both_scopes
def test_an_application_that_never_returns_is_ended(scope: LifespanScope) -> None:
    log = []

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            log.append(message["type"])
            await send({"type": f"{message['type']}.complete"})

    with Mangum(Lifespan(live), lifespan_scope=scope) as handler:
        assert handler(EVENT, None)["statusCode"] == 200
    assert log == ["lifespan.startup", "lifespan.shutdown"]


@both_scopes
def test_an_error_of_shutdown_is_logged(scope: LifespanScope, caplog: pytest.LogCaptureFixture) -> None:
    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise ValueError("in shutdown")

    with Mangum(Lifespan(live), "on", lifespan_scope=scope) as handler:
        assert handler(EVENT, None)["statusCode"] == 200
    assert "in shutdown" in caplog.text


@both_scopes
def test_a_lifespan_that_is_over_early_is_not_started_again(scope: LifespanScope) -> None:
    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        scope["state"]["runs"] = len(runs)
        runs.append(1)
        await send({"type": "lifespan.startup.complete"})

    runs: list[int] = []
    with Mangum(Lifespan(live), lifespan_scope=scope) as handler:
        handler(EVENT, None)
        handler(EVENT, None)
    assert len(runs) == (2 if scope == "invocation" else 1)


@both_scopes
def test_a_cancelled_error_of_its_own_is_an_error(scope: LifespanScope, caplog: pytest.LogCaptureFixture) -> None:
    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task

    with Mangum(Lifespan(live), lifespan_scope=scope) as handler:
        assert handler(EVENT, None)["statusCode"] == 200
    assert "Exception in 'lifespan' protocol." in caplog.text


def test_an_exit_in_the_lifespan_is_an_exit() -> None:
    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise SystemExit(4)

    with Mangum(Lifespan(live)) as handler, pytest.raises(SystemExit):
        handler(EVENT, None)


@pytest.mark.anyio
@pytest.mark.parametrize("swallows", [False, True])
async def test_who_cancels_an_invocation_in_its_shutdown_cancels_that_too(swallows: bool) -> None:
    shutting_down = asyncio.Event()
    ended = []

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        shutting_down.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(1)
            if not swallows:
                raise

    async with Mangum(Lifespan(live)) as handler:
        invocation = asyncio.create_task(handler.invoke(EVENT, None))
        await shutting_down.wait()
        invocation.cancel()
        with pytest.raises(asyncio.CancelledError):
            await invocation
    assert ended == [1]


def test_a_shutdown_that_takes_too_long_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mangum.core.policies._SHUTDOWN_S", 0.01)

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.sleep(60)

    with Mangum(Lifespan(live), lifespan_scope="process") as handler:
        handler(EVENT, None)
    assert "had not shut down after 0.01 s" in caplog.text


# From asynchronous code


@pytest.mark.anyio
async def test_invoke_on_the_callers_loop() -> None:
    app = WithLifespan()
    async with Mangum(app, lifespan_scope="process") as handler:
        await handler.astart()
        answers = [await handler.invoke(EVENT, Context()) for _ in range(2)]
    assert [answer["statusCode"] for answer in answers] == [200, 200]
    assert app.log == ["startup", "request", "request", "shutdown"]


@pytest.mark.anyio
async def test_first_invocations_at_the_same_time_start_it_once() -> None:
    app = WithLifespan()
    async with Mangum(app, lifespan_scope="process") as handler, asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(handler.invoke(EVENT, Context()))
    assert app.log.count("startup") == 1
    assert app.log.count("request") == 5


@pytest.mark.anyio
async def test_a_cancelled_starter_does_not_take_the_others_along() -> None:
    starts: list[asyncio.Event] = []

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        starts.append(asyncio.Event())
        if len(starts) == 1:
            await starts[0].wait()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async with Mangum(Lifespan(live), lifespan_scope="process") as handler, asyncio.TaskGroup() as group:
        first = group.create_task(handler.invoke(EVENT, None))
        second = group.create_task(handler.invoke(EVENT, None))
        while not starts:
            await asyncio.sleep(0)
        first.cancel()
        assert (await second)["statusCode"] == 200
    assert first.cancelled()
    assert len(starts) == 2


def test_a_lifespan_belongs_to_its_loop() -> None:
    app = WithLifespan()
    handler = Mangum(app, lifespan_scope="process")
    handler(EVENT, None)

    async def elsewhere() -> None:
        with pytest.raises(LoopError, match="started on another event loop"):
            await handler.invoke(EVENT, None)
        with pytest.raises(LoopError, match="started on another event loop"):
            await handler.aclose()

    asyncio.run(elsewhere())
    handler.close()
    assert app.log == ["startup", "request", "shutdown"]


def test_a_loop_that_is_gone_is_replaced() -> None:
    app = WithLifespan()
    handler = Mangum(app, lifespan_scope="process")
    asyncio.run(handler.invoke(EVENT, None))
    asyncio.run(handler.invoke(EVENT, None))
    assert app.log == ["startup", "request"] * 2
    handler.close()


@both_modes
def test_a_startup_that_cancels_itself_has_failed(mode: LifespanMode) -> None:
    """It is not started again and again in the same invocation."""
    starts = []

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        starts.append(1)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    with Mangum(Lifespan(live), mode, lifespan_scope="process") as handler:
        with pytest.raises(LifespanFailure, match="was cancelled"):
            handler(EVENT, None)
        assert starts == [1]
