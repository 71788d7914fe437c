"""The stores as fixtures: servers for the session, and a DSN for each test. What they start knows nothing of pytest, so
that the benchmarks start the same."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.servers import HOST, free_port
from tests.servers.cloud import Cloud
from tests.servers.moto import ENVIRONMENT, DynamoDBServer, S3Server, dsn
from tests.servers.postgresql import PostgreSQLServer
from tests.servers.redis import RedisCluster, RedisServer, RedisTLS, login, random_password
from tests.servers.tls_front import tls_front


@contextmanager
def _folder(server: str) -> Iterator[Path]:
    # Not in pytest's folder, whose path is too long for a socket, and which root alone may enter.
    with tempfile.TemporaryDirectory(prefix=f"mangum-{server}-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQLServer]:
    with _folder("postgresql") as folder:
        server = PostgreSQLServer(folder)
        server.start()
        yield server
        server.stop()


@pytest.fixture
def postgresql_dsn(postgresql_server: PostgreSQLServer) -> str:
    return postgresql_server.dsn()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with _folder("redis") as folder:
        server = RedisServer(folder, free_port(), random_password())
        server.start()
        yield server
        server.stop()


@pytest.fixture
def redis_dsn(redis_server: RedisServer) -> str:
    return redis_server.dsn()


@pytest.fixture
def valkey_dsn(redis_server: RedisServer) -> str:
    return redis_server.dsn().replace("redis://", "valkey://")


@pytest.fixture(scope="session")
def redis_tls_server() -> Iterator[RedisTLS]:
    with _folder("redis") as folder, tls_front(folder) as (front, authority):
        server = RedisServer(folder, free_port(), random_password())
        front.target = server.port
        server.start()
        yield RedisTLS(server, front.port, authority)
        server.stop()


@pytest.fixture
def redis_tls_dsn(redis_tls_server: RedisTLS) -> str:
    return redis_tls_server.dsn()


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisCluster]:
    with _folder("redis") as folder:
        cluster = RedisCluster(folder)
        cluster.start()
        yield cluster
        cluster.stop()


@pytest.fixture
def redis_cluster_dsn(redis_cluster: RedisCluster) -> str:
    return redis_cluster.dsn()


@pytest.fixture(scope="session")
def redis_tls_cluster_dsn() -> Iterator[str]:
    """A cluster of one node, which tells its clients the port where they get TLS."""
    with _folder("redis") as folder, tls_front(folder) as (front, authority):
        cluster = RedisCluster(folder, size=1, announced_port=front.port)
        front.target = cluster.nodes[0].port
        cluster.start()
        address = f"{login(cluster.password)}@{HOST}:{front.port}"
        yield f"rediss+cluster://{address}?ssl_ca_certs={quote(str(authority))}"
        cluster.stop()


@pytest.fixture(scope="session")
def aws_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def dynamodb_server(aws_environment: None) -> Iterator[DynamoDBServer]:
    server = DynamoDBServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def dynamodb_dsn(dynamodb_server: DynamoDBServer) -> str:
    """A table of its own: moto looks through all items for every query."""
    return dsn("dynamodb", f"Table-{uuid4().hex}", dynamodb_server.port)


@pytest.fixture(scope="session")
def s3_server(aws_environment: None) -> Iterator[S3Server]:
    server = S3Server()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def s3_dsn(s3_server: S3Server) -> str:
    """A bucket of its own: moto looks through all keys for every list."""
    return dsn("s3", f"bucket-{uuid4().hex}/a prefix", s3_server.port)


@pytest.fixture(scope="session")
def cloud_server(aws_environment: None) -> Iterator[Cloud]:
    server = Cloud()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def cloud(cloud_server: Cloud) -> Cloud:
    """All of AWS, with nothing in it."""
    cloud_server.reset()
    return cloud_server
