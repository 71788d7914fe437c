"""Fresh processes, timed from outside."""

from __future__ import annotations

import subprocess
from time import perf_counter

from benchmarks.app import HELLO
from benchmarks.errors import BenchmarkError
from benchmarks.sides import Side, spawn

__all__ = ["first_answer_s", "first_message_s", "import_s"]


def import_s(side: Side) -> float:
    """The seconds that a fresh process takes to import mangum, asyncio being there already."""
    with spawn(side, "-X", "importtime", "-c", "import asyncio; import mangum", stderr=subprocess.PIPE) as process:
        _, trace = process.communicate()
    for line in trace.splitlines():  # "import time:   self [us] | cumulative | imported package"
        columns = line.split("|")
        if columns[-1].strip() == "mangum":
            return int(columns[1]) / 1_000_000
    raise BenchmarkError(f"{side.name} could not import mangum:\n{trace}")


def first_answer_s(side: Side) -> float:
    """The seconds from the start of a fresh process to its first answer."""
    bare = [] if side.has_mangum else ["bare"]
    started = perf_counter()
    with spawn(side, "-m", "benchmarks.first_answer", *bare, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = perf_counter() - started
    if line.strip() != HELLO.decode():
        raise BenchmarkError(f"{side.name} answered {line!r} in a fresh process, not {HELLO!r}.")
    return seconds


def first_message_s(side: Side, dsn: str, url: str, *arguments: str) -> float:
    """The seconds from the start of a fresh process to the answer to its first WebSocket message."""
    started = perf_counter()
    with spawn(side, "-m", "benchmarks.websocket", dsn, url, *arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = perf_counter() - started
    if line.strip() != "answered":
        raise BenchmarkError(f"{side.name} did not answer a message in a fresh process.")
    return seconds
