"""`mangum dev --stream`: from the application through the runtime and the front door to curl and a browser."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser import browser_path, open_browser
from tests.dev_server import DevServer, serving

APP = """
import asyncio, os
from mangum import Mangum
from mangum.runtime.reply import RuntimeReply

stream = RuntimeReply.stream

def malformed(self, prelude, when_gone):  # mangum itself sends no such name: another runtime may
    return stream(self, prelude.replace(b"x-no-name", b"no name"), when_gone)

RuntimeReply.stream = malformed

async def start(send, kind=b"text/plain", *headers):
    headers = [(b"content-type", kind), *headers]
    await send({"type": "http.response.start", "status": 200, "headers": headers})

async def piece(send, body, more_body=True):
    await send({"type": "http.response.body", "body": body, "more_body": more_body})

async def app(scope, receive, send):
    assert scope["type"] == "http"
    path = scope["path"]
    if path == "/page":
        await start(send, b"text/html")
        await piece(send, PAGE.encode(), False)
    elif path == "/slow":
        await receive()
        await start(send, b"text/event-stream", (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"))
        await piece(send, b"data: first\\n\\n")
        while not os.path.exists("go"):
            await asyncio.sleep(0.005)
        await piece(send, b"data: last\\n\\n", False)
    elif path in ("/large", "/malformed", "/late"):
        await start(send, b"text/plain", *([(b"x-no-name", b"x")] if path == "/malformed" else []))
        while path == "/late" and not os.path.exists("go"):
            await asyncio.sleep(0.005)
        for _ in range(32):
            await piece(send, bytes(1024 * 1024))
        await piece(send, b"", False)
    elif path == "/raises":
        await start(send)
        await piece(send, b"half")
        raise ValueError("no")
    elif path == "/dies":
        await start(send)
        await piece(send, b"half")
        await asyncio.sleep(0.05)
        os._exit(3)
    elif path == "/watches":
        await receive()
        await start(send)
        await piece(send, b"first")
        print("told:", (await receive())["type"], flush=True)
    else:
        await start(send)
        await piece(send, path.encode(), False)

PAGE = '''<!doctype html><title>Stream</title><ol id=events></ol><script>
const events = new EventSource("/slow");
events.onmessage = (event) => {
  document.getElementById("events").append(Object.assign(document.createElement("li"), {textContent: event.data}));
  if (event.data === "last") events.close();
};
</script>'''

handler = Mangum(app)

def plain(event, context):
    return {"statusCode": 200, "body": "at once"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "streamed_app.py").write_text(textwrap.dedent(APP))
    return tmp_path


@pytest.fixture(params=["function-url", "rest-api"])
def server(request: pytest.FixtureRequest, folder: Path) -> Iterator[DevServer]:
    options = ("--source", request.param, "--workers", "1", "--stream", "--no-reload")
    with serving(folder, "streamed_app:handler", *options) as server:
        yield server
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0, server.output


def test_curl_has_the_first_piece_while_the_application_runs(server: DevServer, folder: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        assert os.environ.get("CI") != "true", "there is no curl"
        pytest.skip("there is no curl")
    with subprocess.Popen([curl, "-sNi", f"{server.url}/slow"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        head = b""
        while not head.endswith(b"data: first\n\n"):
            head += process.stdout.read1(1)  # type: ignore[attr-defined] # it is buffered
        assert head.count(b"set-cookie: ") == 2
        assert b"transfer-encoding: chunked" in head.lower()
        (folder / "go").touch()
        assert process.stdout.read() == b"data: last\n\n"
    server.wait_for("GET /slow 200")


def test_a_browser_has_it_too(folder: Path) -> None:
    path = browser_path()
    if path is None:
        assert os.environ.get("CI") != "true", "there is no Chromium"
        pytest.skip("there is no Chromium")
    options = ("--source", "function-url", "--workers", "2", "--stream", "--no-reload")
    with serving(folder, "streamed_app:handler", *options) as server, open_browser(path) as browser:
        page = browser.new_page()
        page.goto(f"{server.url}/page")
        expect(page.locator("#events li")).to_have_text(["first"])
        (folder / "go").touch()
        expect(page.locator("#events li")).to_have_text(["first", "last"])


def test_responses_of_all_kinds(server: DevServer) -> None:
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/short").text == "/short"
        assert client.get("/large").content == bytes(32 * 1024 * 1024)
        assert client.head("/short").headers["content-type"] == "text/plain"
        for path, words in (
            ("/raises", "the response is cut off: ValueError: no"),
            ("/dies", "the response is cut off: Runtime.TruncatedResponse"),
        ):
            with pytest.raises(httpx.RemoteProtocolError):
                client.get(path)
            server.wait_for(words)
        assert client.get("/again").text == "/again"


def test_a_stream_that_the_front_door_refuses(server: DevServer) -> None:
    """It is not read, and its sandbox is free again."""
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/malformed").status_code == 502
        server.wait_for("is no name of a header")
        assert client.get("/again").text == "/again"


def test_a_stream_that_comes_too_late(folder: Path) -> None:
    options = ("--source", "rest-api", "--workers", "1", "--stream", "--no-reload", "--integration-timeout", "0.2")
    with serving(folder, "streamed_app:handler", *options) as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/short").text == "/short"
        assert client.get("/late").status_code == 504
        (folder / "go").touch()
        server.wait_for("GET /late 504")
        while client.get("/again").status_code == 504:  # until the sandbox is free
            pass
        assert client.get("/again").text == "/again"


def test_a_client_that_goes_away(server: DevServer) -> None:
    with httpx.stream("GET", f"{server.url}/watches") as response:
        assert next(response.iter_bytes()) == b"first"
    server.wait_for("told: http.disconnect")
    assert httpx.get(f"{server.url}/again").text == "/again"
    assert "cut off" not in server.output


def test_what_is_streamed_is_in_the_journal(folder: Path) -> None:
    options = ("--source", "function-url", "--workers", "1", "--stream", "--no-reload")
    with serving(folder, "streamed_app:handler", *options) as server:
        httpx.get(f"{server.url}/short")
        page = httpx.get(f"{server.url}/_mangum").text
        assert "/short" in page
        invocation = page.partition("/_mangum/invocations/")[2].partition('"')[0]
        assert "(6 bytes, streamed)" in httpx.get(f"{server.url}/_mangum/invocations/{invocation}").text
        headers = {"origin": server.url}
        again = httpx.post(
            f"{server.url}/_mangum/invocations/{invocation}/again", headers=headers, follow_redirects=True
        )
        assert "Sent again" in again.text
        assert "(6 bytes, streamed)" in again.text
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0


@pytest.mark.parametrize(
    ("source", "status", "body"),
    [("function-url", 200, '{"statusCode": 200, "body": "at once"}'), ("rest-api", 502, "")],
)
def test_a_handler_that_does_not_stream(folder: Path, source: str, status: int, body: str) -> None:
    options = ("--source", source, "--workers", "1", "--stream", "--no-reload")
    with serving(folder, "streamed_app:plain", *options) as server:
        response = httpx.get(f"{server.url}/")
        assert response.status_code == status
        assert body in response.text
        if status == 502:
            server.wait_for("it is not streamed, and the API's integration has the response transfer mode STREAM")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--source", "function-url"), "it needs --workers 1 or more"),
        (("--source", "function-url", "--workers", "1", "--runtime", "awslambdaric"), "is what mangum's runtime does"),
        (("--workers", "1"), "http-api takes no streams: --stream is for rest-api and function-url."),
    ],
)
def test_what_cannot_stream(folder: Path, options: tuple[str, ...], message: str) -> None:
    with serving(folder, "streamed_app:handler", "--stream", *options) as server:
        assert server.wait() == 2
        assert message in server.output


def test_a_front_door_that_takes_no_streams(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function was told to stream by its own environment, and the gateway was not."""
    monkeypatch.setenv("MANGUM_RESPONSE_MODE", "stream")
    with serving(folder, "streamed_app:handler", "--source", "function-url", "--workers", "1", "--no-reload") as server:
        assert httpx.get(f"{server.url}/short").status_code == 502
        server.wait_for("it is streamed, which function-url does not take")
