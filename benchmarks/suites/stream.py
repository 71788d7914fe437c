"""Responses that are sent bit by bit: how soon the first byte is there, and how fast all of them."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter

from benchmarks.errors import BenchmarkError
from benchmarks.outcomes import Outcome, Row
from benchmarks.peers import WEB_ADAPTER
from benchmarks.rounds import Sample, interleave
from benchmarks.sides import Run, Side
from benchmarks.suites.lambda_service import LambdaService
from benchmarks.suites.runtimes import OURS, PEER, STREAMS, runtimes
from benchmarks.suites.servers import STREAMING_APP, serving
from benchmarks.work.events import SOURCES

__all__ = ["run_stream"]

_CHUNK = 64 * 1024
_SLOW = "10,1000,0.01"  # ten chunks, 10 ms apart
_SLOW_BYTES = 10_000
_WHOLE = "throughput, by MB"
_BUFFERED = "buffers, up to 6 MB"
_ANSWER_S = 60.0

# A query in, the seconds to the first byte and to the last out.
_Ask = Callable[[str, int], tuple[float, float]]


def run_stream(run: Run) -> Outcome:
    """A slow response and a large one, through `mangum.runtime`, uvicorn, and AWS's runtime, which waits for all."""
    with tempfile.TemporaryDirectory(prefix="mangum-") as name, ExitStack() as stack:
        try:
            found = runtimes(run, Path(name))
        except BenchmarkError as error:
            return Outcome("stream", (OURS, WEB_ADAPTER), note=f"Not measured: {error}")
        sides: dict[str, _Ask] = {}
        _, service = stack.enter_context(found[OURS].running(STREAMS, MANGUM_RESPONSE_MODE="stream"))
        sides[OURS] = partial(_ask_runtime, service)
        if WEB_ADAPTER in run.peers:
            side = Side(WEB_ADAPTER, run.folders(WEB_ADAPTER), has_mangum=False)
            sides[WEB_ADAPTER] = partial(_ask_server, stack.enter_context(serving(side, STREAMING_APP)))
        slow: dict[str, _Ask] = dict(sides)
        if PEER in found:
            _, buffering = stack.enter_context(found[PEER].running(STREAMS))
            slow[PEER] = partial(_ask_buffered, buffering)
        run.tell("first byte")
        first = interleave({side: partial(_first_s, ask) for side, ask in slow.items()}, run.method.rounds)
        chunks = run.method.stream_bytes // _CHUNK
        run.tell("throughput")
        whole = interleave(
            {side: partial(_by_mb_s, ask, chunks) for side, ask in sides.items()}, run.method.slow_processes
        )
    group = "first byte of ten chunks, 10 ms apart"
    rows = [
        Row(group, f"beside {other}", {OURS: first[OURS], other: first[other]}, other=other)
        for other in slow
        if other != OURS
    ]
    if not rows:
        rows = [Row(group, "alone", first)]
    size = f"{chunks * _CHUNK / 1_000_000:.0f} MB in chunks of 64 KiB"
    rows.append(Row(_WHOLE, size, whole))
    if PEER in found:
        rows.append(Row(_WHOLE, f"{size}, beside {PEER}", {OURS: whole[OURS]}, {PEER: _BUFFERED}, other=PEER))
    return Outcome(
        "stream", (OURS, WEB_ADAPTER), rows=rows, note="A hop in front of the web server would come on top of it."
    )


def _first_s(ask: _Ask) -> Sample:
    return Sample(ask(_SLOW, _SLOW_BYTES)[0])


def _by_mb_s(ask: _Ask, chunks: int) -> Sample:
    megabytes = chunks * _CHUNK / 1_000_000
    return Sample(ask(f"{chunks},{_CHUNK},0", chunks * _CHUNK)[1] / megabytes)


def _event(query: str) -> bytes:
    return json.dumps({**SOURCES["Function URL"], "rawQueryString": query}).encode()


def _ask_runtime(service: LambdaService, query: str, size: int) -> tuple[float, float]:
    first_s, last_s, received = service.stream(_event(query))
    _check(received, size)
    return first_s, last_s


def _ask_buffered(service: LambdaService, query: str, size: int) -> tuple[float, float]:
    started = perf_counter()
    answer = json.loads(service.invoke(_event(query)))
    seconds = perf_counter() - started
    _check(len(base64.b64decode(answer["body"])), size)
    return seconds, seconds


def _ask_server(port: int, query: str, size: int) -> tuple[float, float]:
    connection = HTTPConnection("127.0.0.1", port, timeout=_ANSWER_S)
    started = perf_counter()
    connection.request("GET", f"/?{query}")
    response = connection.getresponse()
    received = len(response.read(1))
    first_s = perf_counter() - started
    while data := response.read(_CHUNK):
        received += len(data)
    last_s = perf_counter() - started
    connection.close()
    _check(received, size)
    return first_s, last_s


def _check(received: int, size: int) -> None:
    if received != size:
        raise BenchmarkError(f"A stream had {received:,} bytes, not {size:,}.")
