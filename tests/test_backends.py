"""Each store, on a real server, keeps the contract of stores.

A store is added by its name in `STORES` and a fixture `<name>_dsn`, with _ for -, which starts what it needs: in
`tests/servers`, imported by `tests/conftest.py`. It may be of any scope; checks can share a store.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mangum.backends.conformance import CHECKS, Check
from mangum.backends.store import Store

STORES = ["memory", "sqlite", "postgresql", "redis", "redis-tls", "redis-cluster", "valkey", "dynamodb", "s3"]

pytestmark = pytest.mark.anyio


@pytest.fixture(params=STORES)
def dsn(request: pytest.FixtureRequest) -> str:
    name: str = request.getfixturevalue(f"{request.param.replace('-', '_')}_dsn")
    return name


@pytest.fixture
async def stores(dsn: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Store, Store]]:
    monkeypatch.setattr("mangum.backends.store._FIRST_ATTEMPT_S", 60.0)  # simulated clouds on a busy machine are slow
    monkeypatch.setattr("mangum.backends.store._CALL_S", 120.0)
    store, second = Store.of(dsn), Store.of(dsn)
    yield store, second
    await store.close()
    await second.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
async def test_conformance(check: Check, stores: tuple[Store, Store]) -> None:
    await check(*stores)
