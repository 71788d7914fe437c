"""All that can go wrong between a runtime and its Runtime API."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from tests.lambda_runtime import OWN, function_url, running
from tests.servers.runtime_api import RuntimeAPIServer

pytestmark = pytest.mark.anyio

HANDLER = """
def handler(event, context):
    if event == "raise":
        raise ValueError("no")
    return event
"""
GARBAGE = b"\x16\x03\x01 this is no HTTP\r\n\r\n"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nLambda-Runtime-Aws-Request-Id: x\r\n\r\n{"
NO_EVENT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CLOSES = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


def faults(**named: Any) -> RuntimeAPIServer:
    server = RuntimeAPIServer()
    server.faults = {name.replace("_", "/"): deque(several) for name, several in named.items()}
    return server


@pytest.mark.parametrize(
    "fault",
    [403, 410, 413, 400, "close", "close early", GARBAGE, HALF, NO_EVENT, CLOSES],
    ids=lambda fault: str(fault)[:12],
)
async def test_there_is_no_event(tmp_path: Path, fault: Any) -> None:
    """It is asked for again."""
    async with running(tmp_path, HANDLER, server=faults(invocation_next=[fault] * 3)) as runtime:
        assert await runtime.server.put(1).answer() == 1
        assert await runtime.server.put(2).answer() == 2
        await runtime.server.ready()
    assert "There is no event: " in runtime.output.decode()


@pytest.mark.parametrize("where", ["invocation_next", "response", "error"])
async def test_the_container_is_broken(tmp_path: Path, where: str) -> None:
    """Which is the one thing that ends the process."""
    async with running(tmp_path, HANDLER, server=faults(**{where: [500]})) as runtime:
        runtime.server.put("raise" if where == "error" else 1)
        assert await runtime.end() == 1
    assert "The Runtime API cannot go on: 500" in runtime.output.decode()
    assert "The runtime exits." in runtime.output.decode()


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (400, "Lambda has refused the answer: 400"),
        (403, "Lambda has refused the answer: 403"),
        (410, "Lambda has refused the answer: 410"),
        ("close", "Lambda has refused the answer: 403"),  # it had been taken
        (GARBAGE, "Lambda has refused the answer: 403"),
        ("hang", "The answer may be lost: the Runtime API did not take it in time"),
    ],
)
async def test_an_answer_is_not_taken(tmp_path: Path, fault: Any, line: str) -> None:
    async with running(tmp_path, HANDLER, server=faults(response=[fault]), lawful=False) as runtime:
        runtime.server.put(1, timeout_s=0.2)
        await runtime.server.until(lambda server: not server.faults["response"])
        await runtime.server.ready()
        assert await runtime.server.put(2).answer() == 2
        await runtime.server.ready()
    assert line in runtime.output.decode()


async def test_one_timer_serves_the_deadlines_of_all_answers(tmp_path: Path) -> None:
    """It is set for the earliest, and when it fires for one that was taken, anew for the one that is not."""
    function = "import time\ndef handler(event, context):\n    time.sleep(event)\n    return event"
    async with running(tmp_path, function, lawful=False) as runtime:
        put = runtime.server.put
        assert await put(0, timeout_s=30).answer() == 0
        for timeout_s in (0.2, 1.5):
            runtime.server.faults["response"] = deque(["hang"])
            put(0, timeout_s=timeout_s)
            await runtime.server.until(lambda server: not server.faults["response"])
            await runtime.server.ready()
            assert await put(0, timeout_s=0.2).answer() == 0
        assert await put(1.2).answer() == 1.2  # longer than the least that an answer has to be taken
        await runtime.server.ready()
    assert runtime.output.decode().count("the Runtime API did not take it in time") == 2


async def test_one_that_is_too_large_is_reported(tmp_path: Path) -> None:
    server = faults(response=[413, b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n[]"])
    async with running(tmp_path, HANDLER, server=server) as runtime:
        first, second = runtime.server.put(1), runtime.server.put(2)
        assert (await first.failure())["errorMessage"] == "by order"
        error = await second.failure()
        assert error["errorType"] == second.error_type == "Function.ResponseSizeTooLarge"
        assert error["errorMessage"] == "The response is larger than Lambda takes."


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (403, "Lambda has refused the report of an error: 403"),
        (GARBAGE, "An error could not be reported to Lambda: invalid HTTP/1.1 response"),
        ("hang", "An error could not be reported to Lambda: there was no answer"),
    ],
)
async def test_an_error_is_not_taken(tmp_path: Path, fault: Any, line: str) -> None:
    async with running(tmp_path, HANDLER, server=faults(error=[fault] * 2), lawful=False) as runtime:
        runtime.server.put("raise")
        await runtime.server.ready()
        assert await runtime.server.put(2).answer() == 2
        await runtime.server.ready()
    assert line in runtime.output.decode()


async def test_a_connection_that_has_died_in_the_freeze_costs_one_more(tmp_path: Path) -> None:
    async with running(tmp_path, HANDLER, server=faults(error=["close early"], response=["close early"])) as runtime:
        assert (await runtime.server.put("raise").failure())["errorMessage"] == "no"
        assert await runtime.server.put(1).answer() == 1
        await runtime.server.ready()
    assert "could not" not in runtime.output.decode()
    assert "lost" not in runtime.output.decode()


@pytest.mark.parametrize("second", ["close", "hang"])
async def test_an_answer_breaks_twice(tmp_path: Path, second: str) -> None:
    server = faults(response=["close early", second])
    async with running(tmp_path, HANDLER, server=server, lawful=False) as runtime:
        runtime.server.put(1)
        await runtime.server.until(lambda server: not server.faults["response"])
        await runtime.server.ready()
        assert await runtime.server.put(2).answer() == 2
        await runtime.server.ready()
    assert "The answer may be lost: " in runtime.output.decode()


async def test_connections_that_close_between_requests(tmp_path: Path) -> None:
    """As after a keep-alive timeout: nothing is said of it."""
    async with running(tmp_path, HANDLER) as runtime:
        for number in range(3):
            assert await runtime.server.put(number).answer() == number
            await runtime.server.ready()
            for connection in list(runtime.server.connections):
                connection.transport.abort()
            await runtime.server.until(lambda server: server.waiting == 0)
        await runtime.server.ready()
    assert "no event" not in runtime.output.decode()


async def test_nobody_listens_for_a_while(tmp_path: Path) -> None:
    async with running(tmp_path, HANDLER) as runtime:
        await runtime.server.ready()
        await runtime.server.refuse()
        async with asyncio.timeout(20):
            while runtime.output.count(b"There is no event") < 2:
                await asyncio.sleep(0.01)
        await runtime.server.listen()
        assert await runtime.server.put(1).answer() == 1


async def test_nobody_listens_for_long(tmp_path: Path) -> None:
    code = f"{HANDLER}\nfrom mangum.runtime.settings import Settings\nimport mangum.runtime.worker as worker\n"
    async with running(tmp_path, HANDLER) as runtime:
        await runtime.server.ready()
        command = (*OWN[:1], "-c", _IMPATIENT)
        async with running(tmp_path, code, command) as impatient:
            await impatient.server.ready()
            await impatient.server.refuse()
            assert await impatient.end() == 1
    assert "The Runtime API gave no event for 0.3 s: " in impatient.output.decode()


_IMPATIENT = """
import os
from mangum.runtime.main import Runtime
from mangum.runtime.settings import Settings

settings = Settings.of([], os.environ)._replace(patience_s=0.3)
raise SystemExit(Runtime(settings).run())
"""


async def test_deadlines_in_the_past(tmp_path: Path) -> None:
    async with running(tmp_path, HANDLER) as runtime:
        assert await runtime.server.put(1, timeout_s=-60).answer() == 1
        delivered = runtime.server.put(2, {"Lambda-Runtime-Deadline-Ms": "0"})
        assert await delivered.answer() == 2


@pytest.mark.parametrize(
    "wrapped", ["", "handler = (lambda inner: lambda event, context: inner(event, context))(handler)"]
)
async def test_an_application_is_cancelled_at_once_after_a_deadline_in_the_past(tmp_path: Path, wrapped: str) -> None:
    code = f"""
        import asyncio
        from mangum import Mangum

        async def app(scope, receive, send):
            await asyncio.sleep(60)

        handler = Mangum(app, "off")
        {wrapped}
    """
    async with running(tmp_path, code) as runtime:
        for timeout_s in (-60, 0):
            assert (await runtime.server.put(function_url(), timeout_s=timeout_s).answer())["statusCode"] == 504


async def test_an_event_without_a_deadline_has_the_longest(tmp_path: Path) -> None:
    code = "handler = lambda event, context: context.get_remaining_time_in_millis() > 800_000"
    async with running(tmp_path, code) as runtime:
        assert await runtime.server.put(1, {"Lambda-Runtime-Deadline-Ms": ""}).answer() is True


@pytest.mark.parametrize("event", [b"", b"[", b"\xff", b'{"a": 1} b', b"nan"])
async def test_malformed_events(tmp_path: Path, event: bytes) -> None:
    async with running(tmp_path, HANDLER) as runtime:
        assert (await runtime.server.put(event).failure())["errorType"] == "Runtime.UnmarshalError"
        assert await runtime.server.put(1).answer() == 1


@pytest.mark.parametrize("event", [None, 5, "text", [], {}, {"version": "2.0"}, {"httpMethod": "GET", "resource": "/"}])
async def test_events_that_no_application_gets(tmp_path: Path, event: Any) -> None:
    code = "from mangum import Mangum\nasync def app(scope, receive, send): ...\nhandler = Mangum(app, 'off')"
    async with running(tmp_path, code) as runtime:
        delivered = runtime.server.put(event)
        await delivered.settled()
        if delivered.error is not None:
            assert delivered.error["errorType"] in ("UnsupportedEvent", "InvalidEvent")
        answer = await runtime.server.put(function_url()).answer()
        assert answer["statusCode"] == 500


async def test_an_answer_that_nobody_has_asked_for(tmp_path: Path) -> None:
    twice = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}" * 2
    async with running(tmp_path, HANDLER, server=faults(invocation_next=[twice])) as runtime:
        assert await runtime.server.put(1).answer() == 1


@pytest.mark.parametrize("fault", [403, "close", "hang"])
async def test_an_init_error_is_not_taken(tmp_path: Path, fault: Any) -> None:
    async with running(tmp_path, "raise ValueError('no')", server=faults(init_error=[fault] * 2)) as runtime:
        assert await runtime.end() == 1
        assert "ValueError: no" in runtime.output.decode()


async def test_an_init_error_finds_a_broken_container(tmp_path: Path) -> None:
    async with running(tmp_path, "raise ValueError('no')", server=faults(init_error=[500])) as runtime:
        assert await runtime.end() == 1
        assert "The error could not be reported to Lambda." in runtime.output.decode()


async def test_the_process_ends_in_the_middle(tmp_path: Path) -> None:
    async with running(tmp_path, "import os\nhandler = lambda event, context: os._exit(3)") as runtime:
        runtime.server.put(1)
        assert await runtime.end() == 3
