"""`mangum dev --workers`: the function in processes, by mangum's own runtime and by AWS's."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mangum.exceptions import ConfigurationError
from mangum.local.function import EventTooLarge, FunctionFailed, FunctionTimedOut
from mangum.local.invocations import Invocation
from mangum.local.workers import pool as workers_module
from mangum.local.workers.pool import RUNTIMES, Workers
from mangum.local.workers.process import Process
from tests.worker_functions import PROJECT, WAIT_S, Switchboard, event, function_folder, settings

pytestmark = pytest.mark.anyio

TARGET = "function:handler"
PID = "answer = os.getpid()"
# A thread that the interpreter waits for when it ends.
STAYS = "threading.Thread(target=time.sleep, args=[600]).start()"


@pytest.fixture
async def board(tmp_path: Path) -> AsyncIterator[Switchboard]:
    async with function_folder(tmp_path) as board:
        yield board


@pytest.fixture(params=sorted(RUNTIMES))
def runtime(request: pytest.FixtureRequest) -> list[str]:
    """The command of each runtime."""
    return RUNTIMES[request.param](TARGET)


async def answer(workers: Workers, invocation: Invocation) -> str:
    """What the function answers, as JSON."""
    found = await workers.invoke(invocation)
    assert isinstance(found, str)
    return found


async def run(workers: Workers, code: str) -> Any:
    """What the function answers."""
    async with asyncio.timeout(WAIT_S):
        return json.loads(await answer(workers, event(code)))


# One process


async def test_cold_then_warm(
    board: Switchboard, tmp_path: Path, runtime: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mangum.local.workers.pool._FREE_S", WAIT_S)  # for the first to ask for its next event
    async with Workers(settings(tmp_path), 2, runtime) as workers:
        invocations = [event(PID) for _ in range(3)]
        pids = {await workers.invoke(invocation) for invocation in invocations}
    assert len(pids) == 1
    assert [invocation.is_cold for invocation in invocations] == [True, False, False]
    assert [invocation.init_ms is None for invocation in invocations] == [False, True, True]
    assert invocations[0].init_ms is not None
    assert 5 < invocations[0].init_ms < WAIT_S * 1000
    for invocation in invocations:
        assert invocation.duration_ms is not None
        assert 0 < invocation.duration_ms < WAIT_S * 1000
        assert (invocation.answer, invocation.failure) == (next(iter(pids)), None)
        if Path("/proc/self/status").exists():
            assert invocation.memory_mb is not None
            assert 4 < invocation.memory_mb < 1000
    assert (board.seen, board.alive) == (1, 0)


async def test_what_the_function_is_told(board: Switchboard, tmp_path: Path, runtime: list[str]) -> None:
    own = settings(
        tmp_path, name="mine", memory_mb=256, timeout_s=20, region="eu-west-1", environment={"COLOUR": "blue"}
    )
    async with Workers(own, 1, runtime) as workers:
        invocation = event(
            "answer = [context.function_name, context.memory_limit_in_mb, context.invoked_function_arn,"
            " context.aws_request_id, context.get_remaining_time_in_millis(), context.log_group_name,"
            " os.getcwd(), dict(os.environ), os.getsid(0) == os.getpid()]"
        )
        *told, remaining, log_group, folder, variables, leads_session = json.loads(await answer(workers, invocation))
    assert told == ["mine", "256", "arn:aws:lambda:eu-west-1:123456789012:function:mine", invocation.request_id]
    assert 15_000 < remaining <= 20_000
    assert log_group == "/aws/lambda/mine"
    assert Path(folder) == tmp_path.resolve()
    assert (variables["COLOUR"], variables["_HANDLER"]) == ("blue", "function.handler")
    assert (variables["AWS_REGION"], variables["AWS_LAMBDA_FUNCTION_NAME"]) == ("eu-west-1", "mine")
    assert variables["AWS_EXECUTION_ENV"] == f"AWS_Lambda_python3.{sys.version_info.minor}"
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0", variables["_X_AMZN_TRACE_ID"])
    assert leads_session  # Ctrl-C in the gateway's terminal is not for it


async def test_without_a_timeout(board: Switchboard, tmp_path: Path) -> None:
    async with Workers(settings(tmp_path, timeout_s=0), 1) as workers:
        assert await run(workers, "answer = context.get_remaining_time_in_millis()") > 800_000


ENDS = {
    "os._exit(3)": ("Runtime.ExitError", "exit status 3"),
    "os._exit(0)": ("Runtime.ExitError", "without providing a reason"),
    "sys.exit(4)": ("Runtime.ExitError", "exit status 4"),
    "os.kill(os.getpid(), signal.SIGKILL)": ("Runtime.ExitError", "signal: killed"),
    "os.kill(os.getpid(), signal.SIGSEGV)": ("Runtime.ExitError", "signal: segmentation fault"),
}
LIVES_ON = {
    "raise ValueError('no, 5')": ("ValueError", "no, 5"),
    "answer = {1, 2}": ("Runtime.MarshalError", "JSON serializable"),
    "answer = float('nan')": ("Runtime.InvalidResponse", "NaN"),
    "answer = 'x' * 6_291_555": ("Function.ResponseSizeTooLarge", "6291556 bytes"),
}


@pytest.mark.parametrize("code", [*ENDS, *LIVES_ON])
async def test_what_goes_wrong(board: Switchboard, tmp_path: Path, runtime: list[str], code: str) -> None:
    error_type, message = (ENDS | LIVES_ON)[code]
    async with Workers(settings(tmp_path), 1, runtime) as workers:
        invocation, after = event(f"print('before')\n{code}"), event(PID)
        with pytest.raises(FunctionFailed, match=re.escape(message)) as caught:
            await workers.invoke(invocation)
        assert caught.value.error_type == error_type
        assert (invocation.failure, invocation.answer) == (str(caught.value), None)
        assert invocation.lines[0] == "before"
        await workers.invoke(after)
        # AWS's runtime ends when its answer is refused.
        ends = runtime == RUNTIMES["awslambdaric"](TARGET) and error_type == "Function.ResponseSizeTooLarge"
        is_cold = code in ENDS or ends
        assert (after.is_cold, after.failure) == (is_cold, None)


async def test_an_answer_of_the_largest_size(board: Switchboard, tmp_path: Path, runtime: list[str]) -> None:
    async with Workers(settings(tmp_path), 1, runtime) as workers:
        assert len(await run(workers, "answer = 'x' * 6_291_554")) == 6_291_554
        with pytest.raises(EventTooLarge):
            await run(workers, f"answer = 1 # {'x' * 6_291_556}")
        assert len(await run(workers, f"answer = event['run'] # {'é' * 1_000_000}")) > 1_000_000


@pytest.mark.parametrize("code", ["while True: pass", "here.watch_in_child()\nhere.meet()"])
async def test_a_timeout_kills(board: Switchboard, tmp_path: Path, runtime: list[str], code: str) -> None:
    async with Workers(settings(tmp_path, timeout_s=2), 1, runtime) as workers:
        assert await run(workers, "answer = 1") == 1
        invocation, after = event(f"print('working')\n{code}"), event(PID)
        with pytest.raises(FunctionTimedOut, match=r"Task timed out after 2\.00 seconds"):
            await workers.invoke(invocation)
        assert invocation.duration_ms is not None
        assert 1900 <= invocation.duration_ms < 10_000
        assert invocation.lines == ["working"]
        await workers.invoke(after)
        assert after.is_cold
        await board.until(lambda: board.alive == 1)  # a child of the function's is gone too


async def test_what_it_prints(
    board: Switchboard, tmp_path: Path, runtime: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    async with Workers(settings(tmp_path), 1, runtime) as workers:
        first, second = event("print('one')\nprint('two', file=sys.stderr)"), event("print('é')")
        await workers.invoke(first)
        await workers.invoke(second)
        assert (sorted(first.lines), second.lines) == (["one", "two"], ["é"])
        much = event("for i in range(20_000): print('x' * 100, i)")
        await workers.invoke(much)
        assert (much.lines[1999][-5:], len(much.lines)) == (" 1999", 2001)
        long = event("sys.stdout.write('y' * 200_000)\nsys.stdout.flush()\nos._exit(1)")
        with pytest.raises(FunctionFailed):
            await workers.invoke(long)
        assert "".join(long.lines) == "y" * 200_000
        failed = event("raise ValueError('no')")
        with pytest.raises(FunctionFailed):
            await workers.invoke(failed)
        assert any("ValueError" in line for line in failed.lines)
        assert any("<string>" in line for line in failed.lines)  # of the traceback
        assert not any("\r" in line for line in failed.lines)
    out, err = capfd.readouterr()
    assert out.startswith("one\n")
    assert "two\n" in err
    assert out.count("x" * 100) == 20_000


async def test_what_it_prints_is_as_on_lambda_whatever_this_machine_is_set_to(
    board: Switchboard, tmp_path: Path, runtime: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    for name, value in (elsewhere | {"TZ": "Asia/Tokyo"}).items():
        monkeypatch.setenv(name, value)
    async with Workers(settings(tmp_path), 1, runtime) as workers:
        invocation = event("print('é €', time.localtime().tm_gmtoff)\nprint('ü', file=sys.stderr)")
        await workers.invoke(invocation)
    assert sorted(invocation.lines) == ["é € 0", "ü"]


async def test_a_letter_that_the_terminal_does_not_have(
    board: Switchboard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, "latin-1"))
    async with Workers(settings(tmp_path), 1) as workers:
        invocation = event("print('é €')\nprint('two')")
        await workers.invoke(invocation)
    assert invocation.lines == ["é €", "two"]
    assert shown.getvalue() == b"\xe9 \\u20ac\ntwo\n"


async def test_a_line_without_an_end_belongs_to_its_invocation(
    board: Switchboard, tmp_path: Path, runtime: list[str], own_runtime: list[str]
) -> None:
    for command in (runtime, own_runtime):
        async with Workers(settings(tmp_path), 1, command) as workers:
            codes = ("sys.stdout.write('one'); sys.stderr.write('two')", "print(); print('three')", "pass")
            first, second, third = invocations = [event(code) for code in codes]
            for invocation in invocations:
                await workers.invoke(invocation)
        assert (sorted(first.lines), second.lines, third.lines) == (["one", "two"], ["three"], [])


async def test_a_process_whose_end_has_been_seen_gets_no_event(board: Switchboard, tmp_path: Path) -> None:
    async with Workers(settings(tmp_path), 1) as workers:
        pid = await run(workers, PID)
        async with asyncio.timeout(WAIT_S):
            while not workers._idle:
                await asyncio.sleep(0)
            os.kill(pid, signal.SIGKILL)
            while workers._idle[0].is_ready:
                await asyncio.sleep(0)
        assert await run(workers, PID) != pid
    assert (board.seen, board.alive) == (2, 0)


async def test_a_process_that_ends_between_events(board: Switchboard, tmp_path: Path, runtime: list[str]) -> None:
    async with Workers(settings(tmp_path), 1, runtime) as workers:
        os.kill(await run(workers, PID), signal.SIGKILL)
        await board.until(lambda: board.alive == 0)
        after = event(PID)
        await workers.invoke(after)
        assert after.is_cold


# What cannot be run


@pytest.mark.parametrize(
    ("target", "code", "message"),
    [
        ("missing:handler", "", "missing"),
        ("broken:missing", "", "missing"),
        ("broken:handler", "import not_there_either", "not_there_either"),
        ("broken:handler", "1 / 0", "ZeroDivisionError"),
        ("broken:handler", "this is no Python", "invalid syntax"),
        ("broken:handler", "import os; os._exit(7)", "exit status 7"),
        ("broken:handler", "import sys; sys.exit(7)", "exit status 7"),
    ],
)
@pytest.mark.parametrize("name", sorted(RUNTIMES))
async def test_what_cannot_be_loaded(tmp_path: Path, name: str, target: str, code: str, message: str) -> None:
    (tmp_path / "broken.py").write_text(code)
    with pytest.raises(ConfigurationError, match=f"(?s)^{target} cannot be run.*{message}"):
        async with asyncio.timeout(WAIT_S), Workers(settings(tmp_path, target), 1, RUNTIMES[name](target)):
            pytest.fail("it was run")


async def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"Runtime\.InvalidEntrypoint: .*missing: No such file"):
        async with Workers(settings(tmp_path), 1, [str(tmp_path / "missing")]):
            pytest.fail("it was run")


def test_awss_runtime_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="pip install awslambdaric"):
        RUNTIMES["awslambdaric"](TARGET)


async def test_an_init_phase_that_does_not_end(
    board: Switchboard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "_INIT_S", 0.2)
    (tmp_path / "slow.py").write_text("import tests_of_workers as here; here.meet()")
    with pytest.raises(ConfigurationError, match=r"timed out after 1\.00 seconds"):
        async with Workers(settings(tmp_path, "slow:handler", timeout_s=1), 1):
            pytest.fail("it was run")


async def test_an_init_phase_that_lambda_would_cut_short(
    board: Switchboard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers_module, "_INIT_S", 0.001)
    async with Workers(settings(tmp_path), 1) as workers:
        assert await run(workers, "answer = 1") == 1
    assert re.search(r"Init took \d+\.\d s: Lambda stops it after", caplog.text)


# Many


async def test_events_at_once(board: Switchboard, tmp_path: Path, runtime: list[str]) -> None:
    async with Workers(settings(tmp_path), 4, runtime) as workers, asyncio.TaskGroup() as tasks:
        meeting = [tasks.create_task(run(workers, f"here.meet()\n{PID}")) for _ in range(9)]
        await board.release(4)  # no fewer come, and no more
        await board.release(4)
        await board.release(1)
    assert len({task.result() for task in meeting}) == 4
    assert board.seen == 4


async def test_first_come_first_served(board: Switchboard, tmp_path: Path) -> None:
    append = "open('order', 'a').write(str({}))"
    async with Workers(settings(tmp_path), 1) as workers, asyncio.TaskGroup() as tasks:
        for number in range(10):
            tasks.create_task(run(workers, append.format(number)))
    assert (tmp_path / "order").read_text() == "0123456789"


async def test_two_hundred_events(board: Switchboard, tmp_path: Path) -> None:
    async with Workers(settings(tmp_path), 4) as workers, asyncio.TaskGroup() as tasks:
        answers = [tasks.create_task(run(workers, f"answer = {number}")) for number in range(200)]
    assert [task.result() for task in answers] == list(range(200))
    assert board.seen <= 4


async def test_who_waits_for_an_answer_goes_away(board: Switchboard, tmp_path: Path) -> None:
    """As on Lambda, the function runs on."""
    async with Workers(settings(tmp_path), 1) as workers, asyncio.TaskGroup() as tasks:
        gone = tasks.create_task(run(workers, "here.meet()\nopen('done', 'w').close()"))
        await board.until(lambda: board.waiting == 1)
        gone.cancel()
        after = event(PID)
        waiting = tasks.create_task(workers.invoke(after))
        await board.release(1)
        await waiting
        assert not after.is_cold
    assert (tmp_path / "done").exists()


async def test_the_gateway_is_stopped_meanwhile(board: Switchboard, tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as tasks, Workers(settings(tmp_path), 1) as workers:
        running = tasks.create_task(_failure(workers, "here.meet()"))
        waiting = tasks.create_task(_failure(workers, "here.meet()"))
        gone = tasks.create_task(run(workers, "here.meet()"))
        await board.until(lambda: board.waiting == 1)
        gone.cancel()
    assert running.result() == waiting.result() == "Runtime.ExitError: the gateway has been stopped"
    await board.until(lambda: board.alive == 0)


async def _failure(workers: Workers, code: str) -> str:
    with pytest.raises(FunctionFailed) as caught:
        await workers.invoke(event(code))
    return str(caught.value)


# New code


async def test_reload(board: Switchboard, tmp_path: Path, runtime: list[str]) -> None:
    module = tmp_path / "function.py"
    old = module.read_text()
    async with Workers(settings(tmp_path), 2, runtime) as workers, asyncio.TaskGroup() as tasks:
        assert await run(workers, "answer = 'idle'") == "idle"
        busy = tasks.create_task(run(workers, "here.meet()\nanswer = 'VERSION' in globals()"))
        await board.until(lambda: board.waiting == 1)
        module.write_text(f"{old}\nVERSION = 2\n")
        await workers.reload()
        first = event("answer = VERSION")
        assert (await workers.invoke(first), first.is_cold) == ("2", True)
        await board.release(1)
        assert await busy is False
        await board.until(lambda: board.alive == 1)  # the old ones have ended
        module.write_text("1 / 0")
        await workers.reload()
        with pytest.raises(FunctionFailed, match="ZeroDivisionError"):
            await workers.invoke(event("answer = 3"))
        module.write_text(f"{old}\nVERSION = 4\n")
        await workers.reload()
        assert await run(workers, "answer = VERSION") == 4


APP = """
from mangum import Mangum

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        print("startup")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shutdown")
        await send({"type": "lifespan.shutdown.complete"})
        return
    print("request")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})

handler = Mangum(app, lifespan_scope="process")
"""


@pytest.mark.parametrize("target", ["served:handler", "served:app"])
async def test_an_application(tmp_path: Path, capfd: pytest.CaptureFixture[str], target: str) -> None:
    (tmp_path / "served.py").write_text(APP)
    async with Workers(settings(tmp_path, target), 1) as workers:
        for path in ("/one", "/two"):
            http = {"method": "GET", "path": path, "sourceIp": "192.0.2.1", "protocol": "HTTP/1.1"}
            of_http_api = {
                "version": "2.0",
                "rawPath": path,
                "rawQueryString": "",
                "headers": {"host": "localhost"},
                "requestContext": {"http": http, "stage": "$default", "domainName": "localhost"},
                "isBase64Encoded": False,
            }
            invocation = Invocation(source="http-api", title=f"GET {path}", event=of_http_api)
            assert json.loads(await answer(workers, invocation))["body"] == path
            assert {"translation", "lifespan", "application", "backend", "response"} == set(invocation.parts_ms)
            assert invocation.duration_ms is not None
            assert 0 < sum(invocation.parts_ms.values()) < invocation.duration_ms
            assert "request" in invocation.lines
    out = capfd.readouterr().out
    each = [line for line in out.splitlines() if line]
    if target == "served:handler":
        assert each == ["startup", "request", "request", "shutdown"]
    else:
        assert each == ["startup", "request", "shutdown"] * 2


async def test_a_process_that_does_not_want_to_end(
    board: Switchboard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "_STOP_S", 0.2)
    async with Workers(settings(tmp_path), 1) as workers:
        await run(workers, STAYS)
        await workers.reload()
        await board.until(lambda: board.alive == 0)


async def test_sigterm_while_an_event_runs(
    board: Switchboard, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is answered, and then the process ends."""
    async with Workers(settings(tmp_path), 1) as workers:
        assert await run(workers, "os.kill(os.getpid(), signal.SIGTERM)\nanswer = 1") == 1
        after = event(PID)
        await workers.invoke(after)
        assert after.is_cold
    assert "Nobody waited any more when the function failed: Runtime.ExitError" in caplog.text


# Runtimes of others

# It answers at once, and does what it likes then.
RUNTIME = """
import http.client, json, os, sys, time
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
def ask(*request):
    api.request(*request)
    response = api.getresponse()
    return response, response.read()
while True:
    response, body = ask("GET", "/2018-06-01/runtime/invocation/next")
    path = f"/2018-06-01/runtime/invocation/{response.headers['Lambda-Runtime-Aws-Request-Id']}/response"
    ask("POST", path, body)
    exec(json.loads(body)["run"])
"""


@pytest.fixture
def own_runtime(tmp_path: Path) -> list[str]:
    (tmp_path / "runtime.py").write_text(RUNTIME)
    return [sys.executable, str(tmp_path / "runtime.py")]


async def test_work_after_the_answer(
    board: Switchboard,
    tmp_path: Path,
    own_runtime: list[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", "")  # what its process prints is seen all the same
    async with Workers(settings(tmp_path, timeout_s=1), 1, own_runtime) as workers:
        work = event("import tests_of_workers as here; here.meet(); print('worked')")
        assert json.loads(await answer(workers, work)) == work.event
        assert work.lines == []
        await board.release(1)
        after = event("pass")
        await workers.invoke(after)  # only then
        assert (after.is_cold, work.lines) == (False, ["worked"])
        await workers.invoke(event("time.sleep(60)"))
        after = event("os._exit(5)")
        await workers.invoke(after)
        assert after.is_cold
        after = event("pass")
        await workers.invoke(after)
        assert after.is_cold
    assert "Nobody waited any more when the function failed: Sandbox.Timedout" in caplog.text
    assert "Nobody waited any more when the function failed: Runtime.ExitError" in caplog.text


@pytest.mark.parametrize(("wait_s", "is_cold"), [(WAIT_S, False), (0, True)])
async def test_who_has_answered_is_waited_for_a_little(
    board: Switchboard,
    tmp_path: Path,
    own_runtime: list[str],
    monkeypatch: pytest.MonkeyPatch,
    wait_s: float,
    is_cold: bool,
) -> None:
    monkeypatch.setattr(workers_module, "_FREE_S", wait_s)
    async with Workers(settings(tmp_path), 2, own_runtime) as workers, asyncio.TaskGroup() as tasks:
        await workers.invoke(event("import tests_of_workers as here; here.meet()"))
        await board.until(lambda: board.waiting == 1)
        after = event("pass")
        waiting = tasks.create_task(workers.invoke(after))
        if is_cold:
            await waiting
        await board.release(1)
        await waiting
        assert after.is_cold is is_cold


# The gateway's own end

GATEWAY = """
import asyncio, sys
from pathlib import Path
from mangum.local.workers.pool import Workers
from tests.worker_functions import event, settings

async def main():
    async with Workers(settings(Path(sys.argv[1])), 1) as workers:
        await workers.invoke(event({code!r}))
        print("running", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    "code", ["answer = 1", "threading.Thread(target=here.meet, daemon=True).start()"], ids=["idle", "with a thread"]
)
async def test_the_gateway_is_killed(board: Switchboard, tmp_path: Path, code: str) -> None:
    gateway = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        GATEWAY.format(code=code),
        str(tmp_path),
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
    )
    try:
        assert gateway.stdout is not None
        async with asyncio.timeout(WAIT_S):
            assert await gateway.stdout.readline() == b"running\n"
        assert board.alive >= 1
    finally:
        gateway.kill()
        await gateway.communicate()
    await board.until(lambda: board.alive == board.waiting == 0)


# A process by itself


async def test_the_memory_of_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.Event()
    lines: list[tuple[str, bool]] = []
    process = Process(lambda line, is_stdout: lines.append((line, is_stdout)), lambda status: ended.set())
    code = "print('a\\rb\\r'); import sys; sys.stdin.read(); print('end', end='')"
    await process.start([sys.executable, "-c", textwrap.dedent(code)], folder=tmp_path, environment=os.environ)
    async with asyncio.timeout(WAIT_S):
        await ended.wait()
    assert lines == [("a", True), ("b", True), ("end", True)]
    assert process.peak_memory_mb() is None
    monkeypatch.setattr(Path, "read_text", lambda path: "Name:\tkthreadd\n")
    assert process.peak_memory_mb() is None
    await process.stop(1)  # does nothing any more


async def test_a_process_ends_though_a_child_of_it_keeps_its_output_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mangum.local.workers.process._DRAIN_S", 0.05)
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    lines: list[str] = []
    process = Process(lambda line, is_stdout: lines.append(line), ended.set_result)
    child = "import time; time.sleep(600)"
    code = f"""
        import subprocess, sys, os
        child = subprocess.Popen([sys.executable, "-c", {child!r}], stderr=subprocess.DEVNULL, start_new_session=True)
        print(child.pid, end="", flush=True)
        os._exit(3)
    """
    await process.start([sys.executable, "-c", textwrap.dedent(code)], folder=tmp_path, environment=os.environ)
    async with asyncio.timeout(WAIT_S):
        assert await ended == 3
    (pid,) = lines
    os.kill(int(pid), signal.SIGKILL)


def test_logging_is_under_one_name() -> None:
    assert workers_module.logger is logging.getLogger("mangum.local")


async def test_the_gateway_is_stopped_while_a_process_starts(board: Switchboard, tmp_path: Path) -> None:
    """Nothing is left of it: an unfinished process would be a warning."""
    for _ in range(5):
        async with asyncio.TaskGroup() as tasks, Workers(settings(tmp_path), 2) as workers:
            running = tasks.create_task(_failure(workers, "here.meet()"))
            await board.until(lambda: board.waiting == 1)
            starting = tasks.create_task(_failure(workers, "here.meet()"))
            await asyncio.sleep(0)
        assert running.result() == starting.result() == "Runtime.ExitError: the gateway has been stopped"
    gc.collect()


async def test_the_gateway_is_stopped_while_processes_end(board: Switchboard, tmp_path: Path) -> None:
    async with Workers(settings(tmp_path), 1) as workers:
        await run(workers, STAYS)
        await workers.reload()
        await asyncio.sleep(0)  # it is asked to end, and does not
    assert board.alive == 0
    gc.collect()
