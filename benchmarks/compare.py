"""A result beside an older one: what became slower, and what faster, beyond the noise of both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.outcomes import full_name

__all__ = ["Change", "compare", "read_result"]

# Two runs of the same code differ by this much on a machine that others use too, whatever the rounds of one run say.
_LEAST_NOISE = 0.05


@dataclass(frozen=True)
class Change:
    """A case whose figure has moved: the ratio to the peer, in which the machine has little part, or where there is
    none, the time in microseconds.

    Attributes:
        noise: By how much it would have moved without a reason, as a share of `before`.
    """

    suite: str
    case: str
    before: float
    now: float
    noise: float
    is_time: bool

    @property
    def by(self) -> float:
        """The change, as a share of what it was."""
        return self.now / self.before - 1

    @property
    def is_slower(self) -> bool:
        return self.by > 0


def read_result(path: Path) -> dict[str, Any]:
    """A result that was kept.

    Raises:
        BenchmarkError: it is none.
    """
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(result["suites"], dict):
            raise TypeError
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{path} is no result of these benchmarks: --json writes one.") from error
    return result


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """The cases of both results that moved beyond the noise; the worst first."""
    before = dict(_figures(old))
    changes = []
    for key, (value, spread, is_time) in _figures(new):
        if key in before:
            old_value, old_spread, was_time = before[key]
            noise = max(_LEAST_NOISE, 2 * (spread + old_spread))
            change = Change(*key, old_value, value, noise, is_time)
            if is_time == was_time and abs(change.by) > noise:
                changes.append(change)
    return sorted(changes, key=lambda change: -change.by)


def _figures(result: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], tuple[float, float, bool]]]:
    """Of each case, its figure, how much its rounds spread, and whether it is a time."""
    for suite, outcome in result["suites"].items():
        for row in outcome.get("rows", ()):
            side, other = row.get("compared") or outcome["compared"]
            own = row["sides"].get(side)
            if own is None:
                continue
            key = suite, full_name(row["group"], row["case"])
            if row["ratio"] is None:
                yield key, (own["median_us"], _spread(own), True)
            else:
                yield key, (row["ratio"], _spread(own) + _spread(row["sides"][other]), False)


def _spread(summary: Mapping[str, Any]) -> float:
    return float((summary["upper_quartile_us"] - summary["lower_quartile_us"]) / 2 / summary["median_us"])
