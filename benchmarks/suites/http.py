"""Warm requests: by source and lifespan, by other ways than this one, the translation alone, and large bodies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.outcomes import Outcome, Row
from benchmarks.peers import NOT_SERVED, OTHER_HANDLERS, WEB_ADAPTER
from benchmarks.rounds import Summary, interleave
from benchmarks.sides import Run, Side, start_all
from benchmarks.suites.cases import Case, measure_cases, prepared
from benchmarks.suites.servers import serving
from benchmarks.work import payloads
from benchmarks.work.events import SOURCES

__all__ = ["BODIES", "OTHER_WAYS", "run_bodies", "run_lifespan", "run_translate", "run_warm"]

_MODES = (
    ("lifespan off", "off", "off"),
    ("default", "invocation", "invocation"),
    ("process scope (0.22: default)", "process", "invocation"),
)
_FASTAPI = {
    "FastAPI, five routes, HTTP API 2.0": "warm_fastapi",
    "FastAPI, a `def` endpoint, HTTP API 2.0": "warm_fastapi_def",
}
OTHER_WAYS = "a hello-world by other ways, HTTP API 2.0 (ours: default)"
_NO_HANDLER = {"0.22": "no handler"}
_ENTRIES = (0, 10, 1_000)
_SIZES = {"1 KB": 1_000, "10 KB": 10_000, "100 KB": 100_000, "1 MB": 1_000_000, "3 MB": 3_000_000}
# By the name of its group: the operation, the kind of body, and the largest that Lambda carries.
BODIES = {
    "text response": ("response_body", "text", payloads.largest_text()),
    "text response beyond ASCII": ("response_body", "unicode", payloads.largest_text(beyond_ascii=True)),
    "binary response": ("response_body", "binary", payloads.LARGEST_BINARY),
    "text request": ("request_body", "text", payloads.largest_text()),
    "base64 request": ("request_body", "binary", payloads.LARGEST_BINARY),
}


def run_warm(run: Run) -> Outcome:
    """Every source in every mode, FastAPI, and the other ways to answer the same event."""
    sides = run.mangum_sides()
    rows = measure_cases(run, sides, _warm_cases())
    if "0.22" in run.peers:
        framework = run.with_framework([side for side in sides if side.has_mangum])
        rows += measure_cases(run, framework, _fastapi_cases())
    rows += _other_ways(run)
    return Outcome("warm", rows=rows)


def _warm_cases() -> Iterator[Case]:
    for group, ours, peers in _MODES:
        for source in SOURCES:
            requests = {
                "ours": {"operation": "warm", "source": source, "lifespan": ours},
                "0.22": {"operation": "warm", "source": source, "lifespan": peers},
                "floor": {"operation": "bare", "source": source},
            }
            yield _served(group, source, requests)


def _served(group: str, source: str, requests: dict[str, dict[str, Any]]) -> Case:
    if source not in NOT_SERVED:
        return Case(group, source, requests)
    return Case(group, source, {name: each for name, each in requests.items() if name != "0.22"}, _NO_HANDLER)


def _fastapi_cases() -> Iterator[Case]:
    for (name, operation), (group, ours, peers) in product(_FASTAPI.items(), _MODES):
        requests = {
            side: {"operation": operation, "lifespan": mode} for side, mode in (("ours", ours), ("0.22", peers))
        }
        yield Case(name, group, requests)


def _other_ways(run: Run) -> list[Row]:
    rows = []
    for peer in (*OTHER_HANDLERS, WEB_ADAPTER):
        if peer in run.peers:
            run.tell(peer)
            try:
                rows.append(Row(OTHER_WAYS, peer, _other_way(run, peer), other=peer))
            except BenchmarkError as error:
                rows.append(Row(OTHER_WAYS, peer, {}, {peer: error.in_short}, other=peer))
    return rows


def _other_way(run: Run, peer: str) -> dict[str, Summary]:
    ours, *_ = run.mangum_sides()
    theirs = Side(peer, run.folders(peer), has_mangum=False)
    with ExitStack() as stack:
        workers = stack.enter_context(start_all([ours, theirs]))
        request: dict[str, Any] = {"operation": "other_way", "peer": peer}
        if peer == WEB_ADAPTER:
            request = {"operation": "hop", "port": stack.enter_context(serving(theirs))}
        own = {"operation": "warm", "source": "HTTP API 2.0", "lifespan": "invocation"}
        measurements = {
            "ours": prepared(run, workers["ours"], own),
            peer: prepared(run, workers[peer], request),
        }
        return interleave(measurements, run.method.rounds)


def run_translate(run: Run) -> Outcome:
    """An event to handler, scope and body, and a response to the answer."""
    return Outcome("translate", rows=measure_cases(run, run.mangum_sides(), _translate_cases()))


def _translate_cases() -> Iterator[Case]:
    for source in SOURCES:
        request = {"operation": "translation", "source": source}
        floor = {"operation": "translation_floor", "source": source}
        yield _served("", source, {"ours": request, "0.22": request, "floor": floor})


def run_lifespan(run: Run) -> Outcome:
    """What a lifespan costs, and what its state does as it grows."""
    return Outcome(
        "lifespan",
        rows=measure_cases(run, run.mangum_sides(), _lifespan_cases()),
        note="0.22 has no process scope, and hands no state over: its default stands beside, with the same startup.",
    )


def _lifespan_cases() -> Iterator[Case]:
    for group, ours, peers in _MODES:
        for entries in _ENTRIES:
            if ours == "off" and entries:
                continue
            name = f"{entries:,} entries in its state" if entries else "no state"
            requests: dict[str, dict[str, Any]] = {
                "ours": {"operation": "warm_state", "entries": entries, "lifespan": ours},
                "floor": {"operation": "bare", "source": "HTTP API 2.0"},
            }
            if not entries:
                requests["0.22"] = {"operation": "warm_state", "entries": 0, "lifespan": peers}
            yield Case(group, name, requests, {"0.22": "no state"} if entries else {})


def run_bodies(run: Run) -> Outcome:
    """Bodies of any size, both ways; those that are base64 also with what `mangum[speed]` has."""
    ours, *others = run.mangum_sides()
    rows = measure_cases(run, [ours, *others], _body_cases(BODIES))
    if "0.22" in run.peers:  # it is from the registry too
        fast = [run.with_speed(side) if side.name != "0.22" else side for side in (ours, *others)]
        binary = {f"{group}, with speed": body for group, body in BODIES.items() if body[1] == "binary"}
        rows += measure_cases(run, fast, _body_cases(binary))
    return Outcome("bodies", rows=rows)


def _body_cases(bodies: dict[str, tuple[str, str, int]]) -> Iterator[Case]:
    for group, (operation, kind, largest) in bodies.items():
        for name, size in {**_SIZES, f"{largest / 1_000_000:.1f} MB (6 MB for Lambda)": largest}.items():
            request = {"operation": operation, "kind": kind, "size": size}
            floor = {"operation": "body_floor", "way": operation, "kind": kind, "size": size}
            yield Case(group, name, {"ours": request, "0.22": request, "floor": floor})
