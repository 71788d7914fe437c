"""Several invocations at once: one process, one loop, one application."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.lambda_runtime import connect_event, function_url, running
from tests.servers.runtime_api import RuntimeAPIServer

pytestmark = pytest.mark.anyio

APP = """
import asyncio, logging, os, threading
from mangum import Mangum

started = 0
logger = logging.getLogger("app")

async def app(scope, receive, send):
    global started
    if scope["type"] == "lifespan":
        await receive()
        started += 1
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    path = scope["path"]
    context = scope["aws.context"]
    if path == "/wait":
        await asyncio.sleep(0.1)
    elif path == "/meet":
        meeting.add(context.aws_request_id)
        while len(meeting) < 4:
            await asyncio.sleep(0.001)
        logger.warning("met %s", context.aws_request_id)
    elif path == "/raise":
        raise ValueError("no")
    elif path == "/cancel":
        asyncio.current_task().cancel()
        await asyncio.sleep(0)
    elif path == "/hang":
        await asyncio.sleep(600)
    trace = os.environ.get("_X_AMZN_TRACE_ID", "none")
    names = list(os.environ)
    listed = "_X_AMZN_TRACE_ID" in os.environ, "_X_AMZN_TRACE_ID" in names, len(os.environ) == len(names)
    body = f"{started} {trace} {listed} {os.environ.get('HOME') is not None}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})

meeting = set()
handler = Mangum(app, lifespan_scope="process")
"""


def many(count: int) -> dict[str, str]:
    return {"AWS_LAMBDA_MAX_CONCURRENCY": str(count)}


async def test_a_hundred_that_wait_for_each_other(tmp_path: Path) -> None:
    """So all of them run at once; how fast is for the benchmarks."""
    server = RuntimeAPIServer(concurrency=100)
    async with running(tmp_path, APP.replace("< 4:", "< 100:"), server=server, environment=many(100)) as runtime:
        await server.ready(100)
        answers = await asyncio.gather(*(server.put(function_url("/meet")).answer() for _ in range(100)))
        assert {answer["statusCode"] for answer in answers} == {200}
        assert {answer["body"].split()[0] for answer in answers} == {"1"}  # one application
        await server.ready(100)
        assert runtime.process.returncode is None


async def test_each_has_its_own_trace(tmp_path: Path) -> None:
    server = RuntimeAPIServer(concurrency=4)
    async with running(tmp_path, APP, server=server, environment=many(4)):
        deliveries = [server.put(function_url("/meet")) for _ in range(4)]
        for delivered in deliveries:
            words = (await delivered.answer())["body"].split(maxsplit=2)
            assert words[1] == delivered.headers["Lambda-Runtime-Trace-Id"]
            assert words[2] == "(True, True, True) True"


async def test_without_a_trace(tmp_path: Path) -> None:
    code = """
        import os

        async def handler(event, context):
            names = list(os.environ)
            return ["_X_AMZN_TRACE_ID" in os.environ, "_X_AMZN_TRACE_ID" in names, len(os.environ) == len(names)]
    """
    server = RuntimeAPIServer(concurrency=2)
    async with running(tmp_path, code, server=server, environment=many(2)):
        assert await server.put(1, {"Lambda-Runtime-Trace-Id": None}).answer() == [False, False, True]


async def test_each_line_of_the_log_has_its_request(tmp_path: Path) -> None:
    server = RuntimeAPIServer(concurrency=4)
    async with running(tmp_path, APP, server=server, environment=many(4)) as runtime:
        deliveries = [server.put(function_url("/meet")) for _ in range(4)]
        for delivered in deliveries:
            await delivered.answer()
        await server.ready(4)
        lines = [line.split("\t") for line in runtime.lines if "met " in line]
        assert len(lines) == 4
        for line in lines:
            assert line[3] == f"met {line[2]}"


@pytest.mark.parametrize(("path", "status"), [("/raise", 500), ("/cancel", None), ("/hang", 504)])
async def test_one_that_fails_leaves_the_others_alone(tmp_path: Path, path: str, status: int | None) -> None:
    server = RuntimeAPIServer(concurrency=3)
    async with running(tmp_path, APP, server=server, environment=many(3)):
        waiting = server.put(function_url("/wait"))
        failing = server.put(function_url(path), timeout_s=0.5)
        assert (await waiting.answer())["statusCode"] == 200
        if status is None:
            assert (await failing.failure())["errorType"] == "CancelledError"
        else:
            assert (await failing.answer())["statusCode"] == status
        assert (await server.put(function_url("/")).answer())["statusCode"] == 200
        await server.ready(3)


async def test_plain_handlers(tmp_path: Path) -> None:
    code = """
        import threading

        barrier = threading.Barrier(3)

        def handler(event, context):
            barrier.wait(20)
            return event
    """
    server = RuntimeAPIServer(concurrency=3)
    async with running(tmp_path, code, server=server, environment=many(3)):
        assert await asyncio.gather(*(server.put(number).answer() for number in range(3))) == [0, 1, 2]


async def test_one_connection_breaks(tmp_path: Path) -> None:
    server = RuntimeAPIServer(concurrency=2)
    async with running(tmp_path, APP, server=server, environment=many(2)):
        await server.ready(2)
        server._polls[0].transport.abort()
        await server.until(lambda server: server.waiting == 1)
        await server.ready(2)


async def test_websockets_of_several_at_once(tmp_path: Path) -> None:
    """The event of one is over when its own tasks wait, whatever those of the others do."""
    code = f"""
import asyncio, os, sys
from mangum import Mangum

async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({{"type": "websocket.accept"}})
        await receive()
        return
    while not os.path.exists("go"):
        await asyncio.sleep(0)
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"busy"}})

handler = Mangum(app, "off", dsn="sqlite://{tmp_path}/connections.db")
"""
    server = RuntimeAPIServer(concurrency=16)
    async with running(tmp_path, code, server=server, environment=many(16)):
        busy = [server.put(function_url("/")) for _ in range(15)]
        await server.until(lambda server: all(one.state == "running" for one in busy))
        connect = server.put(connect_event(), timeout_s=60)
        assert (await connect.answer())["statusCode"] == 200
        assert not any(one.answered.is_set() for one in busy)
        (tmp_path / "go").touch()
        assert {(await one.answer())["body"] for one in busy} == {"busy"}
