"""The deadline in each part of an invocation, and the caller's own cancellation beside it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from mangum import Mangum
from mangum.core.loop import warm_loop
from mangum.core.root import leftovers
from mangum.local.events.requests import HTTPRequest
from mangum.types import Receive, Scope, Send
from tests.apps import Context, WithLifespan, respond
from tests.servers.connections import ConnectionsEndpoint
from tests.sources import BY_NAME
from tests.websocket_client import connect_event, disconnect_event, message_event

HTTP = BY_NAME["http-api-2.0"].event(HTTPRequest(method="GET", path="/"))
SOON, LATE = Context(1_000), Context(60_000)

LIFESPANS = {"off": {"lifespan": "off"}, "default": {}, "process": {"lifespan_scope": "process"}}
every_lifespan = pytest.mark.parametrize("arguments", LIFESPANS.values(), ids=LIFESPANS)
every_event = pytest.mark.parametrize("kind", ["http", "CONNECT", "MESSAGE", "DISCONNECT"])

ACCEPT = {"type": "websocket.accept"}


@pytest.fixture(autouse=True)
def _large_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline comes early, and leaves a busy machine time for what precedes and what follows it."""
    monkeypatch.setattr("mangum.core.deadline._RESERVE_SHARE", 0.8)
    monkeypatch.setattr("mangum.core.deadline._MOST_RESERVE_S", 5.0)


@pytest.fixture
def handler_of(endpoint: ConnectionsEndpoint) -> Iterator[Callable[..., Mangum]]:
    """Builds handlers with a store, which are closed at the end of the test."""
    handlers: list[Mangum] = []

    def build(app: Any, **arguments: Any) -> Mangum:
        handler = Mangum(app, dsn="sqlite://:memory:", api_gateway_endpoint_url=endpoint.url, **arguments)
        handlers.append(handler)
        return handler

    yield build
    for handler in handlers:
        handler.close()


class At:
    """Calls `hang` in an event of one kind, where its application would answer it."""

    def __init__(self, kind: str, hang: Callable[[], Any]) -> None:
        self.hangs = True
        self._kind = kind
        self._hang = hang

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._hang_in("http")
            await respond(send)
            return
        await receive()
        await self._hang_in("CONNECT", scope)
        await send(ACCEPT)
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                await self._hang_in("DISCONNECT")
                return
            await self._hang_in("MESSAGE")

    async def _hang_in(self, kind: str, scope: Scope | None = None) -> None:
        is_now = scope is None or scope["aws.event"]["requestContext"]["eventType"] == kind
        if self.hangs and kind == self._kind and is_now:
            await self._hang()


def events(kind: str, name: str) -> list[Any]:
    """The events up to the one of a kind."""
    if kind == "http":
        return [HTTP]
    every = {"CONNECT": connect_event(name), "MESSAGE": message_event(name, "x"), "DISCONNECT": disconnect_event(name)}
    return list(every.values())[: list(every).index(kind) + 1]


def serve(handler: Mangum, kind: str, context: Context, name: str = "a") -> int:
    """Answer the events up to the one of a kind, which has the context. Returns the last one's status."""
    *before, last = events(kind, name)
    for event in before:
        assert handler(event, LATE)["statusCode"] == 200
    status: int = handler(last, context)["statusCode"]
    return status


# The steps


@every_lifespan
@every_event
def test_clean_up_can_await(arguments: dict[str, Any], kind: str, handler_of: Callable[..., Mangum]) -> None:
    log: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(3):
                await asyncio.sleep(0)
            log.append("cleaned up")

    app = WithLifespan(At(kind, hang))
    handler = handler_of(app, **arguments)
    assert serve(handler, kind, SOON) == 504
    assert log == ["cleaned up"]
    if not arguments:
        assert app.log.count("startup") == app.log.count("shutdown")
    handler.close()
    assert app.log.count("startup") == app.log.count("shutdown")


@every_lifespan
@every_event
def test_one_that_swallows_its_cancellations_gets_a_504(
    arguments: dict[str, Any], kind: str, handler_of: Callable[..., Mangum]
) -> None:
    cancels: list[int] = []

    async def hang() -> None:
        while len(cancels) < 5:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancels.append(1)

    at = At(kind, hang)
    handler = handler_of(WithLifespan(at), **arguments)
    serve(handler, kind, SOON)
    assert len(cancels) == 5
    at.hangs = False
    assert serve(handler, kind, LATE, "b") == 200


@every_lifespan
def test_one_that_returns_when_it_is_cancelled_gets_a_504(
    arguments: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def returns(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    with Mangum(WithLifespan(returns), **arguments) as handler:
        assert handler(HTTP, SOON)["statusCode"] == 504
    assert "the answer is a 504." in caplog.text


@every_lifespan
def test_one_that_raises_when_it_is_cancelled_gets_a_504(
    arguments: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def raises(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError("in the clean-up")

    with Mangum(WithLifespan(raises), **arguments) as handler:
        assert handler(HTTP, SOON)["statusCode"] == 504
    assert "LookupError: in the clean-up" in caplog.text


async def by_asyncio(log: list[str]) -> None:
    async def inner() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        log.append("inner")

    await asyncio.shield(asyncio.ensure_future(inner()))


async def by_anyio(log: list[str]) -> None:
    with anyio.CancelScope(shield=True):
        for _ in range(20):
            await asyncio.sleep(0)
        log.append("inner")


@every_lifespan
@every_event
@pytest.mark.parametrize("shielded", [by_asyncio, by_anyio])
def test_shielded_clean_up_ends(
    arguments: dict[str, Any], kind: str, shielded: Any, handler_of: Callable[..., Mangum]
) -> None:
    log: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await shielded(log)

    handler = handler_of(WithLifespan(At(kind, hang)), **arguments)
    assert serve(handler, kind, SOON) == 504
    assert log == ["inner"]


class Stubborn:
    """Ignores every cancellation until it is released."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.ended = asyncio.Event()
        self.turns = 0

    async def __call__(self) -> None:
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                self.turns += 1
        self.ended.set()


async def release(stubborn: Stubborn) -> None:
    stubborn.released.set()
    await stubborn.ended.wait()
    while leftovers:
        await asyncio.sleep(0)


@every_lifespan
@every_event
def test_one_that_never_ends_is_left_behind(
    arguments: dict[str, Any], kind: str, handler_of: Callable[..., Mangum], caplog: pytest.LogCaptureFixture
) -> None:
    stubborn = Stubborn()
    at = At(kind, stubborn)
    app = WithLifespan(at)
    handler = handler_of(app, **arguments)
    assert serve(handler, kind, SOON) == 504
    assert re.search(r"The task of (GET|POST|WebSocket) \S+ did not end when it was cancelled\.", caplog.text)
    assert caplog.text.count("was cancelled shortly before the function's timeout") == 1
    turns = stubborn.turns
    at.hangs = False
    assert serve(handler, kind, LATE, "b") == 200
    assert stubborn.turns > turns  # it is cancelled again with each invocation
    warm_loop().run(release(stubborn), "")
    assert handler(HTTP, LATE)["statusCode"] == 200
    assert not leftovers


# Startup and shutdown


class Hangs:
    """Hangs in a part of its lifespan, and ignores so many cancellations."""

    def __init__(self, part: str, *, swallows: int = 0) -> None:
        self.log: list[str] = []
        self.hangs = True
        self._part = part
        self._swallows = swallows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.log.append("request")
            await respond(send)
            return
        for part in ("startup", "shutdown"):
            await receive()
            await self._hang_in(part)
            await send({"type": f"lifespan.{part}.complete"})
            self.log.append(part)

    async def _hang_in(self, part: str) -> None:
        if part != self._part or not self.hangs:
            return
        for attempt in range(self._swallows + 1):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if attempt == self._swallows:
                    for _ in range(3 if attempt == 0 else 0):
                        await asyncio.sleep(0)
                    self.log.append(f"{part} cancelled")
                    raise


@pytest.mark.parametrize(
    ("arguments", "swallows"),
    [({}, 0), ({}, 3), ({"lifespan_scope": "process"}, 0), ({"lifespan_scope": "process"}, 1)],
    ids=["default", "default, swallows", "process", "process, swallows"],
)
@pytest.mark.parametrize("mode", ["auto", "on"])
def test_a_startup_that_hangs(arguments: dict[str, Any], mode: Any, swallows: int) -> None:
    app = Hangs("startup", swallows=swallows)
    context = SOON if swallows == 0 else Context(3_000)  # time for all cancellations
    with Mangum(app, mode, **arguments) as handler:
        assert handler(HTTP, context)["statusCode"] == 504
        assert app.log == ["startup cancelled"]
        app.hangs = False
        assert handler(HTTP, LATE)["statusCode"] == 200
    assert app.log == ["startup cancelled", "startup", "request", "shutdown"]


def test_a_startup_that_is_left_behind_is_cancelled_with_each_invocation(caplog: pytest.LogCaptureFixture) -> None:
    app = Hangs("startup", swallows=4)
    with Mangum(app, lifespan_scope="process") as handler:
        assert handler(HTTP, SOON)["statusCode"] == 504
        assert "The application's lifespan did not end when it was cancelled." in caplog.text
        app.hangs = False
        for _ in range(5):
            assert handler(HTTP, LATE)["statusCode"] == 200
        assert "startup cancelled" in app.log
        assert not leftovers
    assert app.log.count("startup") == app.log.count("shutdown") == 1


@pytest.mark.parametrize("seconds", [0, 0.01])
def test_a_shutdown_that_is_left_behind(
    seconds: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mangum.core.policies._SHUTDOWN_S", 0.01)
    monkeypatch.setattr("mangum.core.lifespan._CANCEL_S", seconds)
    app = Hangs("shutdown", swallows=1)
    handler = Mangum(app, lifespan_scope="process")
    handler(HTTP, LATE)
    handler.close()
    assert "The application's lifespan did not end when it was cancelled." in caplog.text
    with Mangum(WithLifespan()) as other:
        for _ in range(3):
            assert other(HTTP, LATE)["statusCode"] == 200
    assert "shutdown cancelled" in app.log
    assert not leftovers


@pytest.mark.parametrize("mode", ["auto", "on"])
@pytest.mark.parametrize("swallows", [0, 3])
def test_a_shutdown_that_hangs(mode: Any, swallows: int) -> None:
    app = Hangs("shutdown", swallows=swallows)
    with Mangum(app, mode) as handler:
        assert handler(HTTP, SOON)["statusCode"] == 200
        assert app.log == ["startup", "request", "shutdown cancelled"]
        app.hangs = False
        assert handler(HTTP, LATE)["statusCode"] == 200
    assert app.log[3:] == ["startup", "request", "shutdown"]


@pytest.mark.parametrize("part", ["startup", "request", "shutdown"])
@pytest.mark.parametrize("swallows", [0, 3])
def test_a_lifespan_in_a_task_of_its_own(part: str, swallows: int) -> None:
    app = Hangs(part, swallows=swallows)
    app.hangs = False
    is_known = False

    async def polls(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal is_known

        async def receive_at_once() -> Any:
            with anyio.CancelScope() as scope:
                if not is_known and app.log:
                    scope.cancel()  # the request
                return await receive()
            return await receive()

        if scope["type"] == "lifespan":
            await app(scope, receive_at_once, send)
        elif is_known and part == "request" and app.hangs:
            await app._hang_in(part)
        else:
            await anyio.lowlevel.checkpoint()
            await app(scope, receive, send)

    with Mangum(polls) as handler:
        assert handler(HTTP, LATE)["statusCode"] == 500
        is_known = app.hangs = True
        app.log.clear()
        assert handler(HTTP, SOON)["statusCode"] == (200 if part == "shutdown" else 504)
        assert f"{part} cancelled" in app.log
        app.hangs = False
        app.log.clear()
        assert handler(HTTP, LATE)["statusCode"] == 200
    assert app.log == ["startup", "request", "shutdown"]


# The caller's own cancellation


@pytest.mark.anyio
@every_lifespan
@every_event
@pytest.mark.parametrize("by", ["timeout", "scope", "task"])
async def test_the_caller_cancels_and_nothing_is_left_over(
    arguments: dict[str, Any], kind: str, by: str, endpoint: ConnectionsEndpoint
) -> None:
    reached = asyncio.Event()
    log: list[str] = []

    async def hang() -> None:
        reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            log.append("ended")

    at = At(kind, hang)
    app = WithLifespan(at)
    task = asyncio.current_task()
    assert task is not None
    before = asyncio.all_tasks()
    async with Mangum(app, dsn="sqlite://:memory:", api_gateway_endpoint_url=endpoint.url, **arguments) as handler:
        *earlier, last = events(kind, "a")
        for event in earlier:
            await handler.invoke(event, LATE)
        if by == "timeout":
            with pytest.raises(TimeoutError):
                await _invoke_in_time(handler, last, reached)
        elif by == "scope":
            with anyio.CancelScope() as scope:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_when(reached, scope.cancel))
                    await handler.invoke(last, LATE)
            assert scope.cancelled_caught
        else:
            invocation = asyncio.create_task(handler.invoke(last, LATE))
            await reached.wait()
            invocation.cancel()
            with pytest.raises(asyncio.CancelledError):
                await invocation
        assert log == ["ended"]
        assert task.cancelling() == 0
        at.hangs = False
        for event in events(kind, "b"):
            assert (await handler.invoke(event, LATE))["statusCode"] == 200
    assert app.log.count("startup") >= app.log.count("shutdown")
    for _ in range(5):  # the root of the loop ends with its last child
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def _invoke_in_time(handler: Mangum, event: Any, is_up: asyncio.Event) -> None:
    async with asyncio.timeout(None) as timeout, asyncio.TaskGroup() as group:
        group.create_task(_when(is_up, lambda: timeout.reschedule(0)))
        await handler.invoke(event, LATE)


async def _when(event: asyncio.Event, act: Callable[[], Any]) -> None:
    await event.wait()
    act()


@pytest.mark.anyio
@every_lifespan
@every_event
async def test_the_deadline_leaves_no_cancellation_with_the_caller(
    arguments: dict[str, Any], kind: str, endpoint: ConnectionsEndpoint
) -> None:
    cancels: list[int] = []

    async def hang() -> None:
        while len(cancels) < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancels.append(1)
        raise asyncio.CancelledError

    task = asyncio.current_task()
    assert task is not None
    async with Mangum(
        WithLifespan(At(kind, hang)), dsn="sqlite://:memory:", api_gateway_endpoint_url=endpoint.url, **arguments
    ) as handler:
        *earlier, last = events(kind, "a")
        for event in earlier:
            await handler.invoke(event, LATE)
        async with asyncio.timeout(60) as timeout:
            assert (await handler.invoke(last, SOON))["statusCode"] == 504
        assert not timeout.expired()
        assert task.cancelling() == 0
        await asyncio.sleep(0)


@pytest.mark.anyio
@every_lifespan
@every_event
async def test_the_caller_cancels_while_the_deadlines_is_handled(
    arguments: dict[str, Any], kind: str, endpoint: ConnectionsEndpoint
) -> None:
    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            invocation.cancel()
            await asyncio.sleep(0)

    async with Mangum(
        WithLifespan(At(kind, hang)), dsn="sqlite://:memory:", api_gateway_endpoint_url=endpoint.url, **arguments
    ) as handler:
        *earlier, last = events(kind, "a")
        for event in earlier:
            await handler.invoke(event, LATE)
        invocation = asyncio.create_task(handler.invoke(last, SOON))
        with pytest.raises(asyncio.CancelledError):
            await invocation


@pytest.mark.anyio
@every_lifespan
async def test_an_invocation_inside_a_cancelled_task_is_served(arguments: dict[str, Any]) -> None:
    """The caller was cancelled before, and cleans up."""

    async def cancelled_once(app: Any, context: Context) -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            async with Mangum(WithLifespan(app), **arguments) as handler:
                served: int = (await handler.invoke(HTTP, context))["statusCode"]
                return served
        raise AssertionError

    async def sleeps(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send)

    for app, context, status in ((answers, LATE, 200), (sleeps, SOON, 504)):
        caller = asyncio.create_task(cancelled_once(app, context))
        await asyncio.sleep(0)
        caller.cancel()
        assert await caller == status


@pytest.mark.anyio
@every_lifespan
async def test_one_that_ignores_cancellations_as_long_as_it_likes(arguments: dict[str, Any]) -> None:
    """Its caller waits for it, since nothing else does; and it is cancelled until it ends."""

    async def ignores(scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + 0.5  # all steps of the deadline are over by then
        while loop.time() < end:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    task = asyncio.current_task()
    assert task is not None
    async with Mangum(WithLifespan(ignores), **arguments) as handler:
        assert (await handler.invoke(HTTP, SOON))["statusCode"] == 504
        assert task.cancelling() == 0


@pytest.mark.parametrize("arguments", [{}, {"lifespan_scope": "process"}], ids=["default", "process"])
def test_a_startup_that_comes_up_after_the_deadline_serves_nothing(arguments: dict[str, Any]) -> None:
    log: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            log.append("request")
            await respond(send)
            return
        await receive()
        if not log:
            log.append("startup")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                log.append("cancelled")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    with Mangum(app, **arguments) as handler:
        assert handler(HTTP, SOON)["statusCode"] == 504
        assert log == ["startup", "cancelled"]
        assert handler(HTTP, LATE)["statusCode"] == 200


@every_lifespan
def test_a_loop_can_be_closed_after_an_exit(arguments: dict[str, Any]) -> None:
    """What stopped the loop for that invocation does not stop it again."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise SystemExit(3)

    handler = Mangum(WithLifespan(app), **arguments)
    with pytest.raises(SystemExit):
        handler(HTTP, None)
    handler.close()
    warm_loop().close()
