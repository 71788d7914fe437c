"""What a suite is, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.rounds import Sample, Summary
from benchmarks.sides import Run, WorkerProcess

__all__ = ["Footprint", "Outcome", "Row", "Suite", "full_name", "measure_batch"]


def full_name(group: str, case: str) -> str:
    """A case by its group too, if that has a name."""
    return f"{group}, {case}" if group else case


@dataclass(frozen=True)
class Row:
    """One case: the seconds of one operation on each side that took part.

    Attributes:
        remarks: What stands in place of the time, by the names of sides that could not take part.
        peak_growth_bytes: The most memory that the first side took beyond what it had before.
        other: The side that the first one is held against, where it is not the suite's.
        memory_bytes: What each side's processes held.
    """

    group: str
    name: str
    summaries: dict[str, Summary]
    remarks: dict[str, str] = field(default_factory=dict)
    peak_growth_bytes: int | None = None
    other: str | None = None
    memory_bytes: dict[str, int] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        return full_name(self.group, self.name)


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

    def sides_of(self, row: Row) -> tuple[str, str]:
        """The two sides whose ratio counts in a row."""
        return self.compared[0], row.other or self.compared[1]


@dataclass(frozen=True)
class Suite:
    """A suite by the name that the command line knows."""

    name: str
    description: str
    run: Callable[[Run], Outcome]


def measure_batch(worker: WorkerProcess, iterations: int) -> Sample:
    """What one of so many iterations takes in a worker."""
    answer = worker.request("measure", iterations=iterations)
    return Sample(answer["seconds"], answer["cpu_seconds"])
