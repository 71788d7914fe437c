"""A result as a JSON document: all that the tables show, and what plots and comparisons are made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from benchmarks.outcomes import Outcome
from benchmarks.report import machine
from benchmarks.rounds import Method, Summary, ratio
from benchmarks.sides import PINS
from benchmarks.targets import Verdict

__all__ = ["as_json"]

_MICROSECONDS = 1_000_000


def as_json(
    outcomes: Iterable[Outcome],
    verdicts: Iterable[Verdict],
    versions: dict[str, str],
    collector: dict[str, Any],
    method: Method,
) -> dict[str, Any]:
    """Times are in microseconds, and say so."""
    return {
        "machine": machine(),
        "versions": versions,
        "method": {**asdict(method), "garbage_collector": collector, "pinned_to_one_core": PINS},
        "suites": {outcome.suite: _outcome(outcome) for outcome in outcomes},
        "targets": [{**asdict(verdict), "is_met": verdict.is_met} for verdict in verdicts],
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    if outcome.footprints:
        return {"footprints": [asdict(footprint) for footprint in outcome.footprints], "note": outcome.note}
    rows = []
    for row in outcome.rows:
        side, other = outcome.sides_of(row)
        entry: dict[str, Any] = {
            "group": row.group,
            "case": row.name,
            "compared": [side, other],
            "sides": {name: _summary(summary) for name, summary in row.summaries.items()},
            "ratio": ratio(row.summaries, side, other),
        }
        if row.remarks:
            entry["remarks"] = row.remarks
        if row.peak_growth_bytes is not None:
            entry["peak_growth_bytes"] = row.peak_growth_bytes
        if row.memory_bytes:
            entry["memory_bytes"] = row.memory_bytes
        rows.append(entry)
    return {"compared": list(outcome.compared), "rows": rows, "note": outcome.note}


def _summary(summary: Summary) -> dict[str, Any]:
    return {
        "median_us": summary.median * _MICROSECONDS,
        "lower_quartile_us": summary.lower_quartile * _MICROSECONDS,
        "upper_quartile_us": summary.upper_quartile * _MICROSECONDS,
        "cpu_us": None if summary.cpu is None else summary.cpu * _MICROSECONDS,
        "rounds": summary.rounds,
    }
