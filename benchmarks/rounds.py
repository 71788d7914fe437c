"""Interleaved rounds, and what they come to."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["FULL", "QUICK", "Method", "Summary", "interleave", "ratio", "summarize"]


@dataclass(frozen=True)
class Method:
    """How much is measured.

    Attributes:
        rounds: How often each side is measured in each case.
        batch_s: How long one measurement takes, in seconds.
        processes: How many fresh processes each side gets where those are measured.
        invocations: How many invocations `memory` looks at.
        has_moto: Whether the stores on moto's server are measured too, each of which takes some seconds.
    """

    rounds: int
    batch_s: float
    processes: int
    invocations: int = 10_000
    has_moto: bool = True


FULL = Method(rounds=15, batch_s=0.05, processes=25)
QUICK = Method(rounds=5, batch_s=0.015, processes=5, has_moto=False)


@dataclass(frozen=True)
class Summary:
    """What rounds come to: the median and the quartiles around it, in the unit of the rounds."""

    median: float
    lower_quartile: float
    upper_quartile: float
    rounds: int

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a share of the median."""
        return (self.upper_quartile - self.lower_quartile) / 2 / self.median if self.median else 0.0


def summarize(values: Sequence[float]) -> Summary:
    """The summary of one or more rounds."""
    if len(values) == 1:
        return Summary(values[0], values[0], values[0], 1)
    lower_quartile, median, upper_quartile = statistics.quantiles(values, n=4, method="inclusive")
    return Summary(median, lower_quartile, upper_quartile, len(values))


def ratio(summaries: Mapping[str, Summary], side: str, other: str) -> float | None:
    """The median of a side as a multiple of another's; `None` where one of them was not measured."""
    if side not in summaries or other not in summaries:
        return None
    return summaries[side].median / summaries[other].median


def interleave(measurements: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Summary]:
    """Measure the sides in turn, round by round, so that what slows the machine down for a while hits all of them.

    A first round is not counted: it warms up.
    """
    values: dict[str, list[float]] = {name: [] for name in measurements}
    for _ in range(rounds + 1):
        for name, measure in measurements.items():
            values[name].append(measure())
    return {name: summarize(measured[1:]) for name, measured in values.items()}
