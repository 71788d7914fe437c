"""`mangum events` and `mangum invoke`: an event by hand, and one through a function."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from mangum import Mangum
from mangum.cli.app import cli
from mangum.local.events.requests import DEFAULT
from mangum.local.samples import SOURCES, WEBSOCKET, sample_event, sample_request
from tests.apps import Context, Recorder

APP = """
import sys
from mangum import Mangum

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    print("asked for", scope["path"], scope["aws.context"].get_remaining_time_in_millis() <= 30000)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"fine"})

def echo(event, context):
    return event

def fail(event, context):
    raise ValueError("no good")

def store(event, context):
    import os
    return os.environ["MANGUM_DSN"]
"""


# click before 8.2 has to be told to keep the streams apart.
_SEPARATE: Any = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner.__init__).parameters else {}
_RUNNER = CliRunner(**_SEPARATE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "invoked.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "invoked", raising=False)
    return tmp_path


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return _RUNNER.invoke(cli, arguments, input=stdin)


def event(*arguments: str, stdin: bytes | None = None) -> Any:
    """What `mangum events` prints."""
    result = run("events", *arguments, stdin=stdin)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


class TestEvents:
    def test_a_request(self) -> None:
        made = event(
            "http-api", "GET", "/items/1?a=b", "--query", "q=x y", "-H", "X-One: 1", "--header", "host:h.example"
        )
        assert (made["rawPath"], made["rawQueryString"]) == ("/items/1", "a=b&q=x+y")
        assert (made["headers"]["x-one"], made["headers"]["host"]) == ("1", "h.example")
        assert made["requestContext"]["http"]["method"] == "GET"

    def test_a_path_is_quoted_once(self) -> None:
        assert event("function-url", "GET", "/a b/é%2F")["rawPath"] == "/a%20b/%C3%A9%2F"

    @pytest.mark.parametrize(
        ("data", "content_type"),
        [('{"a": 1}', "application/json"), ("text", "text/plain; charset=utf-8")],
    )
    def test_a_body(self, data: str, content_type: str) -> None:
        made = event("http-api", "--data", data) if data == "text" else event("http-api", "PUT", "-d", data)
        assert (made["body"], made["headers"]["content-type"]) == (data, content_type)
        assert made["requestContext"]["http"]["method"] == ("POST" if data == "text" else "PUT")
        assert made["headers"].get("content-length") == str(len(data))

    def test_a_body_of_a_file_and_of_standard_input(self, tmp_path: Path) -> None:
        (tmp_path / "body").write_bytes(b"\xff")
        made = event("http-api", "-d", f"@{tmp_path / 'body'}")
        assert (made["body"], made["isBase64Encoded"]) == ("/w==", True)
        assert made["headers"]["content-type"] == "application/octet-stream"
        assert event("http-api", "-d", "@-", stdin=b"from a pipe")["body"] == "from a pipe"

    def test_settings_of_the_front_door(self) -> None:
        assert event("rest-api", "--stage", "prod")["requestContext"]["path"] == "/prod/"
        assert event("rest-api", "GET", "/x", "--base-path", "v1/")["path"] == "/v1/x"
        assert "multiValueHeaders" in event("alb", "--multi-value-headers")

    @pytest.mark.parametrize("source", SOURCES)
    def test_every_source(self, source: str) -> None:
        assert Mangum(Recorder(200, [], b""), lifespan="off", dsn="sqlite://:memory:").infer(event(source), Context())

    def test_a_websocket(self) -> None:
        made = event("websocket", "connect", "/", "--query", "room=a", "--connection-id", "abc=", "--stage", "prod")
        context = made["requestContext"]
        assert (context["eventType"], context["connectionId"], context["stage"]) == ("CONNECT", "abc=", "prod")
        assert made["queryStringParameters"] == {"room": "a"}
        made = event("websocket", "--data", "hello", "--route", "join")
        assert (made["body"], made["requestContext"]["routeKey"]) == ("hello", "join")
        assert event("websocket", "-d", "x")["requestContext"]["routeKey"] == "$default"
        assert event("websocket", "MESSAGE")["body"] == ""
        assert event("websocket")["requestContext"]["eventType"] == "CONNECT"
        assert event("websocket", "DISCONNECT")["requestContext"]["disconnectStatusCode"] == 1000

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["http-api", "GET", "items"], "'items' has to begin with a slash"),
            (["http-api", "--query", "q"], "--query is NAME=VALUE, not 'q'"),
            (["http-api", "--header", "nothing"], "--header is \"Name: value\", not 'nothing'"),
            (["http-api", "--data", "@missing"], "missing"),
            (["alb", "--stage", "prod"], "alb has neither a stage nor a base path"),
            (["http-api", "--multi-value-headers"], "an attribute of a load balancer's target group"),
            (["websocket", "GET"], "events are CONNECT, MESSAGE, DISCONNECT, not GET"),
            (["pigeon"], "pigeon"),
        ],
    )
    def test_what_cannot_be(self, arguments: list[str], message: str, tmp_path: Path) -> None:
        result = run("events", *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert message in result.stderr

    @given(
        source=st.sampled_from([source for source in SOURCES if source != WEBSOCKET]),
        method=st.sampled_from(["GET", "post", "PATCH"]),
        path=st.text(st.characters(codec="utf-8", exclude_characters="?%\\", exclude_categories=["Cc"]), max_size=9),
        query=st.dictionaries(st.text("abé +&%", min_size=1, max_size=4), st.text("abé=+&% ", max_size=4), max_size=2),
        value=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=9),
        data=st.binary(max_size=30) | st.none(),
    )
    def test_what_the_application_gets(
        self, source: str, method: str, path: str, query: dict[str, str], value: str, data: bytes | None
    ) -> None:
        """Whatever the source, it is what was asked for."""
        request = sample_request(
            method,
            f"/{path}",
            query=[f"{name}={text}" for name, text in query.items()],
            headers=[f"X-Value: {value}"],
            data=data,
        )
        app = Recorder(200, [], b"")
        Mangum(app, lifespan="off")(sample_event(source, request, DEFAULT), Context())
        assert (app.scope["method"], app.scope["path"]) == (method.upper(), f"/{path}")
        assert dict(app.scope["headers"])[b"x-value"].decode() == value
        assert app.body == (data or b"")


class TestInvoke:
    def test_an_event_of_the_other_command(self, folder: Path) -> None:
        made = run("events", "http-api", "GET", "/items").stdout_bytes
        result = run("invoke", "invoked:app", "-", stdin=made)
        assert result.exit_code == 0
        assert json.loads(result.stdout)["body"] == "fine"
        assert "asked for /items True" in result.stderr
        assert " ms of init" in result.stderr

    def test_a_file(self, folder: Path) -> None:
        (folder / "event.json").write_text('{"é": [1, 2]}', encoding="utf-8")
        result = run("invoke", "invoked:echo", "event.json")
        assert result.stdout == '{\n  "é": [\n    1,\n    2\n  ]\n}\n'

    def test_the_store(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MANGUM_DSN", raising=False)
        assert json.loads(run("invoke", "invoked:store", "-", stdin=b"{}").stdout).startswith("sqlite:///")
        assert (
            json.loads(run("invoke", "invoked:store", "-", "--dsn", "sqlite://x.db", stdin=b"{}").stdout)
            == "sqlite://x.db"
        )

    @pytest.mark.parametrize(
        ("target", "stdin", "message"),
        [
            ("invoked:missing", b"{}", 'Attribute "missing" not found'),
            ("missing:app", b"{}", 'Could not import module "missing"'),
            ("invoked:echo", b"{", "Standard input has no JSON: "),
        ],
    )
    def test_what_cannot_be_invoked(self, folder: Path, target: str, stdin: bytes, message: str) -> None:
        result = run("invoke", target, "-", stdin=stdin)
        assert (result.exit_code, result.stdout) == (2, "")
        assert message in result.stderr

    def test_a_file_that_is_not_there(self, folder: Path) -> None:
        result = run("invoke", "invoked:echo", "missing.json")
        assert (result.exit_code, result.stderr) == (
            2,
            "mangum invoke: missing.json cannot be read: No such file or directory.\n",
        )

    @pytest.mark.parametrize(
        ("target", "stdin", "message"),
        [
            ("invoked:fail", b"{}", "ValueError: no good"),
            ("invoked:echo", b'"' + b"x" * 6_300_000 + b'"', "the event has 6,300,002 bytes as JSON"),
        ],
    )
    def test_what_fails(self, folder: Path, target: str, stdin: bytes, message: str) -> None:
        result = run("invoke", target, "-", stdin=stdin)
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"mangum invoke: {message}" in result.stderr

    @pytest.mark.parametrize("colour", [True, False])
    def test_a_terminal(self, folder: Path, colour: bool) -> None:
        ours, theirs = pty.openpty()
        environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
        environment |= {"TERM": "xterm-256color"} if colour else {"NO_COLOR": "1", "TERM": "xterm-256color"}
        command = [sys.executable, "-m", "mangum", "invoke", "invoked:echo", "-"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=theirs, env=environment) as process:
            process.communicate(b'{"a": 1}', timeout=60)
        os.close(theirs)
        printed = os.read(ours, 10_000).decode()
        os.close(ours)
        assert ("\x1b[" in printed) is colour
        assert '"a"' in printed
