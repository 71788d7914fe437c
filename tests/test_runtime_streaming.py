"""Responses that go out as they are made."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.lambda_runtime import event_of, function_url, running
from tests.servers.runtime_api import Delivered

pytestmark = pytest.mark.anyio

STREAM = {"MANGUM_RESPONSE_MODE": "stream"}
APP = """
import asyncio, os
from mangum import Mangum

TEXT = [(b"content-type", b"text/plain")]

async def app(scope, receive, send):
    assert scope["type"] == "http"
    await routes[scope["path"].rpartition("/")[2]](scope, receive, send)

async def start(send, status=200, headers=TEXT):
    await send({"type": "http.response.start", "status": status, "headers": headers})

async def piece(send, body, more_body=True):
    await send({"type": "http.response.body", "body": body, "more_body": more_body})

async def plain(scope, receive, send):
    await start(send)
    await piece(send, b"one ")
    await piece(send, b"")
    await piece(send, b"two", False)

async def echo(scope, receive, send):
    body = (await receive())["body"]
    await start(send, 201)
    await piece(send, body, False)

async def cookies(scope, receive, send):
    await start(send, headers=[*TEXT, (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"x-a", b"1"), (b"x-a", b"2")])
    await piece(send, b"", False)

async def slow(scope, receive, send):
    await start(send)
    await piece(send, b"first")
    while not os.path.exists("go"):
        await asyncio.sleep(0.005)
    await piece(send, b"last", False)

async def large(scope, receive, send):
    await start(send)
    part = bytes(1024 * 1024)
    for _ in range(int(scope["query_string"] or 4)):
        await piece(send, part)
        with open("sent", "a") as file:
            file.write("x")
    await piece(send, b"", False)

async def one_piece(scope, receive, send):
    await start(send)
    await piece(send, bytes(5_000_000), False)

async def raises_early(scope, receive, send):
    await start(send)
    raise ValueError("no")

async def raises(scope, receive, send):
    await start(send)
    await piece(send, b"half")
    raise ValueError("n\\u00f6")

class Untold(Exception):
    def __str__(self):
        raise ValueError("no text")

async def raises_untold(scope, receive, send):
    await start(send)
    await piece(send, b"half")
    raise Untold

async def raises_late(scope, receive, send):
    await plain(scope, receive, send)
    raise ValueError("too late")

async def returns(scope, receive, send):
    await start(send)
    await piece(send, b"half")

async def nothing(scope, receive, send):
    pass

async def hangs(scope, receive, send):
    await start(send)
    await piece(send, b"half")
    await asyncio.sleep(600)

async def raises_when_told(scope, receive, send):
    while not os.path.exists("go"):
        await asyncio.sleep(0.005)
    raise ValueError("no")

async def hangs_early(scope, receive, send):
    await asyncio.sleep(600)

async def many_headers(scope, receive, send):
    await start(send, headers=[(b"x-%d" % number, b"v" * 100) for number in range(200)])
    await piece(send, b"never", False)

async def wrong(scope, receive, send):
    await start(send)
    try:
        await send({"type": "http.response.start", "status": 200, "headers": []})
    except Exception as error:
        await piece(send, type(error).__name__.encode(), False)

async def watches(scope, receive, send):
    await receive()
    await start(send)
    await piece(send, b"first")
    message = await receive()
    try:
        await piece(send, b"more")
    except OSError as error:
        print("told:", message["type"], type(error).__name__, (await receive())["type"])
        raise

async def sends_on(scope, receive, send):
    await start(send)
    while True:
        await piece(send, bytes(65536))

async def background(scope, receive, send):
    await plain(scope, receive, send)
    while not os.path.exists("go"):
        await asyncio.sleep(0.005)
    print("background work done")

routes = {name: each for name, each in globals().items() if asyncio.iscoroutinefunction(each)}
handler = Mangum(app, event_path="/events")
"""


def rest_api(path: str) -> dict[str, Any]:
    """The event of a request to a REST API."""
    event = {**event_of("apiGatewayProxyEvent"), "path": path, "resource": "/{proxy+}", "httpMethod": "GET"}
    return {name: value for name, value in event.items() if name not in ("version", "body")}


async def streamed(delivered: Delivered) -> Delivered:
    """A response that has come to its end."""
    await delivered.settled()
    assert delivered.error is None
    assert delivered.is_streamed
    return delivered


async def test_a_function_url(tmp_path: Path) -> None:
    async with running(tmp_path, APP, environment=STREAM) as runtime:
        delivered = await streamed(runtime.server.put(function_url("/plain")))
        assert delivered.stream.prelude == {"statusCode": 200, "headers": {"content-type": "text/plain"}}
        assert delivered.stream.chunks == [b"one ", b"two"]
        assert delivered.stream.trailers == {}
        delivered = await streamed(runtime.server.put(function_url("/echo", body="x")))
        assert (delivered.stream.prelude["statusCode"], delivered.stream.body) == (201, b"x")
        delivered = await streamed(runtime.server.put(function_url("/cookies")))
        assert delivered.stream.prelude["cookies"] == ["a=1", "b=2"]
        assert delivered.stream.prelude["headers"]["x-a"] == "1,2"
        assert delivered.stream.body == b""


async def test_a_rest_api(tmp_path: Path) -> None:
    async with running(tmp_path, APP, environment=STREAM) as runtime:
        delivered = await streamed(runtime.server.put(rest_api("/cookies")))
        prelude = delivered.stream.prelude
        assert prelude["multiValueHeaders"] == {"set-cookie": ["a=1", "b=2"], "x-a": ["1", "2"]}
        assert prelude["headers"] == {"content-type": "text/plain"}


@pytest.mark.parametrize("name", ["apiGatewayProxyV2Event_GET", "albEvent", "vpcLatticeV2Event"])
async def test_front_doors_that_take_no_streams(tmp_path: Path, name: str) -> None:
    async with running(tmp_path, APP, environment=STREAM) as runtime:
        event = event_of(name)
        for field in ("rawPath", "path"):
            if field in event:
                event[field] = "/plain"
        if "http" in event["requestContext"]:
            event["requestContext"]["http"]["path"] = "/plain"
        delivered = runtime.server.put(event)
        assert (await delivered.answer())["body"] == "one two"
        assert not delivered.is_streamed


async def test_events_that_are_no_requests(tmp_path: Path) -> None:
    code = (
        APP.replace('rpartition("/")[2]', 'removeprefix("/").replace("events", "answers_json")')
        + """
async def answers_json(scope, receive, send):
    await start(send, headers=[(b"content-type", b"application/json")])
    await piece(send, b'{"batchItemFailures": []}', False)

routes["answers_json"] = answers_json
"""
    )
    async with running(tmp_path, code, environment=STREAM) as runtime:
        assert await runtime.server.put(event_of("sqsEvent")).answer() == {"batchItemFailures": []}
        delivered = await streamed(runtime.server.put(function_url("/events")))  # from outside
        assert (delivered.stream.prelude["statusCode"], delivered.stream.body) == (404, b"Not Found")


async def test_the_first_piece_comes_while_the_application_runs(tmp_path: Path) -> None:
    async with running(tmp_path, APP, environment=STREAM) as runtime:
        delivered = runtime.server.put(function_url("/slow"))
        async with asyncio.timeout(20):
            await delivered.stream.until(lambda stream: stream.chunks == [b"first"])
        assert not delivered.answered.is_set()
        (tmp_path / "go").touch()
        assert (await streamed(delivered)).stream.body == b"firstlast"


async def test_a_client_that_reads_slowly_slows_the_application(tmp_path: Path) -> None:
    async with running(tmp_path, APP, environment=STREAM) as runtime:
        delivered = runtime.server.put({**function_url("/large"), "rawQueryString": "64"})
        gate = delivered.stream.gate = asyncio.Event()
        await runtime.server.until(lambda server: delivered.state == "answering")
        sent = tmp_path / "sent"
        size = await _settled(lambda: sent.stat().st_size if sent.exists() else 0)
        assert 0 < size < 32  # MB; what the kernel's buffers and this side's hold
        gate.set()
        assert (await streamed(delivered)).stream.size == 64 * 1024 * 1024


async def _settled(measure: Any) -> int:
    """A number, once it stays the same."""
    last, same = 0, 0
    while last == 0 or same < 20:
        await asyncio.sleep(0.01)
        now = measure()
        same = same + 1 if now == last else 0
        last = now
    return last


async def test_a_gigabyte_in_flat_memory(tmp_path: Path) -> None:
    async with running(tmp_path, APP, environment=STREAM) as runtime:
        await streamed(runtime.server.put({**function_url("/large"), "rawQueryString": "8"}))
        before = runtime.status("VmRSS")
        delivered = runtime.server.put({**function_url("/large"), "rawQueryString": "1024"})
        delivered.stream.keeps = False
        await delivered.settled(100)
        assert delivered.stream.size == 1024**3
        assert runtime.status("VmHWM") - before < 20 * 1024  # KiB


async def test_a_body_in_one_piece(tmp_path: Path) -> None:
    async with running(tmp_path, APP, environment=STREAM) as runtime:
        delivered = await streamed(runtime.server.put(function_url("/one_piece")))
        assert delivered.stream.body == bytes(5_000_000)


@pytest.mark.parametrize("path", ["/raises_early", "/nothing"])
async def test_an_error_before_the_first_piece_is_a_500(tmp_path: Path, path: str) -> None:
    async with running(tmp_path, APP, environment=STREAM) as runtime:
        delivered = await streamed(runtime.server.put(function_url(path)))
        assert (delivered.stream.prelude["statusCode"], delivered.stream.body) == (500, b"Internal Server Error")
        assert delivered.stream.error is None


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/raises", {"errorType": "ValueError", "errorMessage": "nö"}),
        ("/raises_untold", {"errorType": "Untold", "errorMessage": "<its text cannot be told>"}),
        (
            "/returns",
            {
                "errorType": "Runtime.IncompleteResponse",
                "errorMessage": "The response to GET /returns is not complete.",
            },
        ),
    ],
)
async def test_an_error_in_mid_stream_is_told_in_trailers(tmp_path: Path, path: str, error: Mapping[str, str]) -> None:
    async with running(tmp_path, APP, environment=STREAM) as runtime:
        delivered = await streamed(runtime.server.put(function_url(path)))
        assert delivered.stream.body == b"half"
        assert delivered.stream.error == {**error, "stackTrace": []}
        assert (await streamed(runtime.server.put(function_url("/plain")))).stream.body == b"one two"


async def test_a_lifespan_that_fails_too(tmp_path: Path) -> None:
    code = APP.replace(
        'assert scope["type"] == "http"',
        """if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed"})
        return""",
    )
    async with running(tmp_path, code, environment=STREAM) as runtime:
        delivered = await streamed(runtime.server.put(function_url("/raises")))
        assert delivered.stream.error is not None
        assert delivered.stream.error["errorType"] == "ValueError"
        await runtime.server.ready()
    assert "LifespanFailure" in runtime.output.decode()


async def test_an_error_after_the_last_piece(tmp_path: Path) -> None:
    async with running(tmp_path, APP, environment=STREAM) as runtime:
        delivered = await streamed(runtime.server.put(function_url("/raises_late")))
        assert (delivered.stream.body, delivered.stream.error) == (b"one two", None)
        await runtime.server.ready()
    assert "too late" in runtime.output.decode()


async def test_the_deadline(tmp_path: Path) -> None:
    async with running(tmp_path, APP, environment=STREAM) as runtime:
        delivered = await streamed(runtime.server.put(function_url("/hangs"), timeout_s=0.5))
        assert delivered.stream.body == b"half"
        assert delivered.stream.error is not None
        early = await streamed(runtime.server.put(function_url("/hangs_early"), timeout_s=0.5))
        assert (early.stream.prelude["statusCode"], early.stream.body) == (504, b"Gateway Timeout")
        await runtime.server.ready()
    output = runtime.output.decode()
    assert "GET /hangs was cancelled shortly before the function's timeout: its response is cut off." in output
    assert "GET /hangs_early was cancelled shortly before the function's timeout: the answer is a 504." in output


async def test_the_deadline_comes_while_the_client_does_not_read(tmp_path: Path) -> None:
    async with running(tmp_path, APP, environment=STREAM) as runtime:
        delivered = runtime.server.put({**function_url("/large"), "rawQueryString": "64"}, timeout_s=1)
        gate = delivered.stream.gate = asyncio.Event()
        async with asyncio.timeout(20):
            while b"its response is cut off." not in runtime.output:
                await asyncio.sleep(0.01)
        gate.set()
        assert (await streamed(delivered)).stream.error is not None


async def test_more_headers_than_a_rest_api_takes(tmp_path: Path) -> None:
    async with running(tmp_path, APP, environment=STREAM) as runtime:
        delivered = await streamed(runtime.server.put(rest_api("/many_headers")))
        assert (delivered.stream.prelude["statusCode"], delivered.stream.body) == (500, b"Internal Server Error")
        await runtime.server.ready()
    assert "The headers of the response are too large to be streamed" in runtime.output.decode()


async def test_messages_out_of_order(tmp_path: Path) -> None:
    async with running(tmp_path, APP, environment=STREAM) as runtime:
        delivered = await streamed(runtime.server.put(function_url("/wrong")))
        assert delivered.stream.body == b"UnexpectedMessage"


async def test_the_client_goes_away(tmp_path: Path) -> None:
    async with running(tmp_path, APP, environment=STREAM, lawful=False) as runtime:
        delivered = runtime.server.put(function_url("/watches"))
        async with asyncio.timeout(20):
            await delivered.stream.until(lambda stream: stream.chunks == [b"first"])
        assert delivered.connection is not None
        delivered.connection.transport.abort()
        delivered.state = "lost"
        await runtime.server.ready()
        assert (await streamed(runtime.server.put(function_url("/plain")))).stream.body == b"one two"
    assert "told: http.disconnect ConnectionResetError http.disconnect" in runtime.output.decode()
    assert "Traceback" not in runtime.output.decode()


async def test_the_client_goes_away_while_it_is_sent_more(tmp_path: Path) -> None:
    async with running(tmp_path, APP, environment=STREAM, lawful=False) as runtime:
        delivered = runtime.server.put(function_url("/sends_on"))
        delivered.stream.gate = asyncio.Event()
        await runtime.server.until(lambda server: delivered.state == "answering")
        assert delivered.connection is not None
        delivered.connection.transport.abort()
        delivered.stream.gate.set()
        delivered.state = "lost"
        await runtime.server.ready()
    assert "Traceback" not in runtime.output.decode()


async def test_the_client_has_gone_before_it_is_answered(tmp_path: Path) -> None:
    code = f"import logging\nlogging.getLogger().setLevel('INFO')\n{APP}"
    async with running(tmp_path, code, environment=STREAM, lawful=False) as runtime:
        delivered = runtime.server.put(function_url("/raises_when_told"))
        await runtime.server.until(lambda server: delivered.state == "running")
        assert delivered.connection is not None
        delivered.connection.transport.abort()
        delivered.state = "lost"
        (tmp_path / "go").touch()
        await runtime.server.ready()
    assert "The client went before it was answered." in runtime.output.decode()


async def test_work_after_a_stream(tmp_path: Path) -> None:
    async with running(tmp_path, APP, environment=STREAM) as runtime:
        delivered = await streamed(runtime.server.put(function_url("/background")))
        assert delivered.stream.body == b"one two"
        assert runtime.server.waiting == 0
        (tmp_path / "go").touch()
        await runtime.server.ready()
    assert "background work done" in runtime.output.decode()


async def test_frameworks(tmp_path: Path) -> None:
    code = """
        import asyncio
        from fastapi import FastAPI
        from fastapi.responses import FileResponse, StreamingResponse
        from mangum import Mangum

        app = FastAPI()

        @app.get("/events")
        async def events():
            async def make():
                for number in range(3):
                    yield f"data: {number}\\n\\n"
            return StreamingResponse(make(), media_type="text/event-stream")

        @app.get("/file")
        async def file():
            return FileResponse("function.py")

        @app.get("/json")
        def answer():
            return {"a": 1}

        handler = Mangum(app)
    """
    async with running(tmp_path, code, environment=STREAM) as runtime:
        delivered = await streamed(runtime.server.put(function_url("/events")))
        assert delivered.stream.prelude["headers"]["content-type"] == "text/event-stream; charset=utf-8"
        assert delivered.stream.chunks == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]
        delivered = await streamed(runtime.server.put(function_url("/file")))
        assert delivered.stream.body == (tmp_path / "function.py").read_bytes()
        assert delivered.stream.prelude["headers"]["content-length"] == str(delivered.stream.size)
        delivered = await streamed(runtime.server.put(function_url("/json")))
        assert json.loads(delivered.stream.body) == {"a": 1}
