"""The `mangum` command around `mangum dev`: what it loads, says, and needs."""

from __future__ import annotations

import importlib
import os
import re
import runpy
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mangum
from mangum import Mangum
from mangum.cli.app import cli
from mangum.exceptions import ConfigurationError
from mangum.local.events.payload_v2 import http_api_event
from mangum.local.events.requests import HTTPRequest
from mangum.local.loading import load_function

APP = """
from mangum import Mangum

async def app(scope, receive, send):
    raise NotImplementedError

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


def test_loading(folder: Path) -> None:
    assert isinstance(load_function("served_app:app"), Mangum)
    assert isinstance(load_function("served_app:undecorated"), Mangum)
    assert isinstance(load_function("served_app:wrapped"), Mangum)
    handler = load_function("served_app:handler")
    assert load_function("served_app:handler") is handler
    assert load_function("served_app:plain")({"rawPath": "/x"}, None)["body"] == "/x"


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
        load_function(target)
    result = CliRunner().invoke(cli, ["dev", target])
    assert result.exit_code == 2
    assert "mangum dev: " in result.output


def test_version_and_help() -> None:
    assert CliRunner().invoke(cli, ["--version"]).output.strip() == mangum.__version__
    assert "dev" in CliRunner().invoke(cli, []).output


def test_serving_in_this_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command does up to the server's own loop, on both kinds of address."""
    served = []

    async def serve(self: object, sockets: list[socket.socket]) -> None:
        served.append(sockets[0].getsockname())

    monkeypatch.setattr("uvicorn.Server.serve", serve)
    for host in ("127.0.0.1", "::1"):
        result = CliRunner().invoke(cli, ["dev", "served_app:app", "--host", host, "--port", "0"])
        assert result.exit_code == 0
    assert "served_app:app as http-api: http://[::1]:" in result.output
    assert "/_mangum" in result.output
    assert CliRunner().invoke(cli, ["dev", "served_app:app", "--port", "99999"]).exit_code == 2
    assert [address[0] for address in served] == ["127.0.0.1", "::1"]
    quiet = CliRunner().invoke(cli, ["dev", "served_app:app", "--no-dashboard", "--no-reload", "--port", "0"])
    assert "/_mangum" not in quiet.output


@pytest.mark.parametrize(
    ("arguments", "module", "extra"),
    [
        (["build"], "typer", "cli"),
        (["build"], "yaml", "cli"),
        (["dev", "served_app:app"], "uvicorn", "local"),
        (["invoke", "served_app:app", "-"], "uvicorn.importer", "local"),
    ],
)
def test_a_command_says_what_it_needs(folder: Path, arguments: list[str], module: str, extra: str) -> None:
    code = "import sys; sys.modules[sys.argv.pop(1)] = None; from mangum.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, module, *arguments],
        cwd=folder,
        input="{}",
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(Path(mangum.__file__).parent.parent)},
    )
    assert done.returncode == 1
    assert done.stderr == f'This command needs {module.partition(".")[0]}: pip install "mangum[{extra}]"\n'


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_learn_to_complete_it(shell: str) -> None:
    command = Path(sys.executable).with_name("mangum")
    environment = os.environ | {"PYTHONPATH": str(Path(mangum.__file__).parent.parent)}
    environment["_MANGUM_COMPLETE"] = f"source_{shell}"
    script = subprocess.run([command], env=environment, capture_output=True, text=True, timeout=60).stdout
    assert "_MANGUM_COMPLETE=complete_" in script


def test_a_module_of_somebody_else_is_none_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ModuleNotFoundError("No module named 'other'", name="other")

    importlib.import_module("mangum.cli.app")
    monkeypatch.setattr(sys.modules["mangum.cli.app"], "cli", fail)
    with pytest.raises(ModuleNotFoundError):
        mangum.cli.main()  # type: ignore[attr-defined] # a submodule


def test_the_command_is_the_console_script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["mangum", "--version"])
    with pytest.raises(SystemExit):
        mangum.cli.main()  # type: ignore[attr-defined] # a submodule
    assert capsys.readouterr().out.strip() == mangum.__version__


def test_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    from examples.hello import handler

    page = handler(http_api_event(HTTPRequest(method="GET", path="/")), None)
    assert "<h1>Hello from Lambda" in page["body"]
    assert "&quot;rawPath&quot;" in page["body"] or '"rawPath"' in page["body"]
    form = HTTPRequest(
        method="POST",
        path="/hello",
        headers=(("Content-Type", "application/x-www-form-urlencoded"),),
        body=b"name=Zo%C3%AB+%3Cb%3E",
    )
    assert "Hello, Zoë &lt;b>!" in handler(http_api_event(form), None)["body"]
    item = handler(http_api_event(HTTPRequest(method="GET", path="/items/a%2Fb", query_string="tag=a&tag=b")), None)
    assert item["body"] == '{"item":"a/b","tags":["a","b"]}'
    assert handler(http_api_event(HTTPRequest(method="GET", path="/fail")), None)["statusCode"] == 500


def test_the_package_is_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["mangum", "--version"])
    with pytest.raises(SystemExit):
        runpy.run_module("mangum", run_name="__main__")
    assert capsys.readouterr().out.strip() == mangum.__version__
