"""Interleaved rounds, and what they come to."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

__all__ = ["FULL", "QUICK", "Method", "Sample", "Summary", "interleave", "ratio", "summarize", "take_turns"]

T = TypeVar("T")


@dataclass(frozen=True)
class Method:
    """How much is measured.

    Attributes:
        rounds: How often each side is measured in each case.
        batch_s: How long one measurement takes, in seconds.
        processes: How many fresh processes each side gets where those are measured.
        invocations: How many invocations `memory` looks at.
        soak: How many `soak` does.
        stream_bytes: How long the body is that `stream` sends.
        at_once: How many invocations `concurrency` has at once.
        has_moto: Whether the stores on moto's server are measured too, each of which takes some seconds.
    """

    rounds: int
    batch_s: float
    processes: int
    invocations: int = 10_000
    soak: int = 100_000
    stream_bytes: int = 64_000_000
    at_once: tuple[int, ...] = (1, 10, 100)
    has_moto: bool = True

    @property
    def slow_processes(self) -> int:
        """The same where one takes a second and more."""
        return max(1, self.processes // 5)


FULL = Method(rounds=15, batch_s=0.05, processes=25)
QUICK = Method(
    rounds=5,
    batch_s=0.015,
    processes=5,
    invocations=2_000,
    soak=5_000,
    stream_bytes=8_000_000,
    at_once=(1, 10),
    has_moto=False,
)


class Sample(NamedTuple):
    """One measurement: seconds on the clock, and those on a processor where that is known."""

    wall_s: float
    cpu_s: float | None = None


@dataclass(frozen=True)
class Summary:
    """What rounds come to: the median and the quartiles around it, in the unit of the rounds, and the median of the
    time on a processor."""

    median: float
    lower_quartile: float
    upper_quartile: float
    rounds: int
    cpu: float | None = None
    values: tuple[float, ...] = field(default=(), compare=False, repr=False)  # of the rounds, in their order

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a share of the median."""
        return (self.upper_quartile - self.lower_quartile) / 2 / self.median if self.median else 0.0


def summarize(samples: Sequence[Sample]) -> Summary:
    """The summary of one or more rounds."""
    values = [sample.wall_s for sample in samples]
    times = [sample.cpu_s for sample in samples if sample.cpu_s is not None]
    cpu = statistics.median(times) if times else None
    if len(values) == 1:
        return Summary(values[0], values[0], values[0], 1, cpu, tuple(values))
    lower_quartile, median, upper_quartile = statistics.quantiles(values, n=4, method="inclusive")
    return Summary(median, lower_quartile, upper_quartile, len(values), cpu, tuple(values))


def ratio(summaries: Mapping[str, Summary], side: str, other: str) -> float | None:
    """What a side takes as a multiple of another; `None` where one of them was not measured.

    It is the median over the rounds. In each round both are measured one after the other, so that a machine that
    changes its speed changes both.
    """
    if side not in summaries or other not in summaries or not summaries[other].median:
        return None
    ours, theirs = summaries[side], summaries[other]
    if len(ours.values) != len(theirs.values) or not all(theirs.values):
        return ours.median / theirs.median
    return statistics.median(value / base for value, base in zip(ours.values, theirs.values, strict=True))


def take_turns(measurements: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Measure the sides in turn, round by round, so that what slows the machine down for a while hits all of them. Each
    round begins with another side: who comes first is slower by up to 7 % where processes are started.

    A first round is not counted: it warms up.
    """
    measured: dict[str, list[T]] = {name: [] for name in measurements}
    names = list(measurements)
    for number in range(rounds + 1):
        first = number % max(1, len(names))
        for name in names[first:] + names[:first]:
            measured[name].append(measurements[name]())
    return {name: values[1:] for name, values in measured.items()}


def interleave(measurements: Mapping[str, Callable[[], Sample]], rounds: int) -> dict[str, Summary]:
    """The summaries of sides that are measured in turn."""
    return {name: summarize(samples) for name, samples in take_turns(measurements, rounds).items()}
