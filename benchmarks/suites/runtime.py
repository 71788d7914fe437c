"""`mangum.runtime` beside AWS's own: the CPU time of an invocation, and cold starts."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import perf_counter

from benchmarks.errors import BenchmarkError
from benchmarks.outcomes import Outcome, Row
from benchmarks.rounds import Method, Sample, interleave
from benchmarks.sides import Run
from benchmarks.suites.lambda_service import LambdaService
from benchmarks.suites.runtimes import EVENT, FAST, OURS, PEER, on_cpu_s, runtimes
from benchmarks.work.functions import FASTAPI_5, RAW

__all__ = ["run_runtime"]

_CPU, _COLD = "CPU time of an invocation", "fresh process to its first answer"
_WARM_UP = 100
_FEWEST = 400


def run_runtime(run: Run) -> Outcome:
    """The same function behind the same Runtime API, by each runtime."""
    with tempfile.TemporaryDirectory(prefix="mangum-") as name:
        try:
            found = runtimes(run, Path(name))
        except BenchmarkError as error:
            return Outcome("runtime", (OURS, PEER), note=f"Not measured: {error}")
        with ExitStack() as stack:
            measurements = {}
            for side, runtime in found.items():
                run.tell(side)
                process = stack.enter_context(runtime.running(RAW))
                measurements[side] = partial(_cpu_s, *process, run.method)
            summaries = interleave(measurements, run.method.rounds)
        pair = {side: summaries[side] for side in (OURS, PEER, "floor") if side in summaries}
        rows = [Row(_CPU, "hello, default lifespan", pair)]
        if FAST in summaries:
            rows.append(Row(_CPU, "the same, with speed", {**pair, OURS: summaries[FAST]}))
        for side, summary in summaries.items():
            if side not in (OURS, PEER, "floor", FAST):
                rows.append(Row(_CPU, f"beside {side}", {OURS: summaries[OURS], side: summary}, other=side))
        both = {side: found[side] for side in (OURS, PEER) if side in found}
        for app in (RAW, FASTAPI_5) if run.peers else (RAW,):
            run.tell(app)
            fresh = {side: partial(runtime.first_answer_s, app) for side, runtime in both.items()}
            rows.append(Row(_COLD, app, interleave(fresh, run.method.processes)))
    return Outcome(
        "runtime", (OURS, PEER), rows=rows, note="Floor: a program that answers each event with the same bytes."
    )


def _cpu_s(process: subprocess.Popen[bytes], service: LambdaService, method: Method) -> Sample:
    """The seconds that the process was on a processor for one invocation. This is what counts here, and stands in the
    place of the time on the clock, most of which is the Runtime API's."""
    for _ in range(_WARM_UP):
        service.invoke(EVENT)
    number, before, started = 0, on_cpu_s(process), perf_counter()
    while number < _FEWEST or perf_counter() - started < method.batch_s * 4:
        service.invoke(EVENT)
        number += 1
    return Sample((on_cpu_s(process) - before) / number)
