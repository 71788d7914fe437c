"""Connections in PostgreSQL, by asyncpg. Each call is one statement: one round trip, and atomic by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

import asyncpg

from mangum.backends.base import Backend, Entry, Page, Pending
from mangum.backends.dsn import DSN
from mangum.exceptions import ConfigurationError

__all__ = ["PostgreSQL"]

# What the pool and its connections take beside the DSN of asyncpg.
_ARGUMENTS: dict[str, type[int] | type[float] | type[str]] = {
    "min_size": int,
    "max_size": int,
    "max_queries": int,
    "max_inactive_connection_lifetime": float,
    "timeout": float,
    "command_timeout": float,
    "statement_cache_size": int,
    "max_cached_statement_lifetime": int,
    "max_cacheable_statement_size": int,
    "ssl": str,
}

# Names compare byte by byte, whatever the database's locale is.
_TABLES = """\
CREATE TABLE IF NOT EXISTS mangum_connections (
    connection_id text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL,
    expires_at bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS mangum_pending (
    connection_id text COLLATE "C" PRIMARY KEY,
    messages bytea[] NOT NULL,
    expires_at bigint NOT NULL
);
ALTER TABLE mangum_pending
    ADD COLUMN IF NOT EXISTS owner text COLLATE "C",
    ADD COLUMN IF NOT EXISTS claimed_until double precision;
CREATE TABLE IF NOT EXISTS mangum_members (
    group_name text COLLATE "C",
    connection_id text COLLATE "C",
    value bytea NOT NULL,
    expires_at bigint NOT NULL,
    PRIMARY KEY (group_name, connection_id)
);
CREATE INDEX IF NOT EXISTS mangum_connections_expires_at ON mangum_connections (expires_at);
CREATE INDEX IF NOT EXISTS mangum_pending_expires_at ON mangum_pending (expires_at);
CREATE INDEX IF NOT EXISTS mangum_members_connection_id ON mangum_members (connection_id);
CREATE INDEX IF NOT EXISTS mangum_members_expires_at ON mangum_members (expires_at);
"""
_ARE_THERE = "SELECT owner, claimed_until FROM mangum_connections, mangum_pending, mangum_members LIMIT 0"
# Two that create a table at the same time get in each other's way, IF NOT EXISTS or not. The number is any.
_CREATE = f"SELECT pg_advisory_xact_lock(7246981430583142087);\n{_TABLES}"

_SAVE = """
INSERT INTO mangum_connections (connection_id, value, expires_at) VALUES ($1, $2, $3)
ON CONFLICT (connection_id) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
"""
_UPDATE = "UPDATE mangum_connections SET value = $2, expires_at = $3 WHERE connection_id = $1"
_LOAD = "SELECT connection_id, value, expires_at FROM mangum_connections WHERE connection_id = $1"
_DELETE = """
WITH connections AS (DELETE FROM mangum_connections WHERE connection_id = $1),
    pending AS (DELETE FROM mangum_pending WHERE connection_id = $1)
DELETE FROM mangum_members WHERE connection_id = $1
"""
_HOLD = """
INSERT INTO mangum_pending (connection_id, messages, expires_at) VALUES ($1, $2, $3)
ON CONFLICT (connection_id) DO UPDATE
    SET messages = excluded.messages, expires_at = excluded.expires_at, owner = NULL, claimed_until = NULL
"""
# Of two at the same time, the second waits for the first, finds its claim, and tells what was there before: whoever had
# a claim then, it was not the second.
_CLAIM = """
WITH claimed AS (
    UPDATE mangum_pending SET owner = $2, claimed_until = $4
    WHERE connection_id = $1 AND (owner IS NULL OR owner = $2 OR claimed_until <= $3)
    RETURNING owner, messages
)
SELECT owner, messages FROM claimed
UNION ALL
SELECT coalesce(nullif(owner, $2), ''), messages FROM mangum_pending
WHERE connection_id = $1 AND NOT EXISTS (SELECT FROM claimed)
"""
_RELEASE = """
WITH released AS (DELETE FROM mangum_pending WHERE connection_id = $1 AND owner = $2 AND cardinality($3::bytea[]) = 0)
UPDATE mangum_pending SET messages = $3, owner = NULL, claimed_until = NULL
WHERE connection_id = $1 AND owner = $2 AND cardinality($3::bytea[]) > 0
"""
_JOIN = """
INSERT INTO mangum_members (group_name, connection_id, value, expires_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (group_name, connection_id) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
"""
_LEAVE = "DELETE FROM mangum_members WHERE group_name = $1 AND connection_id = $2"
_LEAVE_ALL = "DELETE FROM mangum_members WHERE connection_id = $1"
_GROUPS = "SELECT group_name FROM mangum_members WHERE connection_id = $1"
_MEMBERS = """
SELECT connection_id, value, expires_at FROM mangum_members
WHERE group_name = $1 AND connection_id > $2 ORDER BY connection_id LIMIT $3
"""
# Rows that another has locked, to renew or to purge them, are left to it.
_PURGE = """
WITH old_connections AS (
    SELECT connection_id FROM mangum_connections WHERE expires_at <= $1
    ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
), old_pending AS (
    SELECT connection_id FROM mangum_pending WHERE expires_at <= $1
    ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
), old_members AS (
    SELECT group_name, connection_id FROM mangum_members WHERE expires_at <= $1
    ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
), connections AS (
    DELETE FROM mangum_connections USING old_connections old
    WHERE mangum_connections.connection_id = old.connection_id
), pending AS (
    DELETE FROM mangum_pending USING (TABLE old_connections UNION TABLE old_pending) old
    WHERE mangum_pending.connection_id = old.connection_id
), members AS (
    DELETE FROM mangum_members USING old_connections old
    WHERE mangum_members.connection_id = old.connection_id
)
DELETE FROM mangum_members USING old_members old
WHERE mangum_members.group_name = old.group_name AND mangum_members.connection_id = old.connection_id
"""

_REFUSED_SETTINGS = (
    asyncpg.UndefinedObjectError,
    asyncpg.InvalidParameterValueError,
    asyncpg.CantChangeRuntimeParamError,
)

# A server that starts is waited for: for less time than `Store` waits, so that the reason reaches the user.
_STARTING_S = 4.0
_STARTING_POLL_S = 0.05


class PostgreSQL(Backend):
    """`postgresql://[user[:password]@]host[:port][,...]/database[?...]`, or `postgres://`.

    Parameters are those of asyncpg's DSN (`host`, `sslmode`, ...; what it does not know is a setting of the server),
    and of its pool and connections (`max_size`, `statement_cache_size`, `command_timeout`, ...):
    https://magicstack.github.io/asyncpg/current/api/index.html#connection
    """

    unavailable: ClassVar[tuple[type[BaseException], ...]] = (
        OSError,
        asyncpg.PostgresConnectionError,
        asyncpg.InterfaceError,  # of the client: the connection or the pool is closed
        asyncpg.InternalClientError,  # what came does not belong to the protocol's state
        asyncpg.OperatorInterventionError,  # the server shuts down, starts, or ends idle sessions
        asyncpg.ReadOnlySQLTransactionError,  # after a failover, the other server is the one that writes
        asyncpg.TransactionRollbackError,  # deadlock, or a conflict where transactions are serializable
        asyncpg.UndefinedTableError,  # a database that was emptied: `open` creates the tables again
    )

    def __init__(self, dsn: DSN) -> None:
        query = dict(dsn.query)
        if not dsn.location and not dsn.path and not {"host", "dbname", "database", "service"} & query.keys():
            raise ConfigurationError(
                f"The DSN {dsn} names no host and no database: postgresql://user@host/database, or "
                "postgresql://user@/database?host=/path/of/socket."
            )
        _check_ports(dsn)
        arguments: dict[str, Any] = {"min_size": 0, "max_size": 10}
        for name in query.keys() & _ARGUMENTS.keys():
            arguments[name] = _argument(dsn, name, query.pop(name))
        path = f"/{quote(dsn.path, safe='')}" if dsn.path else ""
        self._dsn = dsn
        self._arguments = {
            "dsn": f"postgresql://{dsn.location}{path}{'?' if query else ''}{urlencode(query)}",
            "user": dsn.user or None,
            "password": dsn.password or None,
            **arguments,
        }
        self._pool: Any = None  # a closed one stays: its error says that the call has to come again

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + _STARTING_S
        while True:
            try:
                return await self._open()
            except asyncpg.CannotConnectNowError:
                if loop.time() > give_up_at:
                    raise
            await asyncio.sleep(_STARTING_POLL_S)

    async def _open(self) -> None:
        try:
            # asyncpg would ask the server to forget the session's state after each use. There is none.
            self._pool = await asyncpg.create_pool(**self._arguments, reset=_keep)
            async with self._pool.acquire() as connection:
                await self._create_tables(connection)
        except (ValueError, *_REFUSED_SETTINGS) as error:  # asyncpg has checked its parameters, or the server its own
            raise ConfigurationError(
                f"The DSN {self._dsn} has a parameter that does not work: {self._dsn.redact(str(error))}"
            ) from None

    async def _create_tables(self, connection: Any) -> None:
        try:
            await connection.execute(_ARE_THERE)
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):  # or they are of an earlier version
            try:
                await connection.execute(_CREATE)
            except (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidSchemaNameError) as error:
                raise ConfigurationError(
                    f"Tables or columns are missing in {self._dsn}, and its user may not create them ({error}). "
                    f"Let that user SELECT, INSERT, UPDATE and DELETE in what this creates:\n\n{_TABLES}"
                ) from None

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()

    async def abort(self) -> None:
        if self._pool is not None:
            self._pool.terminate()

    async def save(self, record: Entry) -> None:
        await self._pool.execute(_SAVE, record.connection_id, record.value, record.expires_at)

    async def update(self, record: Entry) -> None:
        await self._pool.execute(_UPDATE, record.connection_id, record.value, record.expires_at)

    async def load(self, connection_id: str) -> Entry | None:
        row = await self._pool.fetchrow(_LOAD, connection_id)
        return None if row is None else Entry(*row)

    async def delete(self, connection_id: str) -> None:
        await self._pool.execute(_DELETE, connection_id)

    async def hold(self, connection_id: str, messages: Sequence[bytes], expires_at: int) -> None:
        await self._pool.execute(_HOLD, connection_id, messages, expires_at)

    async def claim(self, connection_id: str, owner: str, now: float, until: float) -> Pending | None:
        row = await self._pool.fetchrow(_CLAIM, connection_id, owner, now, until)
        # None are those that another has posted meanwhile, or that were held and are empty.
        return None if row is None or not row["messages"] else Pending(*row)

    async def release(self, connection_id: str, owner: str, messages: Sequence[bytes]) -> None:
        await self._pool.execute(_RELEASE, connection_id, owner, messages)

    async def join(self, group: str, member: Entry) -> None:
        await self._pool.execute(_JOIN, group, member.connection_id, member.value, member.expires_at)

    async def leave(self, group: str, connection_id: str) -> None:
        await self._pool.execute(_LEAVE, group, connection_id)

    async def leave_all(self, connection_id: str) -> None:
        await self._pool.execute(_LEAVE_ALL, connection_id)

    async def groups(self, connection_id: str) -> list[str]:
        return [row[0] for row in await self._pool.fetch(_GROUPS, connection_id)]

    async def members(self, group: str, after: str | None, limit: int) -> Page:
        rows = await self._pool.fetch(_MEMBERS, group, after or "", limit)
        return Page([Entry(*row) for row in rows], rows[-1][0] if len(rows) == limit else None)

    async def purge(self, now: int, most: int) -> None:
        await self._pool.execute(_PURGE, now, most)


async def _keep(connection: Any) -> None:
    """Leave a connection as it is."""


def _check_ports(dsn: DSN) -> None:
    """Refuse what asyncpg would find out when it connects, with the port in its message, which may be a password."""
    for hosts in (dsn.location, dsn.query.get("host", "")):
        dsn.addresses(",".join(host for host in hosts.split(",") if not host.startswith("/")))  # but no sockets
    if dsn.query.get("port"):
        for port in dsn.query["port"].split(","):
            dsn.port(port)


def _argument(dsn: DSN, name: str, value: str) -> int | float | str:
    kind = _ARGUMENTS[name]
    try:
        return kind(value)
    except ValueError:
        raise ConfigurationError(f"The DSN {dsn} has a {name} that is no number.") from None
