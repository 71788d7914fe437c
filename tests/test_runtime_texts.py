"""The runtime survives every text: halves of surrogate pairs, line breaks, bytes that are no UTF-8."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mangum.runtime import tracing
from mangum.runtime.api import _category
from mangum.runtime.errors import describe, field_value
from tests.lambda_runtime import EXECUTES, function_url, running

pytestmark = pytest.mark.anyio

ODD = "\ud800 \r\n \x1b é"
RAISES = {
    "message": "raise ValueError(odd)",
    "class": "raise type('Odd\\r\\nX-Injected: 1\\r\\n', (Exception,), {})('x')",
    "str that fails": "raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})",
    "no text": "raise type('Odd', (Exception,), {'__str__': lambda self: 1})",
    "answer": "answer = type('Odd', (), {'__repr__': lambda self: odd})()",
    "log and print": "logger.error(odd); print(odd); logger.error('x', extra={'odd': odd}); raise ValueError(odd)",
    "exception in the log": "try: raise ValueError(odd)\nexcept ValueError: logger.exception(odd); raise",
}


@pytest.mark.parametrize("log", ["text", "JSON"])
async def test_errors_and_log_lines(tmp_path: Path, log: str) -> None:
    """After each of them, the same process answers the next event."""
    async with running(tmp_path, EXECUTES, environment={"AWS_LAMBDA_LOG_FORMAT": log}) as runtime:
        for name, code in RAISES.items():
            failed = runtime.server.put(f"odd = {ODD!a}\n{code}")
            failure = await failed.failure()
            if name == "class":
                assert failed.error_type == "Function.Odd??X-Injected: 1??"
                assert failure["errorType"] == "Odd\r\nX-Injected: 1\r\n"
            if name in ("message", "log and print"):
                assert failure["errorMessage"] == ODD
            assert await runtime.server.put("answer = os.getpid()").answer() == runtime.process.pid
        assert await runtime.server.put(f"answer = {ODD!a}").answer() == ODD
    output = runtime.output.decode()
    assert "\\ud800" in output
    assert "Logging error" not in output
    if log == "JSON":
        documents = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        assert [document["message"] for document in documents if document.get("message") == ODD] == [ODD, ODD]
        assert [document["odd"] for document in documents if "odd" in document] == [ODD]
    else:  # one event of the log, whose lines end in carriage returns
        (event,) = {line for line in output.split("\n") if line.startswith("[ERROR] ValueError: \\ud800 \r")}
        assert "Traceback" in event


async def test_errors_of_frames(tmp_path: Path) -> None:
    read, write = os.pipe()
    environment = {"_LAMBDA_TELEMETRY_LOG_FD": str(write)}
    async with running(tmp_path, EXECUTES, environment=environment, pass_fds=[write]) as runtime:
        os.close(write)
        await runtime.server.put(f"raise ValueError({ODD!a})").failure()
    with open(read, "rb") as file:
        assert b"\\ud800" in file.read()


async def test_a_class_name_in_a_stream(tmp_path: Path) -> None:
    code = """
    from mangum import Mangum

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        raise type("Odd\\r\\nX-Injected: 1", (Exception,), {})("\\ud800")

    handler = Mangum(app, lifespan="off")
    """
    async with running(tmp_path, code, environment={"MANGUM_RESPONSE_MODE": "stream"}) as runtime:
        for _ in range(2):
            delivered = runtime.server.put(function_url())
            await delivered.settled()
            assert "x-injected" not in delivered.stream.trailers


async def test_the_headers_of_an_event(tmp_path: Path) -> None:
    """Whatever bytes come as trace id."""
    code = "import subprocess; subprocess.run(['true'], env=os.environ, check=True)\n"
    code += "answer = [ascii(os.environ['_X_AMZN_TRACE_ID']), len(dict(os.environ)) == len(os.environ)]"
    async with running(tmp_path, EXECUTES) as runtime:
        for text, seen in {"Root=\udcff": "'Root=\\udcff'", "Root=é": "'Root=\\xe9'"}.items():
            delivered = runtime.server.put(
                code, {"Lambda-Runtime-Trace-Id": text, "Lambda-Runtime-Aws-Tenant-Id": text}
            )
            assert await delivered.answer() == [seen, True]


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_any_name_of_an_error_is_a_field_of_a_head(name: str) -> None:
    for value in (field_value(name), _category(name)):
        value.decode("ascii")
        assert not set(value) & set(b"\r\n\0")


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_any_error_can_be_told(text: str) -> None:
    document = describe(ValueError(text))
    assert json.loads(json.dumps(document).encode()) == document


class TestEnvironment:
    """`os.environ` with a variable that is kept elsewhere is an ordinary mapping."""

    NAME = "_X_AMZN_TRACE_ID"

    @pytest.fixture(params=[False, True], ids=["one", "several"], autouse=True)
    def environment(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
        kind = os.environ.__class__
        monkeypatch.setenv(self.NAME, "from Lambda")
        tracing.install(apart=request.param)
        yield
        tracing.set_trace_id(None)
        os.environ.__class__ = kind

    def check(self, value: str | None) -> None:
        copies = (dict(os.environ), os.environ.copy(), {**os.environ}, os.environ | {})
        assert [copy.get(self.NAME) for copy in copies] == [value] * 4
        assert (os.environ.get(self.NAME), os.environ.get(self.NAME, "none")) == (value, value or "none")
        assert list(os.environ).count(self.NAME) == (self.NAME in os.environ) == (value is not None)
        assert len(os.environ) == len(list(os.environ)) == len(copies[0])

    def test_what_the_runtime_sets(self) -> None:
        self.check(None)
        tracing.set_trace_id("one")
        self.check("one")
        tracing.set_trace_id(None)
        self.check(None)

    def test_what_code_of_others_does(self) -> None:
        tracing.set_trace_id("one")
        assert os.environ.pop(self.NAME) == "one"
        self.check(None)
        assert os.environ.pop(self.NAME, "default") == "default"
        with pytest.raises(KeyError):
            del os.environ[self.NAME]
        with pytest.raises(KeyError):
            os.environ[self.NAME]
        os.environ[self.NAME] = "own"
        self.check("own")
        assert os.environ.setdefault(self.NAME, "other") == "own"
        os.environ.update({self.NAME: "updated"})
        self.check("updated")
        with pytest.raises(TypeError, match="str expected, not int"):
            os.environ[self.NAME] = 1  # type: ignore[assignment]
        tracing.set_trace_id("two")
        self.check("two")

    def test_other_variables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OWN", "1")
        assert os.environ.pop("OWN") == "1"
        assert "OWN" not in os.environ
