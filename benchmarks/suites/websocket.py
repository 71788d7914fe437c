"""The suites of WebSockets: a message through each store, and a broadcast."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from time import perf_counter

from benchmarks.errors import BenchmarkError
from benchmarks.outcomes import Outcome, Row, measure_batch
from benchmarks.rounds import Method, Sample, interleave
from benchmarks.sides import ROOT, Run, Side, WorkerProcess, spawn, start, start_all, versions
from benchmarks.suites.services import STORES, Names, connections_endpoint

__all__ = ["run_broadcast", "run_websocket"]

_PEER = "0.12"
_ON_MOTO = ("DynamoDB", "S3")
_COLD = "fresh process to its first answer"
_FLOOR = Side("floor", (ROOT,), has_mangum=False)
_MEMBERS = (100, 1_000, 10_000)


def run_websocket(run: Run) -> Outcome:
    """A message through each store, warm and as the first of a fresh process."""
    taking_part = [*run.websocket_sides(), _FLOOR]
    method = run.method
    versions(taking_part)
    rows: list[Row] = []
    notes: list[str] = []
    with connections_endpoint() as url, STORES["SQLite"]() as stand_in:
        for name, serving in STORES.items():
            run.tell(name)
            if name in _ON_MOTO and not method.has_moto:
                notes.append(f"{name} is not measured with --quick.")
                continue
            with ExitStack() as stack:
                try:
                    dsn_of = stack.enter_context(serving())
                except BenchmarkError as error:
                    notes.append(f"{name} is not measured: {error}")
                    continue
                workers = stack.enter_context(start_all(taking_part))
                rows += _Store(name, dsn_of, stand_in, url, workers, method, notes).rows()
    rows.sort(key=lambda row: row.group == _COLD)
    return Outcome("websocket", ("ours", _PEER), rows=rows, note="\n".join(notes))


class _Store:
    """One store, with a worker for each side."""

    def __init__(
        self,
        name: str,
        dsn_of: Names,
        stand_in: Names,
        url: str,
        workers: dict[str, WorkerProcess],
        method: Method,
        notes: list[str],
    ) -> None:
        self._name = name
        self._dsn_of = dsn_of
        self._stand_in = stand_in
        self._url = url
        self._workers = workers
        self._method = method
        self._notes = notes

    def rows(self) -> list[Row]:
        """A warm and a cold message. Where the peer does not run with this store, a warm one is held against the peer's
        through SQLite, and the note says why."""
        warm = {"ours": self._warm("ours", self._dsn_of)}
        self._workers["floor"].request("prepare", operation="bare_posts", url=self._url)
        warm["floor"] = self._measurement("floor")
        cold: dict[str, Callable[[], Sample]] = {"ours": self._cold("ours")}
        name, remarks = self._name, {}
        is_on_moto = name in _ON_MOTO
        if _PEER in self._workers:
            try:
                warm[_PEER] = self._warm(_PEER, self._dsn_of)
                cold[_PEER] = self._cold(_PEER)
            except BenchmarkError as error:
                self._notes.append(f"mangum {_PEER} does not run with {self._name} here: {error.in_short}")
                remarks = {_PEER: "does not run"}
                if not is_on_moto and self._name != "SQLite":
                    warm[_PEER] = self._warm(_PEER, lambda side: self._stand_in(f"{side} for {self._name}"))
                    name = f"{name} ({_PEER}: SQLite)"
        return [
            Row(
                "warm, on moto's server" if is_on_moto else "warm",
                name,
                interleave(warm, self._method.rounds),
                {} if _PEER in warm else remarks,
            ),
            Row(_COLD, self._name, interleave(cold, self._method.slow_processes), remarks),
        ]

    def _warm(self, side: str, dsn_of: Names) -> Callable[[], Sample]:
        worker = self._workers[side]
        worker.request(
            "prepare", operation="websocket_message", dsn=dsn_of(_word(side)), url=self._url, old=side == _PEER
        )
        return self._measurement(side)

    def _measurement(self, side: str) -> Callable[[], Sample]:
        worker = self._workers[side]
        return partial(measure_batch, worker, worker.request("calibrate", batch_s=self._method.batch_s)["iterations"])

    def _cold(self, side: str) -> Callable[[], Sample]:
        arguments = ["old"] if side == _PEER else []
        return partial(_first_message_s, self._workers[side].side, self._dsn_of(_word(side)), self._url, *arguments)


def run_broadcast(run: Run) -> Outcome:
    """A broadcast, by the time for each connection, beside one blocking call after the other; and its memory."""
    rows: list[Row] = []
    side = run.websocket_sides()[0]
    method = run.method
    with connections_endpoint() as url, STORES["SQLite"]() as dsn_of, ExitStack() as stack:
        floor = stack.enter_context(start(_FLOOR))
        floor.request("prepare", operation="bare_posts", url=url)
        posts = floor.request("calibrate", batch_s=method.batch_s)["iterations"]
        blocking = None
        if _PEER in run.peers:
            worker = stack.enter_context(start(run.boto3_side()))
            worker.request("prepare", operation="blocking_posts", url=url)
            iterations = worker.request("calibrate", batch_s=method.batch_s * 4)["iterations"]
            blocking = partial(measure_batch, worker, iterations)
        for members in _MEMBERS:
            run.tell(f"{members:,} connections")
            group = {"dsn": dsn_of(str(members)), "url": url, "members": members}
            with start(side) as filling:
                filling.request("fill", **group)
            with start(side) as ours:
                ours.request("prepare", operation="broadcast", **group)
                before = ours.request("footprint")["resident_bytes"]
                measurements: dict[str, Callable[[], Sample]] = {"ours": partial(measure_batch, ours, members)}
                if blocking is not None:
                    measurements["boto3"] = blocking
                measurements["floor"] = partial(measure_batch, floor, posts)
                summaries = interleave(measurements, method.rounds)
                growth = ours.request("peak")["resident_bytes"] - before
            rows.append(Row("", f"{members:,} connections", summaries, peak_growth_bytes=growth))
    note = (
        "By connection; the floor is one request after the other, not signed. The group is in SQLite. Growth is the "
        "peak of this project's memory beyond what its process had before."
    )
    return Outcome("broadcast", ("ours", "boto3"), rows=rows, note=note, rate="per s")


def _word(side: str) -> str:
    """A side as the names of tables and buckets can have it."""
    return "old" if side == _PEER else "new"


def _first_message_s(side: Side, dsn: str, url: str, *arguments: str) -> Sample:
    """From the start of a fresh process to the answer to its first message."""
    started = perf_counter()
    with spawn(side, "-m", "benchmarks.work.websocket", dsn, url, *arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = perf_counter() - started
    if line.strip() != "answered":
        raise BenchmarkError(f"{side.name} did not answer a message in a fresh process.")
    return Sample(seconds)
