"""`python -m mangum.runtime`: events in, answers out, beside AWS's own runtime for Python."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.lambda_runtime import AWS, OWN, PROJECT, event_of, function_url, running
from tests.servers.runtime_api import LIMIT, RuntimeAPIServer

pytestmark = pytest.mark.anyio

APP = """
from mangum import Mangum

async def app(scope, receive, send):
    assert scope["type"] == "http"
    body = (await receive())["body"]
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": scope["path"].encode() + b" " + body})

handler = Mangum(app)
"""
PLAIN = """
import os

def handler(event, context):
    names = {**globals(), "event": event, "context": context}
    exec(event["run"], names)
    return names.get("answer")
"""


@pytest.fixture(params=[OWN, AWS], ids=["mangum", "awslambdaric"])
def command(request: pytest.FixtureRequest) -> Sequence[str]:
    """The command of each runtime."""
    found: Sequence[str] = request.param
    return found


async def test_an_application(tmp_path: Path, command: Sequence[str]) -> None:
    async with running(tmp_path, APP, command) as runtime:
        for path in ("/one", "/zwei/ü"):
            delivered = runtime.server.put(function_url(path, body="x"))
            answer = await delivered.answer()
            assert (answer["statusCode"], answer["body"]) == (201, f"{path} x")
            if command is OWN:
                assert delivered.attempt == delivered.invocation_id
        connections = len(runtime.server.connections)
        await runtime.server.ready()
        assert len(runtime.server.connections) == connections  # kept


async def test_what_a_handler_is_told(tmp_path: Path, command: Sequence[str]) -> None:
    code = """
        answer = {name: getattr(context, name) for name in (
            "function_name", "function_version", "invoked_function_arn", "memory_limit_in_mb", "aws_request_id",
            "log_group_name", "log_stream_name", "tenant_id")}
        answer["identity"] = [context.identity.cognito_identity_id, context.identity.cognito_identity_pool_id]
        client = context.client_context
        answer["client"] = client and [client.custom, client.env, client.client and client.client.app_title]
        answer["repr"] = repr(context)
        answer["remaining"] = context.get_remaining_time_in_millis()
        answer["trace"] = os.environ.get("_X_AMZN_TRACE_ID")
        context.log("logged")
    """
    event = {"run": code.replace("\n        ", "\n")}
    async with running(tmp_path, PLAIN, command) as runtime:
        first = runtime.server.put(event, timeout_s=10)
        answer = await first.answer()
        assert 5_000 < answer.pop("remaining") <= 10_000
        assert first.request_id in answer.pop("repr")
        assert answer == {
            "function_name": "hello",
            "function_version": "7",
            "invoked_function_arn": "arn:aws:lambda:eu-west-1:123456789012:function:hello:live",
            "memory_limit_in_mb": "512",
            "aws_request_id": first.request_id,
            "log_group_name": "/aws/lambda/hello",
            "log_stream_name": "2026/11/25/[7]abc",
            "tenant_id": None,
            "identity": [None, None],
            "client": None,
            "trace": first.headers["Lambda-Runtime-Trace-Id"],
        }
        headers = {
            "Lambda-Runtime-Aws-Tenant-Id": "blue",
            "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId": "i", "cognitoIdentityPoolId": "p"}',
            "Lambda-Runtime-Client-Context": '{"custom": {"a": 1}, "env": {"b": "2"}, "client": {"app_title": "t"}}',
        }
        answer = await runtime.server.put(event, headers).answer()
        assert answer["tenant_id"] == "blue"
        assert answer["identity"] == ["i", "p"]
        assert answer["client"] == [{"a": 1}, {"b": "2"}, "t"]
        answer = await runtime.server.put(event, {"Lambda-Runtime-Client-Context": '{"custom": {"a": 1}}'}).answer()
        assert answer["client"] == [{"a": 1}, None, None]
        await runtime.server.ready()
    assert "logged" in runtime.output.decode()


async def test_without_a_trace(tmp_path: Path) -> None:
    async with running(tmp_path, PLAIN) as runtime:
        event = {"run": "answer = os.environ.get('_X_AMZN_TRACE_ID')"}
        traced = runtime.server.put(event)
        assert await traced.answer() == traced.headers["Lambda-Runtime-Trace-Id"]
        assert await runtime.server.put(event, {"Lambda-Runtime-Trace-Id": None}).answer() is None


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("answer = {'ü': [1, 2.5, None, True]}", {"ü": [1, 2.5, None, True]}),
        ("answer = 'text'", "text"),
        ("answer = None", None),
        ("from decimal import Decimal; answer = [Decimal('1'), Decimal('0.5')]", [1, 0.5]),
    ],
)
async def test_answers(tmp_path: Path, command: Sequence[str], code: str, answer: Any) -> None:
    async with running(tmp_path, PLAIN, command) as runtime:
        delivered = runtime.server.put({"run": code})
        assert await delivered.answer() == answer
        assert delivered.content_type == "application/json"


async def test_half_of_a_surrogate_pair(tmp_path: Path) -> None:
    """Which AWS's runtime cannot say."""
    async with running(tmp_path, PLAIN) as runtime:
        assert await runtime.server.put({"run": "answer = '\\ud800'"}).answer() == "\ud800"


async def test_bytes(tmp_path: Path, command: Sequence[str]) -> None:
    async with running(tmp_path, PLAIN, command) as runtime:
        delivered = runtime.server.put({"run": "answer = b'\"\\xff\"'"})
        await delivered.settled()
        assert (delivered.body, delivered.content_type) == (b'"\xff"', "application/unknown")
        raw = runtime.server.put(b"not JSON", {"Content-Type": "text/plain"})
        assert "byte" in (await raw.failure())["errorMessage"]  # the handler has got them, and has no use for them


@pytest.mark.parametrize(
    ("event", "headers", "error_type", "message"),
    [
        ({"run": "raise ValueError('no')"}, {}, "ValueError", "no"),
        ({"run": "answer = {1, 2}"}, {}, "Runtime.MarshalError", "Unable to marshal response"),
        (b"{", {}, "Runtime.UnmarshalError", "Unable to unmarshal input"),
        (
            {"run": ""},
            {"Lambda-Runtime-Client-Context": "{"},
            "Runtime.LambdaContextUnmarshalError",
            "Unable to parse Client Context JSON",
        ),
        (
            {"run": ""},
            {"Lambda-Runtime-Cognito-Identity": "{"},
            "Runtime.LambdaContextUnmarshalError",
            "Unable to parse Cognito Identity JSON",
        ),
    ],
)
async def test_failures(
    tmp_path: Path, command: Sequence[str], event: Any, headers: dict[str, str], error_type: str, message: str
) -> None:
    async with running(tmp_path, PLAIN, command) as runtime:
        delivered = runtime.server.put(event, headers)
        error = await delivered.failure()
        if command is OWN:
            assert delivered.attempt == delivered.invocation_id
        assert error["errorType"] == error_type
        assert message in error["errorMessage"]
        assert error["requestId"] == delivered.request_id
        if command is OWN:
            assert delivered.error_type.endswith(error_type)
        if event == {"run": "raise ValueError('no')"}:
            assert "function.py" in error["stackTrace"][0]  # nothing of the runtime's own
        assert await runtime.server.put({"run": "answer = 1"}).answer() == 1
        await runtime.server.ready()
    assert f"[ERROR] {error_type}: {error['errorMessage']}" in runtime.output.decode()


async def test_what_the_client_said_is_no_object(tmp_path: Path) -> None:
    async with running(tmp_path, PLAIN) as runtime:
        error = await runtime.server.put({"run": ""}, {"Lambda-Runtime-Client-Context": "[1]"}).failure()
        assert error["errorMessage"] == "Unable to parse Client Context JSON: it is a list"
        assert await runtime.server.put({"run": "answer = 1"}, {"Lambda-Runtime-Client-Context": "null"}).answer() == 1


async def test_an_answer_that_is_too_large(tmp_path: Path, command: Sequence[str]) -> None:
    async with running(tmp_path, PLAIN, command) as runtime:
        assert len(await runtime.server.put({"run": f"answer = 'x' * {LIMIT - 2}"}).answer()) == LIMIT - 2
        too_large = runtime.server.put({"run": f"answer = 'x' * {LIMIT - 1}"})
        if command is OWN:
            error = await too_large.failure()
            assert error["errorType"] == "Function.ResponseSizeTooLarge"
            assert str(LIMIT) in error["errorMessage"]
            assert await runtime.server.put({"run": "answer = 1"}).answer() == 1


async def test_large_events(tmp_path: Path, command: Sequence[str]) -> None:
    async with running(tmp_path, PLAIN, command) as runtime:
        event = {"run": "answer = len(event['x'])", "x": "x" * 6_000_000}
        assert await runtime.server.put(event).answer() == 6_000_000


async def test_coroutine_functions(tmp_path: Path) -> None:
    code = """
        import asyncio

        async def handler(event, context):
            await asyncio.sleep(0)
            if event == "cancelled":
                raise asyncio.CancelledError
            return [event, context.aws_request_id]

        class Callable:
            async def __call__(self, event, context):
                return await handler(event, context)

        instance = Callable()
    """
    for target in ("function.handler", "function:instance"):
        async with running(tmp_path, code, environment={"_HANDLER": target}) as runtime:
            delivered = runtime.server.put("event")
            assert await delivered.answer() == ["event", delivered.request_id]
            assert (await runtime.server.put("cancelled").failure())["errorType"] == "CancelledError"
            assert (await runtime.server.put("again").answer())[0] == "again"


async def test_context_variables_are_an_invocations_own(tmp_path: Path) -> None:
    code = """
        from contextvars import ContextVar

        user = ContextVar("user", default=None)

        async def handler(event, context):
            seen = user.get()
            user.set(event)
            return seen

        def plain(event, context):
            seen = user.get()
            user.set(event)
            return seen
    """
    for target in ("function.handler", "function.plain"):
        async with running(tmp_path, code, environment={"_HANDLER": target}) as runtime:
            assert [await runtime.server.put(name).answer() for name in ("a", "b")] == [None, None]


@pytest.mark.parametrize(
    "target",
    ["function:handler", "function.handler", "function:app", "folder/inner.handler", "function:Namespace.handler"],
)
async def test_what_can_be_named(tmp_path: Path, target: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner.py").write_text("from function import handler")
    code = f"{APP}\nclass Namespace:\n    handler = handler\n"
    async with running(tmp_path, code, (*OWN, target), environment={"_HANDLER": ""}) as runtime:
        assert (await runtime.server.put(function_url()).answer())["statusCode"] == 201


@pytest.mark.parametrize(
    ("target", "code", "error_type", "message"),
    [
        ("handler", "", "Runtime.MalformedHandlerName", "Bad handler 'handler'"),
        ("missing.handler", "", "Runtime.ImportModuleError", "No module named 'missing'"),
        ("function.handler", "", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'function'"),
        ("function.handler", "def handler(", "Runtime.UserCodeSyntaxError", "Syntax error in module 'function'"),
        ("sys.exit", "", "Runtime.BuiltInModuleConflict", "Cannot use built-in module sys"),
        ("function.handler", "raise RuntimeError('broken')", "RuntimeError", "broken"),
    ],
)
async def test_what_cannot_be_loaded(
    tmp_path: Path, command: Sequence[str], target: str, code: str, error_type: str, message: str
) -> None:
    own = (*OWN, target) if command is OWN else (*AWS[:-1], target)
    async with running(tmp_path, code, own) as runtime:
        assert await runtime.end() == 1
        error = runtime.server.init_error
        assert error is not None
        assert error["errorType"] == error_type
        assert message in error["errorMessage"]
        if command is OWN:
            assert runtime.server.init_error_type in (error_type, f"Function.{error_type}")
            assert message in runtime.output.decode()
        assert "GET /2018-06-01/runtime/invocation/next" not in runtime.server.requests


@pytest.mark.parametrize(
    ("kind", "error_type"),
    [("ImportError", "Runtime.ImportModuleError"), ("SyntaxError", "Runtime.UserCodeSyntaxError")],
)
async def test_an_error_of_the_code_whose_text_cannot_be_told(tmp_path: Path, kind: str, error_type: str) -> None:
    code = f"raise type('Untold', ({kind},), {{'__str__': lambda self: 1 / 0}})"
    async with running(tmp_path, code) as runtime:
        assert await runtime.end() == 1
        assert runtime.server.init_error is not None
        assert runtime.server.init_error["errorType"] == error_type
        assert runtime.server.init_error["errorMessage"].endswith("module 'function': <its text cannot be told>")


async def test_something_that_cannot_be_called(tmp_path: Path) -> None:
    async with running(tmp_path, "handler = 5") as runtime:
        assert await runtime.end() == 1
        assert runtime.server.init_error is not None
        assert "function.handler is a int, which cannot be called" in runtime.server.init_error["errorMessage"]


async def test_where_modules_are_found(tmp_path: Path) -> None:
    """The function's folder, layers, and last the folder of the runtime."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "of_the_runtime.py").write_text("found = 1")
    code = (
        "import of_the_runtime, sys\nhandler = lambda event, context: [of_the_runtime.found, sys.path[0], sys.path[-1]]"
    )
    own = {"LAMBDA_RUNTIME_DIR": str(tmp_path / "lib")}
    async with running(tmp_path, code, environment=own) as runtime:
        found, first, last = await runtime.server.put({}).answer()
        assert (found, last) == (1, own["LAMBDA_RUNTIME_DIR"])
        assert Path(first).samefile(tmp_path)


async def test_samples_of_each_front_door(tmp_path: Path) -> None:
    names = [path.stem for path in sorted((PROJECT / "tests/events/http").glob("*.json")) if "Schema" not in path.name]
    async with running(tmp_path, APP, environment={"MANGUM_RESPONSE_MODE": "buffered"}) as runtime:
        for name in names:
            delivered = runtime.server.put(event_of(name))
            await delivered.settled()
            if delivered.error is None:
                assert delivered.body is not None
                answer = json.loads(delivered.body)
                assert str(answer.get("statusCode") or answer.get("status")) == "201"
            else:  # an authorizer's event among them
                assert delivered.error["errorType"] == "UnsupportedEvent"


async def test_without_a_runtime_api(tmp_path: Path) -> None:
    for environment, message in (
        ({"AWS_LAMBDA_RUNTIME_API": ""}, "AWS_LAMBDA_RUNTIME_API is not set"),
        ({"_HANDLER": ""}, "There is no handler to run"),
        ({"MANGUM_RESPONSE_MODE": "fast"}, "MANGUM_RESPONSE_MODE must be"),
        ({"AWS_LAMBDA_MAX_CONCURRENCY": "many"}, "The concurrency must be a positive number, not 'many'"),
    ):
        async with running(tmp_path, APP, environment=environment) as runtime:
            assert await runtime.end() == 2
            assert message in runtime.output.decode()


async def test_without_httptools(tmp_path: Path) -> None:
    program = "import sys; sys.modules['httptools'] = None; import mangum.runtime.main"
    async with running(tmp_path, APP, (OWN[0], "-c", program)) as runtime:
        assert await runtime.end() == 1
    assert 'pip install "mangum[runtime]"' in runtime.output.decode()


async def test_the_command_line(tmp_path: Path) -> None:
    async with running(tmp_path, APP, (*OWN, "--help")) as runtime:
        assert await runtime.end() == 0
        assert "--response-mode" in runtime.output.decode()
    options = ("--response-mode", "stream", "--concurrency", "2", "function:handler")
    async with running(
        tmp_path, APP, (*OWN, *options), server=RuntimeAPIServer(concurrency=2), environment={"_HANDLER": "nothing"}
    ) as runtime:
        await runtime.server.ready(2)
        delivered = runtime.server.put(function_url())
        await delivered.settled()
        assert delivered.is_streamed
