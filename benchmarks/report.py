"""What was measured, as tables to read."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.compare import Change
from benchmarks.outcomes import Footprint, Outcome, Row
from benchmarks.rounds import Method, Summary, ratio
from benchmarks.sides import PINS
from benchmarks.targets import Verdict

__all__ = ["change_table", "heading", "machine", "outcome_table", "verdict_table"]

_MICROSECONDS = 1_000_000
_MEGABYTE = 1_000_000
_FOOTPRINT_UNITS = {"resident_bytes": "resident memory (KiB)", "descriptors": "file descriptors"}


def machine() -> dict[str, Any]:
    """What the figures depend on: the processor, the system, and Python."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def heading(versions: dict[str, str], collector: dict[str, Any], method: Method) -> str:
    """What is compared, on what, and how, in three lines."""
    what = machine()
    sides = ", ".join(f"{side}: mangum {version}" for side, version in versions.items())
    rounds = f"{method.rounds} interleaved rounds of {method.batch_s * 1000:g} ms{', on one core' if PINS else ''}"
    state = f"on, {tuple(collector['thresholds'])}" if collector["is_enabled"] else "off"
    return (
        f"{sides}; floor: no adapter at all\n"
        f"{what['python']}, {what['processor']}, {what['cores']} cores, {what['system']}\n"
        f"Medians of {rounds}; the garbage collector is {state}"
    )


def outcome_table(outcome: Outcome) -> Table:
    """A suite's table."""
    table = Table(caption=outcome.note or None, caption_justify="left")
    if outcome.footprints:
        _fill_with_footprints(table, outcome.footprints)
    else:
        _fill_with_times(table, outcome)
    return table


def verdict_table(verdicts: Iterable[Verdict]) -> Table:
    """The targets, each with the case that is farthest from it."""
    table = Table()
    table.add_column("target")
    for column in ("at most", "worst case"):
        table.add_column(column, justify="right")
    table.add_column("which is")
    for column in ("cases met", ""):
        table.add_column(column, justify="right")
    for verdict in verdicts:
        table.add_row(
            verdict.target,
            f"{verdict.at_most:.2f}",
            f"{verdict.worst:.3f}",
            verdict.worst_case,
            f"{verdict.cases_met} of {verdict.cases}",
            "[green]met[/green]" if verdict.is_met else "[red]missed[/red]",
        )
    return table


def change_table(changes: Iterable[Change]) -> Table:
    """What is slower or faster than it was, beyond the noise."""
    table = Table()
    table.add_column("suite")
    table.add_column("case")
    for column in ("was", "is", "by", "noise", ""):
        table.add_column(column, justify="right")
    for change in changes:
        unit = " µs" if change.is_time else ""
        table.add_row(
            change.suite,
            change.case,
            f"{change.before:,.3f}{unit}",
            f"{change.now:,.3f}{unit}",
            f"{change.by:+.1%}",
            f"± {change.noise:.1%}",
            "[red]slower[/red]" if change.is_slower else "[green]faster[/green]",
        )
    return table


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _fill_with_times(table: Table, outcome: Outcome) -> None:
    side, other = outcome.compared
    if any(row.other for row in outcome.rows):
        other = "peer"
    further = _further_columns(outcome)
    table.add_column("case")
    for column in (f"{side} (µs)", f"{other} (µs)", f"{side}/{other}", *further, "spread (± %)"):
        table.add_column(column, justify="right")
    groups = {row.group: None for row in outcome.rows}
    for group in groups:
        rows = [row for row in outcome.rows if row.group == group]
        if group:
            table.add_row(f"[bold]{group}[/bold]")
        for row in rows:
            pair = outcome.sides_of(row)
            compared = ratio(row.summaries, *pair)
            table.add_row(
                row.name,
                *(row.remarks.get(name) or _microseconds(row.summaries.get(name)) for name in pair),
                "-" if compared is None else f"{compared:.3f}",
                *(cell(row) for cell in further.values()),
                " / ".join(f"{summary.spread:.1%}".removesuffix("%") for summary in row.summaries.values()),
                end_section=row is rows[-1],
            )


def _further_columns(outcome: Outcome) -> dict[str, Callable[[Row], str]]:
    """What only some suites have, by the heading: how a row's cell is made."""
    columns: dict[str, Callable[[Row], str]] = {}
    if any("floor" in row.summaries for row in outcome.rows):
        columns["floor (µs)"] = lambda row: _microseconds(row.summaries.get("floor"))
    if any(summary.cpu is not None for row in outcome.rows for summary in row.summaries.values()):
        columns["CPU (µs)"] = partial(_cpu, outcome)
    if outcome.rate is not None:
        for side in outcome.compared:
            columns[f"{side} ({outcome.rate})"] = partial(_rate, side)
    if any(row.peak_growth_bytes is not None for row in outcome.rows):
        columns["growth (MB)"] = _peak
    if any(row.memory_bytes for row in outcome.rows):
        columns["memory (MB)"] = partial(_memory, outcome)
    return columns


def _cpu(outcome: Outcome, row: Row) -> str:
    times = [row.summaries[side].cpu if side in row.summaries else None for side in outcome.sides_of(row)]
    return " / ".join("-" if time is None else _scaled(time * _MICROSECONDS) for time in times)


def _memory(outcome: Outcome, row: Row) -> str:
    held = [row.memory_bytes.get(side) for side in outcome.sides_of(row)]
    return " / ".join("-" if each is None else f"{each / _MEGABYTE:,.0f}" for each in held)


def _rate(side: str, row: Row) -> str:
    summary = row.summaries.get(side)
    return "-" if summary is None else f"{1 / summary.median:,.0f}"


def _peak(row: Row) -> str:
    return "-" if row.peak_growth_bytes is None else f"{row.peak_growth_bytes / _MEGABYTE:+.1f}"


def _microseconds(summary: Summary | None) -> str:
    return "-" if summary is None else _scaled(summary.median * _MICROSECONDS)


def _scaled(value: float) -> str:
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


def _fill_with_footprints(table: Table, footprints: Iterable[Footprint]) -> None:
    table.add_column("side")
    table.add_column("what")
    for column in ("before", "after", "growth"):
        table.add_column(column, justify="right")
    for footprint in footprints:
        for name, before in footprint.before.items():
            after = footprint.after[name]
            scale = 1024 if name == "resident_bytes" else 1
            table.add_row(
                footprint.side,
                _FOOTPRINT_UNITS.get(name, name),
                *(("-", "-", "-") if before is None or after is None else _change(before // scale, after // scale)),
                end_section=name == list(footprint.before)[-1],
            )


def _change(before: int, after: int) -> tuple[str, str, str]:
    return f"{before:,}", f"{after:,}", f"{after - before:+,}"
