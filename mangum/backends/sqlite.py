"""Connections in a SQLite file, for one machine: Python's sqlite3, in a thread beside the event loop."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, ClassVar, Generic, TypeVar
from urllib.parse import unquote

from mangum.backends.base import Backend, Entry, Page, Pending
from mangum.backends.dsn import DSN
from mangum.exceptions import ConfigurationError

__all__ = ["SQLite"]

T = TypeVar("T")

_MEMORY = ":memory:"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS mangum_connections (
    connection_id TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    expires_at INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS mangum_pending (
    connection_id TEXT,
    position INTEGER,
    message BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (connection_id, position)
);
CREATE TABLE IF NOT EXISTS mangum_members (
    group_name TEXT,
    connection_id TEXT,
    value BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (group_name, connection_id)
);
CREATE INDEX IF NOT EXISTS mangum_connections_expires_at ON mangum_connections (expires_at);
CREATE INDEX IF NOT EXISTS mangum_pending_expires_at ON mangum_pending (expires_at);
CREATE INDEX IF NOT EXISTS mangum_members_connection_id ON mangum_members (connection_id);
CREATE INDEX IF NOT EXISTS mangum_members_expires_at ON mangum_members (expires_at);
"""
# SQLite has no ADD COLUMN IF NOT EXISTS.
_ADDITIONS = (
    "ALTER TABLE mangum_pending ADD COLUMN owner TEXT",
    "ALTER TABLE mangum_pending ADD COLUMN claimed_until REAL",
)

_SAVE = "INSERT OR REPLACE INTO mangum_connections (connection_id, value, expires_at) VALUES (?, ?, ?)"
_UPDATE = "UPDATE mangum_connections SET value = ?, expires_at = ? WHERE connection_id = ?"
_LOAD = "SELECT connection_id, value, expires_at FROM mangum_connections WHERE connection_id = ?"
_FORGET = "DELETE FROM mangum_connections WHERE connection_id = ?"
_HOLD = "INSERT INTO mangum_pending (connection_id, position, message, expires_at) VALUES (?, ?, ?, ?)"
_CLAIM = """
UPDATE mangum_pending SET owner = ?, claimed_until = ?
WHERE connection_id = ? AND (owner IS NULL OR owner = ? OR claimed_until <= ?)
"""
_CLAIMED = "SELECT owner, message FROM mangum_pending WHERE connection_id = ? ORDER BY position"
_OWN = "SELECT expires_at FROM mangum_pending WHERE connection_id = ? AND owner = ? LIMIT 1"
_DROP = "DELETE FROM mangum_pending WHERE connection_id = ?"
_JOIN = "INSERT OR REPLACE INTO mangum_members (group_name, connection_id, value, expires_at) VALUES (?, ?, ?, ?)"
_LEAVE = "DELETE FROM mangum_members WHERE group_name = ? AND connection_id = ?"
_LEAVE_ALL = "DELETE FROM mangum_members WHERE connection_id = ?"
_GROUPS = "SELECT group_name FROM mangum_members WHERE connection_id = ?"
_MEMBERS = """
SELECT connection_id, value, expires_at FROM mangum_members
WHERE group_name = ? AND connection_id > ? ORDER BY connection_id LIMIT ?
"""
_EXPIRED = "SELECT connection_id FROM mangum_connections WHERE expires_at <= ? ORDER BY expires_at LIMIT ?"
_PURGE_ROWS = "DELETE FROM {0} WHERE rowid IN (SELECT rowid FROM {0} WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)"
_PURGE_MEMBERS = _PURGE_ROWS.format("mangum_members")
_PURGE_PENDING = _PURGE_ROWS.format("mangum_pending")

# How long SQLite itself waits for a lock that another process holds. Then it is asked again, for as long as somebody
# waits for the call: one that was given up must not be done later, when its repetition may have been overwritten.
_BUSY_S = 0.05
_BUSY_PAUSE_S = 0.001


class SQLite(Backend):
    """`sqlite:///absolute/path.db`, `sqlite://relative/path.db`, or `sqlite://:memory:`, which is there for this store
    alone and until it is closed.

    Processes that share a file take turns: it is in WAL mode, and a lock is held for a moment. A commit survives the
    process; the last ones may not survive a loss of power.
    """

    unavailable: ClassVar[tuple[type[BaseException], ...]] = (
        OSError,
        sqlite3.OperationalError,
        sqlite3.ProgrammingError,  # the connection is closed
    )

    def __init__(self, dsn: DSN) -> None:
        dsn.parameters()
        name = unquote(dsn.location) + (f"/{dsn.path}" if dsn.path else "")
        if dsn.user is not None or not name:
            raise ConfigurationError(
                f"The DSN {dsn} names no file: it is sqlite:///absolute/path.db, sqlite://relative/path.db or "
                "sqlite://:memory:, and an @ in a path is written %40."
            )
        self._path = _MEMORY if name in (_MEMORY, f"/{_MEMORY}") else str(Path(name).absolute())
        self._thread: _Thread | None = None

    async def open(self) -> None:
        self._thread = _Thread(self._path)
        await self._thread.wait_opened()

    async def close(self) -> None:
        thread = self._thread
        if thread is not None:
            await thread.call(sqlite3.Connection.close)
            await self.abort()
            thread.join()

    async def abort(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.abandon()

    async def save(self, record: Entry) -> None:
        await self._execute(_SAVE, record.connection_id, record.value, record.expires_at)

    async def update(self, record: Entry) -> None:
        await self._execute(_UPDATE, record.value, record.expires_at, record.connection_id)

    async def load(self, connection_id: str) -> Entry | None:
        rows = await self._execute(_LOAD, connection_id)
        return Entry(*rows[0]) if rows else None

    async def delete(self, connection_id: str) -> None:
        await self._call(_delete, connection_id)

    async def hold(self, connection_id: str, messages: Sequence[bytes], expires_at: int) -> None:
        await self._call(_hold, connection_id, messages, expires_at)

    async def claim(self, connection_id: str, owner: str, now: float, until: float) -> Pending | None:
        return await self._call(_claim, connection_id, owner, now, until)

    async def release(self, connection_id: str, owner: str, messages: Sequence[bytes]) -> None:
        await self._call(_release, connection_id, owner, messages)

    async def join(self, group: str, member: Entry) -> None:
        await self._execute(_JOIN, group, member.connection_id, member.value, member.expires_at)

    async def leave(self, group: str, connection_id: str) -> None:
        await self._execute(_LEAVE, group, connection_id)

    async def leave_all(self, connection_id: str) -> None:
        await self._execute(_LEAVE_ALL, connection_id)

    async def groups(self, connection_id: str) -> list[str]:
        return [row[0] for row in await self._execute(_GROUPS, connection_id)]

    async def members(self, group: str, after: str | None, limit: int) -> Page:
        rows = await self._execute(_MEMBERS, group, after or "", limit)
        return Page([Entry(*row) for row in rows], rows[-1][0] if len(rows) == limit else None)

    async def purge(self, now: int, most: int) -> None:
        await self._call(_purge, now, most)

    async def _execute(self, statement: str, *values: Any) -> list[Any]:
        """A statement, which is a transaction by itself, and its rows."""
        return await self._call(_execute, statement, values)

    async def _call(self, work: Callable[..., T], *arguments: Any) -> T:
        if self._thread is None:  # by a call at the same time
            raise _given_up()
        return await self._thread.call(work, *arguments)


# What is done in the thread


def _connect(path: str) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    except sqlite3.OperationalError:
        folder = Path(path).parent
        if folder.is_dir():
            raise
        raise ConfigurationError(f"The folder {folder}, where the SQLite file should be, does not exist.") from None
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
        _add_columns(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _add_columns(connection: sqlite3.Connection) -> None:
    if _has_claims(connection):
        return
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        if not _has_claims(connection):  # nor has another process added them meanwhile
            for statement in _ADDITIONS:
                connection.execute(statement)


def _has_claims(connection: sqlite3.Connection) -> bool:
    return any(column[1] == "owner" for column in connection.execute("PRAGMA table_info(mangum_pending)"))


def _execute(connection: sqlite3.Connection, statement: str, values: Sequence[Any]) -> list[Any]:
    return connection.execute(statement, values).fetchall()


def _delete(connection: sqlite3.Connection, connection_id: str) -> None:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for statement in (_FORGET, _DROP, _LEAVE_ALL):
            connection.execute(statement, (connection_id,))


def _hold(connection: sqlite3.Connection, connection_id: str, messages: Sequence[bytes], expires_at: int) -> None:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        _replace(connection, connection_id, messages, expires_at)


def _replace(connection: sqlite3.Connection, connection_id: str, messages: Sequence[bytes], expires_at: int) -> None:
    connection.execute(_DROP, (connection_id,))
    rows = [(connection_id, position, message, expires_at) for position, message in enumerate(messages)]
    connection.executemany(_HOLD, rows)


def _claim(connection: sqlite3.Connection, connection_id: str, owner: str, now: float, until: float) -> Pending | None:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_CLAIM, (owner, until, connection_id, owner, now))
        rows = connection.execute(_CLAIMED, (connection_id,)).fetchall()
    return Pending(rows[0][0], [message for _, message in rows]) if rows else None


def _release(connection: sqlite3.Connection, connection_id: str, owner: str, messages: Sequence[bytes]) -> None:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        own = connection.execute(_OWN, (connection_id, owner)).fetchone()
        if own is not None:
            _replace(connection, connection_id, messages, own[0])


def _purge(connection: sqlite3.Connection, now: int, most: int) -> None:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        ids = connection.execute(_EXPIRED, (now, most)).fetchall()
        for statement in (_FORGET, _DROP, _LEAVE_ALL):
            connection.executemany(statement, ids)
        for statement in (_PURGE_MEMBERS, _PURGE_PENDING):
            connection.execute(statement, (now, most))


# The thread


class _Thread:
    """A thread that owns a connection, and does calls on it one after the other.

    On an adopted loop, anyio's worker threads end with each invocation. asyncio's keep the interpreter from its exit.
    """

    def __init__(self, path: str) -> None:
        self._queue: SimpleQueue[_Call[Any] | None] = SimpleQueue()
        self._waiting: set[_Call[Any]] = set()
        self._opening = _Call(_connect, path)
        self._thread = threading.Thread(
            target=_serve, args=(self._opening, self._queue), name="mangum-sqlite", daemon=True
        )
        self._thread.start()
        # Who drops a store without closing it drops the thread too.
        self._end = weakref.finalize(self, self._queue.put, None)
        self._end.atexit = False

    async def wait_opened(self) -> None:
        """Wait until the file is open. The thread has ended if that fails."""
        await self._wait(self._opening)

    async def call(self, work: Callable[..., T], *arguments: Any) -> T:
        """The result of work with the connection, once the thread has done it."""
        call = _Call(work, *arguments)
        self._queue.put(call)
        return await self._wait(call)

    async def _wait(self, call: _Call[T]) -> T:
        self._waiting.add(call)
        try:
            return await call.wait()
        finally:
            self._waiting.discard(call)

    async def abandon(self) -> None:
        """Have it close the file and end. It gets a moment for what it is doing, so that this is not done later."""
        calls = list(self._waiting)
        for call in calls:
            call.give_up()
        self._end()
        if calls:
            await asyncio.wait([call.result for call in calls], timeout=2 * _BUSY_S)
        for call in calls:
            call.settle(None, _given_up())

    def join(self) -> None:
        """Wait until it has ended: no time, if nothing is left to do."""
        self._thread.join()


def _serve(opening: _Call[sqlite3.Connection], queue: SimpleQueue[_Call[Any] | None]) -> None:
    connection = opening.run()
    if connection is not None:
        with closing(connection):
            for call in iter(queue.get, None):
                call.run(connection)


class _Call(Generic[T]):
    """One piece of work for the thread, and its result for the event loop."""

    def __init__(self, work: Callable[..., T], *arguments: Any) -> None:
        self._work = work
        self._arguments = arguments
        self._loop = asyncio.get_running_loop()
        self._is_given_up = False
        self.result: asyncio.Future[T] = self._loop.create_future()

    async def wait(self) -> T:
        """The result. When this ends, the work has been done or will not be, cancelled or not."""
        try:
            return await self.result
        except asyncio.CancelledError:
            self.give_up()
            if self.result.cancelled():  # with the caller's task: the thread hands its result over to another future
                self.result = self._loop.create_future()
            self.result.add_done_callback(_fetch)  # even if the wait is cancelled again
            await asyncio.wait([self.result])
            raise

    def give_up(self) -> None:
        """Have it not done, if that can be."""
        self._is_given_up = True

    def run(self, *connection: sqlite3.Connection) -> T | None:
        """Do the work, in the thread."""
        result: T | None = None
        failure: Exception | None = _given_up()
        while not self._is_given_up:
            try:
                result = self._work(*connection, *self._arguments)
                failure = None
                break
            except Exception as error:
                failure = error
                if not _is_busy(error):
                    break
            time.sleep(_BUSY_PAUSE_S)
        with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            self._loop.call_soon_threadsafe(self.settle, result, failure)
        return result

    def settle(self, result: Any, failure: Exception | None) -> None:
        """Hand the result over, in the event loop."""
        if self.result.done():
            return
        if failure is None:
            self.result.set_result(result)
        else:
            self.result.set_exception(failure)


def _fetch(result: asyncio.Future[Any]) -> None:
    """Fetch the exception of a result that nobody waits for, so that the loop does not report it as lost."""
    _ = result.cancelled() or result.exception()


def _given_up() -> Exception:
    return ConnectionAbortedError("The file was closed.")


def _is_busy(error: Exception) -> bool:
    """Whether another process, or another connection of this one, holds a lock."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
