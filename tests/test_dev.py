"""`mangum dev` as its users have it: a process, real clients, and a function that may be anything."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from mangum.local.reload import _names
from tests.dev_server import serving

APP = """
import json
from mangum import Mangum

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    seen = {
        "method": scope["method"],
        "path": scope["path"],
        "root_path": scope["root_path"],
        "query": scope["query_string"].decode(),
        "cookie": [value.decode() for name, value in scope["headers"] if name == b"cookie"],
        "body": body.decode("latin-1"),
        "source": sorted(scope["aws.event"]),
        "remaining": scope["aws.context"].get_remaining_time_in_millis() > 0,
    }
    await send({"type": "http.response.start", "status": 201, "headers": [
        [b"content-type", b"application/json"], [b"set-cookie", b"a=1"], [b"set-cookie", b"b=2"]]})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})

handler = Mangum(app)
rooted = Mangum(app, root_path="auto")

def wrapped(scope, receive, send):
    return app(scope, receive, send)
"""
SOURCES = ["alb", "function-url", "http-api", "rest-api"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "served_app.py").write_text(APP)
    return tmp_path


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("target", ["served_app:app", "served_app:handler"])
def test_a_request_over_a_socket(folder: Path, source: str, target: str) -> None:
    with serving(folder, target, "--source", source, "--no-reload") as server, httpx.Client(timeout=30) as client:
        response = client.post(
            f"{server.url}/caf%C3%A9%20x?q=1&r=a%2Bb",
            content=b"\x00\xff body",
            headers=[("cookie", "c=3; d=4"), ("content-type", "application/octet-stream")],
        )
        seen = response.json()
        assert response.status_code == 201
        assert (seen["method"], seen["path"], seen["body"]) == ("POST", "/café x", "\x00\xff body")
        assert (seen["query"], seen["cookie"], seen["remaining"]) == ("q=1&r=a%2Bb", ["c=3; d=4"], True)
        assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]
        assert ("requestContext" in seen["source"], "rawPath" in seen["source"]) == (
            True,
            source in ("http-api", "function-url"),
        )
        assert client.head(server.url).text == ""
        server.wait_for(r"^POST /caf.+ 201 \d+\.\d ms")
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        assert "Traceback" not in server.output


def test_a_stage_in_the_url(folder: Path) -> None:
    with serving(folder, "served_app:rooted", "--source", "rest-api", "--stage", "prod", "--no-reload") as server:
        seen = httpx.get(f"{server.url}/prod/items", timeout=30).json()
        assert (seen["path"], seen["root_path"]) == ("/prod/items", "/prod")
        assert httpx.get(f"{server.url}/items").status_code == 403


def test_curl(folder: Path) -> None:
    curl = shutil.which("curl")
    if curl is None and not os.environ.get("CI"):
        pytest.skip("curl is not installed.")
    assert curl is not None
    with serving(folder, "served_app:app", "--no-reload") as server:
        out = subprocess.run(
            [curl, "-sS", "-i", "-d", "x=1", f"{server.url}/form"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout
    head, _, body = out.replace("\r\n", "\n").partition("\n\n")
    assert head.startswith("HTTP/1.1 201")
    assert json.loads(body)["body"] == "x=1"


def test_uploads_in_chunks_and_many_at_once(folder: Path) -> None:
    def upload(number: int) -> tuple[int, str]:
        chunks = iter([f"{number}:".encode(), b"x" * 100_000, b"y" * 100_000])
        response = httpx.post(f"{server.url}/", content=chunks, headers={"content-type": "text/plain"}, timeout=60)
        return number, response.json()["body"]

    with serving(folder, "served_app:app", "--no-reload") as server, ThreadPoolExecutor(20) as threads:
        assert server.url
        for number, body in threads.map(upload, range(60)):
            assert body == f"{number}:" + "x" * 100_000 + "y" * 100_000


FAULTY = """
import sys, time

def handler(event, context):
    print("asked for", event["rawPath"])
    match event["rawPath"]:
        case "/raise":
            raise ValueError("no good")
        case "/exit":
            sys.exit(3)
        case "/hang":
            time.sleep(60)
        case "/status":
            return {"statusCode": "nonsense"}
        case "/set":
            return {1, 2}
        case "/large":
            return {"statusCode": 200, "body": "x" * 7_000_000}
        case "/split":
            return {"statusCode": 200, "headers": {"x-a": "1\\r\\nx-b: 2"}}
    return {"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": "fine"}
"""


def test_a_faulty_function(tmp_path: Path) -> None:
    tmp_path.joinpath("faulty.py").write_text(FAULTY)
    reasons = {
        "/raise": "ValueError: no good",
        "/exit": "Runtime.ExitError",
        "/status": "`statusCode` is 'nonsense'",
        "/set": "Runtime.MarshalError",
        "/large": "Function.ResponseSizeTooLarge",
        "/split": "`headers.x-a` has a line break",
    }
    with (
        serving(tmp_path, "faulty:handler", "--timeout", "1", "--source", "function-url", "--no-reload") as server,
        httpx.Client(timeout=30, base_url=server.url) as client,
    ):
        for path, reason in reasons.items():
            response = client.get(path)
            assert (response.status_code, response.text) == (502, "Internal Server Error"), path
            server.wait_for(re.escape(reason))
            assert client.get("/").text == "fine"
        assert client.get("/hang").status_code == 502
        server.wait_for(r"Task timed out after 1\.00 seconds")
        assert client.get("/").text == "fine"
        assert client.post("/", content=b"x" * 7_000_000).status_code == 413


def test_an_api_waits_for_so_long_only(tmp_path: Path) -> None:
    tmp_path.joinpath("faulty.py").write_text(FAULTY)
    with (
        serving(tmp_path, "faulty:handler", "--integration-timeout", "2", "--timeout", "3", "--no-reload") as server,
        httpx.Client(timeout=30, base_url=server.url) as client,
    ):
        assert client.get("/hang").status_code == 504
        server.wait_for(r"Task timed out after 3\.00 seconds")  # the function had run on
        assert client.get("/").text == "fine"


LIVING = """
import asyncio
from mangum import Mangum

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            print(kind, flush=True)
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    if scope["path"] == "/wait":
        print("waiting", flush=True)
        await asyncio.sleep(60)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"VERSION"})

handler = Mangum(app, lifespan_scope="process")
"""


def test_a_change_of_the_code(tmp_path: Path) -> None:
    code = tmp_path / "living.py"
    code.write_text(LIVING.replace("VERSION", "one"))
    with serving(tmp_path, "living:handler") as server, httpx.Client(timeout=30, base_url=server.url) as client:
        assert client.get("/").text == "one"
        code.write_text(LIVING.replace("VERSION", "two"))
        server.wait_for(r"^Reloaded: living\.py")
        assert client.get("/").text == "two"
        server.wait_for("lifespan.shutdown")

        code.write_text("def broken(")
        server.wait_for("cannot be loaded")
        assert client.get("/").status_code == 500
        code.write_text(LIVING.replace("VERSION", "three"))
        server.wait_for(r"^Reloaded: living\.py", count=3)
        assert client.get("/").text == "three"


def constant(answer: str) -> str:
    return f"def handler(event, context): return {{'statusCode': 200, 'body': '{answer}'}}\n"


def wait_for_answer(client: httpx.Client, answer: str) -> None:
    deadline = time.monotonic() + 30
    while (seen := client.get("/").text) != answer:
        assert time.monotonic() < deadline, seen


@pytest.mark.parametrize(
    "options",
    [(), ("--workers", "2"), ("--workers", "2", "--runtime", "awslambdaric")],
    ids=lambda names: "-".join(names),
)
def test_ten_edits_in_a_second(tmp_path: Path, options: tuple[str, ...]) -> None:
    """The file has the same size and the same time of change after each. The last ones come faster than reloads."""
    code, draft = tmp_path / "edited.py", tmp_path / "draft"
    code.write_text(constant("first"))
    os.utime(code, (1_700_000_000, 1_700_000_000))
    with (
        serving(tmp_path, "edited:handler", *options, PYTHONDONTWRITEBYTECODE="") as server,
        httpx.Client(timeout=30, base_url=server.url) as client,
    ):
        assert client.get("/").text == "first"
        for number in range(10):
            draft.write_text(constant(f"{number:05}"))
            os.utime(draft, (1_700_000_000, 1_700_000_000))
            draft.replace(code)
            if number < 5 or number == 9:
                wait_for_answer(client, f"{number:05}")


def test_the_reloaded_files_are_named() -> None:
    folder = Path("/function")
    assert _names([folder / "a.py", folder / "b" / "c.py"], folder) == f"a.py, {Path('b', 'c.py')}"
    assert _names([folder / f"{number}.py" for number in range(5)], folder) == "0.py, 1.py, 2.py and 2 more"


def test_ctrl_c_with_a_viewer(tmp_path: Path) -> None:
    tmp_path.joinpath("living.py").write_text(LIVING)
    with (
        serving(tmp_path, "living:handler") as server,
        httpx.Client(timeout=30) as client,
        client.stream("GET", f"{server.url}/_mangum/stream") as viewing,
    ):
        assert viewing.status_code == 200
        server.send_signal(signal.SIGINT)
        assert server.wait() == 0
    assert "lifespan.shutdown" in server.output
    assert "Traceback" not in server.output


@pytest.mark.parametrize("workers", ["0", "1"])
def test_ctrl_c_while_a_request_runs(tmp_path: Path, workers: str) -> None:
    tmp_path.joinpath("living.py").write_text(LIVING)
    options = ["--no-reload", "--no-dashboard", "--workers", workers]
    with serving(tmp_path, "living:handler", *options) as server, ThreadPoolExecutor(1) as thread:
        asking = thread.submit(httpx.get, f"{server.url}/wait", timeout=60)
        server.wait_for("^waiting")
        server.send_signal(signal.SIGINT)
        assert server.wait() == 0
        assert asking.result().status_code == 500
    assert "GET /wait: Runtime.ExitError: the gateway has been stopped" in server.output
    assert "Traceback" not in server.output
    if workers == "0":  # what runs is cancelled, and the application shut down
        assert "lifespan.shutdown" in server.output


def test_ctrl_c_while_a_function_cannot_be_stopped(tmp_path: Path) -> None:
    blocking = LIVING.replace("await asyncio.sleep(60)", "__import__('time').sleep(600)")
    tmp_path.joinpath("living.py").write_text(blocking)
    options = ["--no-reload", "--no-dashboard"]
    with serving(tmp_path, "living:handler", *options) as server, ThreadPoolExecutor(1) as thread:
        asking = thread.submit(httpx.get, f"{server.url}/wait", timeout=60)
        server.wait_for("^waiting")
        server.send_signal(signal.SIGINT)
        assert server.wait() == 0
        assert asking.result().status_code == 500
    assert "had not shut down after 2.0 s, and is left to itself." in server.output
    assert "Traceback" not in server.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("served_app",), "module:attribute"),
        (("served_app:missing",), 'Attribute "missing" not found'),
        (("missing_app:app",), 'Could not import module "missing_app"'),
        (("served_app:app", "--source", "carrier-pigeon"), "carrier-pigeon"),
        (("served_app:app", "--dsn", "nonsense://x"), "nonsense"),
        (("served_app:app", "--source", "alb", "--stage", "prod"), "alb has neither a stage"),
    ],
)
def test_what_cannot_be_served(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    with serving(folder, *arguments) as server:
        assert server.wait() == 2
    assert message in server.output
    assert "Traceback" not in server.output


def test_a_port_that_is_taken(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "mangum", "dev", "served_app:app", "--port", port],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2
    assert f"Cannot listen on 127.0.0.1:{port}: " in done.stderr
    assert "--port" in done.stderr


COUNTING = """
import os
from mangum import Mangum

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    body = f"{scope['query_string'].decode()} {os.getpid()}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})

handler = Mangum(app, lifespan="off")
"""


@pytest.mark.parametrize("runtime", ["mangum", "awslambdaric"])
def test_2000_requests_from_50_clients_through_4_workers(tmp_path: Path, runtime: str) -> None:
    def ask(client: int) -> list[str]:
        with httpx.Client(timeout=120, base_url=server.url) as session:
            return [session.get("/", params={"number": client * 40 + index}).text for index in range(40)]

    tmp_path.joinpath("counting.py").write_text(COUNTING)
    options = ["--workers", "4", "--runtime", runtime, "--no-reload"]
    with (
        serving(tmp_path, "counting:handler", *options, is_measured=False) as server,
        ThreadPoolExecutor(50) as clients,
    ):
        assert server.url
        answers = [answer.split() for answers in clients.map(ask, range(50)) for answer in answers]
        assert [number for number, _ in answers] == [f"number={number}" for number in range(2000)]
        pids = {int(pid) for _, pid in answers}
        assert 2 <= len(pids) <= 4
        server.send_signal(signal.SIGINT)
        assert server.wait() == 0
        assert "Traceback" not in server.output
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_faulty_function_in_workers(tmp_path: Path) -> None:
    faulty = FAULTY.replace("import sys, time", "import os, sys, time").replace("sys.exit(3)", "os._exit(3)")
    tmp_path.joinpath("faulty.py").write_text(faulty)
    reasons = {
        "/raise": "ValueError: no good",
        "/exit": "Runtime.ExitError: Runtime exited with error: exit status 3",
        "/status": "`statusCode` is 'nonsense'",
        "/set": "Runtime.MarshalError",
        "/large": "Function.ResponseSizeTooLarge",
        "/hang": r"Task timed out after 1.00 seconds",
    }
    options = ["--workers", "1", "--timeout", "1", "--source", "function-url", "--no-reload"]
    with (
        serving(tmp_path, "faulty:handler", *options) as server,
        httpx.Client(timeout=60, base_url=server.url) as client,
    ):
        for path, reason in reasons.items():
            response = client.get(path)
            assert (response.status_code, response.text) == (502, "Internal Server Error"), path
            server.wait_for(re.escape(reason))
            assert client.get("/").text == "fine"


def test_a_change_of_the_code_of_workers(tmp_path: Path) -> None:
    code = tmp_path / "living.py"
    code.write_text(LIVING.replace("VERSION", "one"))
    with (
        serving(tmp_path, "living:handler", "--workers", "2") as server,
        httpx.Client(timeout=30, base_url=server.url) as client,
    ):
        assert client.get("/").text == "one"
        code.write_text(LIVING.replace("VERSION", "two"))
        server.wait_for(r"^Reloaded: living\.py")
        assert client.get("/").text == "two"
        server.wait_for("lifespan.shutdown")
