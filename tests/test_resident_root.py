"""The root task of a loop: what outlives an invocation, wanted and unwanted."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastapi import FastAPI

from mangum import Mangum
from mangum.core.loop import WarmLoop, warm_loop
from mangum.core.root import Root, adopt, leftovers, root_of
from mangum.local.events.requests import HTTPRequest
from mangum.runtime import invocations
from mangum.runtime.api import RuntimeAPI
from mangum.runtime.documents import documents_for
from mangum.runtime.reply import RuntimeReply
from mangum.types import Receive, Scope, Send
from tests.apps import Context, WithLifespan, hello, respond
from tests.lambda_runtime import function_url, running
from tests.servers.runtime_api import RuntimeAPIServer
from tests.sources import BY_NAME

EVENT = BY_NAME["http-api-2.0"].event(HTTPRequest(method="GET", path="/"))
STUBBORN = BY_NAME["http-api-2.0"].event(HTTPRequest(method="GET", path="/stubborn"))
SOON = Context(300)

every_scope = pytest.mark.parametrize(
    "arguments", [{"lifespan": "off"}, {}, {"lifespan_scope": "process"}], ids=["off", "default", "process"]
)


@pytest.fixture
def _fresh_loop() -> Iterator[None]:
    warm_loop().close()
    yield
    warm_loop().close()


@every_scope
def test_endpoints_without_async_reuse_their_thread(arguments: dict[str, Any]) -> None:
    app = FastAPI()
    threads: list[int] = []

    @app.get("/")
    def endpoint() -> None:
        threads.append(threading.get_ident())

    with Mangum(app, **arguments) as handler:
        for _ in range(5):
            assert handler(EVENT, Context())["statusCode"] == 200
    assert len(threads) == 5
    assert len(set(threads)) == 1


# Leftovers


class Stubborn:
    """Swallows every cancellation, until it is let go. `shield` is put around it."""

    def __init__(self, *, is_shielded: bool) -> None:
        self.cancellations = 0
        self.let_go = asyncio.Event()
        self.error: Exception | None = None
        self._is_shielded = is_shielded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/stubborn":
            with anyio.CancelScope(shield=self._is_shielded):
                await self._stay()
        await respond(send)

    async def _stay(self) -> None:
        while not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except BaseException:
                self.cancellations += 1
        if self.error is not None:
            raise self.error

    async def end(self) -> None:
        self.let_go.set()
        if leftovers:
            await asyncio.wait(list(leftovers))


@pytest.mark.usefixtures("_fresh_loop")
@every_scope
@pytest.mark.parametrize("is_shielded", [False, True], ids=["open", "shielded"])
def test_an_application_that_swallows_cancellations_is_left_behind(
    arguments: dict[str, Any], is_shielded: bool, caplog: pytest.LogCaptureFixture
) -> None:
    app = Stubborn(is_shielded=is_shielded)
    with Mangum(WithLifespan(app), **arguments) as handler:
        assert handler(STUBBORN, SOON)["statusCode"] == 504
        assert len(leftovers) == 1
        assert "The task of GET /stubborn did not end when it was cancelled." in caplog.text
        for _ in range(2):
            before = app.cancellations
            assert handler(EVENT, Context())["statusCode"] == 200
            assert app.cancellations > before
        assert handler(STUBBORN, SOON)["statusCode"] == 504
        assert len(leftovers) == 2
        handler.run(app.end)
        assert not leftovers
        assert handler(EVENT, Context())["statusCode"] == 200
        assert handler.run(_names_of_tasks) == {"mangum-root"} | (
            {"mangum-lifespan"} if handler_stays(arguments) else set()
        )


def handler_stays(arguments: dict[str, Any]) -> bool:
    return arguments.get("lifespan_scope") == "process"


async def _names_of_tasks() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}


@pytest.mark.usefixtures("_fresh_loop")
def test_the_error_of_a_task_that_was_left_behind_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    app = Stubborn(is_shielded=False)
    app.error = KeyError("too late")

    async def main() -> None:
        task = asyncio.create_task(app._stay(), name="GET /x")
        await asyncio.sleep(0)
        adopt(task)
        await app.end()
        await asyncio.sleep(0)

    warm_loop().run(main(), "")
    assert "The task of GET /x, which was left behind, failed." in caplog.text
    assert "KeyError: 'too late'" in caplog.text
    assert not leftovers


@pytest.mark.usefixtures("_fresh_loop")
def test_an_interrupted_invocation_that_goes_on_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mangum.core.loop._WIND_DOWN_S", 0.01)
    app = Stubborn(is_shielded=False)

    def interrupt() -> None:
        raise KeyboardInterrupt

    async def interrupted(scope: Scope, receive: Receive, send: Send) -> None:
        asyncio.get_running_loop().call_soon(interrupt)
        await app(scope, receive, send)

    with Mangum(interrupted, "off") as handler:
        with pytest.raises(KeyboardInterrupt):
            handler(STUBBORN, None)
        assert len(leftovers) == 1
        handler.run(app.end)
        assert not leftovers


def test_what_is_left_on_a_closed_loop_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mangum.core.loop._WIND_DOWN_S", 0.01)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    warm_loop().close()
    Mangum(app, "off")(EVENT, SOON)
    assert len(leftovers) == 1
    warm_loop().close()
    assert Mangum(hello, "off")(EVENT, None)["statusCode"] == 200
    assert not leftovers
    gc.collect()


@pytest.mark.usefixtures("_fresh_loop")
def test_a_call_from_a_thread_gets_its_answer_when_it_is_left_behind() -> None:
    app = Stubborn(is_shielded=False)
    with Mangum(app, "off") as handler:

        async def main() -> None:
            call = partial(warm_loop().outside, handler)
            assert (await asyncio.to_thread(call, STUBBORN, SOON))["statusCode"] == 504
            assert len(leftovers) == 1
            assert (await asyncio.to_thread(call, EVENT, SOON))["statusCode"] == 200
            await app.end()

        warm_loop().serve(main())
    assert not leftovers


@pytest.mark.usefixtures("_fresh_loop")
def test_what_is_left_on_another_loop_is_left_alone() -> None:
    app = Stubborn(is_shielded=False)
    other = WarmLoop()

    async def leave() -> None:
        task = asyncio.create_task(app._stay())
        await asyncio.sleep(0)
        adopt(task)

    other.run(leave(), "")
    asyncio.set_event_loop(None)
    assert Mangum(hello, "off")(EVENT, None)["statusCode"] == 200
    assert app.cancellations == 0
    other.run(app.end(), "")
    other.close()


# The root


@pytest.mark.anyio
async def test_children_begin_wherever_they_are_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    """Timers and signals call back outside of any task."""
    loop = asyncio.get_running_loop()
    log: list[str] = []
    goes_on = asyncio.Event()

    async def work(name: str) -> None:
        log.append(name)
        await goes_on.wait()

    async def fail() -> None:
        raise ValueError("in a child")

    root = root_of(loop)
    for name in "ab":
        loop.call_soon(root.start_soon, lambda name=name: work(name), name)
        await anyio.wait_all_tasks_blocked()
    root.start_soon(fail, "fails")
    await anyio.wait_all_tasks_blocked()
    assert log == ["a", "b"]
    assert "ValueError: in a child" in caplog.text
    assert root_of(loop) is root
    goes_on.set()
    await asyncio.wait([root.task])
    assert root_of(loop) is not root
    root_of(loop).task.cancel()


@pytest.mark.anyio
async def test_a_root_makes_way_for_its_successor() -> None:
    loop = asyncio.get_running_loop()
    first = root_of(loop)
    first.task.cancel()
    second = Root(loop)
    await asyncio.wait([first.task])
    await asyncio.sleep(0)
    assert root_of(loop) is second
    second.task.cancel()
    await asyncio.wait([second.task])
    await asyncio.sleep(0)


def test_roots_of_closed_loops_are_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    def closed_loop() -> weakref.ref[asyncio.AbstractEventLoop]:
        loop = asyncio.new_event_loop()
        root_of(loop)
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        return weakref.ref(loop)

    first = closed_loop()
    second = closed_loop()
    gc.collect()
    assert first() is None
    loop = asyncio.new_event_loop()
    root = root_of(loop)
    loop.run_until_complete(asyncio.sleep(0))
    gc.collect()
    assert second() is None
    root.task.cancel()
    loop.run_until_complete(asyncio.wait([root.task]))
    loop.close()
    root.forget()
    assert not [message for message in caplog.messages if "mangum-root" in message]  # others are of other tests


# Under mangum.runtime

UNBUFFERED = {"PYTHONUNBUFFERED": "1"}


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that a process prints."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


RUNTIME = """
import asyncio, os, threading
from mangum import Mangum

async def app(scope, receive, send):
    if scope["path"] == "/stubborn":
        while not os.path.exists("go"):
            try:
                await asyncio.sleep(60)
            except BaseException:
                print("swallowed")
        raise ValueError("too late")
    thread = await asyncio.to_thread(threading.get_ident) if scope["path"] == "/thread" else None
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(thread).encode()})

handler = Mangum(app, "off")
"""


@pytest.mark.anyio
@pytest.mark.parametrize("wraps", [False, True], ids=["adapter", "function"])
async def test_the_runtime_serves_on_when_an_application_does_not_end(tmp_path: Path, wraps: bool) -> None:
    code = RUNTIME
    if wraps:
        code += "adapter = handler\ndef handler(event, context):\n    return adapter(event, context)\n"
    async with running(tmp_path, code, environment=UNBUFFERED) as runtime:
        stubborn = runtime.server.put(function_url("/stubborn"), timeout_s=1)
        assert (await stubborn.answer())["statusCode"] == 504
        await runtime.server.ready()
        before = runtime.lines.count("swallowed")
        assert (await runtime.server.put(function_url("/")).answer())["statusCode"] == 200
        await runtime.server.ready()
        await until(lambda: runtime.lines.count("swallowed") > before)
        await until(lambda: "The task of GET /stubborn did not end when it was cancelled." in runtime.output.decode())
        (tmp_path / "go").touch()
        assert (await runtime.server.put(function_url("/")).answer())["statusCode"] == 200
        await until(lambda: "too late" in runtime.output.decode())
        await runtime.server.ready()
        assert await runtime.terminate() == 0


@pytest.mark.anyio
@pytest.mark.parametrize("begins", [False, True], ids=["unanswered", "begun"])
async def test_a_stream_that_comes_too_late_is_not_sent(tmp_path: Path, begins: bool) -> None:
    code = f"""
import asyncio, os
from mangum import Mangum

async def app(scope, receive, send):
    begins = {begins}
    start = {{"type": "http.response.start", "status": 200, "headers": []}}
    if scope["path"] == "/stubborn":
        if begins:
            await send(start)
            await send({{"type": "http.response.body", "body": b"a", "more_body": True}})
        while not os.path.exists("go"):
            try:
                await asyncio.sleep(0.01)
            except BaseException:
                pass
        try:
            if not begins:
                await send(start)
            await send({{"type": "http.response.body", "body": b"b"}})
        except OSError as error:
            print("refused:", error)
        return
    await send(start)
    await send({{"type": "http.response.body", "body": b"next"}})

handler = Mangum(app, "off")
"""
    environment = UNBUFFERED | {"MANGUM_RESPONSE_MODE": "stream"}
    async with running(tmp_path, code, environment=environment) as runtime:
        runtime.server.put(function_url("/stubborn"), timeout_s=1)
        await runtime.server.until(lambda server: server.waiting == 0)
        await runtime.server.ready()
        (tmp_path / "go").touch()
        await until(lambda: "refused: " in runtime.output.decode())
        for _ in range(2):
            event = runtime.server.put(function_url("/"))
            await event.settled()
            await runtime.server.ready()
        assert await runtime.terminate() == 0


@pytest.mark.anyio
async def test_worker_threads_do_not_hold_up_the_end_of_the_runtime(tmp_path: Path) -> None:
    code = RUNTIME.replace("asyncio.to_thread", "anyio.to_thread.run_sync").replace(
        "import asyncio", "import anyio.to_thread, asyncio"
    )
    async with running(tmp_path, code) as runtime:
        bodies = set()
        for _ in range(3):
            answer = await runtime.server.put(function_url("/thread")).answer()
            bodies.add(answer["body"])
            await runtime.server.ready()
        assert len(bodies) == 1
        assert await runtime.terminate() == 0


# Functions that call an adapter

WRAPS = """
import asyncio, threading, time
from mangum import Mangum

meeting = set()
barrier = threading.Barrier(4)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        print("startup")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shutdown")
        await send({"type": "lifespan.shutdown.complete"})
        return
    try:
        if scope["path"] == "/meet":
            meeting.add(scope["aws.context"].aws_request_id)
            while len(meeting) < 4:
                await asyncio.sleep(0.001)
        if scope["path"] == "/hang":
            print("hangs")
            await asyncio.sleep(600)
        if scope["path"] == "/cancel":
            asyncio.current_task().cancel()
            await asyncio.sleep(0)
    finally:
        print("cleaned up")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
"""

FUNCTION = """
adapter = Mangum(app, lifespan_scope="process")

def handler(event, context):
    answer = adapter(event, context)
    answer["headers"]["x-function"] = "yes"
    return answer
"""

SUBCLASS = """
class Extended(Mangum):
    def __call__(self, event, context):
        answer = super().__call__(event, context)
        answer["headers"]["x-function"] = "yes"
        return answer

handler = Extended(app, lifespan_scope="process")
"""

EACH_EVENT = """
def handler(event, context):
    with Mangum(app, lifespan_scope="process") as adapter:
        answer = adapter(event, context)
    answer["headers"]["x-function"] = "yes"
    return answer
"""

every_wrapper = pytest.mark.parametrize(
    "code", [FUNCTION, SUBCLASS, EACH_EVENT], ids=["function", "subclass", "each event"]
)


@pytest.mark.anyio
@every_wrapper
async def test_functions_around_an_adapter_run_at_once(tmp_path: Path, code: str) -> None:
    server = RuntimeAPIServer(concurrency=4)
    environment = {"AWS_LAMBDA_MAX_CONCURRENCY": "4"}
    async with running(tmp_path, WRAPS + code, server=server, environment=environment) as runtime:
        answers = await asyncio.gather(*(server.put(function_url("/meet")).answer() for _ in range(4)))
        assert [(answer["statusCode"], answer["headers"]["x-function"]) for answer in answers] == [(200, "yes")] * 4
        await server.ready(4)
        assert await runtime.terminate() == 0
        assert runtime.lines.count("startup") == runtime.lines.count("shutdown") == (4 if code is EACH_EVENT else 1)


@pytest.mark.anyio
@every_wrapper
async def test_sigterm_while_a_function_waits_for_its_adapter(tmp_path: Path, code: str) -> None:
    async with running(tmp_path, WRAPS + code, environment=UNBUFFERED) as runtime:
        runtime.server.put(function_url("/hang"))
        await until(lambda: "hangs" in runtime.lines)
        assert await runtime.terminate() == 0
        assert runtime.lines.count("startup") == runtime.lines.count("shutdown") == 1
        assert runtime.lines.count("cleaned up") == 1


@pytest.mark.anyio
async def test_sigterm_after_a_function_has_started_an_application(tmp_path: Path) -> None:
    """The runtime takes the signal, and no adapter that was started in an invocation."""
    async with running(tmp_path, WRAPS + FUNCTION) as runtime:
        assert (await runtime.server.put(function_url("/")).answer())["statusCode"] == 200
        await runtime.server.ready()
        assert await runtime.terminate() == 0
        assert runtime.lines == ["startup", "cleaned up", "shutdown"]


@pytest.mark.anyio
async def test_an_application_that_cancels_itself_fails_its_function_alone(tmp_path: Path) -> None:
    async with running(tmp_path, WRAPS + FUNCTION) as runtime:
        assert (await runtime.server.put(function_url("/cancel")).failure())["errorType"] == "CancelledError"
        assert (await runtime.server.put(function_url("/")).answer())["statusCode"] == 200
        await runtime.server.ready()


@pytest.mark.anyio
async def test_a_child_process_of_the_runtime_ends_at_a_signal(tmp_path: Path) -> None:
    code = """
        import multiprocessing, signal

        def wait(connection):
            connection.send("ready")
            signal.pause()

        def handler(event, context):
            ours, theirs = multiprocessing.Pipe()
            process = multiprocessing.get_context("fork").Process(target=wait, args=(theirs,))
            process.start()
            ours.recv()
            process.terminate()
            process.join()
            return process.exitcode
    """
    async with running(tmp_path, code) as runtime:
        for _ in range(2):
            assert await runtime.server.put({}).answer() == -signal.SIGTERM
        await runtime.server.ready()
        assert await runtime.terminate() == 0


def test_signals_are_given_back_to_who_had_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a child, which coverage does not see."""
    before = signal.getsignal(signal.SIGUSR2)
    monkeypatch.setattr(invocations, "_handled_before", {signal.SIGUSR2: signal.SIG_IGN})
    try:
        invocations._give_signals_back()
        assert signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR2, before)


@pytest.mark.anyio
async def test_a_reply_that_was_left_sends_nothing() -> None:
    """Its connection waits for the next event."""
    api = RuntimeAPI("127.0.0.1:1")  # to which it would have to connect
    reply = RuntimeReply(
        api, {b"lambda-runtime-aws-request-id": b"1"}, documents_for(lambda event, context: None), is_streaming=True
    )
    reply.is_left = True
    reply.send({"statusCode": 200})
    with pytest.raises(ConnectionResetError):
        reply.stream(b"", lambda: None)
    assert not reply.is_sent
