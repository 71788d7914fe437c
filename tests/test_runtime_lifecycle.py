"""Init, work after the answer, SIGTERM, SnapStart."""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from mangum.runtime.extension import Extension
from tests.lambda_runtime import OWN, PROJECT, connect_event, function_url, running
from tests.servers import free_port
from tests.servers.connections import ConnectionsEndpoint
from tests.servers.runtime_api import RuntimeAPIServer

pytestmark = pytest.mark.anyio

APP = """
import asyncio, os
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
    path = scope["path"]
    if path == "/waits":
        print("waits", flush=True)
        while not os.path.exists("go"):
            await asyncio.sleep(0.005)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})
    if path == "/background":
        while not os.path.exists("go"):
            await asyncio.sleep(0.005)
        print("background work done")
    if path == "/long":
        try:
            await asyncio.sleep(600)
        finally:
            print("cleaned up")
    if path == "/raises":
        raise ValueError("after the answer")

handler = Mangum(app, lifespan_scope="process")
"""


async def answered(runtime: Any, path: str = "/", **named: Any) -> None:
    assert (await runtime.server.put(function_url(path), **named).answer())["statusCode"] == 200


async def test_the_application_is_started_before_the_first_event(tmp_path: Path) -> None:
    async with running(tmp_path, APP) as runtime:
        await runtime.server.ready()
        assert runtime.lines == ["startup"]
        await answered(runtime)
        await runtime.server.ready()
        assert await runtime.terminate() == 0
        assert runtime.lines == ["startup", "shutdown"]


async def test_a_handler_that_has_been_started_by_its_module(tmp_path: Path) -> None:
    """As the documentation recommends for AWS's runtime: it is the same loop."""
    async with running(tmp_path, f"{APP}\nhandler.start()") as runtime:
        await answered(runtime)
        assert await runtime.terminate() == 0
        assert runtime.lines == ["startup", "shutdown"]


async def test_a_lifespan_of_each_invocation(tmp_path: Path) -> None:
    async with running(tmp_path, APP.replace(', lifespan_scope="process"', "")) as runtime:
        for _ in range(2):
            await answered(runtime)
        await runtime.server.ready()
        assert runtime.lines == ["startup", "shutdown"] * 2


async def test_a_startup_that_fails(tmp_path: Path) -> None:
    code = """
        from mangum import Mangum

        async def app(scope, receive, send):
            await receive()
            await send({"type": "lifespan.startup.failed", "message": "no database"})

        handler = Mangum(app, lifespan_scope="process")
    """
    async with running(tmp_path, code) as runtime:
        assert await runtime.end() == 1
        error = runtime.server.init_error
        assert error is not None
        assert error["errorType"] == "LifespanFailure"
        assert "no database" in error["errorMessage"]


async def test_a_shutdown_that_fails(tmp_path: Path) -> None:
    code = APP.replace("lifespan.shutdown.complete", "lifespan.shutdown.failed")
    async with running(tmp_path, code) as runtime:
        await runtime.server.ready()
        assert await runtime.terminate() == 0
    assert "The application could not be shut down." in runtime.output.decode()


# Work after the answer


async def test_work_after_the_answer(tmp_path: Path) -> None:
    async with running(tmp_path, APP) as runtime:
        await answered(runtime, "/background")
        assert runtime.server.waiting == 0  # Lambda leaves it running
        (tmp_path / "go").touch()
        await runtime.server.ready()
        assert runtime.lines == ["startup", "background work done"]


async def test_it_is_bounded_by_the_deadline(tmp_path: Path) -> None:
    async with running(tmp_path, APP) as runtime:
        await answered(runtime, "/long", timeout_s=0.5)
        await runtime.server.ready()
        await answered(runtime)
    output = runtime.output.decode()
    assert "cleaned up" in output
    assert "its response was complete, and stands." in output


async def test_a_greeting_is_delivered_as_soon_as_the_connection_is_open(tmp_path: Path) -> None:
    """Which it is when CONNECT has been answered."""
    code = """
        from mangum import Mangum

        async def app(scope, receive, send):
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": "hello"})
            while (await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": "answer"})

        handler = Mangum(app, "off", dsn="sqlite://connections.db", api_gateway_endpoint_url=ENDPOINT)
    """
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-west-1"}
    with ConnectionsEndpoint() as endpoint:
        own = code.replace("ENDPOINT", repr(endpoint.url))
        async with running(tmp_path, own, environment=keys) as runtime:
            for connection_id, answer in (("abc=", 200), ("gone=", 410)):
                endpoint.script(answer, to=connection_id, always=answer != 200)
                assert await runtime.server.put(connect_event(connection_id)).answer() == {"statusCode": 200}
                await runtime.server.ready()
            assert endpoint.posts["abc="] == [b"hello"]
            message = {
                "requestContext": {
                    **connect_event("abc=")["requestContext"],
                    "routeKey": "$default",
                    "eventType": "MESSAGE",
                },
                "body": "x",
                "isBase64Encoded": False,
            }
            assert await runtime.server.put(message).answer() == {"statusCode": 200}
            assert endpoint.posts["abc="] == [b"hello", b"answer"]


async def test_it_fails(tmp_path: Path) -> None:
    async with running(tmp_path, APP) as runtime:
        await answered(runtime, "/raises")
        await runtime.server.ready()
    assert "ValueError: after the answer" in runtime.output.decode()


async def test_a_lifespan_that_fails_after_the_answer(tmp_path: Path) -> None:
    """Lambda has the answer; the log has the error."""
    code = APP.replace(', lifespan_scope="process"', "").replace("shutdown.complete", "shutdown.failed")
    async with running(tmp_path, code) as runtime:
        await answered(runtime)
        await runtime.server.ready()
        await answered(runtime)
    assert "[ERROR] LifespanFailure: Lifespan shutdown failure." in runtime.output.decode()


async def test_an_answer_that_no_handler_can_make(tmp_path: Path) -> None:
    """It is an error of the invocation, and none of the application's."""
    code = """
        from mangum import Mangum
        from mangum.handlers.function_url import FunctionURL

        class Custom(FunctionURL):
            def __call__(self, response):
                raise KeyError("translation")

        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"done"})
            print("sent")

        handler = Mangum(app, "off", custom_handlers=[Custom])
    """
    async with running(tmp_path, code) as runtime:
        assert (await runtime.server.put(function_url()).failure())["errorType"] == "KeyError"
        await runtime.server.ready()
        assert runtime.lines[0] == "sent"


# SIGTERM


async def test_lambda_is_made_to_send_it(tmp_path: Path) -> None:
    async with running(tmp_path, APP) as runtime:
        await runtime.server.ready()
        assert list(runtime.server.extensions.values()) == ["mangum-runtime"]
        await runtime.server.until(lambda server: server.waiting_extensions == {"mangum-runtime"})
        assert runtime.server.requests[0] == "POST /2020-01-01/extension/register"  # before the runtime is ready


async def test_unless_it_is_told_not_to(tmp_path: Path) -> None:
    async with running(tmp_path, APP, environment={"MANGUM_RUNTIME_EXTENSION": "off"}) as runtime:
        await answered(runtime)
        assert runtime.server.extensions == {}


@pytest.mark.parametrize("fault", [403, 500, "close", "hang", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"])
async def test_lambda_does_not_want_an_extension(tmp_path: Path, fault: Any) -> None:
    server = RuntimeAPIServer()
    server.faults["register"] = deque([fault])
    async with running(
        tmp_path, f"import logging\nlogging.getLogger().setLevel('INFO')\n{APP}", server=server
    ) as runtime:
        await answered(runtime)
        assert await runtime.terminate() == 0
    assert "There will be no SIGTERM" in runtime.output.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_end_while_it_waits(tmp_path: Path, number: int) -> None:
    async with running(tmp_path, APP) as runtime:
        await runtime.server.ready()
        runtime.process.send_signal(number)
        assert await runtime.end() == 0
        assert runtime.lines == ["startup", "shutdown"]


async def test_the_end_while_an_invocation_runs(tmp_path: Path) -> None:
    """It gets a moment, and then is cancelled; then the application shuts down."""
    async with running(tmp_path, APP) as runtime:
        await answered(runtime, "/long")
        runtime.process.send_signal(signal.SIGINT)
        assert await runtime.terminate() == 0  # a second one is no news
        assert runtime.lines == ["startup", "cleaned up", "shutdown"]
    async with running(tmp_path, APP) as runtime:
        await answered(runtime, "/background")
        runtime.process.send_signal(signal.SIGTERM)
        (tmp_path / "go").touch()
        assert await runtime.end() == 0
        assert runtime.lines == ["startup", "background work done", "shutdown"]


@pytest.mark.parametrize(
    "handler", ["", "handler = (lambda inner: lambda event, context: inner(event, context))(handler)"]
)
async def test_an_invocation_without_an_answer_at_the_end(tmp_path: Path, handler: str) -> None:
    """It gets a moment for its answer. Then Lambda hears that there is none."""
    async with running(tmp_path, f"{APP}\n{handler}") as runtime:
        delivered = runtime.server.put(function_url("/waits"))
        await runtime.until_line("waits")
        (tmp_path / "go").touch()
        runtime.process.send_signal(signal.SIGTERM)
        assert (await delivered.answer())["statusCode"] == 200
        assert await runtime.end() == 0
    (tmp_path / "go").unlink()
    async with running(tmp_path, f"{APP}\n{handler}") as runtime:
        delivered = runtime.server.put(function_url("/waits"))
        await runtime.until_line("waits")
        runtime.process.send_signal(signal.SIGTERM)
        assert (await delivered.failure())["errorType"] == "Runtime.ShutDown"
        assert await runtime.end() == 0


async def test_the_end_while_an_answer_is_not_taken(tmp_path: Path) -> None:
    server = RuntimeAPIServer()
    server.faults["response"] = deque(["hang"])
    async with running(tmp_path, APP, server=server, lawful=False) as runtime:
        runtime.server.put(function_url())
        await runtime.server.until(lambda server: not server.faults["response"])
        assert await runtime.terminate() == 0


async def test_the_end_while_there_is_no_runtime_api(tmp_path: Path) -> None:
    async with running(tmp_path, APP) as runtime:
        await runtime.server.ready()
        await runtime.server.refuse()
        async with asyncio.timeout(20):
            while b"There is no event" not in runtime.output:
                await asyncio.sleep(0.01)
        assert await runtime.terminate() == 0


async def test_the_end_of_a_plain_handler(tmp_path: Path) -> None:
    """A thread cannot be cancelled: who waits for it is, and the process ends when the thread does."""
    code = """
        import os, time

        def handler(event, context):
            print("begun", flush=True)
            while not os.path.exists("go"):
                time.sleep(0.005)
    """
    async with running(tmp_path, code) as runtime:
        runtime.server.put(1)
        async with asyncio.timeout(20):
            while b"begun" not in runtime.output:
                await asyncio.sleep(0.01)
        runtime.process.send_signal(signal.SIGTERM)
        await runtime.server.until(lambda server: not server.connections)
        (tmp_path / "go").touch()
        assert await runtime.end() == 0


async def test_what_is_printed_without_a_line_break_is_there(tmp_path: Path) -> None:
    """Before the process may be frozen."""
    async with running(tmp_path, "handler = lambda event, context: print('x', end='')") as runtime:
        await runtime.server.put(1).answer()
        await runtime.server.ready()
        async with asyncio.timeout(20):
            while runtime.output != b"x":
                await asyncio.sleep(0.001)


async def test_thousands_of_invocations_leave_nothing_behind(tmp_path: Path) -> None:
    code = APP.replace('b"done"', "str(len(asyncio.all_tasks())).encode()").replace(', lifespan_scope="process"', "")
    code = code.replace('print("startup")', "pass").replace('print("shutdown")', "pass")
    async with running(tmp_path, code) as runtime:

        async def many(number: int) -> set[str]:
            return {(await runtime.server.put(function_url()).answer())["body"] for _ in range(number)}

        await many(500)
        memory, descriptors = runtime.status("VmRSS"), runtime.descriptors
        assert len(await many(5_000)) == 1  # as many tasks as at the beginning
        await runtime.server.ready()
        assert runtime.descriptors == descriptors
        assert runtime.status("VmRSS") - memory < 1024  # KiB


# SnapStart

HOOKS = """
import random
from snapshot_restore_py import register_after_restore, register_before_snapshot
import snapshot_restore_py

random.seed(1)

@register_before_snapshot
def before():
    print("before, registered first")

@register_before_snapshot
async def before_async():
    print("before, registered last")

register_after_restore(print, "after, registered first")
register_after_restore(lambda: print(random.random() == random.Random(1).random()))
"""
SNAP_START = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}


async def test_a_snapshot(tmp_path: Path) -> None:
    server = RuntimeAPIServer(snap_start=True)
    async with running(tmp_path, HOOKS + APP, server=server, environment=SNAP_START) as runtime:
        await server.until(lambda server: "GET /2018-06-01/runtime/restore/next" in server.requests)
        assert runtime.lines == ["startup", "before, registered last", "before, registered first"]
        server.restored.set()
        await answered(runtime)
        assert runtime.lines[3:] == ["after, registered first", "False"]


async def test_connections_are_made_anew_after_it(tmp_path: Path) -> None:
    code = APP.replace('"process"', f'"process", dsn="sqlite://{tmp_path}/connections.db"')
    server = RuntimeAPIServer(snap_start=True)
    async with running(tmp_path, code, server=server, environment=SNAP_START) as runtime:
        await server.until(lambda server: "GET /2018-06-01/runtime/restore/next" in server.requests)
        assert not [link for link in _links(runtime.process.pid) if link.endswith("connections.db")]
        server.restored.set()
        await answered(runtime)
        assert [link for link in _links(runtime.process.pid) if link.endswith("connections.db")]


def _links(process: int) -> list[str]:
    return [str(link.readlink()) for link in Path(f"/proc/{process}/fd").iterdir() if link.exists()]


async def test_a_hook_fails_before_the_snapshot(tmp_path: Path) -> None:
    code = f"{HOOKS}{APP}\n@register_before_snapshot\ndef fails(): raise ValueError('no')"
    async with running(tmp_path, code, server=RuntimeAPIServer(snap_start=True), environment=SNAP_START) as runtime:
        assert await runtime.end() == 64
        assert runtime.server.init_error is not None
        assert runtime.server.init_error["errorMessage"] == "no"
        assert runtime.server.init_error_type == "Runtime.BeforeSnapshotError"
        assert runtime.lines[-1] == "shutdown"


async def test_a_hook_fails_after_the_restore(tmp_path: Path) -> None:
    code = f"{HOOKS}{APP}\n@register_after_restore\ndef fails(): raise ValueError('no')"
    server = RuntimeAPIServer(snap_start=True)
    server.restored.set()
    async with running(tmp_path, code, server=server, environment=SNAP_START) as runtime:
        assert await runtime.end() == 65
        assert server.restore_error is not None
        assert server.restore_error["errorMessage"] == "no"


async def test_there_is_no_snapstart_after_all(tmp_path: Path) -> None:
    async with running(tmp_path, "handler = lambda event, context: event", environment=SNAP_START) as runtime:
        assert await runtime.server.put(1).answer() == 1
    assert "There was no restore: 404" in runtime.output.decode()


async def test_the_runtime_of_a_module(tmp_path: Path) -> None:
    """`AWS_LAMBDA_EXEC_WRAPPER`: it is called with the interpreter, and what AWS would have it run."""
    wrapper = PROJECT / "mangum" / "runtime" / "wrapper"
    command = (str(wrapper), OWN[0], "/var/runtime/bootstrap.py")
    async with running(tmp_path, APP, command, environment={"PYTHONPATH": ""}) as runtime:
        await answered(runtime)


async def test_there_is_nobody_to_register_with(caplog: pytest.LogCaptureFixture) -> None:
    extension = Extension(f"127.0.0.1:{free_port()}")
    with caplog.at_level("INFO", "mangum.runtime"):
        extension.begin()
    assert "There will be no SIGTERM: the runtime could not be registered as an extension." in caplog.text
    await extension.register()
    extension.close()
