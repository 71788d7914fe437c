"""The function in the process of `mangum dev`: what it answers, prints, and does to the process."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mangum.exceptions import ConfigurationError
from mangum.local.events.payload_v2 import http_api_event
from mangum.local.events.requests import HTTPRequest
from mangum.local.function import MOST_EVENT_BYTES, EventTooLarge, FunctionFailed, FunctionStopped, FunctionTimedOut
from mangum.local.in_process import InProcess
from mangum.local.invocations import Invocation, Journal
from mangum.local.service import LambdaService
from tests.local_function import FunctionFolder, invocation

pytestmark = pytest.mark.anyio


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FunctionFolder]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(tmp_path)])
    folder = FunctionFolder(tmp_path)
    yield folder
    folder.forget()


def function_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "mangum-function"]


async def test_it_answers_with_lambdas_context_and_variables(
    code: FunctionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "what it was before")
    code.write("""
        import os

        def handler(event, context):
            context.log("by the context\\n")
            return {
                "event": event,
                "id": context.aws_request_id,
                "name": context.function_name,
                "arn": context.invoked_function_arn,
                "memory": context.memory_limit_in_mb,
                "remaining": 19_000 < context.get_remaining_time_in_millis() <= 20_000,
                "variables": [os.environ[name] for name in ("_HANDLER", "AWS_REGION", "OWN")],
            }
    """)
    asked = invocation(x="é")
    async with InProcess(code.settings(OWN="mine")) as function:
        answer = json.loads(await function.invoke(asked))
    assert answer == {
        "event": {"x": "é"},
        "id": asked.request_id,
        "name": "mangum-dev",
        "arn": "arn:aws:lambda:us-east-1:123456789012:function:mangum-dev",
        "memory": "1769",
        "remaining": True,
        "variables": ["function_under_test.handler", "us-east-1", "mine"],
    }
    assert asked.answer is not None
    assert json.loads(asked.answer) == answer
    assert asked.lines == ["by the context"]
    assert os.environ["AWS_LAMBDA_FUNCTION_NAME"] == "what it was before"
    assert "OWN" not in os.environ
    assert "_HANDLER" not in os.environ


async def test_no_timeout_is_for_a_debugger(code: FunctionFolder) -> None:
    code.write("def handler(event, context): return context.get_remaining_time_in_millis()")
    async with InProcess(code.settings(timeout_s=0)) as function:
        assert int(await function.invoke(invocation())) > 890_000


async def test_the_first_event_is_a_cold_start(code: FunctionFolder) -> None:
    code.write("""
        import threading

        def handler(event, context):
            return threading.current_thread().name
    """)
    first, second = invocation(), invocation()
    async with InProcess(code.settings()) as function:
        assert json.loads(await function.invoke(first)) == "mangum-function"
        await function.invoke(second)
    assert first.init_ms is not None
    assert (first.is_cold, second.is_cold, second.init_ms) == (True, False, None)
    assert first.duration_ms is not None


ADAPTED = """
    import asyncio
    from mangum import Mangum

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                print(kind)
                await asyncio.sleep(0.02)
                await send({"type": f"{kind}.complete"})
                if kind == "lifespan.shutdown":
                    return
        await asyncio.sleep(0.05)
        if scope["path"] == "/join":
            await scope["aws.connections"].join("room", "some-id")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    handler = Mangum(app, lifespan_scope=SCOPE)
"""
EVENT: dict[str, Any] = {
    "version": "2.0",
    "rawPath": "/x",
    "rawQueryString": "",
    "headers": {"host": "example.com"},
    "requestContext": {"http": {"method": "GET", "path": "/x", "sourceIp": "127.0.0.1"}, "domainName": "example.com"},
    "isBase64Encoded": False,
}


async def test_where_an_adapters_time_goes(code: FunctionFolder) -> None:
    code.write(ADAPTED.replace("SCOPE", "'invocation'"))
    asked = invocation(**EVENT)
    async with InProcess(code.settings()) as function:
        await function.invoke(asked)
    parts = asked.parts_ms
    assert list(parts) == ["translation", "lifespan", "application", "backend", "response"]
    assert parts["lifespan"] >= 40
    assert parts["application"] >= 50
    assert parts["backend"] == 0
    assert asked.duration_ms is not None
    assert sum(parts.values()) <= asked.duration_ms + 1
    assert asked.lines == ["lifespan.startup", "lifespan.shutdown"]


async def test_the_stores_time_is_not_the_applications(code: FunctionFolder) -> None:
    code.write(ADAPTED.replace("SCOPE", "'process'"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MANGUM_DSN", f"sqlite://{code.folder}/connections.db")
        async with InProcess(code.settings()) as function:
            request = {**EVENT["requestContext"], "http": {"method": "GET", "path": "/join"}}
            asked = invocation(**{**EVENT, "rawPath": "/join", "requestContext": request})
            with pytest.raises(FunctionFailed) as failed:  # no such connection
                raise (
                    FunctionFailed("none", "")
                    if '"statusCode": 500' in await function.invoke(asked)
                    else AssertionError
                )
    assert str(failed.value) == "none"
    assert asked.parts_ms["backend"] > 0
    assert asked.parts_ms["lifespan"] == 0
    assert code.folder.joinpath("connections.db").exists()


async def test_an_event_that_never_reaches_the_application(code: FunctionFolder) -> None:
    code.write(ADAPTED.replace("SCOPE", "'process'"))
    asked = invocation(version="2.0")
    async with InProcess(code.settings()) as function:
        with pytest.raises(FunctionFailed, match=r"^UnsupportedEvent: "):
            await function.invoke(asked)
    assert asked.failure is not None
    assert asked.failure.startswith("UnsupportedEvent: ")


async def test_the_lifespan_ends_with_the_gateway(code: FunctionFolder, capsys: pytest.CaptureFixture[str]) -> None:
    code.write(ADAPTED.replace("SCOPE", "'process'"))
    async with InProcess(code.settings()):
        assert capsys.readouterr().out == "lifespan.startup\n"
    assert capsys.readouterr().out == "lifespan.shutdown\n"


async def test_what_it_prints_is_shown_and_kept(code: FunctionFolder, capsys: pytest.CaptureFixture[str]) -> None:
    code.write("""
        import logging, sys

        def handler(event, context):
            print("out")
            sys.stdout.writelines(["two ", "parts\\n"])
            print("error", file=sys.stderr, flush=True)
            logging.getLogger("own").error("logged %s", event["x"])
            sys.stdout.write("no line break")
            return [sys.stdout.isatty(), sys.stdout.writable(), sys.stdout.encoding.lower()]
    """)
    logging.getLogger("own").propagate = False  # so that it prints, which pytest's handlers would keep it from
    asked = invocation(x=1)
    async with InProcess(code.settings()) as function:
        sys.stdout.write("the gateway's own\n")
        assert json.loads(await function.invoke(asked)) == [False, True, "utf-8"]
    logging.getLogger("own").propagate = True
    assert asked.lines == ["out", "two parts", "error", "logged 1", "no line break"]
    shown = capsys.readouterr()
    assert "the gateway's own\nout\ntwo parts\n" in shown.out
    assert "error\nlogged 1\n" in shown.err


async def test_streams_keep_their_descriptor_and_stay_open(code: FunctionFolder) -> None:
    code.write("""
        import sys

        def handler(event, context):
            sys.stderr.close()
            return sys.stderr.fileno()
    """)
    with open(os.devnull, "w") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        async with InProcess(code.settings()) as function:
            assert int(await function.invoke(invocation())) == stream.fileno()
        assert not stream.closed


async def test_a_line_reaches_a_pipe_when_it_is_printed(code: FunctionFolder, tmp_path: Path) -> None:
    code.write("""
        from pathlib import Path

        def handler(event, context):
            print("a line")
            return Path(event["output"]).read_text()
    """)
    output = tmp_path / "output"
    with open(output, "w") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        async with InProcess(code.settings()) as function:
            assert json.loads(await function.invoke(invocation(output=str(output)))) == "a line\n"


async def test_a_long_log_is_cut(code: FunctionFolder) -> None:
    code.write("""
        def handler(event, context):
            print("\\n".join(map(str, range(3000))))
    """)
    asked = invocation()
    async with InProcess(code.settings()) as function:
        await function.invoke(asked)
    assert asked.lines[-2:] == ["1999", "... and more, which is not kept."]


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        ("raise KeyError('x')", "KeyError: 'x'"),
        ("raise SystemExit(3)", "Runtime.ExitError: the function exited: SystemExit(3)"),
        (
            "raise SystemExit(type('Odd', (), {'__str__': lambda self: 1 / 0, '__repr__': lambda self: 1 / 0})())",
            "Runtime.ExitError: the function exited: SystemExit(<its text cannot be told>)",
        ),
        ("return {1, 2}", "Runtime.MarshalError: JSON cannot say what the function answered: Object of type set"),
        ("return 'x' * 7_000_000", "Function.ResponseSizeTooLarge: Exceeded maximum allowed payload size"),
    ],
)
async def test_a_function_that_fails_does_not_end_the_gateway(code: FunctionFolder, body: str, failure: str) -> None:
    code.write(f"""
        def handler(event, context):
            if event["fails"]:
                {body}
            return "fine"
    """)
    failing = invocation(fails=True)
    async with InProcess(code.settings()) as function:
        with pytest.raises(FunctionFailed) as failed:
            await function.invoke(failing)
        assert str(failed.value).startswith(failure)
        assert failing.failure == str(failed.value)
        after = invocation(fails=False)
        assert await function.invoke(after) == '"fine"'
        assert after.is_cold is ("ExitError" in failure)


async def test_an_event_that_lambda_would_not_take(code: FunctionFolder) -> None:
    code.write("def handler(event, context): return 1")
    async with InProcess(code.settings()) as function:
        with pytest.raises(EventTooLarge, match=rf"has {MOST_EVENT_BYTES + 1:,} bytes as JSON"):
            await function.invoke(invocation(x="x" * (MOST_EVENT_BYTES - len('{"x": ""}') + 1)))
        assert await function.invoke(invocation(x="x" * (MOST_EVENT_BYTES - len('{"x": ""}')))) == "1"
        assert await function.invoke(invocation(x="é" * (MOST_EVENT_BYTES // 2 - 20))) == "1"


async def test_an_answer_is_as_large_as_lambdas_runtime_makes_it(code: FunctionFolder) -> None:
    code.write("def handler(event, context): return 'é' * event['count']")
    each = len("\\u00e9") if sys.version_info < (3, 12) else len("é".encode())
    most = (MOST_EVENT_BYTES - 2) // each
    async with InProcess(code.settings()) as function:
        assert json.loads(await function.invoke(invocation(count=most))) == "é" * most
        with pytest.raises(FunctionFailed, match=r"Function\.ResponseSizeTooLarge"):
            await function.invoke(invocation(count=most + 1))


async def test_a_function_that_hangs_is_left_to_itself(code: FunctionFolder) -> None:
    code.write("""
        import threading

        released = threading.Event()
        count = 0

        def handler(event, context):
            global count
            count += 1
            if event["hangs"]:
                assert released.wait(20)
                event["done"].append(1)
            return count
    """)
    async with InProcess(code.settings(timeout_s=0.2)) as function:
        (abandoned,) = function_threads()
        with pytest.raises(FunctionTimedOut, match=r"Sandbox\.Timedout: Task timed out after 0\.20 seconds"):
            await function.invoke(invocation(hangs=True))
        hung = sys.modules[code.module]
        fresh = invocation(hangs=False)
        assert await function.invoke(fresh) == "1"  # a new sandbox, whose count begins anew
        assert fresh.is_cold
        hung.released.set()
        await asyncio.to_thread(abandoned.join, 20)
        assert not abandoned.is_alive()


async def test_a_function_that_hangs_at_the_end(code: FunctionFolder, caplog: pytest.LogCaptureFixture) -> None:
    code.write("""
        import threading
        from mangum import Mangum

        released = threading.Event()

        async def app(scope, receive, send):
            while True:
                kind = (await receive())["type"]
                if kind == "lifespan.shutdown":
                    assert released.wait(20)
                await send({"type": f"{kind}.complete"})

        handler = Mangum(app, lifespan_scope="process")
    """)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mangum.local.in_process._CLOSE_S", 0.1)
        async with InProcess(code.settings()):
            pass
    assert "had not shut down after 0.1 s" in caplog.text
    (thread,) = function_threads()
    sys.modules[code.module].released.set()
    await asyncio.to_thread(thread.join, 20)
    assert not thread.is_alive()


async def test_a_shutdown_that_fails_is_logged(code: FunctionFolder, caplog: pytest.LogCaptureFixture) -> None:
    code.write("""
        from mangum import Mangum

        async def app(scope, receive, send):
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.failed", "message": "no way"})

        handler = Mangum(app, lifespan_scope="process")
    """)
    async with InProcess(code.settings()):
        pass
    assert "The application failed to shut down." in caplog.text
    assert "no way" in caplog.text


async def test_what_cannot_be_loaded_is_said_at_once(code: FunctionFolder) -> None:
    stdout = sys.stdout
    with pytest.raises(ConfigurationError, match='Could not import module "function_under_test"'):
        await InProcess(code.settings()).__aenter__()
    assert sys.stdout is stdout
    assert function_threads() == []


async def test_reloading_what_raises_an_odd_error(code: FunctionFolder, caplog: pytest.LogCaptureFixture) -> None:
    code.write("def handler(event, context):\n    return 1\n")
    async with InProcess(code.settings()) as function:
        code.write("raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})\n")
        await function.reload()
        assert "The function cannot be loaded, until its code changes: <its text cannot be told>" in caplog.text
        with pytest.raises(FunctionFailed, match=r"^Runtime\.ImportModuleError: <its text cannot be told>"):
            await function.invoke(invocation())


async def test_reloading(code: FunctionFolder, caplog: pytest.LogCaptureFixture) -> None:
    helper = FunctionFolder(code.folder, "function_helper")
    code.write("""
        import function_helper

        def handler(event, context):
            return function_helper.VALUE
    """)
    helper.write("VALUE = 1")
    async with InProcess(code.settings()) as function:
        assert await function.invoke(invocation()) == "1"
        helper.write("VALUE = 2")
        await function.reload()
        again = invocation()
        assert await function.invoke(again) == "2"
        assert again.is_cold

        helper.write("VALUE = ")
        await function.reload()
        assert "The function cannot be loaded, until its code changes" in caplog.text
        with pytest.raises(FunctionFailed, match=r"^Runtime\.ImportModuleError: "):
            await function.invoke(invocation())
        helper.write("VALUE = 3")
        await function.reload()
        assert await function.invoke(invocation()) == "3"
    helper.forget()


async def test_reloading_code_that_was_broken_when_an_event_came(code: FunctionFolder) -> None:
    code.write("def handler(event, context): return 1")
    async with InProcess(code.settings()) as function:
        code.write("def handler(event, context:")
        await function.reload()
        code.write("def handler(event, context): return 2")  # unseen, as a watcher may be late
        assert await function.invoke(invocation()) == "2"
    async with InProcess(code.settings()) as function:
        code.write("def handler(event, context:")
        await function.reload()  # and it ends so


async def test_one_event_at_a_time_in_their_order(code: FunctionFolder) -> None:
    code.write("""
        running = []

        def handler(event, context):
            running.append(event["x"])
            assert running[-1:] == [event["x"]] and len(set(running)) == len(running)
            return event["x"]
    """)
    async with InProcess(code.settings()) as function, LambdaService(function) as service:
        asked = [service.invoke(invocation(x=number)) for number in range(20)]
        assert await asyncio.gather(*asked) == [str(number) for number in range(20)]


async def test_the_service_goes_on_when_nobody_waits(code: FunctionFolder) -> None:
    code.write("""
        import threading

        begun, released = threading.Event(), threading.Event()

        def handler(event, context):
            begun.set()
            if event.get("raises"):
                raise ValueError("no")
            assert released.wait(20)
            return "done"
    """)
    waited_for, refused = invocation(), invocation(raises=True)
    async with InProcess(code.settings()) as function, LambdaService(function) as service:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await service.invoke(waited_for)
        assert waited_for.answer is None
        sys.modules[code.module].released.set()
        with pytest.raises(FunctionFailed, match="ValueError: no"):
            await service.invoke(refused)
    assert waited_for.answer == '"done"'


async def test_an_event_that_is_withdrawn_before_its_turn(code: FunctionFolder) -> None:
    code.write("""
        import threading

        begun, released, seen = threading.Event(), threading.Event(), []

        def handler(event, context):
            seen.append(event["x"])
            begun.set()
            assert released.wait(20)
    """)
    async with InProcess(code.settings()) as function:
        module = sys.modules[code.module]
        async with LambdaService(function) as service, asyncio.TaskGroup() as group:
            asking = group.create_task(service.invoke(invocation(x=1)))
            await asyncio.to_thread(module.begun.wait, 20)
            asking.cancel()
        async with asyncio.TaskGroup() as group:  # the first one's turn has been given up, and its thread is at work
            next_one = group.create_task(function.invoke(invocation(x=2)))
            await asyncio.sleep(0)
            next_one.cancel()
        module.released.set()
        assert await function.invoke(invocation(x=3)) == "null"
        assert module.seen == [1, 3]


async def test_the_service_waits_for_nothing_at_its_end(code: FunctionFolder) -> None:
    code.write("""
        import threading

        begun, released = threading.Event(), threading.Event()

        def handler(event, context):
            begun.set()
            assert released.wait(20)
    """)
    async with InProcess(code.settings()) as function:
        async with LambdaService(function) as service, asyncio.TaskGroup() as group:
            asking = group.create_task(service.invoke(invocation()))
            await asyncio.to_thread(sys.modules[code.module].begun.wait, 20)
            asking.cancel()
        sys.modules[code.module].released.set()


async def test_the_service_gives_up_what_still_runs(code: FunctionFolder, capsys: pytest.CaptureFixture[str]) -> None:
    code.write("""
        import asyncio, threading
        from mangum import Mangum

        begun = threading.Event()

        async def app(scope, receive, send):
            if scope["type"] == "lifespan":
                while True:
                    kind = (await receive())["type"]
                    print(kind)
                    await send({"type": f"{kind}.complete"})
            begun.set()
            await asyncio.Event().wait()

        handler = Mangum(app, lifespan_scope="process")
    """)
    async with InProcess(code.settings()) as function, LambdaService(function) as service:
        hanging = Invocation(source="test", title="test", event=http_api_event(HTTPRequest(method="GET", path="/")))
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(failure_of(service, hanging))
            await asyncio.to_thread(sys.modules[code.module].begun.wait, 20)
            service.stop(0)
        assert asking.result() == hanging.failure == "Runtime.ExitError: the gateway has been stopped"
    assert capsys.readouterr().out.split() == ["lifespan.startup", "lifespan.shutdown"]


async def failure_of(service: LambdaService, event: Invocation) -> str:
    with pytest.raises(FunctionStopped) as caught:
        await service.invoke(event)
    return str(caught.value)


def test_the_journal_keeps_the_last() -> None:
    journal = Journal(most=2)
    told: list[Invocation] = []
    first, second, third = invocation(), invocation(), invocation()
    with journal.listening(told.append):
        for one in (first, second, third):
            journal.begin(one)
        journal.end(third)
    journal.end(second)
    assert list(journal) == [second, third]
    assert told == [first, second, third, third]
    assert journal.find(third.request_id) is third
    assert journal.find(first.request_id) is None


def test_a_journal_keeps_fewer_large_invocations() -> None:
    journal = Journal(most_bytes=100)
    small, large, lengthy, last = invocation(), invocation(body="x" * 60), invocation(), invocation(body="x" * 200)
    lengthy.lines = ["y" * 30]
    lengthy.answer = "z" * 5
    for one in (small, large, lengthy):
        journal.begin(one)
        journal.end(one)
    assert list(journal) == [small, large, lengthy]
    journal.begin(last)
    journal.end(last)
    assert list(journal) == [last]
    late = invocation(body="x" * 50)
    journal.begin(late)
    assert list(journal) == [late]  # though it has not ended
    journal.end(small)  # which is not kept any more
    journal.end(late)
    assert list(journal) == [late]
