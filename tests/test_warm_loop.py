"""The warm loop: sync in, async out, from any thread, until it is closed."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from mangum import Mangum
from mangum.core.loop import WarmLoop, warm_loop
from mangum.exceptions import LoopError
from mangum.local.events.requests import HTTPRequest
from mangum.types import Receive, Scope, Send
from tests.apps import Context, WithLifespan, hello, respond
from tests.sources import BY_NAME

EVENT = BY_NAME["http-api-2.0"].event(HTTPRequest(method="GET", path="/"))


async def nothing() -> None:
    return


def test_all_invocations_share_one_loop_and_what_lives_on_it() -> None:
    loops = []
    background: list[asyncio.Task[None]] = []
    ticks = asyncio.Event()

    async def tick() -> None:
        await asyncio.sleep(0)
        ticks.set()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        loops.append(asyncio.get_running_loop())
        if not background:
            background.append(asyncio.create_task(tick()))
        else:
            await ticks.wait()
        await respond(send)

    with Mangum(app, "off") as handler:
        handler(EVENT, None)
        handler(EVENT, None)
    assert loops[0] is loops[1]
    assert ticks.is_set()


def test_each_invocation_has_a_context_of_its_own() -> None:
    variable = contextvars.ContextVar("variable", default="outer")
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(variable.get())
        variable.set("inner")
        await respond(send)

    with Mangum(app, "off") as handler:
        handler(EVENT, None)
        handler(EVENT, None)
    assert seen == ["outer", "outer"]


def test_calls_from_several_threads_are_served_one_at_a_time() -> None:
    running = []
    most = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        running.append(1)
        most.append(len(running))
        for _ in range(5):
            await asyncio.sleep(0)
        running.pop()
        await respond(send)

    answers: list[Any] = []
    with Mangum(app, "off") as handler:
        threads = [threading.Thread(target=lambda: answers.append(handler(EVENT, Context()))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [answer["statusCode"] for answer in answers] == [200] * 8
    assert max(most) == 1


@pytest.mark.anyio
async def test_inside_a_running_loop_the_error_names_the_way_out() -> None:
    handler = Mangum(hello, "off")
    with pytest.raises(LoopError, match=r"await handler\.invoke\(event, context\)"):
        handler(EVENT, None)
    with pytest.raises(LoopError, match=r"await handler\.astart\(\)"):
        handler.start()
    with pytest.raises(LoopError, match=r"await handler\.aclose\(\)"):
        handler.close()
    assert (await handler.invoke(EVENT, None))["statusCode"] == 200


@pytest.mark.parametrize("is_lambda", [True, False])
def test_in_lambda_the_collector_is_kept_from_what_stays(is_lambda: bool) -> None:
    """In a process of its own, since it concerns all of it."""
    program = textwrap.dedent("""
        import gc
        from mangum import Mangum
        from tests.apps import hello
        from benchmarks.work.events import SOURCES
        handler = Mangum(hello)
        before = gc.get_freeze_count()
        for _ in range(3):
            handler(SOURCES["ALB"], None)
        print(gc.get_freeze_count() - before)
    """)
    environment = {name: value for name, value in os.environ.items() if name != "AWS_LAMBDA_RUNTIME_API"}
    if is_lambda:
        environment["AWS_LAMBDA_RUNTIME_API"] = "127.0.0.1:9001"
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert (int(run.stdout) > 1_000) is is_lambda


def test_no_loop_of_the_callers_is_touched() -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        with Mangum(hello) as handler:
            handler(EVENT, None)
        assert asyncio.get_event_loop_policy().get_event_loop() is loop
        assert not loop.is_closed()
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_a_closed_handler_says_so() -> None:
    handler = Mangum(hello)
    handler.close()
    with pytest.raises(LoopError, match="closed"):
        handler(EVENT, None)
    with pytest.raises(LoopError, match="closed"):
        handler.run(nothing)


def test_closing_ends_what_is_left(caplog: pytest.LogCaptureFixture) -> None:
    log = []

    async def generate() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            log.append("generator")

    async def linger() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            log.append("task")

    async def fail() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError("while cancelled")

    kept: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        generator = generate()
        kept.extend([generator, await anext(generator), asyncio.create_task(linger()), asyncio.create_task(fail())])
        await asyncio.sleep(0)
        await asyncio.to_thread(log.append, "thread")
        await respond(send)

    warm_loop().close()
    Mangum(app, "off")(EVENT, None)
    assert log == ["thread"]
    warm_loop().close()
    assert sorted(log) == ["generator", "task", "thread"]
    assert "ValueError: while cancelled" in caplog.text


def test_what_does_not_end_is_left(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("mangum.core.loop._WIND_DOWN_S", 0.01)
    kept: list[Any] = []

    async def stay() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                kept.append(True)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        kept.append(asyncio.create_task(stay()))
        await asyncio.sleep(0)
        await respond(send)

    warm_loop().close()
    Mangum(app, "off")(EVENT, None)
    warm_loop().close()
    assert kept[1:] == [True]
    assert "1 tasks of the application had not ended after 0.01 s." in caplog.messages
    kept.clear()
    gc.collect()


def test_closing_waits_for_another_thread_but_not_for_ever() -> None:
    loop = WarmLoop()
    entered, leave = threading.Event(), threading.Event()

    async def busy() -> None:
        entered.set()
        await asyncio.to_thread(leave.wait)

    thread = threading.Thread(target=loop.run, args=(busy(), ""))
    thread.start()
    entered.wait()
    with pytest.raises(TimeoutError, match="still at work"):
        loop.close(timeout_s=0.01)
    leave.set()
    thread.join()
    loop.run(nothing(), "")
    loop.close()


def test_another_thread_interrupts_what_runs() -> None:
    loop = WarmLoop()
    loop.interrupt()  # nothing runs yet
    entered, ended = threading.Event(), threading.Event()

    async def busy() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    def run() -> None:
        with pytest.raises(asyncio.CancelledError):
            loop.run(busy(), "")

    thread = threading.Thread(target=run)
    thread.start()
    entered.wait()
    loop.interrupt()
    thread.join(20)
    assert ended.is_set()
    loop.interrupt()
    loop.run(nothing(), "")
    loop.interrupt()
    loop.close()
    loop.interrupt()


def test_a_keyboard_interrupt_ends_the_invocation() -> None:
    log = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(60)
        finally:
            log.append("ended")

    with Mangum(app, "off") as handler:
        with pytest.raises(KeyboardInterrupt):
            handler(EVENT, None)
        assert handler.infer(EVENT, None) is not None
    assert log == ["ended"]


def test_callbacks_for_when_it_is_idle() -> None:
    loop = WarmLoop()
    log: list[str] = []
    loop.when_idle(lambda: log.append("at once"))

    async def main() -> None:
        loop.when_idle(lambda: log.append("after the run"))
        log.append("in the run")

    loop.run(main(), "")
    assert log == ["at once", "in the run", "after the run"]
    loop.close()


def test_a_dropped_handler_is_closed() -> None:
    app = WithLifespan()
    handler = Mangum(app, lifespan_scope="process")
    handler(EVENT, None)
    del handler
    gc.collect()
    assert app.log == ["startup", "request", "shutdown"]


@pytest.mark.anyio
async def test_a_handler_that_is_dropped_inside_another_loop_is_closed() -> None:
    app = WithLifespan()
    made = []

    def use() -> None:
        made.append(Mangum(app, lifespan_scope="process"))
        made[0](EVENT, None)

    await asyncio.to_thread(use)
    made.clear()
    gc.collect()
    assert app.log == ["startup", "request", "shutdown"]


def test_an_error_at_exit_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "still busy"})

    handler = Mangum(app, lifespan_scope="process")
    handler.start()
    del handler
    gc.collect()
    assert "still busy" in caplog.text


def test_calls_from_threads_end_with_the_server() -> None:
    asyncio.set_event_loop(None)
    loop = WarmLoop()
    entered, ended = asyncio.Event(), threading.Event()

    async def hang() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    def work() -> None:
        with pytest.raises(asyncio.CancelledError):
            loop.run(hang(), "")

    async def main() -> str:
        for thread in threads:
            thread.start()
        await entered.wait()
        return "served"

    threads = [threading.Thread(target=work) for _ in range(3)]
    assert loop.serve(main()) == "served"
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    loop.close()
    assert ended.is_set()


def test_a_thread_that_the_serving_loop_waits_for_does_not_wait_for_ever() -> None:
    loop = WarmLoop()
    ended = []

    async def fails() -> None:
        raise TimeoutError("its own")

    def call(message: str, *arguments: Any) -> None:
        with pytest.raises((LoopError, TimeoutError), match=message):
            loop.run(fails(), "", *arguments)
        ended.append(message)

    async def main() -> None:
        thread = threading.Thread(target=call, args=("until shortly before the timeout", None, Context(100)))
        thread.start()
        thread.join()
        await asyncio.to_thread(loop.outside, call, "its own", None, Context())

    loop.serve(main())
    loop.close()
    assert ended == ["until shortly before the timeout", "its own"]


def test_a_call_that_comes_too_late_for_the_server_runs_by_itself() -> None:
    loop = WarmLoop()
    loop._submitted = set()
    ran = []

    async def work() -> None:
        ran.append(True)

    def main() -> Any:
        loop._submitted = None  # as at this moment another thread does
        return work()

    loop.try_run(main, timeout_s=-1)
    assert ran == [True]
    loop.close()


def test_a_loop_that_is_busy_at_exit_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mangum.core.loop._EXIT_WAIT_S", 0.01)
    loop = WarmLoop()
    entered, leave = threading.Event(), threading.Event()

    async def busy() -> None:
        entered.set()
        await asyncio.to_thread(leave.wait)

    thread = threading.Thread(target=loop.run, args=(busy(), ""))
    thread.start()
    entered.wait()
    loop.close_at_exit()
    assert "The event loop could not be closed." in caplog.text
    leave.set()
    thread.join()
    loop.close()


def test_a_loop_that_is_detached_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[asyncio.AbstractEventLoop] = []
    monkeypatch.setattr("mangum.core.loop._of_the_parent", kept)
    asyncio.set_event_loop(None)
    loop = WarmLoop()
    loop.start_soon(nothing, "nobody hears of it")
    loop.detach()
    assert kept == []
    loop.run(nothing(), "")
    loop.detach()
    loop.detach()  # as where it is not the current one
    assert kept[0] is kept[1]
    assert not kept[0].is_closed()
    loop.close()


def test_an_application_that_was_started_is_started_again_in_a_child() -> None:
    app = WithLifespan()
    with Mangum(app, lifespan_scope="process") as handler, Mangum(hello) as other:
        handler(EVENT, None)
        parent = handler._sandbox.lifespan
        for sandbox in (handler._sandbox, other._sandbox):
            sandbox.start_afresh()
        handler(EVENT, None)
        assert app.log == ["startup", "request", "startup", "request"]
        assert handler._sandbox.lifespan is not parent
        handler.run(parent.stop)  # type: ignore[attr-defined]


# In processes of their own

PROGRAM = """
import json, logging, os, signal, sys, threading, time
logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of slow steps, which are the machine's
from mangum import Mangum

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shut down", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
    else:
        if scope["path"] == "/signal":
            os.kill(os.getpid(), signal.SIGTERM)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

def event(path):
    return {"httpMethod": "GET", "path": path, "requestContext": {"elb": {}}}

handler = Mangum(app, lifespan_scope="process")
"""


def run(program: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


LINES = ["Application startup complete.", "GET / 200"]
DOWN = ["shut down", "Application shutdown complete."]


def test_at_the_interpreters_exit() -> None:
    assert run("handler(event('/'), None)") == (0, LINES + DOWN)


def test_an_open_loop_at_exit_is_silent() -> None:
    assert run("handler = Mangum(app); handler(event('/'), None)") == (0, [*LINES, *DOWN])


def test_sigterm_between_invocations() -> None:
    code, lines = run("handler(event('/'), None); os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)")
    assert (code, lines) == (-signal.SIGTERM, LINES + DOWN)


def test_sigterm_during_an_invocation_waits_for_its_end() -> None:
    code, lines = run("handler(event('/signal'), None); time.sleep(60)")
    assert (code, lines) == (-signal.SIGTERM, [LINES[0], "GET /signal 200", *DOWN])


def test_the_answer_goes_out_before_the_process_ends_of_sigterm() -> None:
    code, lines = run("print(handler(event('/signal'), None)['statusCode'], flush=True); time.sleep(60)")
    assert (code, lines) == (-signal.SIGTERM, [LINES[0], "GET /signal 200", "200", *DOWN])


def test_a_second_sigterm_does_not_keep_the_answer_from_going_out() -> None:
    passed_on = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda number, frame: passed_on.set())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        await respond(send)

    recorded = WithLifespan(app)
    try:
        with Mangum(recorded, lifespan_scope="process") as handler:
            assert handler(EVENT, None)["statusCode"] == 200
            assert recorded.log == ["startup", "request"]
            assert passed_on.wait(60)
            assert recorded.log == ["startup", "request", "shutdown"]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_sigterm_is_passed_on_to_the_handler_that_was_there() -> None:
    code, lines = run(
        """
        signal.signal(signal.SIGTERM, lambda number, frame: print("mine", flush=True))
        handler(event('/'), None)
        os.kill(os.getpid(), signal.SIGTERM)
        """
    )
    assert (code, lines) == (0, [*LINES, *DOWN, "mine"])


def test_sigterm_goes_through_all_handlers() -> None:
    code, lines = run(
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        second = Mangum(app, lifespan_scope="process")
        handler.start()
        second.start()
        os.kill(os.getpid(), signal.SIGTERM)
        print("alive", flush=True)
        """
    )
    assert (code, lines) == (0, [LINES[0], LINES[0], *DOWN, *DOWN, "alive"])


def test_sigterm_while_another_thread_is_at_work() -> None:
    code, lines = run(
        """
        handler.start()
        thread = threading.Thread(target=handler, args=(event('/signal'), None))
        thread.start()
        thread.join()
        time.sleep(60)
        """
    )
    assert (code, lines) == (-signal.SIGTERM, [LINES[0], "GET /signal 200", *DOWN])


def test_a_handler_of_a_thread_leaves_signals_alone() -> None:
    code, lines = run(
        """
        thread = threading.Thread(target=handler.start)
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        handler.close()
        """
    )
    assert (code, lines) == (0, [LINES[0], *DOWN])


def test_closing_gives_the_signal_back() -> None:
    code, lines = run(
        """
        handler.start()
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
        handler.close()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        """
    )
    assert (code, lines) == (0, [LINES[0], *DOWN])


@pytest.mark.parametrize(
    ("previous", "code", "rest"),
    [
        ("signal.SIG_DFL", -signal.SIGTERM, []),
        ("signal.SIG_IGN", 0, ["alive"]),
        ("lambda number, frame: print('mine', flush=True)", 0, ["mine", "alive"]),
    ],
)
def test_a_handler_that_was_closed_before_passes_the_signal_on(previous: str, code: int, rest: list[str]) -> None:
    done, lines = run(
        f"""
        signal.signal(signal.SIGTERM, {previous})
        second = Mangum(app, lifespan_scope="process")
        handler.start()
        second.start()
        handler.close()
        os.kill(os.getpid(), signal.SIGTERM)
        print("alive", flush=True)
        """
    )
    assert (done, lines) == (code, [LINES[0], LINES[0], *DOWN, *DOWN, *rest])


def test_an_interrupt_outside_the_task_ends_it() -> None:
    log = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asyncio.get_running_loop().call_soon(interrupt)
        try:
            await asyncio.sleep(60)
        finally:
            log.append("ended")

    with Mangum(app, "off") as handler, pytest.raises(KeyboardInterrupt):
        handler(EVENT, None)
    assert log == ["ended"]


def test_an_interrupt_of_a_task_that_will_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mangum.core.loop._WIND_DOWN_S", 0.01)
    held: list[Any] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asyncio.get_running_loop().call_soon(interrupt)
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                held.append(True)

    warm_loop().close()
    with pytest.raises(KeyboardInterrupt):
        Mangum(app, "off")(EVENT, None)
    warm_loop().close()
    assert held == [True, True]
    gc.collect()


@pytest.mark.parametrize("scope", ["invocation", "process"])
def test_worker_threads_do_not_hold_up_the_exit(scope: str) -> None:
    code, lines = run(
        f"""
        import anyio.to_thread

        async def threaded(scope, receive, send):
            if scope["type"] == "lifespan":
                await anyio.to_thread.run_sync(lambda: print("thread", flush=True))
            else:
                await anyio.to_thread.run_sync(lambda: None)
            await app(scope, receive, send)

        handler = Mangum(threaded, lifespan_scope="{scope}")
        handler(event('/'), None)
        """
    )
    ends = [*LINES, *DOWN]
    assert (code, lines) == (0, ["thread", *ends])


def test_a_thread_of_an_invocation_cannot_wait_for_it() -> None:
    errors: list[str] = []

    def call(function: Any, *arguments: Any) -> None:
        with pytest.raises(LoopError, match="thread of its own invocation") as caught:
            function(*arguments)
        errors.append(str(caught.value))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.to_thread(call, handler, EVENT, None)
        await asyncio.to_thread(call, handler.close)
        await asyncio.to_thread(call, other, EVENT, None)
        await respond(send)

    with Mangum(app, "off") as handler, Mangum(hello, "off") as other:
        assert handler(EVENT, None)["statusCode"] == 200
    assert len(errors) == 3


def test_sigterm_while_it_closes_is_passed_on() -> None:
    code, lines = run(
        """
        async def slow(scope, receive, send):
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            os.kill(os.getpid(), signal.SIGTERM)
            await send({"type": "lifespan.shutdown.complete"})

        handler = Mangum(slow, lifespan_scope="process")
        handler.start()
        handler.close()
        time.sleep(60)
        """
    )
    assert (code, lines) == (-signal.SIGTERM, [LINES[0], DOWN[1]])


def test_sigterm_while_another_loop_runs() -> None:
    code, lines = run(
        """
        import asyncio
        handler.start()

        async def main():
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(60)

        asyncio.run(main())
        """
    )
    assert (code, lines) == (-signal.SIGTERM, [LINES[0], *DOWN])


def test_a_shutdown_at_exit_can_use_threads() -> None:
    """Those that are there: from 3.12 on the interpreter starts no new ones at its end."""
    code, lines = run(
        """
        import asyncio

        async def threaded(scope, receive, send):
            await receive()
            await asyncio.to_thread(print, "startup in a thread", flush=True)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await asyncio.to_thread(print, "shutdown in it", flush=True)
            await send({"type": "lifespan.shutdown.complete"})

        handler = Mangum(threaded, lifespan_scope="process")
        handler.start()
        """
    )
    assert (code, lines) == (0, ["startup in a thread", LINES[0], "shutdown in it", DOWN[1]])


def test_a_thread_of_the_loops_executor_cannot_wait_for_the_loop() -> None:
    """`run_in_executor` passes no context on, unlike `asyncio.to_thread`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(LoopError, match="thread of its own invocation"):
            await asyncio.get_running_loop().run_in_executor(None, handler, EVENT, None)
        await respond(send)

    with Mangum(app, "off") as handler:
        assert handler(EVENT, None)["statusCode"] == 200


def test_a_thread_that_an_invocation_waits_for_does_not_wait_for_ever() -> None:
    """Nothing tells that a plain thread belongs to the invocation, which blocks the loop until the thread has ended."""
    errors: list[LoopError] = []

    def wait(function: Callable[..., Any], *arguments: Any) -> None:
        def call() -> None:
            with pytest.raises(LoopError, match="until shortly before the timeout") as caught:
                function(*arguments)
            errors.append(caught.value)

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        wait(handler, EVENT, Context(100))  # its own timeout
        await respond(send)

    async def app_with_a_timeout(scope: Scope, receive: Receive, send: Send) -> None:
        wait(handler, EVENT, None)
        wait(handler.run, asyncio.sleep, 0)
        await respond(send)

    with Mangum(app, "off") as handler:
        assert handler(EVENT, None)["statusCode"] == 200
    with Mangum(app_with_a_timeout, "off") as handler:
        assert handler(EVENT, Until(2.0))["statusCode"] == 200
    assert len(errors) == 3


class Until:
    """Lambda's context, with a timeout that comes closer."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> float:
        return (self._until - time.monotonic()) * 1000


def test_a_task_factory_that_fails_fails_one_call() -> None:
    def fails(loop: Any, coroutine: Any, **named: Any) -> Any:
        raise RuntimeError("no task")

    with Mangum(hello, "off") as handler:
        handler(EVENT, None)
        loop = asyncio.get_event_loop()
        loop.set_task_factory(fails)
        try:
            with pytest.raises(RuntimeError, match="no task"):
                handler(EVENT, None)
        finally:
            loop.set_task_factory(None)
        assert handler(EVENT, None)["statusCode"] == 200


def test_a_response_stands_if_the_application_cancels_its_own_task(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/":
            await respond(send, body=b"done")
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    other = BY_NAME["http-api-2.0"].event(HTTPRequest(method="GET", path="/x"))
    with Mangum(app, "off") as handler:
        assert handler(EVENT, None)["body"] == "done"
        assert "The application was cancelled after its response, which stands." in caplog.text
        with pytest.raises(asyncio.CancelledError):
            handler(other, None)


def test_a_program_may_close_the_loop_after_worker_threads() -> None:
    code, lines = run(
        """
        import asyncio
        import anyio.to_thread

        async def threaded(scope, receive, send):
            await anyio.to_thread.run_sync(lambda: None)
            await app(scope, receive, send)

        handler = Mangum(threaded, lifespan="off")
        for _ in range(2):
            handler(event('/'), None)
            asyncio.get_event_loop().close()
        """
    )
    assert (code, lines) == (0, ["GET / 200"] * 2)
