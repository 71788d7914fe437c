"""A `mangum dev` in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mangum
from tests.servers import unmeasured_environment

__all__ = ["DevServer", "serving"]

_PROJECT = Path(mangum.__file__).parent.parent
_START_S = 60.0
_END_S = 30.0


class DevServer:
    """Its address, what it prints, and its end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._said = threading.Condition()
        self._lines: list[str] = []
        self._is_over = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._said:
                self._lines.append(line.rstrip("\n"))
                self._said.notify_all()
        with self._said:
            self._is_over = True
            self._said.notify_all()

    @property
    def output(self) -> str:
        """Everything that it has printed, on either stream."""
        with self._said:
            return "\n".join(self._lines)

    def wait_for(self, pattern: str, count: int = 1, timeout_s: float = _START_S) -> re.Match[str]:
        """Wait until it has printed so many lines that match, and return the last one's match."""
        with self._said:
            assert self._said.wait_for(lambda: self._is_over or len(self._found(pattern)) >= count, timeout_s), (
                self.output
            )
            found = self._found(pattern)
            assert len(found) >= count, self.output
            return found[count - 1]

    def _found(self, pattern: str) -> list[re.Match[str]]:
        return [match for line in self._lines if (match := re.search(pattern, line)) is not None]

    @property
    def url(self) -> str:
        """Where it listens, as "http://127.0.0.1:PORT"."""
        return self.wait_for(r"http://127\.0\.0\.1:\d+")[0]

    @property
    def websocket_url(self) -> str:
        """The same for WebSockets."""
        return self.url.replace("http", "ws", 1)

    def send_signal(self, number: signal.Signals) -> None:
        """What a terminal or a supervisor does."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Its exit status, once it and its output have ended."""
        status = self._process.wait(_END_S)
        self._reader.join(_END_S)
        return status

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._reader.join(_END_S)
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def serving(folder: Path, *arguments: str, is_measured: bool = True, **environment: str) -> Iterator[DevServer]:
    """`mangum dev` with these arguments, in a folder, on a free port. Without coverage it takes a third of the time for
    what runs thousands of times, and once is enough to measure. Its output is a pipe with Python's own buffer, as in a
    container."""
    inherited = dict(os.environ) if is_measured else unmeasured_environment()
    process = subprocess.Popen(
        [sys.executable, "-m", "mangum", "dev", *arguments, "--port", "0"],
        cwd=folder,
        env=inherited | {"PYTHONPATH": str(_PROJECT), "PYTHONUNBUFFERED": ""} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    server = DevServer(process)
    try:
        yield server
    finally:
        if process.poll() is None:  # in good order, so that its coverage counts
            process.terminate()
            try:
                process.wait(_END_S)
            finally:
                server.kill()
        else:
            server.kill()
