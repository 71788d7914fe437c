"""The suites of WebSockets: a message through each store, and a broadcast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from benchmarks.errors import BenchmarkError
from benchmarks.fresh import first_message_s
from benchmarks.outcomes import Outcome, Row, measure_batch
from benchmarks.rounds import Method, interleave
from benchmarks.services import STORES, connections_endpoint
from benchmarks.sides import Side, WorkerProcess, boto3_side, start, start_all, websocket_sides

__all__ = ["run_broadcast", "run_websocket"]

_ON_MOTO = ("DynamoDB", "S3")
_MEMBERS = (100, 1_000, 10_000)


def run_websocket(sides: list[Side], method: Method) -> Outcome:
    """A message through each store, warm and as the first of a fresh process."""
    taking_part = websocket_sides(with_peer=_has_peers(sides))
    warm: list[Row] = []
    cold: list[Row] = []
    notes: list[str] = []
    with connections_endpoint() as url:
        for store, serving in STORES.items():
            with serving() as dsn_of, start_all(taking_part) as workers:
                sent = {name: (dsn_of("old" if name == "0.12" else "new"), url) for name in workers}
                measurements = {}
                for name, worker in workers.items():
                    try:
                        measurements[name] = _message(worker, *sent[name], method)
                    except BenchmarkError as error:
                        if name == "ours":
                            raise
                        notes.append(f"{store}: mangum {worker.side.version} does not run here: {_last_line(error)}")
                group = "warm, on moto's server" if store in _ON_MOTO else "warm"
                warm.append(Row(group, store, interleave(measurements, method.rounds)))
                fresh: dict[str, Callable[[], float]] = {
                    name: partial(
                        first_message_s, workers[name].side, *sent[name], *(["old"] if name == "0.12" else [])
                    )
                    for name in measurements
                }
                cold.append(Row("fresh process to its first answer", store, interleave(fresh, method.processes // 2)))
    return Outcome("websocket", ("ours", "0.12"), rows=warm + cold, note="\n".join(notes))


def run_broadcast(sides: list[Side], method: Method) -> Outcome:
    """A broadcast, by the time for each connection, beside one blocking call after the other; and its memory."""
    rows: list[Row] = []
    peaks: list[str] = []
    with connections_endpoint() as url, STORES["SQLite"]() as dsn_of, ExitStack() as stack:
        boto3 = stack.enter_context(start(boto3_side())) if _has_peers(sides) else None
        for members in _MEMBERS:
            with _broadcasting(websocket_sides(with_peer=False)[0], dsn_of(str(members)), url, members) as ours:
                measurements: dict[str, Callable[[], float]] = {"ours": partial(measure_batch, ours, members)}
                if boto3 is not None:
                    boto3.request("prepare", operation="blocking_posts", url=url)
                    measurements["boto3"] = partial(measure_batch, boto3, min(members, 500))
                rows.append(
                    Row("for each connection", f"{members:,} connections", interleave(measurements, method.rounds))
                )
                peak = ours.request("peak")["resident_bytes"] / 1024 / 1024
                peaks.append(f"{members:,} connections {peak:.1f} MiB")
    return Outcome("broadcast", ("ours", "boto3"), rows=rows, note=f"Peak memory: {', '.join(peaks)}.")


@contextmanager
def _broadcasting(side: Side, dsn: str, url: str, members: int) -> Iterator[WorkerProcess]:
    with start(side) as worker:
        worker.request("prepare", operation="broadcast", dsn=dsn, url=url, members=members)
        yield worker


def _message(worker: WorkerProcess, dsn: str, url: str, method: Method) -> Callable[[], float]:
    old = {"old": True} if worker.side.name == "0.12" else {}
    worker.request("prepare", operation="websocket_message", dsn=dsn, url=url, **old)
    return partial(measure_batch, worker, worker.request("calibrate", batch_s=method.batch_s)["iterations"])


def _has_peers(sides: list[Side]) -> bool:
    return any(side.version is not None for side in sides)


def _last_line(error: BenchmarkError) -> str:
    return str(error).strip().splitlines()[-1]
