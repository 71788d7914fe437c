"""What breaks between the sandbox and a store costs one retry at the most, in a bounded time.

A store is added to `SERVERS`, as `tests/servers/__init__.py` says, and to `BEHIND_PROXY` if a proxy can be before it:
not before a cluster, whose nodes tell their own addresses.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from mangum.backends.base import Entry
from mangum.backends.store import Store
from mangum.exceptions import BackendError
from tests.servers import Server
from tests.servers.proxy import Proxy, proxy_to

SERVERS = ["postgresql", "redis", "redis-tls", "dynamodb", "s3"]
BEHIND_PROXY = ["postgresql", "redis", "redis-tls", "dynamodb", "s3"]

# The design promises 3 and 10 s. A busy machine takes longer, and a call that hangs much longer.
DEAD_CONNECTION_S = 15.0
DOWN_S = 30.0

pytestmark = pytest.mark.anyio


@pytest.fixture
def server(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[Server]:
    """A server, of which no log may tell the password."""
    found: Server = request.getfixturevalue(f"{request.param.replace('-', '_')}_server")
    caplog.set_level(logging.DEBUG)
    yield found
    assert found.password is None or found.password not in caplog.text


@pytest.fixture
async def store(server: Server) -> AsyncIterator[Store]:
    store = Store.of(server.dsn())
    yield store
    await store.close()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with proxy_to(server.port) as proxy:
        yield proxy


@pytest.fixture
async def distant(server: Server, proxy: Proxy) -> AsyncIterator[Store]:
    """The store, by way of the proxy, on a warm connection."""
    store = Store.of(server.dsn(proxy.port))
    await store.save(record())
    yield store
    await store.close()


each_server = pytest.mark.parametrize("server", SERVERS, indirect=True)
each_behind_proxy = pytest.mark.parametrize("server", BEHIND_PROXY, indirect=True)


def record() -> Entry:
    return Entry(uuid4().hex, b"value", int(time.time()) + 86_400)


@contextmanager
def within(limit_s: float) -> Iterator[None]:
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < limit_s


@each_server
async def test_the_server_is_restarted_between_two_calls(server: Server, store: Store) -> None:
    before, after = record(), record()
    await store.save(before)
    server.stop()
    server.start()
    with within(DEAD_CONNECTION_S):
        await store.save(after)
    assert await store.load(after.connection_id) == after
    if server.is_durable:
        assert await store.load(before.connection_id) == before


@each_server
async def test_the_server_is_down(server: Server, store: Store) -> None:
    kept = record()
    await store.save(kept)
    cold = Store.of(server.dsn())
    server.stop()
    try:
        for client in (store, store, cold):
            with within(DOWN_S), pytest.raises(BackendError, match=r"^The store .* failed to "):
                await client.load(kept.connection_id)
    finally:
        server.start()
    for client in (store, cold):
        await client.save(kept)
        assert await client.load(kept.connection_id) == kept
    await cold.close()


@each_behind_proxy
async def test_connections_are_cut(distant: Store, proxy: Proxy) -> None:
    kept = record()
    await distant.save(kept)
    proxy.cut()
    with within(DEAD_CONNECTION_S):
        assert await distant.load(kept.connection_id) == kept
    proxy.cut()
    with within(DEAD_CONNECTION_S):
        assert await asyncio.gather(*(distant.load(kept.connection_id) for _ in range(20))) == [kept] * 20


@each_behind_proxy
async def test_connections_are_silent(distant: Store, proxy: Proxy) -> None:
    """As after a freeze in which a firewall has forgotten them."""
    kept = record()
    await distant.save(kept)
    proxy.freeze()
    with within(DEAD_CONNECTION_S):
        assert await distant.load(kept.connection_id) == kept
    await asyncio.gather(
        *(distant.save(record()) for _ in range(20))
    )  # has many connections opened, where there is a pool
    proxy.freeze()
    with within(DEAD_CONNECTION_S):
        assert await asyncio.gather(*(distant.load(kept.connection_id) for _ in range(20))) == [kept] * 20


@each_behind_proxy
async def test_a_call_on_a_silent_connection_is_cancelled(distant: Store, proxy: Proxy) -> None:
    kept = record()
    await distant.save(kept)
    proxy.freeze()
    with within(DEAD_CONNECTION_S), pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await distant.load(kept.connection_id)
    with within(DEAD_CONNECTION_S):
        assert await distant.load(kept.connection_id) == kept


@each_behind_proxy
async def test_the_server_is_silent(
    server: Server, distant: Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = record()
    await distant.save(kept)
    cold = Store.of(server.dsn(proxy.port))
    proxy.silence()
    with monkeypatch.context() as patch:  # nothing is learned by waiting longer
        patch.setattr("mangum.backends.store._OPEN_S", 1.0)
        patch.setattr("mangum.backends.store._CALL_S", 2.5)
        for client in (distant, cold):
            with within(DOWN_S):
                results = await asyncio.gather(*(client.load("any") for _ in range(20)), return_exceptions=True)
            assert [type(result) for result in results] == [BackendError] * 20
            assert {"did not answer within" in str(result) for result in results} == {True}
    proxy.cut()
    for client in (distant, cold):
        with within(DEAD_CONNECTION_S):
            assert await client.load(kept.connection_id) == kept
    await cold.close()


@each_server
async def test_a_wrong_password_is_not_shown(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    if server.password is None:
        pytest.skip("the server asks for no password")
    wrong = f"wrong@/:{server.password}"
    store = Store.of(server.dsn(password=wrong))
    with pytest.raises(BackendError) as caught:
        await store.load("connection")
    error = caught.value
    shown = [str(error), repr(error), repr(store), store.name, *traceback.format_exception(error), caplog.text]
    assert [text for text in shown if server.password in text] == []
