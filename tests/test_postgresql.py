"""The PostgreSQL store: its DSN, its tables, and what its server does to connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import asyncpg
import pytest

from mangum.backends import postgresql as module
from mangum.backends.base import Entry
from mangum.backends.dsn import DSN
from mangum.backends.postgresql import PostgreSQL
from mangum.backends.store import Store
from mangum.exceptions import BackendError, ConfigurationError
from tests.servers import HOST, free_port
from tests.servers.postgresql import PostgreSQLServer

LATER = int(time.time()) + 86_400
RECORD = Entry("connection", b"value", LATER)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def admin(postgresql_server: PostgreSQLServer) -> AsyncIterator[Any]:
    """A connection of the server's owner to a new database."""
    connection = await asyncpg.connect(postgresql_server.dsn())
    name = f"test_{uuid4().hex}"
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    connection = await asyncpg.connect(postgresql_server.dsn(database=name))
    yield connection
    await connection.close()


@pytest.fixture
def dsn(admin: Any, postgresql_server: PostgreSQLServer) -> str:
    """The new database."""
    return postgresql_server.dsn(database=admin._params.database)


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[Store]:
    store = Store.of(f"{dsn}?application_name=mangum-test")
    yield store
    await store.close()


async def sessions(admin: Any) -> list[str]:
    """The last query of each session of the store."""
    rows = await admin.fetch(
        "SELECT query FROM pg_stat_activity WHERE application_name = 'mangum-test' AND datname = current_database()"
    )
    return [row[0] for row in rows]


# The DSN


@pytest.mark.parametrize(
    "dsn", ["postgresql://", "postgres://", "postgresql:///", "postgresql://ann:pw@", "postgres://?a=b"]
)
def test_a_dsn_that_names_nothing(dsn: str) -> None:
    with pytest.raises(ConfigurationError, match=r"names no host and no database: postgresql://user@host/database, or"):
        Store.of(dsn)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://host",
        "postgresql:///db",
        "postgresql://ann@/?host=/run/pg",
        "postgresql://?dbname=db",
        "postgresql://?database=db",
        "postgres://?service=db",
    ],
)
def test_a_dsn_that_names_something(dsn: str) -> None:
    assert Store.of(dsn).name.startswith("postgres")


@pytest.mark.parametrize("parameter", ["max_size", "min_size", "statement_cache_size", "command_timeout", "timeout"])
def test_a_number_that_is_none(parameter: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^The DSN \S+ has a {parameter} that is no number\.$"):
        Store.of(f"postgresql://host/db?{parameter}=many")


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("max_size=0", "max_size is expected to be greater than zero"),
        ("min_size=20", "min_size is greater than max_size"),
        ("sslmode=never", "`sslmode` parameter must be one of"),
        ("ssl=never", "`sslmode` parameter must be one of"),
        ("maxsize=5", 'unrecognized configuration parameter "maxsize"'),
        ("work_mem=much", 'invalid value for parameter "work_mem": "much"'),
        ("max_connections=5", 'parameter "max_connections" cannot be changed'),
    ],
)
async def test_a_parameter_that_does_not_work(query: str, problem: str, dsn: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        await Store.of(f"{dsn}?{query}").open()
    assert "has a parameter that does not work: " in str(caught.value)


async def test_what_asyncpg_takes_passes_through(dsn: str, admin: Any) -> None:
    await admin.execute("CREATE SCHEMA chat")
    query = "application_name=a%20b&search_path=chat&ssl=disable&statement_cache_size=0&max_size=1&timeout=3.5"
    store = Store.of(f"{dsn}?{query}&max_inactive_connection_lifetime=60&synchronous_commit=off")
    await asyncio.gather(store.save(RECORD), store.load("unknown"))
    rows = await admin.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = 'a b'")
    assert len(rows) == 1
    assert await admin.fetchval("SELECT value FROM chat.mangum_connections") == b"value"
    await store.close()


@pytest.mark.parametrize(
    "template",
    [
        "postgresql://mangum:{password}@/postgres?host={socket}&port={port}",
        "postgres://?host={host}&port={port}&user=mangum&password={password}&dbname=postgres",
        "postgresql://mangum:{password}@{host}:{closed},{host}:{port}/postgres",
        "PostgreSQL://Ann%2F%3F:Pw%2F%3F@{host}:{port}/Ann%2F%3F",
    ],
    ids=["socket", "parameters", "several hosts", "quoted names in capitals"],
)
async def test_where_the_server_is(template: str, postgresql_server: PostgreSQLServer, admin: Any) -> None:
    await admin.execute("CREATE USER \"Ann/?\" PASSWORD 'Pw/?'")
    await admin.execute('CREATE DATABASE "Ann/?" OWNER "Ann/?"')
    store = Store.of(
        template.format(
            host=HOST,
            port=postgresql_server.port,
            closed=free_port(),
            socket=postgresql_server.socket_folder,
            password=quote(postgresql_server.password, safe=""),
        )
    )
    await store.save(RECORD)
    assert await store.load("connection") == RECORD
    await store.close()
    await admin.execute('DROP DATABASE "Ann/?"')
    await admin.execute('DROP USER "Ann/?"')


# The tables


async def test_many_create_the_tables_at_the_same_time(dsn: str) -> None:
    stores = [Store.of(dsn) for _ in range(8)]
    await asyncio.gather(*(store.save(RECORD) for store in stores))
    for store in stores:
        await store.close()


async def test_tables_that_were_dropped_are_created_again(store: Store, admin: Any) -> None:
    await store.save(RECORD)
    await admin.execute("DROP TABLE mangum_connections")
    await store.save(RECORD)
    assert await store.load("connection") == RECORD


async def test_who_may_not_create_tables_is_told_what_to_create(
    dsn: str, postgresql_server: PostgreSQLServer, admin: Any
) -> None:
    user = f"user_{uuid4().hex}"
    await admin.execute(f"CREATE USER {user} PASSWORD 'pw'; REVOKE CREATE ON SCHEMA public FROM public")
    store = Store.of(dsn.replace(f"mangum:{quote(postgresql_server.password, safe='')}", f"{user}:pw"))
    with pytest.raises(ConfigurationError) as caught:
        await store.save(RECORD)
    problem, _, tables = str(caught.value).partition("\n\n")
    assert problem == (
        f"Tables or columns are missing in {store.name}, and its user may not create them (permission denied for "
        "schema public). Let that user SELECT, INSERT, UPDATE and DELETE in what this creates:"
    )
    await admin.execute(tables)
    with pytest.raises(BackendError, match="failed to open: InsufficientPrivilegeError: permission denied for table"):
        await store.save(RECORD)
    await admin.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user}")
    await store.save(RECORD)
    assert await store.load("connection") == RECORD
    await store.delete("connection")
    await store.close()
    await admin.execute(f"DROP OWNED BY {user}; DROP USER {user}")


async def test_tables_of_an_earlier_version(dsn: str, admin: Any) -> None:
    """In them nobody could claim what waits for a connection. Several sandboxes may open them at the same time."""
    first = Store.of(dsn)
    await first.hold("connection", [b"1"], LATER)
    await first.close()
    await admin.execute("ALTER TABLE mangum_pending DROP COLUMN owner, DROP COLUMN claimed_until")
    stores = [Store.of(dsn) for _ in range(4)]
    claims = await asyncio.gather(*(store.claim("connection", f"{n}", LATER) for n, store in enumerate(stores)))
    own = [claim for n, claim in enumerate(claims) if claim is not None and claim.owner == f"{n}"]
    assert [claim.messages for claim in own] == [[b"1"]]
    await asyncio.gather(*(store.close() for store in stores))


async def test_who_is_too_late_to_renew_a_claim_does_not_have_it(dsn: str, admin: Any, store: Store) -> None:
    """Another takes it over at the same time, and the server shows who is late what was there before."""
    await store.hold("connection", [b"1"], LATER)
    await store.claim("connection", "ann", 0)
    async with admin.transaction():
        await admin.execute("UPDATE mangum_pending SET owner = 'bob', claimed_until = $1", float(LATER))
        late = asyncio.create_task(store.claim("connection", "ann", LATER))
        while not await admin.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0)
    claim = await late
    assert claim is not None
    assert claim.owner != "ann"


async def test_a_schema_that_is_missing(dsn: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\(no schema has been selected to create in\)"):
        await Store.of(f"{dsn}?search_path=chat").save(RECORD)


async def test_a_database_that_is_missing(postgresql_server: PostgreSQLServer) -> None:
    with pytest.raises(BackendError, match='failed to open: InvalidCatalogNameError: database "chat" does not exist'):
        await Store.of(postgresql_server.dsn(database="chat")).save(RECORD)


async def test_what_is_expired_is_purged(store: Store, admin: Any) -> None:
    async def rows() -> dict[str, list[str]]:
        tables = ("mangum_connections", "mangum_pending", "mangum_members")
        return {name: [row[0] for row in await admin.fetch(f"SELECT connection_id FROM {name}")] for name in tables}

    for number in range(25):
        await store.save(Entry(f"expired {number}", b"", 0))
        await store.join("room", Entry(f"expired {number}", b"", LATER))
        await store.hold(f"expired {number}", [b"1", b"2"], LATER)
    await store.save(RECORD)
    await store.join("room", RECORD)
    await store.hold("connection", [b"1"], LATER)
    await store.join("room", Entry("no record", b"", 0))
    await store.hold("no record", [b"1"], 0)
    await store.purge()
    left = await rows()
    assert [len(ids) for ids in left.values()] == [16, 16, 16]
    assert set(left["mangum_pending"]) == set(left["mangum_connections"]) == set(left["mangum_members"])
    await asyncio.gather(*(store.purge() for _ in range(4)))
    assert set(map(tuple, (await rows()).values())) == {("connection",)}


# The server


async def test_a_call_is_one_query(store: Store, admin: Any) -> None:
    """Nothing is asked before it or after it."""
    await store.load("connection")
    assert [query.split() for query in await sessions(admin)] == [module._LOAD.split()]
    await store.delete("connection")
    assert [query.split() for query in await sessions(admin)] == [module._DELETE.split()]


async def test_the_server_ends_a_session(store: Store, admin: Any) -> None:
    await store.save(RECORD)
    ended = await admin.fetch(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'mangum-test'"
    )
    assert [row[0] for row in ended] == [True]
    assert await store.load("connection") == RECORD


async def test_a_server_that_may_no_longer_write(store: Store, admin: Any) -> None:
    """After a failover, sessions with what was the primary are good for reading only."""
    name = admin._params.database
    await store.open()
    await store.close()
    await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await store.open()
    await admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await store.save(RECORD)
    assert await store.load("connection") == RECORD


async def test_a_closed_store_has_no_sessions(store: Store, admin: Any) -> None:
    await asyncio.gather(*(store.load("connection") for _ in range(20)))
    assert 1 <= len(await sessions(admin)) <= 10
    await store.close()
    for _ in range(1_000):  # a server notices a moment later
        if not await sessions(admin):
            break
    assert await sessions(admin) == []


async def test_a_backend_that_is_not_open() -> None:
    backend = PostgreSQL(DSN.parse("postgresql://host"))
    await backend.close()
    await backend.abort()


@pytest.fixture
def starting(postgresql_server: PostgreSQLServer) -> Iterator[PostgreSQLServer]:
    """The server as it is while it recovers: it refuses sessions. It is a standby that waits for a primary."""
    postgresql_server.stop()
    signal = postgresql_server.data / "standby.signal"
    signal.touch()
    postgresql_server.start("hot_standby=off", ready="consistent recovery state reached")
    yield postgresql_server
    postgresql_server.stop()
    signal.unlink(missing_ok=True)
    postgresql_server.start()


async def test_a_server_that_starts_is_waited_for(starting: PostgreSQLServer) -> None:
    store = Store.of(starting.dsn())
    saving = asyncio.create_task(store.save(RECORD))
    await asyncio.wait([saving], timeout=0.2)
    assert not saving.done()
    await asyncio.to_thread(starting.promote)
    await saving
    assert await store.load("connection") == RECORD
    await store.close()


async def test_a_server_that_does_not_get_started(starting: PostgreSQLServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STARTING_S", 0.1)
    with pytest.raises(BackendError, match="failed to open: CannotConnectNowError: the database system is "):
        await Store.of(starting.dsn()).save(RECORD)
