"""What is done once for all stores: the class of a DSN, limits, the retry, time, errors."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import time
import traceback
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import pytest

from mangum.backends import store as module
from mangum.backends.base import Backend, Entry
from mangum.backends.dsn import DSN
from mangum.backends.store import Store, backend_of
from mangum.exceptions import BackendError, ConfigurationError
from tests.memory_backend import Memory

LATER = int(time.time()) + 86_400
RECORD = Entry("connection", b"value", LATER)
Trouble: TypeAlias = Exception | Callable[[], Awaitable[None]]


class LibraryError(Exception):
    """Of a store's library: the request has failed."""


class LinkError(Exception):
    """Of a store's library: the connection has failed."""


class Unsteady(Memory):
    """A store of which the next calls go wrong, in the order that a test says."""

    unavailable = (LinkError,)

    def __init__(self, dsn: DSN) -> None:
        super().__init__(dsn)
        self.troubles: defaultdict[str, deque[Trouble]] = defaultdict(deque)
        self.aborted = asyncio.Event()

    async def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.troubles[name]:
            trouble = self.troubles[name].popleft()
            if isinstance(trouble, Exception):
                raise trouble
            await trouble()

    async def open(self) -> None:
        await self._call("open")

    async def close(self) -> None:
        await self._call("close")

    async def abort(self) -> None:
        await self._call("abort")
        self.aborted.set()

    async def load(self, connection_id: str) -> Entry | None:
        await self._call("load")
        return await super().load(connection_id)


async def forever() -> None:
    await asyncio.Event().wait()


@pytest.fixture
def backend() -> Unsteady:
    backend = Unsteady(DSN.parse(f"memory://{uuid4().hex}"))
    backend.data.records["connection"] = RECORD
    return backend


@pytest.fixture
def store(backend: Unsteady, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store that waits for a tenth of the time."""
    for name in ("_OPEN_S", "_FIRST_ATTEMPT_S", "_CALL_S", "_LEAST_S", "_CANCEL_S"):
        monkeypatch.setattr(module, name, getattr(module, name) / 10)
    return Store(backend, DSN.parse("memory://ann:hush@unsteady"))


# The class of a DSN


@pytest.mark.parametrize(
    ("dsn", "name"),
    [("sqlite://a.db", "SQLite"), ("postgresql://host", "PostgreSQL"), ("Postgres://host", "PostgreSQL")],
)
def test_the_scheme_picks_the_class(dsn: str, name: str) -> None:
    store = Store.of(dsn)
    assert type(store._backend).__name__ == name
    assert store.name == dsn.replace("Postgres", "postgres")


def test_a_scheme_that_nobody_knows() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Store.of("mongodb://ann:secret@host")
    assert str(caught.value) == (
        "The DSN mongodb://***@host has a scheme that nobody knows. Known are dynamodb, postgres, postgresql, "
        "redis, redis+cluster, rediss, rediss+cluster, s3, sqlite, valkey, valkey+cluster, valkeys, valkeys+cluster; "
        "a package adds others by the entry-point group 'mangum.backends'."
    )


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, body: str) -> None:
    """A package with a store for a scheme: a class of this body."""
    info = folder / f"{scheme}_store-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {scheme}-store\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[mangum.backends]\n{scheme} = {scheme}_store:Own\n")
    (folder / f"{scheme}_store.py").write_text(
        "from mangum.backends.base import Backend\nfrom tests.memory_backend import Memory\n\n"
        f"class Own(Memory):\n{body}"
    )
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, f"{scheme}_store", raising=False)


def test_a_package_adds_a_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "theirs", "    pass\n")
    assert type(backend_of(DSN.parse("theirs://name"))).__name__ == "Own"
    with pytest.raises(ConfigurationError, match=r"sqlite, theirs, valkey"):
        Store.of("others://name")
    with pytest.raises(ConfigurationError, match="names no store"):
        Store.of("theirs://")


def test_a_package_whose_store_is_of_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = (
        "    claim, release, update = Backend.claim, Backend.release, Backend.update\n"
        "    async def take(self, connection_id):\n        return []\n"
    )
    install(tmp_path, monkeypatch, "old", body)
    with pytest.raises(ConfigurationError) as caught:
        Store.of("old://ann:secret@name")
    assert str(caught.value) == (
        "The store for old:// (old_store:Own) lacks claim, release, update, which every mangum.backends.base.Backend "
        "has: it was made for another version of mangum. Upgrade its package; if it is your own, docs/websockets.md "
        'says under "Your own" what changed.'
    )


def test_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    monkeypatch.delitem(sys.modules, "mangum.backends.postgresql", raising=False)
    with pytest.raises(ConfigurationError) as caught:
        Store.of("postgresql://ann:secret@host/db")
    assert str(caught.value) == (
        "The DSN postgresql://***@host/db needs a library that is not installed (asyncpg): "
        'pip install "mangum[postgresql]".'
    )


def test_an_import_that_fails_for_another_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module._CLASSES, "absent", ("mangum.backends.absent:Absent", "absent"))
    with pytest.raises(ModuleNotFoundError, match=r"mangum\.backends\.absent"):
        Store.of("absent://name")
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    monkeypatch.delitem(sys.modules, "mangum.backends.sqlite", raising=False)
    with pytest.raises(ModuleNotFoundError, match="sqlite3"):
        Store.of("sqlite://a.db")


# Limits


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["", "\0", "a\0b", "x" * 1025, "é" * 513, "\ud800", "a\udfffb"])
async def test_names_that_no_store_could_keep(name: str, store: Store, backend: Unsteady) -> None:
    for call in (
        store.save(Entry(name, b"", LATER)),
        store.load(name),
        store.delete(name),
        store.hold(name, [], LATER),
        store.update(Entry(name, b"", LATER)),
        store.claim(name, "owner", LATER),
        store.release(name, "owner", []),
        store.join("group", Entry(name, b"", LATER)),
        store.join(name, RECORD),
        store.leave("group", name),
        store.leave(name, "connection"),
        store.leave_all(name),
        store.groups(name),
        anext(store.pages(name)),
    ):
        with pytest.raises(ValueError, match=r"1 to 1024 bytes of UTF-8 and no NUL; this one has|no Unicode text"):
            await call
    assert backend.calls == []


@pytest.mark.anyio
@pytest.mark.parametrize("name", [None, b"connection", 1])
async def test_names_that_are_no_text(name: Any, store: Store) -> None:
    with pytest.raises(TypeError, match=f"must be a string, not {type(name).__name__}"):
        await store.load(name)


@pytest.mark.anyio
async def test_a_value_over_the_stores_limit(store: Store, backend: Unsteady, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.value_limit is None
    monkeypatch.setattr(Unsteady, "value_limit", 1_000)
    await store.save(Entry("long", bytes(1_000), LATER))
    with pytest.raises(BackendError, match=r"keeps 1,000 bytes for a connection at the most, .* has 1,001"):
        await store.save(Entry("longer", bytes(1_001), LATER))
    with pytest.raises(BackendError, match=r"keeps 1,000 bytes for a connection at the most, .* has 1,001"):
        await store.update(Entry("long", bytes(1_001), LATER))
    assert backend.data.records["long"].value == bytes(1_000)
    assert "longer" not in backend.data.records


# Expiry


@pytest.mark.anyio
async def test_what_is_expired_is_not_returned(store: Store, backend: Unsteady) -> None:
    now = int(time.time())
    for name, expires_at in (("expired", now), ("long expired", 0), ("current", now + 60)):
        await store.save(Entry(name, b"", expires_at))
        await store.join("room", Entry(name, b"", expires_at))
    assert await store.load("expired") is None
    assert await store.load("long expired") is None
    assert await store.load("current") == Entry("current", b"", now + 60)
    pages = [[member.connection_id for member in page] async for page in store.pages("room", 1)]
    assert pages == [["current"], [], []]
    await store.purge()
    assert set(backend.data.records) == {"connection", "current"}


# The retry


@pytest.mark.anyio
@pytest.mark.parametrize("error", [LinkError(), ConnectionResetError(), TimeoutError()])
async def test_a_connection_that_failed_costs_one_retry(
    error: Exception, store: Store, backend: Unsteady, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    backend.troubles["load"].append(error)
    assert await store.load("connection") == RECORD
    assert await store.load("connection") == RECORD
    assert backend.calls == ["open", "load", "abort", "open", "load", "load"]
    assert caplog.messages == [
        f"memory://***@unsteady did not answer ({type(error).__name__}): it is asked again on a fresh connection."
    ]


@pytest.mark.anyio
async def test_a_second_failure_is_final(store: Store, backend: Unsteady) -> None:
    backend.troubles["load"].extend([LinkError("first"), LinkError("second")])
    with pytest.raises(BackendError) as caught:
        await store.load("connection")
    assert str(caught.value) == "The store memory://***@unsteady failed to load: LinkError: second"
    assert await store.load("connection") == RECORD


@pytest.mark.anyio
async def test_a_request_that_failed_is_not_repeated(store: Store, backend: Unsteady) -> None:
    error = LibraryError("no such table")
    backend.troubles["load"].append(error)
    with pytest.raises(BackendError) as caught:
        await store.load("connection")
    assert str(caught.value) == "The store memory://***@unsteady failed to load: LibraryError: no such table"
    assert caught.value.__cause__ is error
    assert backend.calls == ["open", "load"]


@pytest.mark.anyio
async def test_mangums_own_errors_pass(store: Store, backend: Unsteady) -> None:
    cause = LibraryError()
    error = ConfigurationError("Create the table.")
    error.__cause__ = cause
    backend.troubles["open"].append(error)
    with pytest.raises(ConfigurationError) as caught:
        await store.load("connection")
    assert caught.value is error
    assert caught.value.__cause__ is cause


@pytest.mark.anyio
@pytest.mark.parametrize("where", ["open", "load"])
async def test_an_error_that_tells_a_password(where: str, store: Store, backend: Unsteady) -> None:
    error = LibraryError("cannot use memory://ann:hush@unsteady")
    backend.troubles[where].append(error)
    with pytest.raises(BackendError) as caught:
        await store.load("connection")
    assert str(caught.value).endswith("LibraryError: cannot use ***")
    assert "hush" not in "".join([repr(caught.value), *traceback.format_exception(caught.value)])


@pytest.mark.anyio
async def test_calls_that_fail_together_drop_their_connections_once(store: Store, backend: Unsteady) -> None:
    await store.open()
    backend.troubles["load"].extend([LinkError() for _ in range(10)])
    assert await asyncio.gather(*(store.load("connection") for _ in range(10))) == [RECORD] * 10
    assert backend.calls.count("abort") == 1
    assert backend.calls.count("open") == 2


@pytest.mark.anyio
async def test_a_failure_after_the_store_was_closed(store: Store, backend: Unsteady) -> None:
    """Nor does it drop what was opened since."""
    closed = asyncio.Event()

    async def fail_late() -> None:
        await closed.wait()
        raise LinkError

    backend.troubles["load"].append(fail_late)
    late = asyncio.create_task(store.load("connection"))
    while "load" not in backend.calls:
        await asyncio.sleep(0)
    await store.close()
    await store.open()
    closed.set()
    assert await late == RECORD
    assert backend.calls == ["open", "load", "close", "open", "load"]


@pytest.mark.anyio
async def test_a_late_failure_does_not_drop_a_fresh_connection(store: Store, backend: Unsteady) -> None:
    fresh = asyncio.Event()

    async def fail_late() -> None:
        await fresh.wait()
        raise LinkError

    backend.troubles["load"].append(fail_late)
    late = asyncio.create_task(store.load("connection"))
    while "load" not in backend.calls:
        await asyncio.sleep(0)
    backend.troubles["load"].append(LinkError())
    assert await store.load("connection") == RECORD
    fresh.set()
    assert await late == RECORD
    assert backend.calls.count("abort") == 1


# Time


@pytest.mark.anyio
async def test_a_silent_connection_is_given_up(store: Store, backend: Unsteady) -> None:
    backend.troubles["load"].append(forever)
    assert await store.load("connection") == RECORD
    assert backend.calls == ["open", "load", "abort", "open", "load"]


@pytest.mark.anyio
async def test_a_silent_store(store: Store, backend: Unsteady) -> None:
    backend.troubles["load"].extend([forever, forever])
    begin = time.monotonic()
    with pytest.raises(BackendError, match=r"^The store memory://\S+ did not answer within 0\.[56] s \(load\)\.$"):
        await store.load("connection")
    assert time.monotonic() - begin < 1
    assert await store.load("connection") == RECORD


@pytest.mark.anyio
@pytest.mark.parametrize("trouble", [forever, LinkError(), LibraryError()], ids=["silent", "refused", "wrong"])
async def test_a_store_that_cannot_be_opened(trouble: Trouble, store: Store, backend: Unsteady) -> None:
    backend.troubles["open"].append(trouble)
    with pytest.raises(BackendError, match=r"failed to open|did not answer within 0\.5 s \(open\)"):
        await store.load("connection")
    assert set(backend.calls) == {"open", "abort"}  # half open: it is dropped
    assert await store.load("connection") == RECORD


@pytest.mark.anyio
async def test_many_who_open_a_silent_store_wait_no_longer_than_one(store: Store, backend: Unsteady) -> None:
    backend.troubles["open"].extend([forever] * 10)
    async with asyncio.timeout(4):  # one after the other, they would wait for 5 s
        results = await asyncio.gather(*(store.load("connection") for _ in range(10)), return_exceptions=True)
    assert [type(result) for result in results] == [BackendError] * 10
    for result in results:
        assert re.fullmatch(r"The store memory://\*{3}@unsteady did not answer within 0\.\d s \(open\)\.", str(result))


@pytest.mark.anyio
async def test_many_who_open_open_once(store: Store, backend: Unsteady) -> None:
    assert await asyncio.gather(*(store.load("connection") for _ in range(10))) == [RECORD] * 10
    assert backend.calls.count("open") == 1


@pytest.mark.anyio
async def test_a_library_that_waits_on_when_it_is_cancelled(store: Store, backend: Unsteady) -> None:
    """As one that asks a silent server to cancel: it ends when its connection is dropped."""

    async def stubborn() -> None:
        while not backend.aborted.is_set():
            with suppress(asyncio.CancelledError):
                await backend.aborted.wait()
        raise LinkError

    backend.troubles["load"].append(stubborn)
    before = asyncio.all_tasks()
    assert await store.load("connection") == RECORD
    assert backend.calls == ["open", "load", "abort", "open", "load"]
    assert asyncio.all_tasks() == before


@pytest.mark.anyio
async def test_a_library_that_waits_on_whatever_is_done(store: Store, backend: Unsteady) -> None:
    end = asyncio.Event()

    async def deaf() -> None:
        while not end.is_set():
            with suppress(asyncio.CancelledError):
                await end.wait()

    backend.troubles["load"].append(deaf)
    backend.troubles["abort"].append(forever)
    before = asyncio.all_tasks()
    begin = time.monotonic()
    assert await store.load("connection") == RECORD
    assert time.monotonic() - begin < 1
    left = asyncio.all_tasks() - before
    end.set()
    await asyncio.gather(*left)


@pytest.mark.anyio
async def test_a_call_that_its_library_cancels(store: Store, backend: Unsteady) -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    backend.troubles["load"].append(cancelled)
    assert await store.load("connection") == RECORD
    assert backend.calls == ["open", "load", "abort", "open", "load"]


@pytest.mark.anyio
async def test_connections_that_cannot_even_be_dropped(store: Store, backend: Unsteady) -> None:
    backend.troubles["load"].append(LinkError())
    backend.troubles["abort"].append(LibraryError())
    assert await store.load("connection") == RECORD


# Cancellation


@pytest.mark.anyio
@pytest.mark.parametrize("where", ["open", "load"])
async def test_a_call_is_cancelled(where: str, store: Store, backend: Unsteady) -> None:
    ended = []

    async def slow() -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(0)
            ended.append(where)

    backend.troubles[where].append(slow)
    before = asyncio.all_tasks()
    call = asyncio.create_task(store.load("connection"))
    while where not in backend.calls:
        await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ended == [where]
    assert asyncio.all_tasks() == before
    assert await store.load("connection") == RECORD


@pytest.mark.anyio
async def test_one_who_waits_for_another_to_open_is_cancelled(store: Store, backend: Unsteady) -> None:
    proceed = asyncio.Event()

    async def wait() -> None:
        await proceed.wait()

    backend.troubles["open"].append(wait)
    first, second = (asyncio.create_task(store.load("connection")) for _ in range(2))
    while "open" not in backend.calls:
        await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    proceed.set()
    assert await first == RECORD


# Loops, and the end


def test_another_event_loop(store: Store, backend: Unsteady) -> None:
    for _ in range(2):
        with asyncio.Runner() as runner:
            assert runner.run(store.load("connection")) == RECORD
            assert runner.run(store.load("connection")) == RECORD
    assert backend.calls == ["open", "load", "load", "abort", "open", "load", "load"]


def test_it_is_closed_where_it_was_opened(store: Store, backend: Unsteady) -> None:
    with asyncio.Runner() as runner:
        runner.run(store.close())
        assert backend.calls == []
        runner.run(store.open())
        with asyncio.Runner() as other:
            asyncio.set_event_loop(None)
            other.run(store.close())
        assert backend.calls == ["open"]
        runner.run(store.close())
        runner.run(store.close())
    assert backend.calls == ["open", "close"]


@pytest.mark.anyio
async def test_it_can_be_used_after_it_was_closed(store: Store, backend: Unsteady) -> None:
    await store.open()
    await store.open()
    await store.close()
    assert await store.load("connection") == RECORD
    assert backend.calls == ["open", "close", "open", "load"]


@pytest.mark.anyio
@pytest.mark.parametrize("trouble", [forever, LinkError()], ids=["silent", "gone"])
async def test_a_store_that_cannot_be_closed_is_dropped(trouble: Trouble, store: Store, backend: Unsteady) -> None:
    await store.open()
    backend.troubles["close"].append(trouble)
    await store.close()
    assert backend.calls[-1] == "abort"
    assert await store.load("connection") == RECORD


def test_a_backend_says_what_it_does_not_need_to() -> None:
    """Stores that remove what is expired by themselves have no `purge`."""

    class Expiring(Memory):
        purge = Backend.purge

    backend = Expiring(DSN.parse("memory://expiring"))
    assert Expiring.unavailable == (OSError,)
    assert Expiring.value_limit is None
    backend.data.records["old"] = Entry("old", b"", 0)
    asyncio.run(Store(backend, DSN.parse("memory://expiring")).purge())
    assert "old" in backend.data.records


@pytest.mark.anyio
async def test_an_attempt_that_does_not_end_is_left_with_its_name(store: Store, backend: Unsteady) -> None:
    """The caller gets its error in time. The task is not lost: it is handed over."""
    left: list[tuple[asyncio.Task[Any], str]] = []
    over = asyncio.Event()
    store = Store(backend, DSN.parse("memory://ann:hush@unsteady"), lambda task, name: left.append((task, name)))

    async def never_ends() -> None:
        while not over.is_set():
            with suppress(asyncio.CancelledError):
                await over.wait()

    backend.troubles["load"] = deque([never_ends, never_ends])
    with pytest.raises(BackendError, match="did not answer"):
        await store.load("connection")
    assert [name for _, name in left] == ["A call of the store memory://***@unsteady"] * 2
    assert not any(task.done() for task, _ in left)
    over.set()
    await asyncio.wait([task for task, _ in left])
