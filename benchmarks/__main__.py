"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks.compare import compare, read_result
from benchmarks.errors import BenchmarkError
from benchmarks.outcomes import Outcome
from benchmarks.peers import PEERS
from benchmarks.plots import draw
from benchmarks.report import change_table, heading, outcome_table, verdict_table
from benchmarks.result import as_json
from benchmarks.rounds import FULL, QUICK
from benchmarks.sides import ROOT, Run, collector, versions
from benchmarks.suites import SUITES
from benchmarks.targets import judge

__all__ = ["main"]

# The result of a whole run is kept, and in the repository; that of less is apart.
_RESULT = ROOT / "benchmarks" / "results" / "latest.json"
_PARTIAL_RESULT = ROOT / "benchmarks" / "results" / "partial" / "latest.json"
_WIDTH_OF_A_FILE = 160
_BECAME_SLOWER = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suites that `arguments` name, or those of the command line.

    Returns the exit status: 0, also where a target is missed; 1 where something could not be measured; 3 where
    --compare finds that something became slower.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH_OF_A_FILE
    if options.list:
        _list(console)
        return 0
    unknown = [name for name in options.suites if name not in SUITES]
    if unknown:
        parser.error(f"no such suite: {', '.join(unknown)} (there are {', '.join(SUITES)})")
    peers = _peers(parser, options.peers)
    is_whole = not options.suites and not options.quick and peers == frozenset(PEERS)
    options.json = options.json or (_RESULT if is_whole else _PARTIAL_RESULT)
    try:
        old = None if options.compare is None else read_result(options.compare)
        new = _run(console, options.suites or list(SUITES), Run(QUICK if options.quick else FULL, peers), options)
    except BenchmarkError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        return 1
    return 0 if old is None else _compare(console, old, new)


def _run(console: Console, names: Sequence[str], run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """Measure, show, and keep the result.

    Raises:
        BenchmarkError: something could not be measured.
    """
    outcomes: list[Outcome] = []
    sides = run.mangum_sides()
    found, garbage = versions(sides), collector(sides[0])
    console.print(heading(found, garbage, run.method), highlight=False)
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, refresh_per_second=2) as progress:
        task = progress.add_task("", total=len(names))
        for name in names:

            def tell(what: str, name: str = name) -> None:
                progress.update(task, description=f"{name}: {what}")

            tell("...")
            outcome = SUITES[name].run(Run(run.method, run.peers, tell))
            outcomes.append(outcome)
            progress.advance(task)
            console.print(f"\n[bold]{name}[/bold]: {SUITES[name].description}", highlight=False)
            console.print(outcome_table(outcome))
    verdicts = judge(outcomes)
    if verdicts:
        console.print(
            "\n[bold]targets[/bold]: ours as a multiple of 0.22's, or of what is named; the worst case counts",
            highlight=False,
        )
        console.print(verdict_table(verdicts))
    result = as_json(outcomes, verdicts, found, garbage, run.method)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(f"{json.dumps(result, indent=2, ensure_ascii=False)}\n", encoding="utf-8")
    try:
        drawn = draw(result, options.json.parent)
    except ImportError:
        console.print("There are no plots: pip install matplotlib", highlight=False)
    else:
        files = ", ".join(path.name for path in [options.json, *drawn])
        console.print(f"\nWritten to {options.json.parent}: {files}", highlight=False, soft_wrap=True)
    return result


def _compare(console: Console, old: dict[str, Any], new: dict[str, Any]) -> int:
    if old.get("machine") != new["machine"]:
        console.print("\nThe older result is from another machine or Python: ratios may differ for that alone.")
    changes = compare(old, new)
    console.print(f"\n[bold]compared[/bold]: {len(changes)} figures have moved beyond the noise", highlight=False)
    if changes:
        console.print(change_table(changes))
    return _BECAME_SLOWER if any(change.is_slower for change in changes) else 0


def _list(console: Console) -> None:
    for suite in SUITES.values():
        console.print(f"{suite.name:<12} {suite.description}", highlight=False)
    console.print("\nPeers:", highlight=False)
    for name, peer in PEERS.items():
        console.print(f"{name:<16} {peer.description}", highlight=False)


def _peers(parser: argparse.ArgumentParser, value: str) -> frozenset[str]:
    if value in ("all", "none"):
        return frozenset(PEERS if value == "all" else ())
    names = [name.strip() for name in value.split(",")]
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        parser.error(f"no such peer: {', '.join(unknown)} (there are {', '.join(PEERS)})")
    return frozenset(names)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure this project beside its peers, on the same work."
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"{', '.join(SUITES)} (default: all)")
    parser.add_argument("--list", action="store_true", help="list suites and peers, and measure nothing")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, with more noise")
    parser.add_argument(
        "--peers",
        default="all",
        metavar="NAMES",
        help='which peers take part, with commas between ("none" needs no network; default: all)',
    )
    parser.add_argument("--no-peers", dest="peers", action="store_const", const="none", help="the same as --peers none")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="where the result goes, with plots beside it (default: below benchmarks/results)",
    )
    parser.add_argument(
        "--compare", type=Path, metavar="OLD", help="show what became slower than in this result; exit status 3 if so"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
