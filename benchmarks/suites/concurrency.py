"""Many invocations at once: in one process of ours, and in one process each, as AWS's runtime for Python has it on
Lambda Managed Instances."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.outcomes import Outcome, Row
from benchmarks.rounds import Sample, interleave
from benchmarks.sides import Run
from benchmarks.suites.lambda_service import LambdaService, lambda_service
from benchmarks.suites.runtimes import EVENT, OURS, PEER, WAIT_S, WAITS, Runtime, end, memory_bytes, runtimes

__all__ = ["run_concurrency"]

_ROUNDS = 5


def run_concurrency(run: Run) -> Outcome:
    """Invocations that wait for something, from one to a hundred at once."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="mangum-") as name:
        try:
            found = runtimes(run, Path(name))
        except BenchmarkError as error:
            return Outcome("concurrency", (OURS, PEER), note=f"Not measured: {error}")
        both = {side: found[side] for side in (OURS, PEER) if side in found}
        for number in run.method.at_once:
            run.tell(f"{number} at once")
            with ExitStack() as stack:
                started = {side: _started(stack, runtime, number) for side, runtime in both.items()}
                measurements = {side: partial(_at_once, service, number) for side, (service, _) in started.items()}
                summaries = interleave(measurements, _ROUNDS)
                memory = {side: sum(map(memory_bytes, processes)) for side, (_, processes) in started.items()}
            rows.append(Row("", f"{number} at once", summaries, memory_bytes=memory))
    note = f"All together; each waits {WAIT_S * 1000:.0f} ms: the floor. Ours is one process, theirs are as many."
    return Outcome("concurrency", (OURS, PEER), rows=rows, note=note)


def _started(stack: ExitStack, runtime: Runtime, number: int) -> tuple[LambdaService, list[subprocess.Popen[bytes]]]:
    service = stack.enter_context(lambda_service())
    processes = []
    for _ in range(1 if runtime.name == OURS else number):
        concurrency = {"AWS_LAMBDA_MAX_CONCURRENCY": str(number)} if runtime.name == OURS else {}
        processes.append(runtime.start(WAITS, service, **concurrency))
        stack.callback(end, processes[-1:])
    service.wait_for(number)
    return service, processes


def _at_once(service: LambdaService, number: int) -> Sample:
    return Sample(service.invoke_at_once(EVENT, number))
