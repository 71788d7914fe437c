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

# What has been written before the end may still be in the pipe; others may hold its other side open.
_DRAIN_S = 1.0
# SIGKILL cannot be refused; a process in the kernel's hands may take a moment.
_KILL_S = 5.0
_MOST_READ = 256 * 1024  # more than a pipe holds
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
        self._outputs: list[_Output] = []
        self._has_exited = False
        self._over = asyncio.Event()
        self._over.set()  # until it is started
        self._drain: asyncio.TimerHandle

    async def start(self, command: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> None:
        """Start it.

        Raises:
            OSError: the command cannot be run.
        """
        loop = asyncio.get_running_loop()
        stdout = _Output(lambda line: self._note(line, True), self._end)
        stderr = _Output(lambda line: self._note(line, False), self._end)
        self._outputs = [stdout, stderr]
        try:
            with anyio.CancelScope(shield=True):  # half-way, asyncio would lose sight of it
                await loop.subprocess_exec(
                    lambda: self,
                    *command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=stdout.writer,
                    stderr=stderr.writer,
                    cwd=folder,
                    env=environment,
                    start_new_session=True,
                )
        except BaseException:
            for output in self._outputs:
                output.close()
            raise
        finally:
            for output in self._outputs:
                os.close(output.writer)

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

    def read_output(self) -> None:
        """Note the lines that it has printed by now. The loop may report a request of the process before a line that
        it printed earlier."""
        for output in self._outputs:
            output.read()

    def end_lines(self) -> None:
        """The same, and note what it has printed since the last line break as a line."""
        for output in self._outputs:
            output.read()
            output.end_line()

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

    def process_exited(self) -> None:
        self.kill()
        self._has_exited = True
        self._drain = asyncio.get_running_loop().call_later(_DRAIN_S, self._close_outputs)
        self._end()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport.close()

    def _close_outputs(self) -> None:
        for output in self._outputs:
            output.close()
        self._end()

    def _end(self) -> None:
        """End if it has exited and all its output is read."""
        if self._has_exited and not any(output.is_open for output in self._outputs):
            self._drain.cancel()
            self._over.set()
            self._ended(self._transport.get_returncode() or 0)


class _Output:
    """A pipe that a process prints to, read line by line.

    asyncio's pipes for processes hand on what they read in a later step of the loop, maybe after the next request of
    the process.
    """

    def __init__(self, note: Callable[[str], None], closed: Callable[[], None]) -> None:
        self._note = note
        self._closed = closed
        self._partial = b""
        self._is_cut = False  # the beginning of the current line is noted already
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._reader, self.read)
        self.is_open = True

    def read(self) -> None:
        """Note the lines that are in the pipe now."""
        if not self.is_open:
            return
        try:
            data = os.read(self._reader, _MOST_READ)
        except BlockingIOError:
            return
        if not data:
            self.close()
            self._closed()
            return
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            if line or not self._is_cut:
                self._note_line(line)
            self._is_cut = False
        if len(self._partial) > _MOST_LINE:
            self.end_line()

    def end_line(self) -> None:
        """Note what has been read since the last line break as a line."""
        if self._partial:
            self._note_line(self._partial)
            self._partial = b""
            self._is_cut = True

    def close(self) -> None:
        """Read no more."""
        if self.is_open:
            self.is_open = False
            self.end_line()
            self._loop.remove_reader(self._reader)
            os.close(self._reader)

    def _note_line(self, line: bytes) -> None:
        # AWS's Python runtime ends the lines of a traceback by carriage returns, so that they stay one event of a log.
        for part in line.decode(errors="replace").rstrip("\r").split("\r"):
            self._note(part)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
