"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.errors import BenchmarkError
from benchmarks.report import as_json, heading, outcome_table, verdict_table
from benchmarks.rounds import FULL, QUICK
from benchmarks.sides import ROOT, mangum_sides, versions
from benchmarks.suites import SUITES
from benchmarks.targets import judge

__all__ = ["main"]

_RESULTS = ROOT / "benchmarks" / "results" / "latest.json"
_WIDTH_OF_A_FILE = 120


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suites that `arguments` name, or those of the command line. Returns the exit status: 0, also where a
    target is missed, or 1 where something could not be measured."""
    parser = _parser()
    options = parser.parse_args(arguments)
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH_OF_A_FILE
    if options.list:
        for suite in SUITES.values():
            console.print(f"{suite.name:<10} {suite.description}", highlight=False)
        return 0
    unknown = [name for name in options.suites if name not in SUITES]
    if unknown:
        parser.error(f"no such suite: {', '.join(unknown)} (there are {', '.join(SUITES)})")
    try:
        run(console, options.suites or list(SUITES), options)
    except BenchmarkError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        return 1
    return 0


def run(console: Console, names: Sequence[str], options: argparse.Namespace) -> None:
    """Measure, show, and keep the result.

    Raises:
        BenchmarkError: something could not be measured.
    """
    method = QUICK if options.quick else FULL
    outcomes = []
    sides = mangum_sides(with_peer=not options.no_peers)
    found = versions(sides)
    console.print(heading(found, method), highlight=False)
    for name in names:
        with console.status(f"{name} ...", refresh_per_second=1):
            outcome = SUITES[name].run(sides, method)
        outcomes.append(outcome)
        console.print(f"\n[bold]{name}[/bold]: {SUITES[name].description}", highlight=False)
        console.print(outcome_table(outcome))
    verdicts = judge(outcomes)
    if verdicts:
        console.print(
            "\n[bold]targets[/bold]: ours as a multiple of 0.22's, or of the peer that is named; the worst case counts",
            highlight=False,
        )
        console.print(verdict_table(verdicts))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    result = json.dumps(as_json(outcomes, verdicts, found, method), indent=2, ensure_ascii=False)
    options.json.write_text(f"{result}\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure this project beside its peers, on the same work."
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"{', '.join(SUITES)} (default: all)")
    parser.add_argument("--list", action="store_true", help="list the suites, and measure nothing")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: within a minute for all suites")
    parser.add_argument("--no-peers", action="store_true", help="leave the peers out; needs no network")
    parser.add_argument(
        "--json", type=Path, default=_RESULTS, metavar="FILE", help="where the result goes (default: %(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
