"""What this project wants to be, measured against its peers: the figures that are asked of it."""

from __future__ import annotations

import re
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
    group: str | None  # a pattern; None: all groups
    at_most: float
    case: str | None = None  # a pattern; None: all cases


_CPU_SHARE = 0.5 if sys.version_info >= (3, 13) else 0.6
_TARGETS = (
    _Target("warm, lifespan off", "warm", "lifespan off", 0.85, "HTTP API 2.0"),
    _Target("warm, lifespan off, REST API", "warm", "lifespan off", 0.90, "REST API"),
    _Target("warm, lifespan off, Lambda@Edge", "warm", "lifespan off", 1.00, "Lambda@Edge"),
    _Target("warm, default", "warm", "default", 0.65, "HTTP API 2.0"),
    _Target("warm, process scope (to 0.22's default)", "warm", "process scope.*", 0.55, "HTTP API 2.0"),
    _Target("warm, FastAPI, default", "warm", "FastAPI, five routes.*", 0.85, "default"),
    _Target("warm, FastAPI, `def` endpoint", "warm", "FastAPI, a `def` endpoint.*", 0.70, "lifespan off|default"),
    _Target("translate, each source", "translate", None, 0.50),
    _Target("bodies, each size and kind", "bodies", "[^,]*", 1.00),
    _Target("bodies of 1 MB and 6 MB, base64, with speed", "bodies", ".*speed.*", 0.50, r"1 MB|.*for Lambda.*"),
    _Target("bodies of 1 MB and 6 MB, text", "bodies", "text [^,]*", 0.50, r"1 MB|.*for Lambda.*"),
    _Target("cold start, raw ASGI, lifespan off", "cold", "to the first answer", 1.10, "raw ASGI, lifespan off"),
    _Target("cold start, FastAPI", "cold", "to the first answer", 1.08, "FastAPI.*"),
    _Target("WebSocket message, warm (to 0.12)", "websocket", "warm", 0.10),
    _Target("WebSocket message, fresh process (to 0.12)", "websocket", "fresh.*", 0.50, "SQLite|Redis|PostgreSQL"),
    _Target("broadcast to 10,000 (to boto3)", "broadcast", None, 0.10, "10,000 connections"),
    _Target("runtime, CPU time (to awslambdaric with 0.22)", "runtime", "CPU.*", _CPU_SHARE, "hello, default lifespan"),
    _Target("runtime, cold start (to awslambdaric with 0.22)", "runtime", "fresh.*", 1.00),
    _Target("soak, the last tenth (to the first)", "soak", None, 1.05),
    _Target("cold start of a build (to pip install -t)", "deployment", None, 0.70),
)
_MOST_GROWTH_MB = 10.0
_MOST_STATE_GROWTH = 1.1


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
    if "lifespan" in by_suite:
        verdicts += _growth_with_state(by_suite["lifespan"])
    return verdicts


def _memory_of_broadcasts(outcome: Outcome) -> Iterator[Verdict]:
    """Whether memory is flat: what 10,000 connections take beyond what 1,000 do."""
    peaks = {row.name: row.peak_growth_bytes for row in outcome.rows}
    most, least = peaks.get("10,000 connections"), peaks.get("1,000 connections")
    if most is not None and least is not None:
        growth = (most - least) / 1_000_000
        name = "broadcast, MB at 10,000 beyond 1,000"
        yield Verdict(name, _MOST_GROWTH_MB, growth, "10,000 connections", 1, int(growth <= _MOST_GROWTH_MB))


def _growth_with_state(outcome: Outcome) -> Iterator[Verdict]:
    """Whether an invocation takes no longer where the lifespan has left much in its state: each has a copy of it, as
    servers have for each request."""
    times = {row.name: row.summaries["ours"].median for row in outcome.rows if row.group.startswith("process scope")}
    if times:
        growth = times["1,000 entries in its state"] / times["no state"]
        name = "lifespan, with 1,000 entries in its state (to none)"
        yield Verdict(name, _MOST_STATE_GROWTH, growth, "process scope", 1, int(growth <= _MOST_STATE_GROWTH))


def _ratios(outcome: Outcome, target: _Target) -> dict[str, float]:
    ratios = {}
    for row in outcome.rows:
        value = ratio(row.summaries, *outcome.sides_of(row))
        if value is not None and _fits(target.group, row.group) and _fits(target.case, row.name):
            ratios[row.full_name] = value
    return ratios


def _fits(pattern: str | None, name: str) -> bool:
    return pattern is None or re.fullmatch(pattern, name) is not None
