"""Functions in folders of their own, for what runs them in processes, and what they can tell a test about."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import mangum
from mangum.local.function import FunctionSettings
from mangum.local.invocations import Invocation

PROJECT = Path(mangum.__file__).parent.parent
WAIT_S = 30

# A handler that does what its event says.
FUNCTION = """
import os, signal, socket, subprocess, sys, threading, time
import tests_of_workers as here

def handler(event, context):
    names = {"event": event, "context": context}
    exec(event["run"], globals(), names)
    return names.get("answer")
"""
# What it can use to speak to a test.
HERE = """
import atexit, os, socket

def connect():
    return socket.create_connection(("127.0.0.1", int(os.environ["TEST_PORT"])))

line = connect()  # open until the process ends
atexit.register(line.close)
children = []

def meet():
    connection = connect()
    connection.sendall(b"meet")
    connection.recv(2)
    connection.close()

def watch_in_child():
    import subprocess, sys
    children.append(subprocess.Popen([sys.executable, "-c", "import tests_of_workers, time; time.sleep(600)"]))
"""


def event(run: str) -> Invocation:
    """An event for the function above."""
    return Invocation(source="http-api", title="GET /", event={"run": run})


def settings(folder: Path, target: str = "function:handler", **named: Any) -> FunctionSettings:
    """Of a function in `folder`, whose processes import the mangum under test."""
    environment = {"PYTHONPATH": str(PROJECT), **named.pop("environment", {})}
    return FunctionSettings(target=target, folder=folder, environment=environment, **named)


class Switchboard:
    """Knows each process of a function by a connection that is open as long as it lives, and lets those that call
    `meet` go on when enough of them have."""

    def __init__(self) -> None:
        self.alive = 0
        self.seen = 0
        self.waiting = 0
        self._released = 0
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Switchboard:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        await self.until(lambda: self.alive == self.waiting == 0)

    async def until(self, condition: Any) -> None:
        """Wait until something is true of this."""
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(condition)

    async def release(self, count: int) -> None:
        """Wait for so many that meet, and let them go on."""
        await self.until(lambda: self.waiting == count)
        self._released += count
        await self._count("waiting", 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = "alive"
        try:
            self.seen += 1
            await self._count(name, 1)
            first = await reader.read(4)
            if first:
                await self._count(name, -1)
                self.seen -= 1
                name = "waiting"
                await self._count(name, 1)
                await self._wait_released_or_gone(reader)
                writer.write(b"go")
                await reader.read()
        except ConnectionError:  # a process that was killed
            pass
        finally:
            await self._count(name, -1)
            writer.close()

    async def _wait_released_or_gone(self, reader: asyncio.StreamReader) -> None:
        gone = asyncio.ensure_future(reader.read())
        released = asyncio.ensure_future(self._take_release())
        await asyncio.wait((gone, released), return_when=asyncio.FIRST_COMPLETED)
        for waiting in (gone, released):
            waiting.cancel()
        await asyncio.wait((gone, released))

    async def _take_release(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._released > 0)
            self._released -= 1

    async def _count(self, name: str, change: int) -> None:
        async with self._changed:
            setattr(self, name, getattr(self, name) + change)
            self._changed.notify_all()


@asynccontextmanager
async def function_folder(folder: Path) -> AsyncIterator[Switchboard]:
    """Write the function, and have its processes find the switchboard."""
    (folder / "function.py").write_text(FUNCTION)
    (folder / "tests_of_workers.py").write_text(HERE)
    async with Switchboard() as switchboard:
        os.environ["TEST_PORT"] = str(switchboard.port)
        try:
            yield switchboard
        finally:
            del os.environ["TEST_PORT"]
