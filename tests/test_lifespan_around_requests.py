"""The lifespan as a context around the request, and applications whose lifespan cannot be that."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from mangum import Mangum
from mangum.exceptions import LifespanFailure
from mangum.local.events.requests import HTTPRequest
from mangum.types import ASGI, LifespanMode, LifespanScope, Receive, Scope, Send
from tests.apps import Context, hello, respond
from tests.sources import BY_NAME

EVENT = BY_NAME["http-api-2.0"].event(HTTPRequest(method="GET", path="/"))

every_mode = pytest.mark.parametrize("mode", ["auto", "on"])
every_scope = pytest.mark.parametrize("scope", ["invocation", "process"])
with_and_without_a_deadline = pytest.mark.parametrize("context", [None, Context()], ids=["no deadline", "deadline"])

COMPLETE = {"type": "lifespan.startup.complete"}
DOWN = {"type": "lifespan.shutdown.complete"}


class App:
    """Its lifespan is one function, its requests are another."""

    def __init__(self, live: ASGI, serve: ASGI = hello) -> None:
        self._live = live
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._live if scope["type"] == "lifespan" else self._serve)(scope, receive, send)


@pytest.fixture(autouse=True)
def _time_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as an application needs to ask for its shutdown, however busy the machine."""
    monkeypatch.setattr("mangum.core.policies._ASK_S", 3600)


# The context


@every_mode
@with_and_without_a_deadline
def test_a_request_sees_context_variables_of_the_startup(mode: LifespanMode, context: Context | None) -> None:
    variable = contextvars.ContextVar("variable", default="none")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        token = variable.set("set at startup")
        yield
        variable.reset(token)

    async def show(request: Request) -> JSONResponse:
        return JSONResponse(variable.get())

    with Mangum(Starlette(routes=[Route("/", show)], lifespan=lifespan), mode) as handler:
        for _ in range(2):
            assert handler(EVENT, context)["body"] == '"set at startup"'
    assert variable.get() == "none"


@every_mode
@every_scope
@with_and_without_a_deadline
def test_a_task_group_of_the_lifespan_serves_requests(
    mode: LifespanMode, scope: LifespanScope, context: Context | None
) -> None:
    log: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        with anyio.CancelScope() as around:
            async with anyio.create_task_group() as group:
                app.state.group = group
                yield
                group.cancel_scope.cancel()
            log.append("the group has ended")
        assert not around.cancelled_caught

    async def show(request: Request) -> JSONResponse:
        started = anyio.Event()

        async def work() -> None:
            started.set()
            try:
                await anyio.sleep_forever()
            finally:
                log.append("the work has ended")

        request.app.state.group.start_soon(work)
        with anyio.CancelScope() as within:
            await started.wait()
            within.cancel()
            await anyio.sleep_forever()
        assert within.cancelled_caught
        return JSONResponse("served")

    with Mangum(Starlette(routes=[Route("/", show)], lifespan=lifespan), mode, lifespan_scope=scope) as handler:
        assert handler(EVENT, context)["body"] == '"served"'
    assert log == ["the work has ended", "the group has ended"]


@every_mode
@with_and_without_a_deadline
def test_a_lifespan_that_fails_during_a_request_cancels_it(
    mode: LifespanMode, context: Context | None, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async def fail() -> None:
            raise ValueError("in the background")

        async with asyncio.TaskGroup() as group:
            app.state.fail = lambda: group.create_task(fail())
            yield

    async def wait(request: Request) -> JSONResponse:
        request.app.state.fail()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            log.append("cleaned up")
        raise AssertionError

    with Mangum(Starlette(routes=[Route("/", wait)], lifespan=lifespan), mode) as handler:
        for _ in range(2):
            assert handler(EVENT, context)["statusCode"] == 500
    assert caplog.text.count("ValueError: in the background") >= 2
    assert log == ["cleaned up"] * 2
    assert "in a task of its own" not in caplog.text


@every_mode
@with_and_without_a_deadline
def test_a_lifespan_that_fails_in_another_task_fails_its_shutdown(mode: LifespanMode, context: Context | None) -> None:
    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(COMPLETE)
        task = asyncio.ensure_future(receive())
        await asyncio.sleep(0)  # the request has begun
        task.cancel()
        await asyncio.wait([task])
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "no"})

    async def wait(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    with Mangum(App(live, wait), mode) as handler, pytest.raises(LifespanFailure, match="no"):
        handler(EVENT, context)


# Who asks, and when


@every_mode
@every_scope
@with_and_without_a_deadline
def test_a_dispatcher_asks_ahead_in_another_task(
    mode: LifespanMode, scope: LifespanScope, context: Context | None
) -> None:
    log: list[str] = []

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        queue: asyncio.Queue[Any] = asyncio.Queue()

        async def pump() -> None:
            for _ in range(2):
                await queue.put(await receive())

        async with asyncio.TaskGroup() as group:
            group.create_task(pump())
            for step in ("startup", "shutdown"):
                assert (await queue.get())["type"] == f"lifespan.{step}"
                await asyncio.sleep(0)  # the pump asks for the next message
                log.append(step)
                await send({"type": f"lifespan.{step}.complete"})

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        log.append("request")
        await respond(send)

    with Mangum(App(live, serve), mode, lifespan_scope=scope) as handler:
        for _ in range(2):
            assert handler(EVENT, context)["statusCode"] == 200
    once = ["startup", "request", "shutdown"]
    assert log == (once * 2 if scope == "invocation" else ["startup", "request", "request", "shutdown"])


@every_mode
@every_scope
def test_a_second_task_that_asks_gets_nothing(mode: LifespanMode, scope: LifespanScope) -> None:
    got: list[str] = []

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(COMPLETE)
        tasks = [asyncio.ensure_future(receive()) for _ in range(2)]
        done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        got.extend(task.result()["type"] for task in done)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        await send(DOWN)

    with Mangum(App(live), mode, lifespan_scope=scope) as handler:
        assert handler(EVENT, None)["statusCode"] == 200
    assert got == ["lifespan.shutdown"]


@every_mode
@every_scope
def test_one_that_asks_again_and_keeps_its_cancellation_to_itself(mode: LifespanMode, scope: LifespanScope) -> None:
    asked: list[str] = []

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(5):
            try:
                message = await receive()
            except asyncio.CancelledError:
                asked.append("cancelled")
            else:
                asked.append(message["type"])
                await send({"type": f"{message['type']}.complete"})

    with Mangum(App(live), mode, lifespan_scope=scope) as handler:
        assert handler(EVENT, None)["statusCode"] == 200
    assert asked == ["lifespan.startup", "lifespan.shutdown", "cancelled", "cancelled", "cancelled"]


@every_mode
@every_scope
def test_a_dispatcher_that_asks_on_during_the_shutdown(mode: LifespanMode, scope: LifespanScope) -> None:
    """The shutdown is not cut off; then the dispatcher, which never ends, is."""
    log: list[str] = []

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        queue: asyncio.Queue[Any] = asyncio.Queue()

        async def pump() -> None:
            while True:
                await queue.put(await receive())

        async with asyncio.TaskGroup() as group:
            group.create_task(pump())
            for step in ("startup", "shutdown"):
                await queue.get()
                for _ in range(5):
                    await asyncio.sleep(0)
                log.append(step)
                await send({"type": f"lifespan.{step}.complete"})

    with Mangum(App(live), mode, lifespan_scope=scope) as handler:
        assert handler(EVENT, None)["statusCode"] == 200
    assert log == ["startup", "shutdown"]


# Lifespans that cancel their receive()


async def by_wait_for(receive: Receive) -> Any:
    """Before Python 3.12, it makes a task."""
    try:
        return await asyncio.wait_for(receive(), 0.01)
    except TimeoutError:
        return None


async def by_timeout(receive: Receive) -> Any:
    try:
        async with asyncio.timeout(0.01):
            return await receive()
    except TimeoutError:
        return None


async def by_cancel_scope(receive: Receive) -> Any:
    with anyio.move_on_after(0.01):
        return await receive()
    return None


every_limit = pytest.mark.parametrize(
    "limit", [by_wait_for, by_timeout, by_cancel_scope], ids=lambda each: each.__name__
)


class Polls:
    """Its lifespan asks for the shutdown for a moment, again and again. A request lasts for some of these polls."""

    def __init__(self, limit: Any, *, polls: int) -> None:
        self.log: list[str] = []
        self._limit = limit
        self._polls = polls
        self._polled = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._live if scope["type"] == "lifespan" else self._serve)(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send(COMPLETE)
        while (message := await self._limit(receive)) is None:
            self._polled.set()
        self.log.append(message["type"])
        await send(DOWN)

    async def _serve(self, receive: Receive, send: Send) -> None:
        self.log.append("request")
        try:
            for _ in range(self._polls):
                self._polled.clear()
                await self._polled.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            self.log.append("cleaned up")
            raise
        await respond(send)


@every_mode
@every_limit
@with_and_without_a_deadline
def test_one_that_polls_loses_one_request_and_serves_the_next(
    mode: LifespanMode, limit: Any, context: Context | None, caplog: pytest.LogCaptureFixture
) -> None:
    app = Polls(limit, polls=3)
    with Mangum(app, mode) as handler:
        assert handler(EVENT, context)["statusCode"] == 500
        cleaned_up = [] if limit is by_cancel_scope else ["cleaned up"]  # a scope cancels what the clean-up awaits too
        assert app.log == ["request", *cleaned_up, "lifespan.shutdown"]
        assert "cancels its receive(), and the request with it: the answer is a 500" in caplog.text
        for _ in range(2):
            app.log.clear()
            assert handler(EVENT, context)["statusCode"] == 200
            assert app.log == ["request", "lifespan.shutdown"]
    assert caplog.text.count("in a task of its own") == 1


@every_mode
@every_limit
def test_one_that_polls_for_the_life_of_the_process(mode: LifespanMode, limit: Any) -> None:
    app = Polls(limit, polls=3)
    with Mangum(app, mode, lifespan_scope="process") as handler:
        for _ in range(2):
            assert handler(EVENT, None)["statusCode"] == 200
    assert app.log == ["request", "request", "lifespan.shutdown"]


@every_mode
def test_one_that_cancels_its_receive_and_ends(mode: LifespanMode, caplog: pytest.LogCaptureFixture) -> None:
    """It does not ask again, so it does not poll; but the request is lost all the same."""
    is_lost = asyncio.Event()

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(COMPLETE)
        await by_timeout(receive)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if not is_lost.is_set():
            is_lost.set()
            await asyncio.Event().wait()
        await respond(send)

    with Mangum(App(live, serve), mode) as handler:
        assert [handler(EVENT, None)["statusCode"] for _ in range(3)] == [500, 200, 200]
    assert "cancels its receive(), and the request with it" in caplog.text


@every_mode
def test_an_interrupted_request_stands_if_its_response_is_complete(mode: LifespanMode) -> None:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, body=b"done")
        await asyncio.Event().wait()

    class Answers(Polls):
        async def _serve(self, receive: Receive, send: Send) -> None:
            await serve({}, receive, send)

    with Mangum(Answers(by_wait_for, polls=0), mode) as handler:
        assert handler(EVENT, None)["body"] == "done"


# Lifespans that never ask for their shutdown

no_time_to_ask = pytest.mark.usefixtures("_no_time_to_ask")


@pytest.fixture
def _no_time_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mangum.core.policies._ASK_S", 0)


class NeverAsks:
    """Its lifespan sleeps for ever once it is up; `swallows` many cancellations."""

    def __init__(self, *, swallows: int = 0) -> None:
        self.log: list[str] = []
        self.is_asleep = False
        self._swallows = swallows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.log.append("request")
            await respond(send)
            return
        await receive()
        await send(COMPLETE)
        for _ in range(self._swallows + 1):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.sleep(0)
                self.log.append("cancelled")


@no_time_to_ask
@every_mode
@with_and_without_a_deadline
def test_one_that_never_asks_is_served_and_ended_by_one_cancellation(
    mode: LifespanMode, context: Context | None, caplog: pytest.LogCaptureFixture
) -> None:
    app = NeverAsks()
    with Mangum(app, mode) as handler:
        for _ in range(3):
            assert handler(EVENT, context)["statusCode"] == 200
    assert app.log == ["request", "cancelled"] * 3
    assert caplog.text.count("does not wait for its shutdown in receive()") == 1


@no_time_to_ask
@every_mode
def test_one_that_never_asks_for_the_life_of_the_process(mode: LifespanMode, caplog: pytest.LogCaptureFixture) -> None:
    app = NeverAsks()
    with Mangum(app, mode, lifespan_scope="process") as handler:
        for _ in range(2):
            assert handler(EVENT, None)["statusCode"] == 200
    assert app.log == ["request", "request", "cancelled"]
    assert "had not shut down" not in caplog.text


@no_time_to_ask
def test_one_that_asks_when_its_time_to_ask_is_up_is_served_once() -> None:
    """The request is not run a second time in the lifespan's receive()."""
    app = NeverAsks()
    served = asyncio.Event()

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(COMPLETE)
        await served.wait()
        app.log.append((await receive())["type"])
        await send(DOWN)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        served.set()
        await asyncio.sleep(0)
        await app(scope, receive, send)

    with Mangum(App(live, serve), "on") as handler:
        assert handler(EVENT, None)["statusCode"] == 200
    assert app.log == ["request", "lifespan.shutdown"]


@every_mode
def test_one_that_returns_before_its_time_to_ask_is_up(mode: LifespanMode) -> None:
    log: list[str] = []

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(COMPLETE)
        log.append("returned")

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        log.append("request")
        await respond(send)

    with Mangum(App(live, serve), mode) as handler:
        for _ in range(2):
            assert handler(EVENT, None)["statusCode"] == 200
    assert log == ["returned", "request"] * 2


@every_mode
@every_scope
@pytest.mark.parametrize("turns", [0, 1], ids=["asks late", "asks"])
def test_a_task_that_asks_and_is_left_behind_serves_once(mode: LifespanMode, scope: LifespanScope, turns: int) -> None:
    """The lifespan returns before the request is over, and the invocation waits for it all the same."""
    log: list[str] = []
    tasks: list[asyncio.Task[Any]] = []

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(COMPLETE)
        tasks.append(asyncio.create_task(receive()))  # type: ignore[arg-type] # a coroutine
        for _ in range(turns):
            await asyncio.sleep(0)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        log.append("request")
        for _ in range(5):
            await asyncio.sleep(0)
        await respond(send)

    with Mangum(App(live, serve), mode, lifespan_scope=scope) as handler:
        assert handler(EVENT, Context())["statusCode"] == 200
        assert log == ["request"]
        handler.run(end, tasks)


async def end(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@no_time_to_ask
@every_mode
def test_one_that_returns_while_it_is_served_beside(mode: LifespanMode) -> None:
    is_served = asyncio.Event()

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(COMPLETE)
        await is_served.wait()

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        is_served.set()
        for _ in range(5):
            await asyncio.sleep(0)
        await respond(send)

    with Mangum(App(live, serve), mode) as handler:
        for _ in range(2):
            assert handler(EVENT, None)["statusCode"] == 200


@no_time_to_ask
@pytest.mark.anyio
@every_scope
async def test_no_cancellation_is_left_over(scope: LifespanScope) -> None:
    """Those that mangum itself asks for: of an application that does not end, does not ask, or polls."""

    async def goes_on(scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            await send({"type": f"{(await receive())['type']}.complete"})

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed"})
        await asyncio.Event().wait()

    task = asyncio.current_task()
    assert task is not None
    for app in (App(goes_on), NeverAsks(), Polls(by_wait_for, polls=1), App(fails)):
        async with Mangum(app, lifespan_scope=scope) as handler:
            for _ in range(2):
                with suppress(LifespanFailure):
                    await handler.invoke(EVENT, Context())
                assert task.cancelling() == 0
                await asyncio.sleep(0)


@no_time_to_ask
@pytest.mark.anyio
@every_mode
async def test_who_cancels_the_startup_in_a_task_of_its_own_cancels_the_lifespan(mode: LifespanMode) -> None:
    starts: list[asyncio.Event] = []
    log: list[str] = []

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        starts.append(asyncio.Event())
        try:
            if len(starts) == 2:
                starts[1].set()
                await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            log.append(f"start {len(starts)}")
        await send(COMPLETE)
        await asyncio.Event().wait()

    async with Mangum(App(live), mode) as handler:
        assert (await handler.invoke(EVENT, None))["statusCode"] == 200
        invocation = asyncio.create_task(handler.invoke(EVENT, None))
        while len(starts) < 2:
            await asyncio.sleep(0)
        await starts[1].wait()
        invocation.cancel()
        with pytest.raises(asyncio.CancelledError):
            await invocation
        assert log == ["start 1", "start 2"]
        assert (await handler.invoke(EVENT, None))["statusCode"] == 200


@pytest.mark.anyio
@every_scope
@pytest.mark.parametrize("turns", range(1, 8))
async def test_who_cancels_an_invocation_at_any_turn_of_the_startup(scope: LifespanScope, turns: int) -> None:
    """The next invocation is served, and what has been started is shut down."""
    log: list[str] = []

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        log.append("begins")
        try:
            await asyncio.sleep(0)
            await send(COMPLETE)
            await receive()
            await send(DOWN)
        finally:
            log.append("ends")

    async with Mangum(App(live), lifespan_scope=scope) as handler:
        invocation = asyncio.create_task(handler.invoke(EVENT, None))
        for _ in range(turns):
            await asyncio.sleep(0)
        invocation.cancel()
        await asyncio.wait([invocation])
        assert (await handler.invoke(EVENT, None))["statusCode"] == 200
    assert log == ["begins", "ends"] * (len(log) // 2)
    assert log
