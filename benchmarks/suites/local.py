"""`mangum dev` beside uvicorn: what the way through an event costs on a developer's machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPConnection
from importlib.util import find_spec
from itertools import repeat
from time import perf_counter

from benchmarks.errors import BenchmarkError
from benchmarks.outcomes import Outcome, Row
from benchmarks.rounds import Sample, interleave
from benchmarks.sides import ROOT, Run
from benchmarks.suites.servers import HELLO_APP, listening, uvicorn_command
from benchmarks.work.app import HELLO

__all__ = ["run_local"]

_OURS, _FLOOR = "mangum dev", "uvicorn"
_COMMANDS = {
    "in its process": ("-m", "mangum", "dev", HELLO_APP, "--port", "0"),
    "--no-dashboard --no-reload": ("-m", "mangum", "dev", HELLO_APP, "--port", "0", "--no-dashboard", "--no-reload"),
}
_UVICORN = uvicorn_command(HELLO_APP)
_ANSWER_S = 20.0
_TRIAL = 20


def run_local(run: Run) -> Outcome:
    """A request over a connection that is kept, and a fresh process to its first answer: `mangum dev` in its ways, and
    the same application on uvicorn, with no event between."""
    missing = [name for name in ("uvicorn", "starlette", "typer") if find_spec(name) is None]
    if missing:
        return Outcome("local", (_OURS, _FLOOR), note='Not measured: pip install "mangum[local]"')
    rows = []
    for name, command in _COMMANDS.items():
        with ExitStack() as stack:
            servers = {
                side: stack.enter_context(_serving(line)) for side, line in ((_OURS, command), (_FLOOR, _UVICORN))
            }
            measurements = {side: partial(_request_s, port, run.method.batch_s) for side, port in servers.items()}
            rows.append(Row("a request", name, interleave(measurements, run.method.rounds)))
    for name, command in _COMMANDS.items():
        fresh = {_OURS: partial(_first_answer_s, command), _FLOOR: partial(_first_answer_s, _UVICORN)}
        rows.append(Row("fresh process to its first answer", name, interleave(fresh, run.method.slow_processes)))
    return Outcome(
        "local", (_OURS, _FLOOR), rows=rows, note="uvicorn makes no event of a request, and calls no handler."
    )


@contextmanager
def _serving(command: Sequence[str]) -> Iterator[int]:
    """A server in a process of its own: its port."""
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    with listening(process, " ".join(command)) as port:
        yield port


def _first_answer_s(command: Sequence[str]) -> Sample:
    started = perf_counter()
    with _serving(command) as port:
        connection = HTTPConnection("127.0.0.1", port, timeout=_ANSWER_S)
        _get(connection)
        seconds = perf_counter() - started
        connection.close()
    return Sample(seconds)


def _request_s(port: int, batch_s: float) -> Sample:
    """What a request takes, of as many as fit into a round."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_ANSWER_S)
    try:
        trial = _requests_s(connection, _TRIAL)
        iterations = max(_TRIAL, int(batch_s / trial))
        return Sample(_requests_s(connection, iterations))
    finally:
        connection.close()


def _requests_s(connection: HTTPConnection, iterations: int) -> float:
    started = perf_counter()
    for _ in repeat(None, iterations):
        _get(connection)
    return (perf_counter() - started) / iterations


def _get(connection: HTTPConnection) -> None:
    connection.request("GET", "/")
    body = connection.getresponse().read()
    if body != HELLO:
        raise BenchmarkError(f"The answer was {body[:200]!r}, not {HELLO!r}.")
