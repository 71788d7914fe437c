"""The suites: which cases are measured, on which sides, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks import payloads
from benchmarks.deployment import run_deployment
from benchmarks.events import SOURCES
from benchmarks.fresh import first_answer_s, import_s
from benchmarks.local import run_local
from benchmarks.outcomes import Footprint, Outcome, Row, Suite, measure_batch
from benchmarks.peers import NOT_SERVED
from benchmarks.rounds import Method, Summary, interleave
from benchmarks.runtime import run_runtime
from benchmarks.sides import Side, WorkerProcess, anyio_sides, start, start_all
from benchmarks.websocket_suites import run_broadcast, run_websocket

__all__ = ["SUITES"]

_BODY_SIZES = {"1 KB": 1_000, "10 KB": 10_000, "100 KB": 100_000, "1 MB": 1_000_000, "3 MB": 3_000_000}


@dataclass(frozen=True)
class _Case:
    """What each side that takes part is asked to do: the name of an operation and its arguments."""

    group: str
    name: str
    requests: dict[str, dict[str, Any]]


def _warm(sides: list[Side], method: Method) -> Outcome:
    return Outcome("warm", rows=_measure(sides, _warm_cases(), method))


def _warm_cases() -> Iterator[_Case]:
    for group, ours, peers in (
        ("lifespan off", "off", "off"),
        ("default", "invocation", "invocation"),
        ("process scope (0.22: default)", "process", "invocation"),
    ):
        for source in SOURCES:
            requests = {
                "ours": {"operation": "warm", "source": source, "lifespan": ours},
                "0.22": {"operation": "warm", "source": source, "lifespan": peers},
                "floor": {"operation": "bare", "source": source},
            }
            yield _Case(group, source, _without_unserved(source, requests))


def _translate(sides: list[Side], method: Method) -> Outcome:
    return Outcome("translate", rows=_measure(sides, _translate_cases(), method))


def _translate_cases() -> Iterator[_Case]:
    for source in SOURCES:
        request: dict[str, Any] = {"operation": "translation", "source": source}
        requests = {"ours": request, "0.22": request}
        if source == "Lambda@Edge":
            requests["floor"] = {"operation": "edge_translation"}
        yield _Case("", source, _without_unserved(source, requests))


def _without_unserved(source: str, requests: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {side: request for side, request in requests.items() if side != "0.22" or source not in NOT_SERVED}


def _bodies(sides: list[Side], method: Method) -> Outcome:
    return Outcome("bodies", rows=_measure(sides, _body_cases(), method))


def _body_cases() -> Iterator[_Case]:
    for group, operation, kind, largest in (
        ("text response", "response_body", "text", payloads.largest_text()),
        ("text response beyond ASCII", "response_body", "unicode", payloads.largest_text(beyond_ascii=True)),
        ("binary response", "response_body", "binary", payloads.LARGEST_BINARY),
        ("text request", "request_body", "text", payloads.largest_text()),
        ("base64 request", "request_body", "binary", payloads.LARGEST_BINARY),
    ):
        for name, size in {**_BODY_SIZES, f"{largest / 1_000_000:.1f} MB (6 MB for Lambda)": largest}.items():
            request = {"operation": operation, "kind": kind, "size": size}
            yield _Case(group, name, {"ours": request, "0.22": request})


def _memory(sides: list[Side], method: Method) -> Outcome:
    footprints = []
    for side in sides:
        if side.has_mangum:
            with start(side) as worker:
                worker.request("prepare", operation="warm", source="HTTP API 2.0", lifespan="invocation")
                worker.request("measure", iterations=max(1, method.invocations // 20))  # until caches are filled
                before = worker.request("footprint")
                worker.request("measure", iterations=method.invocations)
                footprints.append(Footprint(side.name, before, worker.request("footprint")))
    return Outcome(
        "memory", footprints=footprints, note=f"{method.invocations:,} invocations, in a fresh process each."
    )


def _import(sides: list[Side], method: Method) -> Outcome:
    rows = []
    with_mangum = [side for side in sides if side.has_mangum]
    for name, measure, taking_part in (
        ("import mangum, beyond asyncio", import_s, with_mangum),
        ("fresh process to first answer", first_answer_s, sides),
    ):
        rows.append(Row("", name, interleave({s.name: partial(measure, s) for s in taking_part}, method.processes)))
    return Outcome("import", rows=rows)


def _groups(sides: list[Side], method: Method) -> Outcome:
    taking_part = anyio_sides()
    note = "" if len(taking_part) == 2 else "anyio is not measured: this interpreter cannot import it."
    return Outcome("groups", ("asyncio", "anyio"), rows=_measure(taking_part, _group_cases(), method), note=note)


def _group_cases() -> Iterator[_Case]:
    for name, tasks in (("empty group", 0), ("group with one trivial task", 1)):
        requests = {side: {"operation": f"{side}_group", "tasks": tasks} for side in ("asyncio", "anyio")}
        yield _Case("", name, requests)


def _measure(sides: list[Side], cases: Iterator[_Case], method: Method) -> list[Row]:
    with start_all(sides) as workers:
        return [
            Row(
                case.group,
                case.name,
                _measure_case(workers, case, method),
                {"0.22": "no handler"} if case.name in NOT_SERVED else {},
            )
            for case in cases
        ]


def _measure_case(workers: dict[str, WorkerProcess], case: _Case, method: Method) -> dict[str, Summary]:
    measurements: dict[str, Callable[[], float]] = {}
    for name, worker in workers.items():
        if name in case.requests:
            worker.request("prepare", **case.requests[name])
            iterations = worker.request("calibrate", batch_s=method.batch_s)["iterations"]
            measurements[name] = partial(measure_batch, worker, iterations)
    return interleave(measurements, method.rounds)


SUITES = {
    suite.name: suite
    for suite in (
        Suite("warm", "one warm invocation of a hello-world application, by source and lifespan", _warm),
        Suite("translate", "event to scope and body, response to answer, without an application", _translate),
        Suite("bodies", "large request and response bodies, HTTP API 2.0, lifespan off", _bodies),
        Suite("memory", "what is left of many invocations, in the default mode", _memory),
        Suite("import", "importing mangum, and a fresh process to its first answer", _import),
        Suite("websocket", "a WebSocket message through each store, with one answer to the client", run_websocket),
        Suite("broadcast", "a message to a group, against one blocking boto3 call after another", run_broadcast),
        Suite("local", "a request to `mangum dev`, beside the same application on uvicorn", run_local),
        Suite("deployment", "the folder of `mangum build` against `pip install -t`: a cold start", run_deployment),
        Suite("runtime", "`mangum.runtime` against AWS's own with 0.22: CPU time, cold start", run_runtime),
        Suite("groups", "a task group of asyncio's, as each invocation has one, against anyio's", _groups),
    )
}
