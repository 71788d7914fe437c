"""A process of the function's: its output, line by line, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import anyio

__all__ = ["Process"]

_STDOUT = 1
# What has been written before the end may still be in the pipe; others may hold its other side open.
_DRAIN_S = 1.0
# SIGKILL cannot be refused; a process in the kernel's hands may take a moment.
_KILL_S = 5.0
_MOST_LINE = 64 * 1024
_PEAK = re.compile(r"^VmHWM:\s*(\d+) kB$", re.MULTILINE)


class Process(asyncio.SubprocessProtocol):
    """A process in a session of its own, so that Ctrl-C in the terminal is the gateway's alone, and so that what it has
    started ends with it."""

    def __init__(self, note: Callable[[str, bool], None], ended: Callable[[int], None]) -> None:
        """`note` is called with each line of output and whether that is stdout's, `ended` once with the exit status,
        which is negative for a signal, after the last line."""
        self._note = note
        self._ended = ended
        self._partial = {_STDOUT: b"", 2: b""}
        self._over = asyncio.Event()
        self._over.set()  # until it is started
        self._drain: asyncio.TimerHandle

    async def start(self, command: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> None:
        """Start it.

        Raises:
            OSError: the command cannot be run.
        """
        loop = asyncio.get_running_loop()
        with anyio.CancelScope(shield=True):  # half-way, asyncio would lose sight of it
            await loop.subprocess_exec(
                lambda: self,
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )

    async def stop(self, grace_s: float) -> None:
        """End it: SIGTERM, and SIGKILL `grace_s` seconds later."""
        try:
            if not self._over.is_set():
                with contextlib.suppress(ProcessLookupError):
                    self._transport.terminate()
                await _wait(self._over, grace_s)
        finally:
            self.kill()
        await _wait(self._over, _KILL_S)

    def kill(self) -> None:
        """SIGKILL for it and for what it has started."""
        if not self._over.is_set():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._transport.get_pid(), signal.SIGKILL)

    def peak_memory_mb(self) -> float | None:
        """The most memory that it has had, where the system tells."""
        try:
            status = Path(f"/proc/{self._transport.get_pid()}/status").read_text()
        except OSError:
            return None
        found = _PEAK.search(status)
        return None if found is None else int(found[1]) / 1024

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)
        self._over.clear()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        *lines, self._partial[fd] = (self._partial[fd] + data).split(b"\n")
        for line in lines:
            self._note_line(fd, line)
        if len(self._partial[fd]) > _MOST_LINE:
            self._note_partial(fd)

    def process_exited(self) -> None:
        self.kill()
        self._drain = asyncio.get_running_loop().call_later(_DRAIN_S, self._transport.close)

    def connection_lost(self, error: Exception | None) -> None:
        self._drain.cancel()
        for fd in self._partial:
            self._note_partial(fd)
        self._transport.close()
        self._over.set()
        self._ended(self._transport.get_returncode() or 0)

    def _note_partial(self, fd: int) -> None:
        if self._partial[fd]:
            self._note_line(fd, self._partial[fd])
            self._partial[fd] = b""

    def _note_line(self, fd: int, line: bytes) -> None:
        # AWS's Python runtime ends the lines of a traceback by carriage returns, so that they stay one event of a log.
        for part in line.decode(errors="replace").rstrip("\r").split("\r"):
            self._note(part, fd == _STDOUT)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
