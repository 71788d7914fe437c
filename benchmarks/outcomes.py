"""What a suite is, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.rounds import Method, Summary
from benchmarks.sides import Side, WorkerProcess

__all__ = ["Footprint", "Outcome", "Row", "Suite", "measure_batch"]


@dataclass(frozen=True)
class Row:
    """One case: the seconds of one operation on each side that took part.

    Attributes:
        remarks: What stands in place of the time, by the names of sides that could not take part.
        peak_growth_bytes: The most memory that the first side took beyond what it had before.
    """

    group: str
    name: str
    summaries: dict[str, Summary]
    remarks: dict[str, str] = field(default_factory=dict)
    peak_growth_bytes: int | None = None


@dataclass(frozen=True)
class Footprint:
    """What a side's process held before and after many invocations; `None` where the system does not tell."""

    side: str
    before: dict[str, int | None]
    after: dict[str, int | None]


@dataclass(frozen=True)
class Outcome:
    """What a suite measured. `compared` are the two sides whose ratio counts; `rate` is the unit of what the table also
    shows by the second, if anything."""

    suite: str
    compared: tuple[str, str] = ("ours", "0.22")
    rows: list[Row] = field(default_factory=list)
    footprints: list[Footprint] = field(default_factory=list)
    note: str = ""
    rate: str | None = None


@dataclass(frozen=True)
class Suite:
    """A suite by the name that the command line knows. `run` measures the sides of mangum given to it."""

    name: str
    description: str
    run: Callable[[list[Side], Method], Outcome]


def measure_batch(worker: WorkerProcess, iterations: int) -> float:
    """The seconds that one of so many iterations takes in a worker."""
    seconds: float = worker.request("measure", iterations=iterations)["seconds"]
    return seconds
