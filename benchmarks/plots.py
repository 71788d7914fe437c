"""A result as plots: SVG files, in colours that are told apart without seeing colour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.suites import cold, http

__all__ = ["BARS", "draw"]

_OURS, _PEER, _FURTHER, _FLOOR = "#0f766e", "#c2410c", "#4338ca", "#9ca3af"
_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
_MARKS = "osD^v"
_SIZES = {"KB": 1_000, "MB": 1_000_000}
_MEGABYTE = 1_000_000

# The bars of the main plot: what is shown, of which suite, by group and case, and beside whom.
BARS = (
    ("Warm request, lifespan off", "warm", "lifespan off", "HTTP API 2.0"),
    ("Warm request, default", "warm", "default", "HTTP API 2.0"),
    ("Warm request, process scope", "warm", "process scope (0.22: default)", "HTTP API 2.0"),
    ("FastAPI request, default", "warm", "FastAPI, five routes, HTTP API 2.0", "default"),
    ("Warm hello-world, the fastest other way", "warm", http.OTHER_WAYS, "apig-wsgi"),
    ("Translation of an event", "translate", "", "HTTP API 2.0"),
    ("Binary response of 1 MB, mangum[speed]", "bodies", "binary response, with speed", "1 MB"),
    ("Cold start, raw ASGI", "cold", "to the first answer", "raw ASGI"),
    ("Cold start, FastAPI", "cold", "to the first answer", "FastAPI, 100 routes and models"),
    ("Cold hello-world, the fastest other way", "cold", cold.OTHER_WAYS, "apig-wsgi"),
    ("WebSocket message", "websocket", "warm", "SQLite"),
    ("Broadcast to 10,000", "broadcast", "", "10,000 connections"),
    ("First byte of a stream", "stream", "first byte of ten chunks, 10 ms apart", "beside web adapter"),
    ("100 invocations at once", "concurrency", "", "100 at once"),
    ("Runtime, CPU time", "runtime", "CPU time of an invocation", "hello, default lifespan"),
    ("Runtime, cold start", "runtime", "fresh process to its first answer", "FastAPI, 5 routes"),
)


def draw(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw what the result has something for, into files in `folder`; which ones is returned.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib as mpl

    mpl.use("svg")
    # The same result makes the same file.
    mpl.rcParams.update({"svg.hashsalt": "mangum", "svg.fonttype": "none", "font.size": 10, "axes.axisbelow": True})
    plots: dict[str, Callable[[Any, Mapping[str, Any]], bool]] = {
        "ratios": _ratios,
        "bodies": _bodies,
        "broadcast": _broadcast,
        "concurrency": _concurrency,
    }
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, plot in plots.items():
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        if plot(axes, result["suites"]):
            path = folder / f"{name}.svg"
            figure.savefig(path, metadata={"Date": None})
            drawn.append(path)
    return drawn


def _row(suites: Mapping[str, Any], suite: str, group: str, case: str) -> Mapping[str, Any] | None:
    rows = suites.get(suite, {}).get("rows", ())
    return next((row for row in rows if row["group"] == group and row["case"] == case), None)


def _ratios(axes: Any, suites: Mapping[str, Any]) -> bool:
    """Each suite's ratio to its peer."""
    found = [(label, _row(suites, *where)) for label, *where in BARS]
    bars = [(label, row["ratio"], row["compared"][1]) for label, row in found if row is not None and row["ratio"]]
    if not bars:
        return False
    labels = [f"{label}\n(to {_full(peer)})" for label, _, peer in bars]
    values = [value for _, value, _ in bars]
    positions = range(len(bars))
    axes.figure.set_size_inches(8, 0.55 * len(bars) + 1.2)
    colours = [_OURS if value <= 1 else _PEER for value in values]
    axes.barh(positions, [value - 1 for value in values], left=1, color=colours)
    axes.set_xscale("log")
    axes.set_yticks(positions, labels, fontsize=8)
    axes.invert_yaxis()
    axes.axvline(1, color=_FLOOR, linestyle="--")
    for position, value in zip(positions, values, strict=True):
        side, gap = ("right", 0.95) if value <= 1 else ("left", 1.05)
        axes.text(
            value * gap, position, f"{value:.2f}" if value >= 0.1 else f"{value:.3f}", va="center", ha=side, fontsize=9
        )
    least, most = min(1.0, *values) / 2, max(1.0, *values) * 2
    axes.set_xlim(least, most)
    axes.set_xticks([tick for tick in _TICKS if least < tick < most])
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter(lambda tick, position: f"{tick:g}")
    axes.set_xlabel("time as a multiple of the peer's: to the left faster, to the right slower")
    axes.set_title("mangum beside its peers", loc="left", fontweight="bold")
    return True


def _full(peer: str) -> str:
    return f"mangum {peer}" if peer[0].isdigit() else peer


def _bodies(axes: Any, suites: Mapping[str, Any]) -> bool:
    """Latency against the size of a binary response."""
    groups: dict[str, list[Any]] = {}
    for row in suites.get("bodies", {}).get("rows", ()):
        groups.setdefault(row["group"], []).append(row)
    lines = [
        ("binary response", "ours", "ours", _OURS),
        ("binary response", "0.22", "mangum 0.22", _PEER),
        ("binary response, with speed", "ours", "ours, mangum[speed]", _FURTHER),
        ("binary response, with speed", "floor", "floor: one conversion", _FLOOR),
    ]
    for (group, side, label, colour), mark in zip(lines, _MARKS, strict=False):
        rows = [row for row in groups.get(group, ()) if side in row["sides"]]
        if rows:
            sizes = [_bytes(row["case"]) / _MEGABYTE for row in rows]
            times = [row["sides"][side]["median_us"] / 1000 for row in rows]
            axes.plot(sizes, times, color=colour, marker=mark, label=label)
    if not axes.lines:
        return False
    axes.set(xscale="log", yscale="log", xlabel="size of a binary response (MB)", ylabel="an invocation (ms)")
    return _finish(axes, "Latency against the size of a body")


def _finish(axes: Any, title: str) -> bool:
    axes.set_title(title, loc="left", fontweight="bold")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return True


def _bytes(case: str) -> float:
    number, unit = case.split()[:2]
    return float(number) * _SIZES[unit]


def _broadcast(axes: Any, suites: Mapping[str, Any]) -> bool:
    """How many members a second get a broadcast."""
    rows = suites.get("broadcast", {}).get("rows", ())
    for side, label, colour, mark in (("ours", "broadcast", _OURS, "o"), ("boto3", "boto3, one by one", _PEER, "s")):
        points = [row for row in rows if side in row["sides"]]
        if points:
            members = [int(row["case"].split()[0].replace(",", "")) for row in points]
            rates = [1_000_000 / row["sides"][side]["median_us"] for row in points]
            axes.plot(members, rates, color=colour, marker=mark, label=label)
    if not axes.lines:
        return False
    axes.set(xscale="log", xlabel="members of the group", ylabel="members a second")
    axes.set_ylim(bottom=0)
    return _finish(axes, "Broadcast rate against members")


def _concurrency(axes: Any, suites: Mapping[str, Any]) -> bool:
    """What the processes hold that serve so many invocations at once."""
    rows = [row for row in suites.get("concurrency", {}).get("rows", ()) if row.get("memory_bytes")]
    if not rows:
        return False
    sides = list(dict.fromkeys(side for row in rows for side in row["memory_bytes"]))
    for side, colour, mark in zip(sides, (_OURS, _PEER), _MARKS, strict=False):
        points = [row for row in rows if side in row["memory_bytes"]]
        numbers = [int(row["case"].split()[0]) for row in points]
        memory = [row["memory_bytes"][side] / _MEGABYTE for row in points]
        axes.plot(numbers, memory, color=colour, marker=mark, label=side)
    axes.set(xscale="log", yscale="log", xlabel="invocations at once", ylabel="memory of all processes (MB)")
    return _finish(axes, "Memory against concurrency")
