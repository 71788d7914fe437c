"""What this project wants to be, measured against mangum 0.22."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.rounds import ratio
from benchmarks.suites import Outcome

__all__ = ["Verdict", "judge"]


@dataclass(frozen=True)
class _Target:
    name: str
    suite: str
    group: str | None  # None: all groups
    at_most: float


_TARGETS = (
    _Target("warm, lifespan off", "warm", "lifespan off", 0.95),
    _Target("warm, default", "warm", "default", 0.75),
    _Target("warm, process scope", "warm", "process scope (0.22: default)", 0.40),
    _Target("translate, each source", "translate", None, 0.60),
    _Target("bodies, each size and kind", "bodies", None, 1.00),
)


@dataclass(frozen=True)
class Verdict:
    """A target, and the case that is farthest from it. Ratios are ours by 0.22's; a target is met if every case is."""

    target: str
    at_most: float
    worst: float
    worst_case: str
    cases: int
    cases_met: int

    @property
    def is_met(self) -> bool:
        return self.cases_met == self.cases


def judge(outcomes: Iterable[Outcome]) -> list[Verdict]:
    """The verdict on each target that these outcomes say something about."""
    by_suite = {outcome.suite: outcome for outcome in outcomes}
    verdicts = []
    for target in _TARGETS:
        outcome = by_suite.get(target.suite)
        ratios = _ratios(outcome, target.group) if outcome is not None else {}
        if ratios:
            worst_case = max(ratios, key=ratios.__getitem__)
            met = sum(value <= target.at_most for value in ratios.values())
            verdicts.append(Verdict(target.name, target.at_most, ratios[worst_case], worst_case, len(ratios), met))
    return verdicts


def _ratios(outcome: Outcome, group: str | None) -> dict[str, float]:
    ratios = {}
    for row in outcome.rows:
        value = ratio(row.summaries, *outcome.compared)
        if value is not None and group in (None, row.group):
            name = row.name if group is not None or not row.group else f"{row.group}, {row.name}"
            ratios[name] = value
    return ratios
