"""What is peculiar to Redis: DSNs, keys and their expiry, clusters, TLS, and connections that are given back."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
import redis
import trustme

from mangum.backends.base import Entry, Page, Pending
from mangum.backends.dsn import DSN
from mangum.backends.redis import Redis
from mangum.backends.store import Store, backend_of
from mangum.exceptions import BackendError, ConfigurationError
from tests.servers.proxy import proxy_to
from tests.servers.redis import RedisCluster, RedisServer, RedisTLS

pytestmark = pytest.mark.anyio

LATER = int(time.time()) + 86_400
PAST = int(time.time()) - 600

# What a user of the server has to be allowed, as the documentation has it.
RIGHTS = "get set del eval time ttl expireat zadd zrem zrange zrangebyscore zrangebylex zremrangebylex"


@pytest.fixture
def prefix() -> str:
    return f"{uuid4().hex}:"


@pytest.fixture
def admin(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with redis_server.client() as client:
        yield client


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Store]:
    store = Store.of(dsn)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def backend(dsn: str) -> AsyncIterator[Redis]:
    """A store without what `Store` does: its errors are those of redis-py."""
    backend = Redis(DSN.parse(dsn))
    await backend.open()
    try:
        yield backend
    finally:
        await backend.close()


def record(connection_id: str | None = None, expires_at: int = LATER) -> Entry:
    return Entry(connection_id or uuid4().hex, b"value", expires_at)


async def until(answer: Callable[[], Any], expected: Any) -> None:
    """Ask until the answer is what is expected."""
    async with asyncio.timeout(5):
        while answer() != expected:
            await asyncio.sleep(0.01)


# DSNs


@pytest.mark.parametrize(
    "form",
    [
        "redis://{login}@{host}",
        "redis://{login}@{host}/",
        "redis://{login}@{host}/0",
        "redis://{login}@{host}?db=0",
        "redis://default{login}@{host}",
        "valkey://{login}@{host}",
        "VALKEY://{login}@{host}",
        "redis://{login}@{socket}",
        "redis://{login}@?unix_socket_path={socket}",
        "valkey://{login}@{socket}?db=0",
    ],
)
async def test_forms_of_a_dsn(form: str, redis_server: RedisServer) -> None:
    saved = record()
    host, socket = f"127.0.0.1:{redis_server.port}", redis_server.socket
    dsn = form.format(login=f":{quote(redis_server.password, safe='')}", host=host, socket=socket)
    async with opened(redis_server.dsn()) as usual, opened(dsn) as store:
        await usual.save(saved)
        assert await store.load(saved.connection_id) == saved


@pytest.mark.parametrize("other", ["/5", "?db=5", "/0?db=5", "?prefix=other:"])
async def test_databases_and_prefixes_are_kept_apart(other: str, redis_server: RedisServer) -> None:
    saved = record()
    async with opened(redis_server.dsn()) as store, opened(redis_server.dsn() + other) as apart:
        await store.save(saved)
        assert await apart.load(saved.connection_id) is None
        await apart.save(saved)
        assert await apart.load(saved.connection_id) == saved


@pytest.mark.parametrize(
    "dsn",
    [
        "redis://host",
        "redis://[::1]",
        "redis://[::1]:6380/1",
        "redis://user@host?client_name=mangum&socket_timeout=1.5&socket_connect_timeout=1&max_connections=5",
        "redis://?unix_socket_path=/run/redis.sock&db=1",
        "rediss://host?ssl_ca_certs=ca.pem&ssl_certfile=cert.pem&ssl_keyfile=key.pem",
        "rediss://host?ssl_ca_data=pem&ssl_cert_reqs=optional&ssl_check_hostname=False",
        "valkeys://host?ssl_cert_reqs=none",
        "redis+cluster://one:7000,two,[::1]:7001",
        "valkey+cluster://one/0",
        "rediss+cluster://one?ssl_ca_certs=ca.pem",
        "valkeys+cluster://one",
    ],
)
def test_a_dsn_is_not_followed_before_the_first_call(dsn: str) -> None:
    assert isinstance(backend_of(DSN.parse(dsn)), Redis)


@pytest.mark.parametrize(
    ("dsn", "message"),
    [
        ("redis://", "names no host"),
        ("redis:///0", "names no host"),
        ("redis://:s3cret@", "names no host"),
        ("redis://:6379", "names no host"),
        ("redis://[::1", "names no host"),
        ("redis://host:s3cret", "^Invalid port in the DSN redis://host:\\*\\*\\*: a port is a number from 1 to 65535"),
        ("redis://::1", "an IPv6 address is written in brackets"),
        ("redis+cluster://", r"must look like redis\+cluster://host:6379"),
        ("redis+cluster://one,,two", "names no host"),
        ("redis://one,two", r"names several hosts, as only redis\+cluster:// can"),
        ("redis://?unix_socket_path=", "either a host or a Unix socket"),
        ("redis://host?unix_socket_path=/run/redis.sock", "either a host or a Unix socket"),
        ("rediss:///run/redis.sock", "names a Unix socket, which only redis:// and valkey:// can use"),
        ("redis+cluster:///run/redis.sock", "names a Unix socket"),
        ("redis://host/first", "names a database that is no number"),
        ("redis://host/-1", "names a database that is no number"),
        ("redis://host?db=x", "names a database that is no number"),
        ("redis+cluster://host/1", "a cluster has no other than 0"),
        ("redis+cluster://host?db=0", "not known: db"),
        ("redis://host?decode_responses=true", "not known: decode_responses.*takes prefix, client_name"),
        ("redis://host?ssl_cert_reqs=none", "not known: ssl_cert_reqs"),
        ("rediss://host?unix_socket_path=/run/redis.sock", "not known: unix_socket_path"),
        ("redis://host?prefix={a}", "has a prefix with { or }"),
        ("redis://host?max_connections=0", "max_connections that is no whole number above 0"),
        ("redis://host?max_connections=1.5", "max_connections that is no whole number above 0"),
        ("redis://host?socket_timeout=soon", "socket_timeout that is no number of seconds above 0"),
        ("redis://host?socket_timeout=-1", "socket_timeout that is no number of seconds above 0"),
        ("redis://host?socket_connect_timeout=nan", "socket_connect_timeout that is no number of seconds above 0"),
        ("rediss://host?ssl_cert_reqs=never", "ssl_cert_reqs that is not required, optional or none"),
        ("rediss://host?ssl_check_hostname=maybe", "ssl_check_hostname that is neither true nor false"),
        ("rediss://host?ssl_cert_reqs=none&ssl_check_hostname=true", "without a verified certificate"),
    ],
)
def test_a_dsn_that_is_wrong(dsn: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        backend_of(DSN.parse(dsn))
    assert "s3cret" not in str(caught.value)


# Keys


async def test_keys(redis_server: RedisServer, admin: redis.Redis, prefix: str) -> None:
    """All keys expire, and nothing is left of what is deleted."""
    connection_id = "odd}%{id"
    entry, group = record(connection_id), "{a}/ü"
    keys = {
        f"{prefix}{{odd%7D%25{{id}}:record": b"%d\nvalue" % LATER,
        f"{prefix}{{odd%7D%25{{id}}:pending": b"0:3:\0\n:",
        f"{prefix}{{odd%7D%25{{id}}:claim": b"1783000000.000 ann",
        f"{prefix}{{odd%7D%25{{id}}:groups": [(group.encode(), LATER)],
        f"{prefix}group:{group}": [(b"odd}%%{id\0%d\0value" % LATER, 0)],
    }
    async with opened(f"{redis_server.dsn()}?prefix={prefix}") as store:
        await store.save(entry)
        await store.hold(connection_id, [b"", b"\0\n:"], LATER)
        await store.claim(connection_id, "ann", 1_783_000_000)
        await store.join(group, entry)
        assert set(names(admin, prefix)) == set(keys)
        assert {key: content(admin, key) for key in keys} == keys
        assert [key for key in keys if not lifetime_ends(admin, key, LATER)] == []
        await store.delete(connection_id)
        assert names(admin, prefix) == []


def names(client: redis.Redis, prefix: str) -> list[str]:
    found: Any = client.keys(f"{prefix}*")
    return [key.decode() for key in found]


def content(admin: redis.Redis, key: str) -> Any:
    return admin.zrange(key, 0, -1, withscores=True) if admin.type(key) == b"zset" else admin.get(key)


def lifetime_ends(admin: redis.Redis, key: str, expires_at: int) -> bool:
    lifetime = admin.ttl(key)
    assert isinstance(lifetime, int)
    return abs(time.time() + lifetime - expires_at) < 2


async def test_a_group_lives_as_long_as_its_last_member(
    redis_server: RedisServer, admin: redis.Redis, prefix: str
) -> None:
    members = f"{prefix}group:red"
    async with opened(f"{redis_server.dsn()}?prefix={prefix}") as store:
        for expires_at, ends in ((LATER, LATER), (LATER - 300, LATER), (PAST, LATER), (LATER + 300, LATER + 300)):
            await store.join("red", record("ann", expires_at))
            assert lifetime_ends(admin, members, ends)
            assert lifetime_ends(admin, f"{prefix}{{ann}}:groups", ends)
        await store.join("blue", record("bob", PAST))
        assert await store.groups("bob") == []
        assert names(admin, f"{prefix}group:blue") == []


async def test_who_joins_removes_the_expired_that_follow(
    redis_server: RedisServer, admin: redis.Redis, prefix: str
) -> None:
    def ids() -> list[str]:
        found: Any = admin.zrange(f"{prefix}group:red", 0, -1)
        return [entry.split(b"\0")[0].decode() for entry in found]

    expired = [f"id-{number:02}" for number in range(20)]
    async with opened(f"{redis_server.dsn()}?prefix={prefix}") as store:
        await store.join("red", record("last"))
        for connection_id in expired:
            await store.join("red", record(connection_id, PAST))
        assert ids() == [*expired, "last"]
        await store.join("red", record("first"))
        assert ids() == ["first", *expired[10:], "last"]
        await store.join("red", record("first"))
        assert ids() == ["first", "last"]


async def test_a_member_is_read_once_while_it_joins_again(redis_server: RedisServer, prefix: str) -> None:
    """Between two pages too, where its new value sorts behind its old one, which was the last of a page."""
    async with backend(f"{redis_server.dsn()}?prefix={prefix}") as store:
        for connection_id in ("a", "a\1", "b"):
            await store.join("red", Entry(connection_id, b"old", LATER))
        page = await store.members("red", None, 1)
        assert page == Page([Entry("a", b"old", LATER)], "a")
        await store.join("red", Entry("a", b"new", LATER + 60))
        assert await store.members("red", page.next, 5) == Page(
            [Entry("a\1", b"old", LATER), Entry("b", b"old", LATER)], None
        )


async def test_a_user_with_few_rights(redis_server: RedisServer, admin: redis.Redis, prefix: str) -> None:
    user = f"user-{uuid4().hex}"
    rights = [f"+{command}" for command in RIGHTS.split()]
    admin.acl_setuser(user, enabled=True, passwords=["+s3cret"], keys=[f"{prefix}*"], commands=rights)
    login = f"redis://{user}:s3cret@127.0.0.1:{redis_server.port}?prefix="
    entry = record()
    async with opened(login + prefix) as store:
        await store.save(entry)
        assert await store.load(entry.connection_id) == entry
        await store.hold(entry.connection_id, [b"1"], LATER)
        await store.update(entry)
        assert await store.claim(entry.connection_id, "ann", LATER) == Pending("ann", [b"1"])
        await store.release(entry.connection_id, "ann", [b"2"])
        assert await store.claim(entry.connection_id, "bob", LATER) == Pending("bob", [b"2"])
        await store.release(entry.connection_id, "bob", [])
        assert await store.claim(entry.connection_id, "ann", LATER) is None
        await store.join("red", entry)
        await store.join("blue", entry)
        assert sorted(await store.groups(entry.connection_id)) == ["blue", "red"]
        assert [page async for page in store.pages("red")] == [[entry]]
        await store.leave("red", entry.connection_id)
        await store.leave_all(entry.connection_id)
        await store.delete(entry.connection_id)
    async with opened(login + "other:") as store:
        with pytest.raises(BackendError, match="failed to open: NoPermissionError"):
            await store.load(entry.connection_id)


async def test_an_error_does_not_quote_what_was_to_be_stored(
    redis_server: RedisServer, admin: redis.Redis, prefix: str
) -> None:
    admin.set(f"{prefix}group:red", "of another program", ex=60)
    async with opened(f"{redis_server.dsn()}?prefix={prefix}") as store:
        with pytest.raises(BackendError, match=r"failed to join: ResponseError: .*WRONGTYPE") as caught:
            await store.join("red", Entry("ann", b"s3cret", LATER))
        assert "s3cret" not in f"{caught.value}{caught.value.__cause__!r}"


# Connections


@pytest.mark.parametrize("kind", ["redis_server", "redis_cluster"])
async def test_connections_are_warm_and_given_back(kind: str, request: pytest.FixtureRequest, prefix: str) -> None:
    server: RedisServer | RedisCluster = request.getfixturevalue(kind)
    nodes = server.nodes if isinstance(server, RedisCluster) else [server]
    name = uuid4().hex

    def clients() -> list[int]:
        """How many there are of the store, for each node."""
        counts = []
        for node in nodes:
            with node.client() as client:
                counts.append([other["name"] for other in client.client_list()].count(name))
        return counts

    async with opened(f"{server.dsn()}?client_name={name}&max_connections=3&prefix={prefix}") as store:
        entry = record()
        await store.save(entry)
        warm = clients()
        assert sum(warm) == 1 or kind == "redis_cluster"  # where there are those by which the nodes were found
        for _ in range(3):
            await store.save(entry)
        assert clients() == warm
        await asyncio.gather(*(store.save(entry) for _ in range(50)))
        assert sum(clients()) == sum(warm) + 2
    none = [0] * len(nodes)
    await until(clients, none)
    gc.collect()  # a connection that was forgotten would warn
    await store.save(entry)
    assert sum(clients()) >= 1
    await store.close()
    await until(clients, none)


@pytest.mark.parametrize("kind", ["redis_dsn", "redis_tls_dsn", "redis_cluster_dsn"])
async def test_calls_under_way_when_connections_are_dropped(kind: str, request: pytest.FixtureRequest) -> None:
    """They fail with what has `Store` ask again, and leave nothing behind."""
    entry = record()
    calls: list[Callable[[Redis], Awaitable[Any]]] = [
        lambda store: store.load(entry.connection_id),
        lambda store: store.join("red", entry),
        lambda store: store.delete(entry.connection_id),
    ]
    async with backend(request.getfixturevalue(kind)) as store:
        for turns in range(20):
            under_way = [asyncio.ensure_future(call(store)) for call in calls * 10]
            for _ in range(turns):
                await asyncio.sleep(0)
            await store.abort()
            results = await asyncio.gather(*under_way, return_exceptions=True)
            failures = [result for result in results if isinstance(result, BaseException)]
            assert [failure for failure in failures if not isinstance(failure, Redis.unavailable)] == []
            gc.collect()
            await store.open()
        assert await store.load("connection") is None


async def test_a_call_whose_connections_are_dropped(redis_server: RedisServer) -> None:
    async with backend(redis_server.dsn()) as store:
        client = store._opened
        await store.abort()
        with pytest.raises(Redis.unavailable, match="dropped while the call was under way"):
            await store.load("connection")
        with pytest.raises(Redis.unavailable, match="dropped while this one was opened"):
            await client.get("key")  # a call that went on to connect
        await store.open()
        assert await store.load("connection") is None


async def test_nothing_waits_for_the_goodbye_of_a_silent_server(redis_tls_server: RedisTLS) -> None:
    """TLS ends with one from both sides, for which asyncio would wait."""
    with proxy_to(redis_tls_server.port) as proxy:
        for end in (Redis.close, Redis.abort):
            async with backend(redis_tls_server.dsn(proxy.port)) as store:
                (connection,) = store._connections._open
                assert connection._writer is not None
                socket = connection._writer.get_extra_info("socket")
                proxy.freeze()
                async with asyncio.timeout(1):
                    await end(store)
                await until(socket.fileno, -1)


async def test_timeouts_of_the_dsn(redis_tls_server: RedisTLS) -> None:
    with proxy_to(redis_tls_server.port) as proxy:
        dsn = redis_tls_server.dsn(proxy.port) + "&socket_timeout=0.2&socket_connect_timeout=0.3"
        async with backend(dsn) as store:
            proxy.silence()
            for _ in ("an open connection", "a new one"):
                async with asyncio.timeout(1):
                    with pytest.raises(redis.TimeoutError):
                        await store.load("connection")


# TLS


async def test_tls_is_refused_with_a_wrong_authority(redis_tls_server: RedisTLS, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    dsn, _, _ = redis_tls_server.dsn().partition("?")
    for parameters in ("", f"?ssl_ca_certs={other}", f"?ssl_ca_certs={other}&ssl_check_hostname=false"):
        async with opened(dsn + parameters) as store:
            with pytest.raises(BackendError, match="CERTIFICATE_VERIFY_FAILED"):
                await store.load("connection")
    async with opened(f"{dsn}?ssl_cert_reqs=none") as store:
        assert await store.load("connection") is None


async def test_tls_is_refused_where_the_name_is_another(redis_tls_server: RedisTLS) -> None:
    dsn = redis_tls_server.dsn().replace("127.0.0.1", "localhost")
    async with opened(dsn) as store:
        with pytest.raises(BackendError, match=r"CERTIFICATE_VERIFY_FAILED.*localhost"):
            await store.load("connection")
    for scheme in ("rediss", "valkeys"):
        async with opened(f"{dsn}&ssl_check_hostname=no".replace("rediss:", f"{scheme}:")) as store:
            assert await store.load("connection") is None


async def test_tls_authority_in_the_dsn(redis_tls_server: RedisTLS) -> None:
    dsn, _, _ = redis_tls_server.dsn().partition("?")
    async with opened(f"{dsn}?ssl_ca_data={quote(redis_tls_server.authority.read_text())}") as store:
        assert await store.load("connection") is None


async def test_tls_where_there_is_none(redis_server: RedisServer) -> None:
    dsn = redis_server.dsn().replace("redis:", "rediss:")
    async with opened(f"{dsn}?socket_connect_timeout=0.3") as store:
        with pytest.raises(BackendError, match="failed to open"):
            await store.load("connection")


async def test_a_cluster_with_tls(redis_tls_cluster_dsn: str, tmp_path: Path) -> None:
    entry = record()
    async with opened(redis_tls_cluster_dsn) as store:
        await store.save(entry)
        await store.join("red", entry)
        assert await store.load(entry.connection_id) == entry
        assert [entry in page async for page in store.pages("red")] == [True]
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    dsn, _, _ = redis_tls_cluster_dsn.partition("?")
    async with opened(f"{dsn}?ssl_ca_certs={other}") as store:
        with pytest.raises(BackendError, match="CERTIFICATE_VERIFY_FAILED"):
            await store.load("connection")


# Clusters


def on_node(cluster: RedisCluster, node: RedisServer, prefix: str) -> Entry:
    """A record whose keys belong there."""
    entry = record()
    while cluster.owner(cluster.slot(f"{prefix}{{{entry.connection_id}}}")) is not node:
        entry = record()
    return entry


async def test_keys_of_a_connection_are_in_one_slot(redis_cluster: RedisCluster, prefix: str) -> None:
    odd = ["a", "}", "{", "{}", "}{", "{a}b", "a{b}c", "%", "%7D", "é}"]
    async with opened(f"{redis_cluster.dsn()}?prefix={prefix}") as store:
        for connection_id in odd:
            await store.save(record(connection_id))
            await store.hold(connection_id, [b"1"], LATER)
            await store.claim(connection_id, "ann", LATER)
            await store.join("red", record(connection_id))
        slots: dict[str, list[int]] = {}
        for node in redis_cluster.nodes:
            with node.client() as client:
                for key in names(client, prefix):
                    slots.setdefault(key.rpartition(":")[0], []).append(redis_cluster.slot(key))
        assert len(slots.pop(f"{prefix}group")) == 1
        assert [len(found) for found in slots.values()] == [4] * len(odd)
        assert [found for found in slots.values() if len(set(found)) > 1] == []
        assert len({redis_cluster.owner(found[0]).port for found in slots.values()}) == 3
        for connection_id in odd:
            await store.delete(connection_id)
    for node in redis_cluster.nodes:
        with node.client() as client:
            assert names(client, prefix) == []


async def test_any_node_leads_to_a_cluster(redis_cluster: RedisCluster, prefix: str) -> None:
    entry = on_node(redis_cluster, redis_cluster.nodes[0], prefix)
    login, _, _ = redis_cluster.dsn().partition("127.0.0.1:")
    for scheme, nodes in (("redis", "127.0.0.1:1,127.0.0.1"), ("valkey", "127.0.0.1")):
        dsn = f"{login}{nodes}:{redis_cluster.nodes[1].port}?prefix={prefix}".replace("redis+", f"{scheme}+")
        async with opened(dsn) as store:
            await store.save(entry)
            assert await store.load(entry.connection_id) == entry


async def test_a_slot_that_moves(redis_cluster: RedisCluster, prefix: str) -> None:
    old, new, _ = redis_cluster.nodes
    entry = on_node(redis_cluster, old, prefix)
    slot = redis_cluster.slot(f"{prefix}{{{entry.connection_id}}}")
    async with opened(f"{redis_cluster.dsn()}?prefix={prefix}") as store:
        await store.delete(entry.connection_id)
        move(redis_cluster, slot, new)
        await store.join("red", entry)
        await store.save(entry)
        with new.client() as client:
            assert len(names(client, f"{prefix}{{{entry.connection_id}}}:")) == 2
        assert await store.groups(entry.connection_id) == ["red"]
        await store.delete(entry.connection_id)
        move(redis_cluster, slot, old)
        assert await store.load(entry.connection_id) is None


def move(cluster: RedisCluster, slot: int, to: RedisServer) -> None:
    with to.client() as client:
        name = client.execute_command("CLUSTER MYID")
    for node in (to, *(node for node in cluster.nodes if node is not to)):
        with node.client() as client:
            client.execute_command("CLUSTER SETSLOT", slot, "NODE", name)


async def test_nodes_that_close_their_connections(redis_cluster: RedisCluster, prefix: str) -> None:
    entries = [on_node(redis_cluster, node, prefix) for node in redis_cluster.nodes]
    async with opened(f"{redis_cluster.dsn()}?prefix={prefix}") as store:
        for entry in entries:
            await store.save(entry)
        for _ in range(2):
            for node in redis_cluster.nodes:
                with node.client() as client:
                    client.client_kill_filter(_type="normal", skipme=True)
            for entry in entries:
                async with asyncio.timeout(3):
                    assert await store.load(entry.connection_id) == entry


async def test_a_node_that_is_down(redis_cluster: RedisCluster, prefix: str) -> None:
    up, _, down = redis_cluster.nodes
    there, lost = on_node(redis_cluster, up, prefix), on_node(redis_cluster, down, prefix)
    async with opened(f"{redis_cluster.dsn()}?prefix={prefix}") as store:
        await store.save(there)
        await store.save(lost)
        down.stop()
        try:
            async with asyncio.timeout(10):
                with pytest.raises(BackendError, match="failed to load"):
                    await store.load(lost.connection_id)
                with pytest.raises(BackendError, match="failed to leave"):
                    await store.leave("red", lost.connection_id)
                assert await store.load(there.connection_id) == there
        finally:
            down.start()
            redis_cluster.wait_until_whole()
        assert await store.load(lost.connection_id) == lost


async def test_a_dsn_of_a_server_that_is_part_of_a_cluster(redis_cluster: RedisCluster, prefix: str) -> None:
    node = redis_cluster.owner(redis_cluster.slot(f"{prefix}{{-}}"))
    elsewhere = on_node(redis_cluster, next(other for other in redis_cluster.nodes if other is not node), prefix)
    async with opened(f"{node.dsn()}?prefix={prefix}") as store:
        for call in (store.load, store.delete):
            with pytest.raises(ConfigurationError, match=r"one node of a cluster.*write redis\+cluster://"):
                await call(elsewhere.connection_id)


async def test_a_dsn_of_a_cluster_that_is_one_server(redis_server: RedisServer) -> None:
    async with opened(redis_server.dsn().replace("redis:", "redis+cluster:")) as store:
        with pytest.raises(BackendError, match="Cluster mode is not enabled"):
            await store.load("connection")
