"""Cases of which each side does its own in a worker, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmarks.outcomes import Row, full_name, measure_batch
from benchmarks.rounds import Sample, interleave
from benchmarks.sides import Run, Side, WorkerProcess, start_all

__all__ = ["Case", "measure_cases", "prepared"]


@dataclass(frozen=True)
class Case:
    """What each side that takes part is asked to do: the name of an operation and its arguments."""

    group: str
    name: str
    requests: dict[str, dict[str, Any]]
    remarks: dict[str, str] = field(default_factory=dict)


def measure_cases(run: Run, sides: list[Side], cases: Iterable[Case]) -> list[Row]:
    """A row for each case."""
    with start_all(sides) as workers:
        return [_measure(run, workers, case) for case in cases]


def prepared(run: Run, worker: WorkerProcess, request: dict[str, Any]) -> Callable[[], Sample]:
    """The measurement of an operation that is prepared and calibrated."""
    worker.request("prepare", **request)
    iterations = worker.request("calibrate", batch_s=run.method.batch_s)["iterations"]
    return partial(measure_batch, worker, iterations)


def _measure(run: Run, workers: dict[str, WorkerProcess], case: Case) -> Row:
    run.tell(full_name(case.group, case.name))
    measurements = {
        name: prepared(run, worker, case.requests[name]) for name, worker in workers.items() if name in case.requests
    }
    return Row(case.group, case.name, interleave(measurements, run.method.rounds), case.remarks)
