"""`mangum.runtime` beside AWS's own runtime with mangum 0.22: CPU time of an invocation, cold starts, many at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

from benchmarks.errors import BenchmarkError
from benchmarks.events import SOURCES
from benchmarks.lambda_service import LambdaService, lambda_service
from benchmarks.outcomes import Outcome, Row
from benchmarks.rounds import Method, interleave
from benchmarks.sides import ROOT, Side

__all__ = ["run_runtime"]

_OURS, _PEER = "mangum.runtime", "awslambdaric, 0.22"
_EVENT = json.dumps(SOURCES["HTTP API 2.0"]).encode()
_AT_ONCE = 100
_WARM_UP = 200
_FEWEST = 200
_APPS = {
    "raw ASGI": """\
from benchmarks_app import hello
from mangum import Mangum
handler = Mangum(hello)
""",
    "FastAPI": """\
from fastapi import FastAPI
from mangum import Mangum
app = FastAPI()
@app.get("/{path:path}")
async def hello(path: str) -> str:
    return "Hello"
handler = Mangum(app)
""",
    "waits": """\
import asyncio
from mangum import Mangum
async def app(scope, receive, send):
    await asyncio.sleep(0.1)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
handler = Mangum(app, lifespan="off")
""",
}


def run_runtime(sides: list[Side], method: Method) -> Outcome:
    """The same function behind the same Runtime API, by either runtime."""
    missing = [name for name in ("httptools", "awslambdaric", "fastapi") if find_spec(name) is None]
    if missing or not Path("/proc/self/task").exists():
        return Outcome(
            "runtime", (_OURS, _PEER), note="Not measured: it needs Linux, httptools, awslambdaric, fastapi."
        )
    rows = []
    with tempfile.TemporaryDirectory(prefix="mangum-") as name:
        runtimes = [_Runtime(side, Path(name)) for side in sides if side.has_mangum]
        with ExitStack() as stack:
            cases = {runtime.name: stack.enter_context(runtime.running("raw ASGI")) for runtime in runtimes}
            measurements = {name: partial(_cpu_s, *case, method) for name, case in cases.items()}
            rows.append(Row("CPU time of an invocation", "default lifespan", interleave(measurements, method.rounds)))
        for app in ("raw ASGI", "FastAPI"):
            fresh = {runtime.name: partial(runtime.first_answer_s, app) for runtime in runtimes}
            rows.append(Row("fresh process to its first answer", app, interleave(fresh, method.processes)))
        note = _many_at_once(runtimes)
    return Outcome("runtime", (_OURS, _PEER), rows=rows, note=note)


class _Runtime:
    """One of the two, and the functions that it can run."""

    def __init__(self, side: Side, root: Path) -> None:
        self.is_ours = side.name == "ours"
        self.name = _OURS if self.is_ours else _PEER
        self._folder = root / ("ours" if self.is_ours else "peer")
        self._mangum = side.folders[0]
        module = "mangum.runtime" if self.is_ours else "awslambdaric"
        self._command = [sys.executable, "-m", module, "function.handler"]
        for name, code in _APPS.items():
            folder = self._folder / name
            folder.mkdir(parents=True)
            (folder / "function.py").write_text(code)
            (folder / "benchmarks_app.py").write_bytes((ROOT / "benchmarks" / "app.py").read_bytes())
        # Bytecode, as a deployment has it: both sides' alike.
        folders = [str(self._folder), str(self._mangum / "mangum")]
        subprocess.run([sys.executable, "-m", "compileall", "-q", *folders], check=True)

    def start(self, app: str, service: LambdaService, **environment: str) -> subprocess.Popen[bytes]:
        folder = self._folder / app
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MANGUM_", "COV"))},
            "AWS_LAMBDA_RUNTIME_API": service.address,
            "AWS_LAMBDA_FUNCTION_NAME": "hello",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "LAMBDA_TASK_ROOT": str(folder),
            "PYTHONPATH": f"{self._mangum}:{folder}",
            **environment,
        }
        return subprocess.Popen(self._command, cwd=folder, env=variables)

    @contextmanager
    def running(self, app: str, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], LambdaService]]:
        with lambda_service() as service:
            process = self.start(app, service, **environment)
            try:
                _invoke(service)
                yield process, service
            finally:
                _end([process])

    def first_answer_s(self, app: str) -> float:
        started = perf_counter()
        with self.running(app):
            return perf_counter() - started


def _invoke(service: LambdaService) -> None:
    answer = json.loads(service.invoke(_EVENT))
    if answer.get("statusCode") != 200:
        raise BenchmarkError(f"The function answered {answer!r}.")


def _cpu_s(process: subprocess.Popen[bytes], service: LambdaService, method: Method) -> float:
    """The seconds that the process was on a processor for one invocation."""
    for _ in range(_WARM_UP):
        _invoke(service)
    number, before, started = 0, _on_cpu_s(process), perf_counter()
    while number < _FEWEST or perf_counter() - started < method.batch_s:
        _invoke(service)
        number += 1
    return (_on_cpu_s(process) - before) / number


def _on_cpu_s(process: subprocess.Popen[bytes]) -> float:
    """https://docs.kernel.org/scheduler/sched-stats.html: nanoseconds, of each thread."""
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _many_at_once(runtimes: Sequence[_Runtime]) -> str:
    """100 invocations that wait 0.1 s each: one process of ours, and a process for each as AWS's runtime has it."""
    found = []
    for runtime in runtimes:
        with lambda_service() as service, ExitStack() as stack:
            processes = []
            for _ in range(1 if runtime.is_ours else _AT_ONCE):
                number = {"AWS_LAMBDA_MAX_CONCURRENCY": str(_AT_ONCE)} if runtime.is_ours else {}
                processes.append(runtime.start("waits", service, **number))
                stack.callback(_end, processes[-1:])
            service.wait_for(_AT_ONCE)
            seconds = min(service.invoke_at_once(_EVENT, _AT_ONCE) for _ in range(5))
            memory = sum(map(_memory_mb, processes))
            found.append(f"{runtime.name}: {seconds * 1000:.0f} ms, {memory:.0f} MB in {len(processes)} processes")
    return f"{_AT_ONCE} invocations at once that wait 100 ms each: {'; '.join(found)}"


def _memory_mb(process: subprocess.Popen[bytes]) -> float:
    """What is its own, and its share of what several have together."""
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) / 1024


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.kill()
        process.wait()
