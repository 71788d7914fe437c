"""The function's log, as AWS's runtime writes it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.lambda_runtime import AWS, EXECUTES, OWN, running

pytestmark = pytest.mark.anyio

JSON = {"AWS_LAMBDA_LOG_FORMAT": "JSON"}


@pytest.fixture(params=[OWN, AWS], ids=["mangum", "awslambdaric"])
def command(request: pytest.FixtureRequest) -> Sequence[str]:
    found: Sequence[str] = request.param
    return found


async def logged(
    folder: Path, command: Sequence[str], code: str, environment: dict[str, str] | None = None, **headers: str
) -> tuple[str, str]:
    """What is printed for an event, and its request id."""
    async with running(folder, EXECUTES, command, environment=environment) as runtime:
        delivered = runtime.server.put(code, {name.replace("_", "-"): value for name, value in headers.items()})
        await delivered.settled()
        await runtime.server.ready()
    return runtime.output.decode(), delivered.request_id


async def test_text(tmp_path: Path, command: Sequence[str]) -> None:
    output, request_id = await logged(tmp_path, command, "logger.info('not'); logger.warning('%s ü', 1); print('bare')")
    line, bare = output.splitlines()
    assert re.fullmatch(rf"\[WARNING\]\t\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z\t{request_id}\t1 ü", line)
    assert bare == "bare"


async def test_lines_outside_of_invocations(tmp_path: Path) -> None:
    async with running(tmp_path, f"{EXECUTES}\nlogger.warning('init')") as runtime:
        await runtime.server.ready()
    assert runtime.lines[0].endswith("Z\t\tinit")


def same(line: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """What of a line is always the same."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line.pop("timestamp"))
    assert line == fields
    return line


async def test_json(tmp_path: Path, command: Sequence[str]) -> None:
    code = "logger.debug('not'); logger.info('%s ü', 1, extra={'user': {'a': 1}, 'odd': {1, }}); print('bare')"
    output, request_id = await logged(tmp_path, command, code, JSON | {"AWS_LAMBDA_LOG_LEVEL": "INFO"})
    line, bare = output.splitlines()
    same(
        json.loads(line),
        level="INFO",
        message="1 ü",
        logger="app",
        requestId=request_id,
        user={"a": 1},
        odd="{1}",
    )
    assert bare == "bare"


async def test_json_of_objects_and_tenants(tmp_path: Path, command: Sequence[str]) -> None:
    output, request_id = await logged(
        tmp_path, command, "logger.warning({'a': 1})", JSON, Lambda_Runtime_Aws_Tenant_Id="blue"
    )
    same(json.loads(output), level="WARNING", message={"a": 1}, logger="app", requestId=request_id, tenantId="blue")


async def test_json_of_exceptions(tmp_path: Path, command: Sequence[str]) -> None:
    code = "try:\n    1 / 0\nexcept ZeroDivisionError:\n    logger.exception('failed')"
    output, _ = await logged(tmp_path, command, code, JSON)
    line = json.loads(output)
    assert line["errorType"] == "ZeroDivisionError"
    assert line["errorMessage"] == "division by zero"
    assert "1 / 0" in "".join(line["stackTrace"]) or line["stackTrace"] == ['  File "<string>", line 2, in <module>\n']
    assert line["location"] == "<string>:<module>:4"


UNTOLD = "type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})"


async def test_json_of_an_exception_without_a_text(tmp_path: Path) -> None:
    code = f"try:\n    raise {UNTOLD}\nexcept Exception:\n    logger.exception('failed', extra={{'own': {UNTOLD}()}})"
    output, _ = await logged(tmp_path, OWN, code, JSON)
    line = json.loads(output)
    assert (line["message"], line["errorType"]) == ("failed", "Odd")
    assert (line["errorMessage"], line["own"]) == ("<its text cannot be told>",) * 2


@pytest.mark.parametrize(
    ("level", "levels"),
    [
        (None, ["INFO", "WARNING", "CRITICAL"]),
        ("TRACE", ["DEBUG", "INFO", "WARNING", "CRITICAL"]),
        ("DEBUG", ["DEBUG", "INFO", "WARNING", "CRITICAL"]),
        ("WARN", ["WARNING", "CRITICAL"]),
        ("FATAL", ["CRITICAL"]),
        ("loud", ["WARNING", "CRITICAL"]),
    ],
)
async def test_levels(tmp_path: Path, level: str | None, levels: list[str]) -> None:
    code = "logger.debug(1); logger.info(1); logger.warning(1); logger.critical(1)"
    output, _ = await logged(tmp_path, OWN, code, JSON | ({} if level is None else {"AWS_LAMBDA_LOG_LEVEL": level}))
    lines = map(json.loads, output.splitlines())
    assert [line["level"] for line in lines if line["logger"] == "app"] == levels


async def test_an_error_as_text(tmp_path: Path, command: Sequence[str]) -> None:
    output, _ = await logged(tmp_path, command, "def inner():\n    raise ValueError('no')\ninner()")
    (event,) = output.removesuffix("\n").split("\n")  # one event of the log
    lines = event.split("\r")
    assert lines[:2] == ["[ERROR] ValueError: no", "Traceback (most recent call last):"]
    assert lines[2].startswith('\xa0\xa0File "')


async def test_an_error_as_json(tmp_path: Path, command: Sequence[str]) -> None:
    output, request_id = await logged(tmp_path, command, "raise ValueError('no')", JSON)
    line = json.loads(output)
    assert (line["level"], line["errorType"], line["errorMessage"]) == ("ERROR", "ValueError", "no")
    assert line["requestId"] == request_id


@pytest.mark.parametrize(("environment", "kind"), [({}, 0xA55A0013), (JSON, 0xA55A0012)], ids=["text", "json"])
async def test_frames(tmp_path: Path, command: Sequence[str], environment: dict[str, str], kind: int) -> None:
    """In a managed runtime's environment, which has a descriptor for them."""
    read, write = os.pipe()
    code = "import os; logger.warning('one\\ntwo'); answer = os.environ.get('_LAMBDA_TELEMETRY_LOG_FD')"
    own = {
        **environment,
        "_LAMBDA_TELEMETRY_LOG_FD": str(write),
        "AWS_LAMBDA_LOG_LEVEL": "WARN" if command is OWN else "WARNING",
    }
    async with running(tmp_path, EXECUTES, command, environment=own, pass_fds=[write]) as runtime:
        os.close(write)
        assert await runtime.server.put(code).answer() is None
        await runtime.server.put("raise ValueError('no')").failure()
        await runtime.server.ready()
    with open(read, "rb") as file:
        frames = file.read()
    assert int.from_bytes(frames[:4]) == kind
    length = int.from_bytes(frames[4:8])
    message = frames[16 : 16 + length].decode()
    assert "one\ntwo" in message or json.loads(message)["message"] == "one\ntwo"
    error = frames[16 + length :]
    assert int.from_bytes(error[:4]) == kind + 4
    assert b"ValueError" in error
    assert runtime.output == b""


async def test_a_line_that_cannot_be_written(tmp_path: Path) -> None:
    """It is told as `logging` tells it, and nothing else fails."""
    output, _ = await logged(tmp_path, OWN, "logger.warning('%d', 'x')")
    assert "--- Logging error ---" in output
