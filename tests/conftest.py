from __future__ import annotations

import gc
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from mangum.core.root import leftovers
from tests.servers.connections import ConnectionsEndpoint
from tests.servers.fixtures import aws_environment as aws_environment
from tests.servers.fixtures import cloud as cloud
from tests.servers.fixtures import cloud_server as cloud_server
from tests.servers.fixtures import dynamodb_dsn as dynamodb_dsn
from tests.servers.fixtures import dynamodb_server as dynamodb_server
from tests.servers.fixtures import postgresql_dsn as postgresql_dsn
from tests.servers.fixtures import postgresql_server as postgresql_server
from tests.servers.fixtures import redis_cluster as redis_cluster
from tests.servers.fixtures import redis_cluster_dsn as redis_cluster_dsn
from tests.servers.fixtures import redis_dsn as redis_dsn
from tests.servers.fixtures import redis_server as redis_server
from tests.servers.fixtures import redis_tls_cluster_dsn as redis_tls_cluster_dsn
from tests.servers.fixtures import redis_tls_dsn as redis_tls_dsn
from tests.servers.fixtures import redis_tls_server as redis_tls_server
from tests.servers.fixtures import s3_dsn as s3_dsn
from tests.servers.fixtures import s3_server as s3_server
from tests.servers.fixtures import valkey_dsn as valkey_dsn
from tests.servers.memory import memory_dsn as memory_dsn
from tests.servers.sqlite import sqlite_dsn as sqlite_dsn
from tests.sources import FRONT_DOORS, FrontDoor

EVENTS = Path(__file__).parent / "events"

# A shell starts what runs in the background with SIGINT ignored, which its processes inherit: tests send it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# The servers of the tests are on this machine: no proxy leads to them, and PostgreSQL's variables mean another server.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "localhost,127.0.0.1,::1"
for variable in [name for name in os.environ if name.startswith("PG")]:
    del os.environ[variable]

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, print_blob=True)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_leftovers() -> Iterator[None]:
    """A task that a test leaves behind on purpose is collected with it: asyncio reports that, to no other test."""
    yield
    if leftovers:
        leftovers.clear()
        gc.collect()


@pytest.fixture
def endpoint() -> Iterator[ConnectionsEndpoint]:
    """API Gateway's `@connections`, on this machine."""
    with ConnectionsEndpoint() as endpoint:
        yield endpoint


@pytest.fixture(params=FRONT_DOORS, ids=lambda door: door.name)
def door(request: pytest.FixtureRequest) -> FrontDoor:
    front_door: FrontDoor = request.param
    return front_door


def samples(folder: str) -> list[Any]:
    """AWS's sample events, each as a parameter with its file's name."""
    return [pytest.param(json.loads(path.read_text()), id=path.stem) for path in sorted((EVENTS / folder).glob("*"))]


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that knows nothing of AWS: no credentials, no region, in files or variables, none to be asked for."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
