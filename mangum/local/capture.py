"""What the function prints and logs, in this process: shown as ever, and kept with its invocation."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from mangum.local.invocations import Invocation

__all__ = ["Capture"]


class Capture:
    """Takes note of stdout and stderr for whichever invocation runs. The thread that makes it is the gateway's: what
    that prints is its own."""

    def __init__(self) -> None:
        self._own_thread = threading.get_ident()
        self._invocation: Invocation | None = None
        self._partial = ""

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Put itself in front of stdout and stderr."""
        stdout, stderr = sys.stdout, sys.stderr
        tees: Any = _Tee(stdout, self._write), _Tee(stderr, self._write)
        sys.stdout, sys.stderr = tees
        try:
            yield
        finally:
            sys.stdout, sys.stderr = stdout, stderr

    @contextmanager
    def of(self, invocation: Invocation) -> Iterator[None]:
        """Everything now belongs to an invocation."""
        self._invocation = invocation
        try:
            yield
        finally:
            if self._partial:
                invocation.log(self._partial)
            self._invocation, self._partial = None, ""

    def _write(self, text: str) -> None:
        invocation = self._invocation
        if invocation is None or threading.get_ident() == self._own_thread:
            return
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            invocation.log(line)


class _Tee:
    """A stream that tells a function what is written; all else is the stream's own, its descriptor too, so that a
    debugger finds its terminal."""

    def __init__(self, stream: TextIO, note: Callable[[str], None]) -> None:
        self._stream = stream
        self._note = note

    def write(self, text: str) -> int:
        self._note(text)
        written = self._stream.write(text)
        if "\n" in text:
            self._stream.flush()  # a pipe shows it as soon as a terminal does
        return written

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def close(self) -> None:
        """The stream is the process's, and stays open."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
