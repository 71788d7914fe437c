"""Runtimes before a Runtime API of the benchmark's: ours, AWS's with any handler, and the floor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

from benchmarks.errors import BenchmarkError
from benchmarks.peers import FRAMEWORK, HTTPTOOLS, OTHER_HANDLERS, SPEED
from benchmarks.rounds import Sample
from benchmarks.sides import CORE, ROOT, Run, linked
from benchmarks.suites.functions import write_function
from benchmarks.suites.lambda_service import LambdaService, lambda_service
from benchmarks.work.events import SOURCES
from benchmarks.work.functions import FASTAPI_5, MANGUM_FUNCTIONS, OTHER_FUNCTIONS, RAW

__all__ = [
    "EVENT",
    "FAST",
    "OURS",
    "PEER",
    "STREAMS",
    "WAITS",
    "WAIT_S",
    "Runtime",
    "end",
    "memory_bytes",
    "on_cpu_s",
    "runtimes",
]

OURS, PEER = "mangum.runtime", "awslambdaric, 0.22"
FAST = f"{OURS}, speed"
EVENT = json.dumps(SOURCES["HTTP API 2.0"]).encode()
WAITS, STREAMS = "waits", "streams"
WAIT_S = 0.1
_FUNCTIONS = {
    RAW: MANGUM_FUNCTIONS[RAW],
    FASTAPI_5: MANGUM_FUNCTIONS[FASTAPI_5],
    WAITS: f"""\
import asyncio

from mangum import Mangum


async def app(scope, receive, send):
    await asyncio.sleep({WAIT_S})
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b""}})


handler = Mangum(app, lifespan="off")
""",
    STREAMS: "from hello_app import streaming\nfrom mangum import Mangum\n\nhandler = Mangum(streaming)\n",
}
_FLOOR = ROOT / "benchmarks" / "work" / "runtime_floor.py"


class Runtime:
    """One runtime with its handler, and the functions that it can run. As deployed, a function's folder has all that it
    imports, and bytecode of it."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        packages: Sequence[Path],
        root: Path,
        functions: dict[str, str],
        framework: Path | None = None,
    ) -> None:
        """`packages` are those of `write_function`, and `framework` one more where FastAPI is run."""
        self.name = name
        self._command = [sys.executable, "-P", "-S", "-s", *command]
        self._root = root / name
        self._packages = packages
        self._functions = functions
        self._framework = framework

    def _folder(self, app: str) -> Path:
        """A function's folder, which is made for its first process."""
        folder = self._root / app
        if not folder.exists():
            further = [self._framework] if self._framework is not None and app == FASTAPI_5 else []
            write_function(folder, self._functions[app], [*self._packages, *further])
            subprocess.run([sys.executable, "-m", "compileall", "-q", str(folder)], stdout=subprocess.DEVNULL)
        return folder

    def start(self, app: str, service: LambdaService, **environment: str) -> subprocess.Popen[bytes]:
        """A process of it."""
        folder = self._folder(app)
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("AWS_", "MANGUM_", "COV", "PYTHON"))}
        variables = {
            **kept,
            "AWS_LAMBDA_RUNTIME_API": service.address,
            "AWS_LAMBDA_FUNCTION_NAME": "hello",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "LAMBDA_TASK_ROOT": str(folder),
            "PYTHONPATH": str(folder),
            **environment,
        }
        return subprocess.Popen(self._command, cwd=folder, env=variables)

    @contextmanager
    def running(self, app: str, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], LambdaService]]:
        """A process of it that has answered once, and the Runtime API that it asks."""
        with lambda_service() as service:
            process = self.start(app, service, **environment)
            try:
                service.invoke_hello(EVENT)
                yield process, service
            finally:
                end([process])

    def first_answer_s(self, app: str) -> Sample:
        """From the start of a process to its first answer."""
        self._folder(app)  # which is not what is timed
        started = perf_counter()
        with self.running(app) as (process, _):
            return Sample(perf_counter() - started, on_cpu_s(process))


def runtimes(run: Run, root: Path) -> dict[str, Runtime]:
    """Those that take part, by name.

    Raises:
        BenchmarkError: one could not be installed.
    """
    if not Path("/proc/self/task").exists():
        raise BenchmarkError("It needs Linux.")
    if find_spec("httptools") is None and not run.peers:
        raise BenchmarkError('pip install "mangum[runtime]"')
    found = {"floor": Runtime("floor", (str(_FLOOR),), (), root, {RAW: ""})}
    own = ROOT / "mangum"
    command = ("-m", "mangum.runtime", "function.handler")
    if not run.peers:
        packages = [own, linked(*CORE, "httptools")]
        alone = {app: code for app, code in _FUNCTIONS.items() if app != FASTAPI_5}
        return {OURS: Runtime(OURS, command, packages, root, alone), **found}
    framework = run.install(FRAMEWORK)
    found[OURS] = Runtime(OURS, command, [own, linked(*CORE), run.install(HTTPTOOLS)], root, _FUNCTIONS, framework)
    found[FAST] = Runtime(FAST, command, [own, linked(*CORE), run.install(SPEED)], root, {RAW: _FUNCTIONS[RAW]})
    if "awslambdaric" in run.peers:
        aws, _ = run.folders("awslambdaric")
        command = ("-m", "awslambdaric", "function.handler")
        if "0.22" in run.peers:
            found[PEER] = Runtime(PEER, command, [run.folders("0.22")[0], aws], root, _FUNCTIONS, framework)
        name = "awslambdaric, ours"
        found[name] = Runtime(name, command, [own, linked(*CORE), aws], root, {RAW: _FUNCTIONS[RAW]})
        for peer in OTHER_HANDLERS:
            if peer in run.peers:
                name = f"awslambdaric, {peer}"
                found[name] = Runtime(name, command, [run.folders(peer)[0], aws], root, {RAW: OTHER_FUNCTIONS[peer]})
    return found


def on_cpu_s(process: subprocess.Popen[bytes]) -> float:
    """The seconds that its threads have been on a processor: https://docs.kernel.org/scheduler/sched-stats.html"""
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def memory_bytes(process: subprocess.Popen[bytes]) -> int:
    """What is its own, and its share of what several have together."""
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss:"))


def end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End them, at once."""
    for process in processes:
        process.kill()
        process.wait()
