"""Task groups: asyncio's, as an invocation with several tasks has one, beside anyio's."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.outcomes import Outcome
from benchmarks.sides import Run, anyio_sides
from benchmarks.suites.cases import Case, measure_cases

__all__ = ["run_groups"]


def run_groups(run: Run) -> Outcome:
    """A group with nothing in it, and with one task."""
    taking_part = anyio_sides()
    note = "" if len(taking_part) == 2 else "anyio is not measured: this interpreter cannot import it."
    return Outcome("groups", ("asyncio", "anyio"), rows=measure_cases(run, taking_part, _cases()), note=note)


def _cases() -> Iterator[Case]:
    for name, tasks in (("empty group", 0), ("group with one trivial task", 1)):
        requests = {side: {"operation": f"{side}_group", "tasks": tasks} for side in ("asyncio", "anyio")}
        yield Case("", name, requests)
