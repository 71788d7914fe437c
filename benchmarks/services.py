"""What the WebSocket suites talk to: real servers on this machine, which the tests start too."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from benchmarks.errors import BenchmarkError
from benchmarks.websocket import REGION

__all__ = ["STORES", "connections_endpoint"]

# The DSN for a side, by its name: sides share the server, and nothing in it.
Names: TypeAlias = Callable[[str], str]


@contextmanager
def connections_endpoint() -> Iterator[str]:
    """API Gateway's @connections in a process of its own: its URL.

    Raises:
        BenchmarkError: the packages that run the servers are not installed.
    """
    try:
        from tests.servers import moto, postgresql, redis  # noqa: F401 # all that is needed, before anything is measured
        from tests.servers.connections import endpoint_process
    except ImportError as error:
        raise BenchmarkError(
            f"The servers of the WebSocket suites need a package that is not installed ({error.name}): "
            './scripts/bench installs them, and so does pip install --group bench "mangum[all]".'
        ) from error
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
    from tests.servers import free_port
    from tests.servers.redis import RedisServer

    with _folder() as folder:
        server = RedisServer(folder, free_port(), "benchmark")
        server.start()
        try:
            yield lambda side: server.dsn()
        finally:
            server.stop()


@contextmanager
def _postgresql() -> Iterator[Names]:
    from tests.servers.postgresql import PostgreSQLServer

    with _folder() as folder:
        server = PostgreSQLServer(folder)
        server.start()
        try:
            yield lambda side: server.dsn()
        finally:
            server.stop()


@contextmanager
def _moto(service: str) -> Iterator[Names]:
    from tests.servers.moto import Moto

    server = Moto(service)
    server.start()
    try:
        endpoint = quote(f"http://127.0.0.1:{server.port}", safe="")
        yield lambda side: f"{service}://mangum-{side}?region={REGION}&endpoint_url={endpoint}"
    finally:
        server.stop()


STORES: dict[str, Callable[[], AbstractContextManager[Names]]] = {
    "SQLite": _sqlite,
    "Redis": _redis,
    "PostgreSQL": _postgresql,
    "DynamoDB": lambda: _moto("dynamodb"),
    "S3": lambda: _moto("s3"),
}
