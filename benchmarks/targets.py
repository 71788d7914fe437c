"""What this project wants to be, measured against its peers."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from benchmarks.outcomes import Outcome
from benchmarks.rounds import ratio

__all__ = ["Verdict", "judge"]


@dataclass(frozen=True)
class _Target:
    name: str
    suite: str
    group: str | None  # None: all groups
    at_most: float
    case: str | None = None  # None: all cases


_CPU_SHARE = 0.5 if sys.version_info >= (3, 13) else 0.6

_TARGETS = (
    _Target("warm, lifespan off", "warm", "lifespan off", 0.95),
    _Target("warm, default", "warm", "default", 0.75),
    _Target("warm, process scope", "warm", "process scope (0.22: default)", 0.40),
    _Target("translate, each source", "translate", None, 0.60),
    _Target("bodies, each size and kind", "bodies", None, 1.00),
    _Target("WebSocket message, warm (to 0.12)", "websocket", "warm", 0.10),
    _Target("cold start of a build (to pip install -t)", "deployment", None, 0.70),
    _Target("runtime, CPU time (to awslambdaric with 0.22)", "runtime", "CPU time of an invocation", _CPU_SHARE),
    _Target("runtime, cold start", "runtime", "fresh process to its first answer", 1.00),
    _Target("broadcast to 10,000 (to boto3)", "broadcast", None, 0.10, "10,000 connections"),
)
_MOST_GROWTH_MB = 10.0


@dataclass(frozen=True)
class Verdict:
    """A target, and the case that is farthest from it. Values are ratios, ours by the peer's, or what the target names;
    it is met if every case is."""

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
        ratios = _ratios(outcome, target) if outcome is not None else {}
        if ratios:
            worst_case = max(ratios, key=ratios.__getitem__)
            met = sum(value <= target.at_most for value in ratios.values())
            verdicts.append(Verdict(target.name, target.at_most, ratios[worst_case], worst_case, len(ratios), met))
    if "broadcast" in by_suite:
        verdicts += _memory_of_broadcasts(by_suite["broadcast"])
    return verdicts


def _memory_of_broadcasts(outcome: Outcome) -> Iterator[Verdict]:
    """Whether memory is flat: what 10,000 connections take beyond what 1,000 do."""
    peaks = {row.name: row.peak_growth_bytes for row in outcome.rows}
    most, least = peaks.get("10,000 connections"), peaks.get("1,000 connections")
    if most is not None and least is not None:
        growth = (most - least) / 1_000_000
        name = "broadcast, MB at 10,000 beyond 1,000"
        yield Verdict(name, _MOST_GROWTH_MB, growth, "10,000 connections", 1, int(growth <= _MOST_GROWTH_MB))


def _ratios(outcome: Outcome, target: _Target) -> dict[str, float]:
    ratios = {}
    for row in outcome.rows:
        value = ratio(row.summaries, *outcome.compared)
        if value is not None and target.group in (None, row.group) and target.case in (None, row.name):
            name = row.name if target.group is not None or not row.group else f"{row.group}, {row.name}"
            ratios[name] = value
    return ratios
