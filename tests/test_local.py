"""`mangum dev`: a front door on this machine, spoken to by a real client over a real socket."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import runpy
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import mangum
from mangum import Mangum
from mangum.cli.app import cli
from mangum.exceptions import ConfigurationError
from mangum.local.answers import MalformedAnswer, read_alb, read_payload_v1, read_payload_v2
from mangum.local.context import LocalContext
from mangum.local.events import EVENT_BUILDERS, alb_event, function_url_event, http_api_event, rest_api_event
from mangum.local.events.requests import HTTPRequest
from mangum.local.gateway import Gateway
from mangum.local.loading import load_handler
from tests.apps import Recorder, WithLifespan, hello

PROJECT = Path(mangum.__file__).parent.parent
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

def wrapped(scope, receive, send):
    return app(scope, receive, send)

async def undecorated(*args):
    await app(*args)

def plain(event, context):
    return {"statusCode": 200, "body": event["rawPath"], "headers": {"content-type": "text/plain"}}

nothing = 5
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "served_app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(tmp_path)])
    yield tmp_path
    sys.modules.pop("served_app", None)


@contextlib.contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A `mangum dev` of its own process; its address is in its first line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mangum", "dev", *arguments, "--port", "0"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", first)
        assert found is not None, first + process.stdout.read()
        yield found[0], process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("source", sorted(EVENT_BUILDERS))
@pytest.mark.parametrize("target", ["served_app:app", "served_app:handler"])
def test_a_request_over_a_socket(folder: Path, source: str, target: str) -> None:
    with serving(folder, target, "--source", source) as (address, process), httpx.Client() as client:
        response = client.post(
            f"{address}/caf%C3%A9%20x?q=1&r=a%2Bb",
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
        assert client.head(address).text == ""
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    assert re.search(r"^POST /caf.+ 201 \d+\.\d ms$", out, re.MULTILINE)
    assert "Traceback" not in out


@pytest.fixture
def gateway_client() -> Any:
    """A client of a gateway in this process."""

    @contextlib.contextmanager
    def open_client(handler: Any, source: str = "http-api") -> Iterator[tuple[httpx.AsyncClient, list[str]]]:
        lines: list[str] = []
        gateway = Gateway(handler, source, timeout_s=5, report=lines.append)
        yield httpx.AsyncClient(transport=httpx.ASGITransport(gateway.app), base_url="http://127.0.0.1:8000"), lines

    return open_client


@pytest.mark.anyio
async def test_one_line_a_request(gateway_client: Any) -> None:
    with gateway_client(Mangum(hello)) as (client, lines):
        async with client:
            assert (await client.get("/x?y=1")).text == "Hello, world!"
    assert re.fullmatch(r"GET /x 200 \d+\.\d ms", lines[0])


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "source", "logged"),
    [
        ({"statusCode": "x"}, "http-api", "`statusCode` is 'x'"),
        ({"statusCode": 200, "cookies": []}, "rest-api", "does not take the keys 'cookies'"),
        ("text", "alb", 'it is "text", not an object'),
        ({"statusCode": 200, "body": {1, 2}}, "http-api", "The function failed."),
    ],
)
async def test_a_malformed_answer_is_a_502(
    gateway_client: Any, answer: Any, source: str, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    with gateway_client(lambda event, context: answer, source) as (client, lines):
        async with client:
            response = await client.get("/")
    assert (response.status_code, response.json()) == (502, {"message": "Internal server error"})
    assert logged in caplog.text
    assert "502" in lines[0]


@pytest.mark.anyio
async def test_the_answers_headers_are_the_only_ones(gateway_client: Any) -> None:
    app = Recorder(200, [[b"content-type", b"text/plain"], [b"transfer-encoding", b"chunked"]], b"abc")
    with gateway_client(Mangum(app)) as (client, _):
        async with client:
            response = await client.get("/")
    assert dict(response.headers) == {"content-length": "3", "content-type": "text/plain"}


@pytest.mark.anyio
async def test_a_handler_is_started_and_closed_with_the_server() -> None:
    app = WithLifespan()
    gateway = Gateway(Mangum(app, lifespan_scope="process"), "alb", timeout_s=5, report=logging.info)
    async with gateway.app.lifespan_context(gateway.app):
        assert app.log == ["startup"]
    assert app.log == ["startup", "shutdown"]
    plain = Gateway(lambda event, context: None, "alb", timeout_s=5, report=logging.info)
    async with plain.app.lifespan_context(plain.app):
        pass


@pytest.mark.anyio
async def test_aws_computes_the_length(gateway_client: Any) -> None:
    app = Recorder(200, [[b"content-length", b"77"], [b"connection", b"close"]], b"abc")
    with gateway_client(Mangum(app)) as (client, _):
        async with client:
            response = await client.get("/")
            assert (response.headers["content-length"], "connection" in response.headers) == ("3", False)
    with gateway_client(Mangum(Recorder(200, [[b"content-length", b"77"]]))) as (client, _):
        async with client:
            assert (await client.head("/")).headers["content-length"] == "77"


@pytest.mark.anyio
async def test_any_path_and_method_reach_the_application(gateway_client: Any) -> None:
    app = Recorder()
    with gateway_client(Mangum(app)) as (client, lines):
        async with client:
            await client.request("PROPFIND", "/a%0Ab", headers={"te": "trailers", "expect": "x"})
    assert (app.scope["method"], app.scope["path"]) == ("PROPFIND", "/a\nb")
    assert not {b"te", b"expect", b"connection"} & {name for name, _ in app.scope["headers"]}
    assert lines[0].startswith("PROPFIND '/a\\nb' 200")


# What is served


def test_loading(folder: Path) -> None:
    assert isinstance(load_handler("served_app:app"), Mangum)
    assert isinstance(load_handler("served_app:undecorated"), Mangum)
    assert isinstance(load_handler("served_app:wrapped"), Mangum)
    handler = load_handler("served_app:handler")
    assert load_handler("served_app:handler") is handler
    assert load_handler("served_app:plain")({"rawPath": "/x"}, None)["body"] == "/x"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("served_app", "module:attribute"),
        ("served_app:missing", "missing"),
        ("no_such_module:app", "no_such_module"),
        ("served_app:nothing", "served_app:nothing is int: no ASGI application and no Lambda handler."),
    ],
)
def test_what_cannot_be_served(folder: Path, target: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        load_handler(target)
    result = CliRunner().invoke(cli, ["dev", target])
    assert result.exit_code == 2
    assert "mangum dev: " in result.output


def test_an_address_that_is_taken(folder: Path) -> None:
    with serving(folder, "served_app:app") as (address, _):
        result = CliRunner().invoke(cli, ["dev", "served_app:app", "--port", address.rpartition(":")[2]])
    assert result.exit_code == 2
    assert "Choose another with --port (0: any free one)." in result.output


def test_version_and_help() -> None:
    assert CliRunner().invoke(cli, ["--version"]).output.strip() == mangum.__version__
    assert "dev" in CliRunner().invoke(cli, []).output


def test_serving_in_this_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command does up to the server's own loop, on both kinds of address."""
    served: list[Any] = []
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: served.append(sockets[0].getsockname()))
    for host in ("127.0.0.1", "::1"):
        result = CliRunner().invoke(cli, ["dev", "served_app:app", "--host", host, "--port", "0"])
        assert result.exit_code == 0
    assert "served_app:app as http-api: http://[::1]:" in result.output
    assert CliRunner().invoke(cli, ["dev", "served_app:app", "--port", "99999"]).exit_code == 2
    assert [address[0] for address in served] == ["127.0.0.1", "::1"]


def test_the_command_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "typer", None)
    monkeypatch.delitem(sys.modules, "mangum.cli.app")
    with pytest.raises(SystemExit, match=re.escape('pip install "mangum[local]"')):
        mangum.cli.main()  # type: ignore[attr-defined] # a submodule


def test_the_command_is_the_console_script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["mangum", "--version"])
    with pytest.raises(SystemExit):
        mangum.cli.main()  # type: ignore[attr-defined] # a submodule
    assert capsys.readouterr().out.strip() == mangum.__version__


def test_the_context() -> None:
    context = LocalContext(2)
    assert 0 < context.get_remaining_time_in_millis() <= 2000
    assert LocalContext(-1).get_remaining_time_in_millis() == 0
    assert context.aws_request_id != LocalContext(1).aws_request_id
    assert context.identity.cognito_identity_id is None


# Events and answers, as AWS documents them

REQUEST = HTTPRequest(
    method="POST",
    path="/a%20b/",
    query_string="x=1&x=a%2Bb&e=",
    headers=(("Host", "h"), ("X-A", "1"), ("X-A", "2"), ("Cookie", "c=1; d=2"), ("X-Forwarded-For", "192.0.2.9")),
    body=b"\xff",
    client="192.0.2.1",
    scheme="https",
    port=8443,
)


def test_an_http_apis_event() -> None:
    event = http_api_event(REQUEST)
    assert (event["rawPath"], event["rawQueryString"]) == ("/a b/", "x=1&x=a%2Bb&e=")
    assert event["queryStringParameters"] == {"x": "1,a+b", "e": ""}
    assert event["cookies"] == ["c=1", "d=2"]
    assert "cookie" not in event["headers"]
    assert event["headers"]["x-a"] == "1,2"
    assert event["headers"]["x-forwarded-for"] == "192.0.2.9, 192.0.2.1"
    assert (event["headers"]["x-forwarded-port"], event["headers"]["x-forwarded-proto"]) == ("8443", "https")
    assert (event["body"], event["isBase64Encoded"]) == ("/w==", True)
    empty = http_api_event(HTTPRequest(method="GET", path="/"))
    assert not {"body", "cookies", "queryStringParameters"} & set(empty)


def test_a_function_urls_event() -> None:
    event = function_url_event(REQUEST)
    assert (event["rawPath"], event["requestContext"]["http"]["path"]) == ("/a%20b/", "/a b/")
    assert event["headers"]["cookie"] == "c=1; d=2"
    assert event["requestContext"]["domainName"].endswith(".lambda-url.us-east-1.on.aws")


def test_a_rest_apis_event() -> None:
    event = rest_api_event(REQUEST)
    assert (event["path"], event["requestContext"]["path"]) == ("/a%20b/", "/a%20b/")
    assert (event["resource"], event["pathParameters"]) == ("/{proxy+}", {"proxy": "a%20b"})
    assert event["multiValueQueryStringParameters"] == {"x": ["1", "a+b"], "e": [""]}
    assert event["queryStringParameters"] == {"x": "a+b", "e": ""}
    assert (event["headers"]["X-A"], event["multiValueHeaders"]["X-A"]) == ("2", ["1", "2"])
    root = rest_api_event(HTTPRequest(method="GET", path="/"))
    assert (root["resource"], root["pathParameters"], root["body"]) == ("/", None, None)
    assert root["queryStringParameters"] is None


def test_a_load_balancers_event() -> None:
    event = alb_event(REQUEST)
    assert event["queryStringParameters"] == {"x": "a%2Bb", "e": ""}
    assert event["headers"]["x-a"] == "2"
    assert "multiValueHeaders" not in event


@pytest.mark.parametrize(
    ("content_type", "body", "encoded"),
    [
        ("text/html", b"x", False),
        ("application/json; charset=utf-8", b"x", False),
        ("application/x-www-form-urlencoded", b"x", True),
        ("text/html", b"\xff", True),
        (None, b"x", True),
    ],
)
def test_which_bodies_are_base64(content_type: str | None, body: bytes, encoded: bool) -> None:
    headers = (("Content-Type", content_type),) if content_type else ()
    request = HTTPRequest(method="POST", path="/", headers=headers, body=body)
    assert http_api_event(request)["isBase64Encoded"] is encoded
    assert alb_event(request)["isBase64Encoded"] is encoded
    compressed = HTTPRequest(method="POST", path="/", headers=(*headers, ("Content-Encoding", "br")), body=body)
    assert alb_event(compressed)["isBase64Encoded"] is True
    assert rest_api_event(request)["isBase64Encoded"] is (body == b"\xff")


def test_reading_payload_v1() -> None:
    answer = {
        "statusCode": "201",
        "headers": {"X-A": "1", "B": True},
        "multiValueHeaders": {"x-a": ["1", "2"]},
        "body": "aGk=",
        "isBase64Encoded": True,
    }
    assert read_payload_v1(answer) == (201, [("x-a", "1"), ("x-a", "2"), ("b", "true")], b"hi")
    assert read_payload_v1({"headers": None}) == (200, [], b"")


def test_reading_payload_v2() -> None:
    answer = {"statusCode": 200, "headers": {"a": "1"}, "cookies": ["x=1"], "body": "hi"}
    assert read_payload_v2(answer) == (200, [("a", "1"), ("set-cookie", "x=1")], b"hi")
    json_type = [("content-type", "application/json")]
    assert read_payload_v2("text") == (200, json_type, b"text")
    assert read_payload_v2({"a": 1}) == (200, json_type, b'{"a": 1}')


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "it is null"),
        ({}, "`statusCode` is None"),
        ({"statusCode": 99}, "`statusCode` is 99"),
        ({"statusCode": 200, "headers": []}, None),
        ({"statusCode": 200, "headers": [1]}, "`headers` is not an object"),
        ({"statusCode": 200, "headers": {"a": ["1"]}}, "`headers.a` is a list"),
        ({"statusCode": 200, "body": 5}, "`body` is not a string"),
        ({"statusCode": 200, "body": "!", "isBase64Encoded": True}, "`body` is not base64"),
    ],
)
def test_malformed_answers(answer: Any, message: str | None) -> None:
    if message is None:
        assert read_alb(answer)[0] == 200
    else:
        with pytest.raises(MalformedAnswer, match=re.escape(message)):
            read_alb(answer)


def test_malformed_multi_value_headers_and_cookies() -> None:
    with pytest.raises(MalformedAnswer, match=re.escape("`multiValueHeaders.a` is not a list")):
        read_payload_v1({"multiValueHeaders": {"a": "1"}})
    with pytest.raises(MalformedAnswer, match="`cookies` is not a list of strings"):
        read_payload_v2({"statusCode": 200, "cookies": "a=1"})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
def test_any_answer_is_read_or_refused(answer: Any) -> None:
    for read in (read_alb, read_payload_v1, read_payload_v2):
        with contextlib.suppress(MalformedAnswer):
            status, _, body = read(answer)
            assert 100 <= status <= 599
            assert isinstance(body, bytes)


def test_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    from examples.hello import handler

    page = handler(http_api_event(HTTPRequest(method="GET", path="/")), LocalContext(5))
    assert "<h1>Hello from Lambda" in page["body"]
    assert "&quot;rawPath&quot;" in page["body"] or '"rawPath"' in page["body"]
    form = HTTPRequest(
        method="POST",
        path="/hello",
        headers=(("Content-Type", "application/x-www-form-urlencoded"),),
        body=textwrap.dedent("name=Zo%C3%AB+%3Cb%3E").encode(),
    )
    assert "Hello, Zoë &lt;b>!" in handler(http_api_event(form), LocalContext(5))["body"]
    item = handler(http_api_event(HTTPRequest(method="GET", path="/items/a%2Fb", query_string="tag=a&tag=b")), None)
    assert item["body"] == '{"item":"a/b","tags":["a","b"]}'
    assert handler(http_api_event(HTTPRequest(method="GET", path="/fail")), None)["statusCode"] == 500


def test_the_package_is_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["mangum", "--version"])
    with pytest.raises(SystemExit):
        runpy.run_module("mangum", run_name="__main__")
    assert capsys.readouterr().out.strip() == mangum.__version__
