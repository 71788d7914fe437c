"""What the WebSocket suites talk to: real servers on this machine, which the tests start too."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar
from urllib.parse import quote

from benchmarks.errors import BenchmarkError
from benchmarks.work.websocket import REGION

__all__ = ["STORES", "Names", "connections_endpoint"]

# The DSN for a side, by its name: sides share the server, and nothing in it.
Names: TypeAlias = Callable[[str], str]


class _Server(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...


S = TypeVar("S", bound=_Server)


@contextmanager
def connections_endpoint() -> Iterator[str]:
    """API Gateway's @connections in a process of its own: its URL."""
    from tests.servers.connections import endpoint_process

    with endpoint_process() as url:
        yield url


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mangum-") as folder:
        yield Path(folder)


@contextmanager
def _sqlite() -> Iterator[Names]:
    with _folder() as folder:
        yield lambda side: f"sqlite://{folder}/{side}.db"


@contextmanager
def _redis() -> Iterator[Names]:
    _require(redis='"mangum[redis]"')
    from tests.servers import free_port
    from tests.servers.redis import RedisServer

    with _folder() as folder, _running(lambda: RedisServer(folder, free_port(), "benchmark")) as server:
        yield lambda side: server.dsn()


@contextmanager
def _postgresql() -> Iterator[Names]:
    _require(asyncpg='"mangum[postgresql]"')
    from tests.servers.postgresql import PostgreSQLServer

    with _folder() as folder, _running(lambda: PostgreSQLServer(folder)) as server:
        yield lambda side: server.dsn()


@contextmanager
def _moto(service: str) -> Iterator[Names]:
    _require(aiobotocore='"mangum[aws]"', moto='"moto[server]"', a2wsgi="a2wsgi", uvicorn="uvicorn")
    from tests.servers.moto import Moto

    with _running(lambda: Moto(service)) as server:
        endpoint = quote(f"http://127.0.0.1:{server.port}", safe="")
        yield lambda side: f"{service}://mangum-{side}?region={REGION}&endpoint_url={endpoint}"


def _require(**requirements: str) -> None:
    """What pip has to install for modules that are not there."""
    missing = [requirement for module, requirement in requirements.items() if find_spec(module) is None]
    if missing:
        raise BenchmarkError(f"pip install {' '.join(missing)}")


@contextmanager
def _running(build: Callable[[], S]) -> Iterator[S]:
    try:
        server = build()
        server.start()
    except RuntimeError as error:  # which says what to install
        raise BenchmarkError(str(error)) from error
    try:
        yield server
    finally:
        server.stop()


# Entering one raises `BenchmarkError` where the store cannot be had here.
STORES: dict[str, Callable[[], AbstractContextManager[Names]]] = {
    "SQLite": _sqlite,
    "Redis": _redis,
    "PostgreSQL": _postgresql,
    "DynamoDB": lambda: _moto("dynamodb"),
    "S3": lambda: _moto("s3"),
}
