"""The SQLite store: its files, its thread, and locks of others."""

from __future__ import annotations

import asyncio
import gc
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mangum.backends.base import Entry
from mangum.backends.dsn import DSN
from mangum.backends.sqlite import SQLite, _Call
from mangum.backends.store import Store
from mangum.exceptions import BackendError, ConfigurationError

LATER = int(time.time()) + 86_400
RECORD = Entry("connection", b"value", LATER)

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


@pytest.fixture
def other(path: Path) -> Iterator[sqlite3.Connection]:
    """What another process may do to the file."""
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "mangum-sqlite"]


def join_threads() -> None:
    for thread in threads():
        thread.join(10)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    join_threads()
    assert threads() == []


def python(program: str, *arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", "-c", program, *arguments]


# The file


@pytest.mark.parametrize(
    ("dsn", "file"),
    [
        ("sqlite:///{folder}/a.db", "a.db"),
        ("sqlite:///{folder}/A%20b%40c.db", "A b@c.db"),
        ("sqlite://a.db", "a.db"),
        ("sqlite://A%20b%2Fé.db", None),
        ("sqlite://sub/a.db", "sub/a.db"),
        ("sqlite://sub/../a.db", "a.db"),
    ],
)
async def test_what_a_dsn_names(dsn: str, file: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "A b").mkdir()
    monkeypatch.chdir(tmp_path)
    store = Store.of(dsn.format(folder=str(tmp_path).lstrip("/")))
    monkeypatch.chdir("/")
    await store.save(RECORD)
    await store.close()
    assert (tmp_path / (file or "A b/é.db")).is_file()


@pytest.mark.parametrize("dsn", ["sqlite://:memory:", "sqlite:///:memory:"])
async def test_a_store_in_memory(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store.of(dsn)
    await store.save(RECORD)
    assert await store.load("connection") == RECORD
    await store.close()
    assert await store.load("connection") is None
    await store.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dsn", ["sqlite://", "sqlite:///", "sqlite://ann@a.db", "sqlite:///?"])
def test_a_dsn_that_names_no_file(dsn: str) -> None:
    with pytest.raises(ConfigurationError, match=r"names no file: it is sqlite:///absolute/path\.db"):
        Store.of(dsn)


def test_a_parameter_that_is_not_known() -> None:
    with pytest.raises(ConfigurationError, match=r"not known: mode\. sqlite:// takes none"):
        Store.of("sqlite://a.db?mode=ro")


async def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    store = Store.of(f"sqlite://{tmp_path}/missing/a.db")
    with pytest.raises(ConfigurationError, match=rf"^The folder {tmp_path}/missing, where .* does not exist\.$"):
        await store.save(RECORD)
    (tmp_path / "missing").mkdir()
    await store.save(RECORD)
    await store.close()


async def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="failed to open: OperationalError: unable to open database file"):
        await Store.of(f"sqlite://{tmp_path}").load("connection")


async def test_a_file_that_is_no_database(path: Path) -> None:
    path.write_bytes(b"a text " * 1_000)
    with pytest.raises(BackendError, match="failed to open: DatabaseError: file is not a database"):
        await Store.of(f"sqlite://{path}").load("connection")


async def test_what_is_saved_outlives_the_process(path: Path) -> None:
    program = (
        "import asyncio, os, signal, sys\n"
        "from mangum.backends.store import Store\n"
        "from mangum.backends.base import Entry\n"
        "async def main():\n"
        "    await Store.of(sys.argv[1]).save(Entry('connection', b'value', int(sys.argv[2])))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(python(program, f"sqlite://{path}", str(LATER)), timeout=60)
    assert done.returncode == -signal.SIGKILL
    store = Store.of(f"sqlite://{path}")
    assert await store.load("connection") == RECORD
    await store.close()


async def test_tables_that_another_dropped_are_created_again(path: Path, other: sqlite3.Connection) -> None:
    store = Store.of(f"sqlite://{path}")
    await store.save(RECORD)
    other.execute("DROP TABLE mangum_connections")
    await store.save(RECORD)
    assert await store.load("connection") == RECORD
    await store.close()


async def test_a_file_of_an_earlier_version(path: Path, other: sqlite3.Connection) -> None:
    """In it nobody could claim what waits for a connection. Several processes may open it at the same time."""
    other.execute(
        "CREATE TABLE mangum_pending (connection_id TEXT, position INTEGER, message BLOB NOT NULL, "
        "expires_at INTEGER NOT NULL, PRIMARY KEY (connection_id, position))"
    )
    other.execute("INSERT INTO mangum_pending VALUES ('connection', 0, ?, ?)", (b"1", LATER))
    other.commit()
    stores = [Store.of(f"sqlite://{path}") for _ in range(8)]
    claims = await asyncio.gather(*(store.claim("connection", f"{n}", LATER) for n, store in enumerate(stores)))
    assert len({claim.owner for claim in claims if claim is not None and claim.messages == [b"1"]}) == 1
    assert None not in claims
    await asyncio.gather(*(store.close() for store in stores))


async def test_columns_that_another_process_adds_meanwhile(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [False, True]
    monkeypatch.setattr("mangum.backends.sqlite._has_claims", lambda _: found.pop(0))
    store = Store.of(f"sqlite://{path}")
    await store.open()
    assert found == []
    await store.close()


async def test_what_is_expired_is_purged(path: Path, other: sqlite3.Connection) -> None:
    store = Store.of(f"sqlite://{path}")

    def rows() -> dict[str, list[str]]:
        tables = ("mangum_connections", "mangum_pending", "mangum_members")
        return {table: [row[0] for row in other.execute(f"SELECT connection_id FROM {table}")] for table in tables}

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
    assert {table: len(ids) for table, ids in rows().items()} == {
        "mangum_connections": 16,
        "mangum_pending": 31,
        "mangum_members": 16,
    }
    await store.purge()
    await store.purge()
    assert set(map(tuple, rows().values())) == {("connection",)}
    await store.close()


# Others


async def test_many_processes_create_and_write_one_file(path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from mangum.backends.store import Store\n"
        "from mangum.backends.base import Entry\n"
        "async def main():\n"
        "    store = Store.of(sys.argv[1])\n"
        "    for number in range(50):\n"
        "        await store.join('room', Entry(f'{sys.argv[3]}-{number}', b'', int(sys.argv[2])))\n"
        "    await store.close()\n"
        "asyncio.run(main())\n"
    )
    processes = [subprocess.Popen(python(program, f"sqlite://{path}", str(LATER), str(name))) for name in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    store = Store.of(f"sqlite://{path}")
    assert sorted([member.connection_id async for page in store.pages("room") for member in page]) == sorted(
        f"{name}-{number}" for name in range(4) for number in range(50)
    )
    await store.close()


async def test_a_lock_of_another_is_waited_for(path: Path, other: sqlite3.Connection) -> None:
    store = Store.of(f"sqlite://{path}")
    await store.open()
    other.execute("BEGIN EXCLUSIVE")
    saving = asyncio.create_task(store.save(RECORD))
    await asyncio.wait([saving], timeout=0.2)
    assert not saving.done()
    other.execute("COMMIT")
    await saving
    assert await store.load("connection") == RECORD
    await store.close()


async def test_a_call_that_was_given_up_is_not_done_later(path: Path, other: sqlite3.Connection) -> None:
    store = Store.of(f"sqlite://{path}")
    await store.open()
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await asyncio.gather(*(store.save(Entry(name, b"", LATER)) for name in "ab"))
    other.execute("COMMIT")
    await store.save(RECORD)
    assert [row[0] for row in other.execute("SELECT connection_id FROM mangum_connections")] == ["connection"]
    await store.close()


async def test_a_lock_that_is_not_released(
    path: Path, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, limit_s in (("_FIRST_ATTEMPT_S", 0.1), ("_CALL_S", 0.4), ("_LEAST_S", 0.1)):
        monkeypatch.setattr(f"mangum.backends.store.{name}", limit_s)
    store = Store.of(f"sqlite://{path}")
    await store.open()
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(BackendError, match=r"did not answer within 0\.\d s"):
        await store.save(RECORD)
    other.execute("COMMIT")
    await store.save(RECORD)
    await store.close()


async def test_a_new_file_that_is_locked(path: Path, other: sqlite3.Connection) -> None:
    """SQLite does not wait where a file is made a WAL."""
    other.execute("BEGIN EXCLUSIVE")
    store = Store.of(f"sqlite://{path}")
    saving = asyncio.create_task(store.save(RECORD))
    await asyncio.wait([saving], timeout=0.2)
    other.execute("COMMIT")
    await saving
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    await store.close()


# The thread


async def test_one_thread_for_each_store(path: Path) -> None:
    store, second = Store.of(f"sqlite://{path}"), Store.of(f"sqlite://{path}")
    await asyncio.gather(*(client.save(RECORD) for _ in range(10) for client in (store, second)))
    assert len(threads()) == 2
    await store.close()
    assert len(threads()) == 1
    await second.close()
    assert threads() == []


async def test_a_store_that_is_dropped_drops_its_thread(path: Path) -> None:
    store = Store.of(f"sqlite://{path}")
    await store.save(RECORD)
    del store
    gc.collect()
    join_threads()
    assert threads() == []


def test_an_open_store_does_not_keep_the_interpreter(path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from mangum.backends.store import Store\n"
        "store = Store.of(sys.argv[1])\n"
        "asyncio.run(store.open())\n"
    )
    assert subprocess.run(python(program, f"sqlite://{path}"), timeout=60).returncode == 0


def test_another_event_loop(path: Path) -> None:
    store = Store.of(f"sqlite://{path}")
    with asyncio.Runner() as runner:
        runner.run(store.save(RECORD))
    with asyncio.Runner() as runner:
        assert runner.run(store.load("connection")) == RECORD
        runner.run(store.close())


async def test_a_backend_that_is_not_open(path: Path) -> None:
    backend = SQLite(DSN.parse(f"sqlite://{path}"))
    await backend.close()
    await backend.abort()
    with pytest.raises(ConnectionAbortedError):
        await backend.load("connection")


async def test_abort_ends_the_calls_that_wait(path: Path, other: sqlite3.Connection) -> None:
    backend = SQLite(DSN.parse(f"sqlite://{path}"))
    await backend.open()
    other.execute("BEGIN EXCLUSIVE")
    calls = [asyncio.create_task(backend.save(RECORD)) for _ in range(3)]
    await asyncio.sleep(0)
    calls[0].cancel()
    await asyncio.sleep(0)
    assert not calls[0].done()  # it waits until the thread is through with it
    await backend.abort()
    other.execute("COMMIT")
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError, *[ConnectionAbortedError] * 2]
    join_threads()
    assert other.execute("SELECT count(*) FROM mangum_connections").fetchone() == (0,)


async def test_abort_does_not_wait_for_a_thread_that_hangs(path: Path) -> None:
    backend = SQLite(DSN.parse(f"sqlite://{path}"))
    await backend.open()
    resume = threading.Event()
    hanging = asyncio.create_task(backend._call(lambda connection: resume.wait()))
    await asyncio.sleep(0)
    begin = time.monotonic()
    await backend.abort()
    assert time.monotonic() - begin < 0.3
    with pytest.raises(ConnectionAbortedError):
        await hanging
    await backend.open()
    await backend.save(RECORD)
    await backend.close()
    resume.set()


async def test_a_call_that_is_cancelled_when_its_result_is_there() -> None:
    call = _Call(lambda: None)
    waiting = asyncio.create_task(call.wait())
    await asyncio.sleep(0)
    call.run()
    await asyncio.sleep(0)  # the result arrives
    assert call.result.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def test_a_call_whose_event_loop_is_gone() -> None:
    async def begin() -> _Call[str]:
        return _Call(lambda: "done")

    call = asyncio.run(begin())
    assert call.run() == "done"
