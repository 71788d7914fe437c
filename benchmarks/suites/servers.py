"""uvicorn, as a web server in the sandbox has it, in a process of its own."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.errors import BenchmarkError
from benchmarks.sides import Side, spawn

__all__ = ["HELLO_APP", "STREAMING_APP", "listening", "serving", "uvicorn_command"]

HELLO_APP = "benchmarks.work.app:hello"
STREAMING_APP = "benchmarks.work.app:streaming"
_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")


def uvicorn_command(app: str) -> tuple[str, ...]:
    """uvicorn with an application of this package's, on a free port, as arguments to Python."""
    return ("-m", "uvicorn", app, "--port", "0", "--no-access-log")


@contextmanager
def serving(side: Side, app: str = HELLO_APP) -> Iterator[int]:
    """The port of a side's uvicorn.

    Raises:
        BenchmarkError: it did not start.
    """
    process = spawn(side, *uvicorn_command(app), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, is_server=True)
    with listening(process, "uvicorn") as port:
        yield port


@contextmanager
def listening(process: subprocess.Popen[str], what: str) -> Iterator[int]:
    """The port that a server says it listens on. It is ended afterwards.

    Raises:
        BenchmarkError: it ended before it said so.
    """
    assert process.stdout is not None
    try:
        said = ""
        for line in process.stdout:
            said += line
            found = _ADDRESS.search(line)
            if found is not None:
                break
        else:
            raise BenchmarkError(f"{what} did not start:\n{said}")
        yield int(found[1])
    finally:
        process.terminate()
        process.communicate()
