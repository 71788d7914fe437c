"""uvicorn, as a web server in the sandbox has it, in a process of its own."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.errors import BenchmarkError
from benchmarks.sides import Side, spawn

__all__ = ["HELLO_APP", "STREAMING_APP", "await_line", "serving"]

HELLO_APP = "benchmarks.work.app:hello"
STREAMING_APP = "benchmarks.work.app:streaming"
_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")


@contextmanager
def serving(side: Side, app: str = HELLO_APP) -> Iterator[int]:
    """The port of uvicorn with an application of this package's.

    Raises:
        BenchmarkError: it did not start.
    """
    command = ("-m", "uvicorn", app, "--port", "0", "--no-access-log")
    with spawn(side, *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            yield int(await_line(process, _ADDRESS, "uvicorn")[1])
        finally:
            process.terminate()
            process.communicate()


def await_line(process: subprocess.Popen[str], pattern: re.Pattern[str], what: str) -> re.Match[str]:
    """The first line of its output that matches.

    Raises:
        BenchmarkError: it ended before.
    """
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        found = pattern.search(line)
        if found is not None:
            return found
    raise BenchmarkError(f"{what} did not start:\n{said}")
