"""What many invocations leave behind, and whether they become slower."""

from __future__ import annotations

from benchmarks.outcomes import Footprint, Outcome, Row, measure_batch
from benchmarks.rounds import Sample, summarize
from benchmarks.sides import Run, start

__all__ = ["run_memory", "run_soak"]

_OPERATION = {"operation": "warm", "source": "HTTP API 2.0", "lifespan": "invocation"}
_WINDOWS = 100


def run_memory(run: Run) -> Outcome:
    """What each side's process holds before and after invocations in the default mode."""
    footprints = []
    for side in run.mangum_sides():
        if side.has_mangum:
            with start(side) as worker:
                worker.request("prepare", **_OPERATION)
                worker.request("measure", iterations=max(1, run.method.invocations // 20))  # until caches are filled
                before = worker.request("footprint")
                worker.request("measure", iterations=run.method.invocations)
                footprints.append(Footprint(side.name, before, worker.request("footprint")))
    return Outcome(
        "memory", footprints=footprints, note=f"{run.method.invocations:,} invocations, in a fresh process each."
    )


def run_soak(run: Run) -> Outcome:
    """The first tenth of many invocations beside the last, with what the process holds after either."""
    per_window = run.method.soak // _WINDOWS
    with start(run.mangum_sides()[0]) as worker:
        worker.request("prepare", **_OPERATION)
        worker.request("measure", iterations=max(1, run.method.soak // 20))  # until caches are filled
        before = worker.request("footprint")
        windows: list[Sample] = []
        for number in range(_WINDOWS):
            run.tell(f"{number * per_window:,} of {run.method.soak:,}")
            windows.append(measure_batch(worker, per_window))
        after = worker.request("footprint")
    tenth = _WINDOWS // 10
    summaries = {"last tenth": summarize(windows[-tenth:]), "first tenth": summarize(windows[:tenth])}
    grown = {name: (after[name] or 0) - (value or 0) for name, value in before.items()}
    note = (
        f"{run.method.soak:,} invocations of one process, in the default mode. What it holds has grown by "
        f"{grown['resident_bytes'] / 1024:,.0f} KiB of resident memory, {grown['descriptors']} descriptors, "
        f"{grown['tasks']} tasks, {grown['objects']} objects."
    )
    rows = [Row("", "an invocation", summaries, peak_growth_bytes=grown["resident_bytes"])]
    return Outcome("soak", ("last tenth", "first tenth"), rows=rows, note=note)
