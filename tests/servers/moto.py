"""DynamoDB and S3, as moto has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiobotocore.session import AioSession

from tests.servers import HOST, unmeasured_environment

PROGRAM = Path(__file__).with_name("moto_process.py")
REGION = "eu-central-1"

# What is never real: no call can be signed with credentials of whoever runs the tests.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "NO_PROXY": HOST,
}


class Moto:
    """A service of moto's in a process of its own. What it has is gone when it stops."""

    password = None
    is_durable = False

    def __init__(self, service: str) -> None:
        self.port = 0
        self._service = service
        self._process: subprocess.Popen[str] | None = None
        self._loader = AioSession().get_component("data_loader")  # takes 0.1 s: one for all clients

    def start(self) -> None:
        """Start it, and return when it answers."""
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                str(PROGRAM),
                self._service,
                str(self.port),
            ],  # -P: without its folder, where a `moto` is too
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=unmeasured_environment(),  # it has nothing of mangum
        )
        assert self._process.stdout is not None
        listening = self._process.stdout.readline()
        if not listening:
            self.stop()
            raise RuntimeError("moto's server did not start")
        self.port = int(listening)

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            with self._process:  # which closes its pipes, and waits
                self._process = None

    @contextmanager
    def failing(self, request: str, status: int, body: str, times: int = -1) -> Iterator[None]:
        """Answer requests whose name contains `request` with that status and body: all, or the next few `times`."""
        with self.failing_at((request, status, body), times=times):
            yield

    @contextmanager
    def failing_at(self, *faults: tuple[str, int, str], times: int = -1) -> Iterator[None]:
        """The same for several: a request is answered by the first that is left for it."""
        ordered = [
            {"request": request, "status": status, "body": body, "times": times} for request, status, body in faults
        ]
        self._ask("POST", "/_faults", json.dumps(ordered))
        try:
            yield
        finally:
            self._ask("POST", "/_faults", "[]")

    @asynccontextmanager
    async def client(self, region: str = REGION) -> AsyncIterator[Any]:
        """A client of the service."""
        url = f"http://{HOST}:{self.port}"
        session = AioSession()  # a new one: a session keeps the configuration that it has read first
        session.register_component("data_loader", self._loader)
        async with session.create_client(self._service, region_name=region, endpoint_url=url) as client:
            yield client

    def requests(self) -> list[str]:
        """What was asked since the last time: operations of DynamoDB, method and URL of S3."""
        return list(json.loads(self._ask("GET", "/_requests", None)))

    def _ask(self, method: str, path: str, body: str | None) -> bytes:
        connection = HTTPConnection(HOST, self.port, timeout=10)
        try:
            connection.request(method, path, body)
            return connection.getresponse().read()
        finally:
            connection.close()


class DynamoDBServer(Moto):
    def __init__(self) -> None:
        super().__init__("dynamodb")

    def dsn(self, port: int | None = None, password: str | None = None) -> str:
        return dsn("dynamodb", "Connections", port or self.port)


class S3Server(Moto):
    def __init__(self) -> None:
        super().__init__("s3")

    def dsn(self, port: int | None = None, password: str | None = None) -> str:
        return dsn("s3", "connections/a prefix", port or self.port)


def dsn(scheme: str, name: str, port: int, **parameters: Any) -> str:
    """The DSN of a table or bucket at a port of this machine."""
    parameters = {"region": REGION, "endpoint_url": f"http://{HOST}:{port}", **parameters}
    return f"{scheme}://{name}?{'&'.join(f'{name}={quote(value)}' for name, value in parameters.items())}"
