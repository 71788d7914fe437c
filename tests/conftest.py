from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.servers.memory import memory_dsn as memory_dsn
from tests.servers.moto import aws_environment as aws_environment
from tests.servers.moto import dynamodb_dsn as dynamodb_dsn
from tests.servers.moto import dynamodb_server as dynamodb_server
from tests.servers.moto import s3_dsn as s3_dsn
from tests.servers.moto import s3_server as s3_server
from tests.servers.postgresql import postgresql_dsn as postgresql_dsn
from tests.servers.postgresql import postgresql_server as postgresql_server
from tests.servers.sqlite import sqlite_dsn as sqlite_dsn
from tests.sources import FRONT_DOORS, FrontDoor

EVENTS = Path(__file__).parent / "events"

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, print_blob=True)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=FRONT_DOORS, ids=lambda door: door.name)
def door(request: pytest.FixtureRequest) -> FrontDoor:
    front_door: FrontDoor = request.param
    return front_door


def samples(folder: str) -> list[Any]:
    """AWS's sample events, each as a parameter with its file's name."""
    return [pytest.param(json.loads(path.read_text()), id=path.stem) for path in sorted((EVENTS / folder).glob("*"))]
