"""A runtime in a process of its own, with a function of its own, before a Runtime API that looks closely."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import mangum
from tests.servers.runtime_api import RuntimeAPIServer

__all__ = ["AWS", "OWN", "PROJECT", "RuntimeProcess", "connect_event", "event_of", "function_url", "running"]

PROJECT = Path(mangum.__file__).parent.parent
OWN = (sys.executable, "-m", "mangum.runtime")
AWS = (sys.executable, "-m", "awslambdaric", "function.handler")
# A function that runs the event as code, and returns what the code calls `answer`.
EXECUTES = """
import logging, os

logger = logging.getLogger("app")

def handler(event, context):
    names = {**globals(), "event": event, "context": context}
    exec(event, names)
    return names.get("answer")
"""
WAIT_S = 20
_VARIABLES = {
    "_HANDLER": "function.handler",
    "AWS_LAMBDA_FUNCTION_NAME": "hello",
    "AWS_LAMBDA_FUNCTION_VERSION": "7",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/hello",
    "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/25/[7]abc",
}
_FOREIGN = ("AWS_LAMBDA_", "MANGUM_", "_X_AMZN", "_LAMBDA")


class RuntimeProcess:
    """A runtime that runs, and what it has printed."""

    def __init__(self, server: RuntimeAPIServer, process: asyncio.subprocess.Process) -> None:
        self.server = server
        self.process = process
        self.output = b""
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while data := await self.process.stdout.read(65536):
            self.output += data

    @property
    def lines(self) -> list[str]:
        return self.output.decode().splitlines()

    async def until_line(self, line: str) -> None:
        """Wait until it has written this line."""
        async with asyncio.timeout(WAIT_S):
            while line not in self.lines:
                await asyncio.sleep(0.005)

    async def end(self) -> int:
        """Wait for its end. Returns its exit status."""
        async with asyncio.timeout(WAIT_S):
            await asyncio.shield(self._reading)
            return await self.process.wait()

    async def terminate(self) -> int:
        """Send SIGTERM, and wait for its end."""
        self.process.send_signal(signal.SIGTERM)
        return await self.end()

    def status(self, field: str) -> int:
        """A number of the kernel's about it, such as `VmRSS` in KiB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{field}:"))

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


@asynccontextmanager
async def running(
    folder: Path,
    code: str,
    command: Sequence[str] = OWN,
    *,
    server: RuntimeAPIServer | None = None,
    lawful: bool = True,
    pass_fds: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[RuntimeProcess]:
    """Run `code` as the function. A runtime that does what AWS refuses fails the test, unless that is not `lawful`."""
    (folder / "function.py").write_text(textwrap.dedent(code))
    own = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    async with server or RuntimeAPIServer() as server:
        variables = {
            **own,
            **_VARIABLES,
            "AWS_LAMBDA_RUNTIME_API": server.address,
            "LAMBDA_TASK_ROOT": str(folder),
            "PYTHONPATH": str(PROJECT),
            "PYTHONUNBUFFERED": "",
            **(environment or {}),
        }
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env=variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=pass_fds,
        )
        runtime = RuntimeProcess(server, process)
        try:
            yield runtime
            if lawful:
                assert server.violations == [], server.violations
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                try:
                    await runtime.end()
                except TimeoutError:
                    process.kill()
                    await runtime.end()
                    raise


def function_url(path: str = "/", *, body: str = "", method: str = "GET") -> dict[str, Any]:
    """The event of a request to a Function URL."""
    domain = "abc.lambda-url.eu-west-1.on.aws"
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": domain, "x-forwarded-proto": "https"},
        "requestContext": {
            "domainName": domain,
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "requestId": "id",
            "stage": "$default",
        },
        "body": body,
        "isBase64Encoded": False,
    }


def connect_event(connection_id: str = "abc=") -> dict[str, Any]:
    """Of a WebSocket API."""
    return {
        "headers": {"Host": "example.com"},
        "multiValueHeaders": {"Host": ["example.com"]},
        "requestContext": {
            "routeKey": "$connect",
            "eventType": "CONNECT",
            "connectionId": connection_id,
            "connectedAt": 1,
            "domainName": "abc.execute-api.eu-west-1.amazonaws.com",
            "stage": "prod",
            "apiId": "abc",
            "identity": {"sourceIp": "192.0.2.1"},
        },
        "isBase64Encoded": False,
    }


def event_of(name: str) -> dict[str, Any]:
    """A sample."""
    path = next((PROJECT / "tests" / "events").rglob(f"{name}.json"))
    document: dict[str, Any] = json.loads(path.read_text())
    return document
