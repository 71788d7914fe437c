"""What all stores have in common, once: which class a DSN names, limits of names and of time, expiry, the retry on a
connection that died while the sandbox was frozen, and errors that say what is wrong without a secret."""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias, TypeVar

import anyio

from mangum.backends.base import Backend, Entry, Pending
from mangum.backends.dsn import DSN
from mangum.exceptions import BackendError, ConfigurationError, MangumError

__all__ = ["CONNECTION_LIFETIME_S", "Drop", "Store", "WhenLeft", "backend_of"]

logger: logging.Logger = logging.getLogger("mangum.backends")

T = TypeVar("T")
Drop: TypeAlias = Callable[[], Awaitable[None]]
WhenLeft: TypeAlias = Callable[[asyncio.Task[Any], str], None]

# API Gateway closes a connection after two hours, and its DISCONNECT is best effort:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
CONNECTION_LIFETIME_S = 130 * 60

_CLASSES = {
    "sqlite": ("mangum.backends.sqlite:SQLite", None),
    "postgresql": ("mangum.backends.postgresql:PostgreSQL", "postgresql"),
    "postgres": ("mangum.backends.postgresql:PostgreSQL", "postgresql"),
    "redis": ("mangum.backends.redis:Redis", "redis"),
    "rediss": ("mangum.backends.redis:Redis", "redis"),
    "redis+cluster": ("mangum.backends.redis:Redis", "redis"),
    "rediss+cluster": ("mangum.backends.redis:Redis", "redis"),
    "valkey": ("mangum.backends.redis:Redis", "redis"),
    "valkeys": ("mangum.backends.redis:Redis", "redis"),
    "valkey+cluster": ("mangum.backends.redis:Redis", "redis"),
    "valkeys+cluster": ("mangum.backends.redis:Redis", "redis"),
    "dynamodb": ("mangum.backends.dynamodb:DynamoDB", "aws"),
    "s3": ("mangum.backends.s3:S3", "aws"),
}
_ENTRY_POINTS = "mangum.backends"

# A connection that died in the freeze may be silent. The first attempt finds out in this time, and what is left of the
# call's is for a fresh connection and the second attempt. With what cancelling takes it is over before 10 s are.
_OPEN_S = 5.0
_FIRST_ATTEMPT_S = 1.5
_CALL_S = 7.5
_LEAST_S = 0.5
_CANCEL_S = 0.3

_LONGEST_NAME = 1024
_PAGE = 500
_PURGED_AT_ONCE = 10


def backend_of(dsn: DSN) -> Backend:
    """The store that a DSN names, not opened yet.

    Raises:
        ConfigurationError: it names nothing, it has a scheme that nobody knows, or the library for it is not installed.
    """
    path, extra = _CLASSES.get(dsn.scheme, (None, None))
    if path is None:
        return _third_party(dsn)
    module, _, name = path.partition(":")
    try:
        backend_class = getattr(importlib.import_module(module), name)
    except ImportError as error:
        if extra is None or (error.name or "").startswith("mangum"):
            raise
        raise ConfigurationError(
            f'The DSN {dsn} needs a library that is not installed ({error.name}): pip install "mangum[{extra}]".'
        ) from error
    backend: Backend = backend_class(dsn)
    return backend


def _third_party(dsn: DSN) -> Backend:
    from importlib.metadata import entry_points  # 12 ms of a cold start, for those who need it

    found = {entry_point.name: entry_point for entry_point in entry_points(group=_ENTRY_POINTS)}
    if dsn.scheme not in found:
        raise ConfigurationError(
            f"The DSN {dsn} has a scheme that nobody knows. Known are {', '.join(sorted({*_CLASSES, *found}))}; "
            f"a package adds others by the entry-point group {_ENTRY_POINTS!r}."
        )
    backend_class = found[dsn.scheme].load()
    missing = sorted(getattr(backend_class, "__abstractmethods__", ()))
    if missing:
        raise ConfigurationError(
            f"The store for {dsn.scheme}:// ({found[dsn.scheme].value}) lacks {', '.join(missing)}, which every "
            "mangum.backends.base.Backend has: it was made for another version of mangum. Upgrade its package; "
            'if it is your own, docs/websockets.md says under "Your own" what changed.'
        )
    backend: Backend = backend_class(dsn)
    return backend


class Store:
    """A backend as the rest of mangum uses it: opened at the first call, on the event loop of that call.

    Every method raises `BackendError` where the store does not answer or refuses, `ValueError` for a connection id or
    a group name that no store could keep, and is bounded in time.
    """

    def __init__(self, backend: Backend, dsn: DSN, when_left: WhenLeft | None = None) -> None:
        """`when_left` takes the task of an attempt that does not end, though it was cancelled and its connections were
        dropped, and what to call it."""
        self.name: str = str(dsn)
        self._when_left = when_left
        self._dsn = dsn
        self._backend = backend
        self._loop: asyncio.AbstractEventLoop | None = None  # where it is open
        self._generation = 0  # of its connections: one that was dropped is not dropped again
        self._locks: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    @classmethod
    def of(cls, dsn: str, observe: Callable[[Backend], Any] | None = None, when_left: WhenLeft | None = None) -> Store:
        """The store that a DSN names. `observe` wraps its backend for observers; see `__init__` for `when_left`.

        Raises:
            ConfigurationError: see `backend_of`.
        """
        parsed = DSN.parse(dsn)
        backend = backend_of(parsed)
        return cls(backend if observe is None else observe(backend), parsed, when_left)

    @property
    def value_limit(self) -> int | None:
        """What a record may hold at most in bytes; `None` for the 256 KB that every record has at the most."""
        return self._backend.value_limit

    async def open(self) -> None:
        """Connect, if that has not been done on the running event loop."""
        await self._open(_OPEN_S)

    async def close(self) -> None:
        """Release what is open on the running event loop."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            return
        self._generation += 1
        self._loop = None
        async with self._lock(loop):
            try:
                await self._attempt(self._backend.close, _OPEN_S, self._abort)
            except Exception as error:  # the other end may be gone, and nobody can do anything about that now
                logger.debug("%s was not closed in good order (%s).", self.name, _kind(error))
                await self._abort()

    def _lock(self, loop: asyncio.AbstractEventLoop) -> asyncio.Lock:
        """What opens and drops one at a time. A lock belongs to one event loop."""
        if self._locks is None or self._locks[0] is not loop:
            self._locks = (loop, asyncio.Lock())
        return self._locks[1]

    # What belongs to a connection

    async def save(self, record: Entry) -> None:
        """Keep a record."""
        self._check_size(record)
        await self._call("save", partial(self._backend.save, record), record.connection_id)

    async def update(self, record: Entry) -> None:
        """Keep a record in place of another, unless the connection has been deleted."""
        self._check_size(record)
        await self._call("update", partial(self._backend.update, record), record.connection_id)

    def _check_size(self, record: Entry) -> None:
        limit = self.value_limit
        if limit is not None and len(record.value) > limit:
            raise BackendError(
                f"The store {self.name} keeps {limit:,} bytes for a connection at the most, and its record has "
                f"{len(record.value):,}: the headers of the handshake are too large."
            )

    async def load(self, connection_id: str) -> Entry | None:
        """The record of a connection that is not expired."""
        record = await self._call("load", partial(self._backend.load, connection_id), connection_id)
        return record if record is not None and record.expires_at > time.time() else None

    async def delete(self, connection_id: str) -> None:
        """Forget a connection and all that belongs to it."""
        await self._call("delete", partial(self._backend.delete, connection_id), connection_id)

    async def hold(self, connection_id: str, messages: Sequence[bytes], expires_at: int) -> None:
        """Keep messages that wait until the connection is open."""
        await self._call("hold", partial(self._backend.hold, connection_id, messages, expires_at), connection_id)

    async def claim(self, connection_id: str, owner: str, until: float) -> Pending | None:
        """Claim the messages that wait, up to `until`, in Unix seconds. The result says whose claim there is; `None` if
        nothing waits."""
        claim = partial(self._backend.claim, connection_id, owner, time.time(), until)
        return await self._call("claim messages", claim, connection_id)

    async def release(self, connection_id: str, owner: str, messages: Sequence[bytes]) -> None:
        """End a claim, and keep the messages that still wait."""
        await self._call(
            "release messages", partial(self._backend.release, connection_id, owner, messages), connection_id
        )

    async def purge(self) -> None:
        """Remove a few expired records."""
        await self._call("purge", partial(self._backend.purge, int(time.time()), _PURGED_AT_ONCE))

    # Groups

    async def join(self, group: str, member: Entry) -> None:
        """Make a connection a member of a group."""
        await self._call("join", partial(self._backend.join, group, member), member.connection_id, group)

    async def leave(self, group: str, connection_id: str) -> None:
        """End a membership."""
        await self._call("leave", partial(self._backend.leave, group, connection_id), connection_id, group)

    async def leave_all(self, connection_id: str) -> None:
        """End all memberships of a connection."""
        await self._call("leave", partial(self._backend.leave_all, connection_id), connection_id)

    async def groups(self, connection_id: str) -> list[str]:
        """The groups of a connection."""
        return await self._call("list groups", partial(self._backend.groups, connection_id), connection_id)

    async def pages(self, group: str, size: int = _PAGE) -> AsyncGenerator[list[Entry], None]:
        """The members of a group that are not expired, a page at a time."""
        after: str | None = None
        while True:
            page = await self._call("list members", partial(self._backend.members, group, after, size), group)
            now = time.time()
            yield [member for member in page.members if member.expires_at > now]
            after = page.next
            if after is None:
                return

    # One call

    async def _call(self, what: str, operation: Callable[[], Awaitable[T]], *names: str) -> T:
        for name in names:
            _check_name(name)
        end = asyncio.get_running_loop().time() + _CALL_S
        await self._open(_OPEN_S)
        drop = partial(self._drop, self._generation)
        try:
            return await self._attempt(operation, _FIRST_ATTEMPT_S, drop)
        except Exception as error:
            if not isinstance(error, (TimeoutError, ConnectionError, *self._backend.unavailable)):
                raise self._error(what, error) from self._cause(error)
            logger.info("%s did not answer (%s): it is asked again on a fresh connection.", self.name, _kind(error))
        await drop()
        await self._open(_time_left(end))
        return await self._try(what, operation, _time_left(end), partial(self._drop, self._generation))

    async def _open(self, limit_s: float) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        end = loop.time() + limit_s
        lock = self._lock(loop)
        try:
            async with asyncio.timeout_at(end):  # others try to open it, each for its own time
                await lock.acquire()
        except TimeoutError as error:
            raise self._silence("open", limit_s) from error
        try:
            if self._loop is not loop:
                await self._open_afresh(_time_left(end))
                self._loop = loop
        finally:
            lock.release()

    async def _open_afresh(self, limit_s: float) -> None:
        if self._loop is not None:  # another event loop, which will not run again
            await self._abort()
        try:
            await self._try("open", self._backend.open, limit_s, self._abort)
        except BaseException:
            await self._abort()  # it may have come half of the way
            raise

    async def _try(self, what: str, operation: Callable[[], Awaitable[T]], limit_s: float, drop: Drop) -> T:
        """One attempt, whose failure is final."""
        try:
            return await self._attempt(operation, limit_s, drop)
        except TimeoutError as error:
            raise self._silence(what, limit_s) from error
        except Exception as error:
            raise self._error(what, error) from self._cause(error)

    async def _attempt(self, operation: Callable[[], Awaitable[T]], limit_s: float, drop: Drop) -> T:
        """One attempt, which has ended when this returns, and at the latest when its connections have been dropped:
        libraries wait for a silent connection even when they are cancelled."""
        task = asyncio.get_running_loop().create_task(_await(operation))
        try:
            await asyncio.wait([task], timeout=limit_s)
            if not task.done():
                raise TimeoutError
        finally:
            if not task.done():
                await self._end(task, drop)
        if task.cancelled():  # by its library, when another call dropped the connections
            raise ConnectionAbortedError("Its connection was dropped.")
        return task.result()

    async def _end(self, task: asyncio.Task[T], drop: Drop) -> None:
        try:
            with anyio.CancelScope(shield=True):  # a cancelled scope would cut these waits off, which are bounded
                task.cancel()
                await asyncio.wait([task], timeout=_CANCEL_S)
                if not task.done():
                    await drop()
                    await asyncio.wait([task], timeout=_CANCEL_S)
        finally:
            if not task.done():
                if self._when_left is not None:
                    self._when_left(task, f"A call of the store {self.name}")
            elif not task.cancelled():
                task.exception()  # fetched, so that the loop does not report it as lost

    async def _drop(self, generation: int) -> None:
        """Drop the connections of a generation, unless that has been done."""
        if self._generation == generation:
            self._generation += 1
            self._loop = None
            async with self._lock(asyncio.get_running_loop()):  # which is free: nobody opens what is open
                await self._abort()

    async def _abort(self) -> None:
        with suppress(Exception):
            await asyncio.wait_for(self._backend.abort(), _CANCEL_S)

    def _silence(self, what: str, limit_s: float) -> BackendError:
        return BackendError(f"The store {self.name} did not answer within {limit_s:.1f} s ({what}).")

    def _error(self, what: str, error: Exception) -> MangumError:
        if isinstance(error, MangumError):
            return error
        return BackendError(f"The store {self.name} failed to {what}: {_kind(error)}: {self._dsn.redact(str(error))}")

    def _cause(self, error: Exception) -> BaseException | None:
        """What the traceback may show: not an error that tells a secret."""
        if isinstance(error, MangumError):
            return error.__cause__
        return error if self._dsn.is_clean(error) else None


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"A connection id or group name must be a string, not {type(name).__name__}.")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError("A connection id or group name has characters that are no Unicode text.") from None
    if not 1 <= size <= _LONGEST_NAME or "\0" in name:
        raise ValueError(
            f"A connection id or group name has 1 to {_LONGEST_NAME} bytes of UTF-8 and no NUL; this one has {size:,}."
        )


async def _await(operation: Callable[[], Awaitable[T]]) -> T:
    return await operation()


def _time_left(end: float) -> float:
    return max(end - asyncio.get_running_loop().time(), _LEAST_S)


def _kind(error: BaseException) -> str:
    return type(error).__name__
