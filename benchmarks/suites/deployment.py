"""The folder of `mangum build` beside one that pip has installed into: a fresh process to its first answer, in a folder
that cannot be written to, as Lambda's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

from benchmarks.errors import BenchmarkError
from benchmarks.outcomes import Outcome, Row
from benchmarks.rounds import Sample, interleave
from benchmarks.sides import ROOT, Run
from benchmarks.work.events import SOURCES

__all__ = ["run_deployment"]

_OURS, _PIP = "mangum build", "pip install -t"
_RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
_APP = """\
from fastapi import FastAPI
from mangum import Mangum

app = FastAPI()


@app.get("/hello")
async def hello() -> dict[str, str]:
    return {"hello": "world"}


handler = Mangum(app)
"""
_ANSWER = """\
import json, sys
from asgi import handler
event = json.loads(sys.argv[1])
print(handler(event, None)["statusCode"], flush=True)
"""
_REQUIREMENTS = "fastapi\n"
_INSTALL_S = 300.0


def run_deployment(run: Run) -> Outcome:
    """FastAPI and mangum, as both ways of bringing them to Lambda leave them in the function's folder."""
    if any(find_spec(name) is None for name in ("yaml", "typer")):
        return Outcome("deployment", (_OURS, _PIP), note='Not measured: pip install "mangum[cli]"')
    with tempfile.TemporaryDirectory(prefix="mangum-") as name, _folders(Path(name)) as folders:
        measurements = {side: partial(_first_answer_s, folder) for side, folder in folders.items()}
        rows = [Row("fresh process to its first answer", "FastAPI", interleave(measurements, run.method.processes))]
    return Outcome("deployment", (_OURS, _PIP), rows=rows, note="Neither folder can be written to, as in Lambda.")


@contextmanager
def _folders(root: Path) -> Iterator[dict[str, Path]]:
    app = root / "app"
    app.mkdir()
    (app / "asgi.py").write_text(_APP)
    # mangum itself as a folder of the application's: this one, and not what is published.
    _copy(ROOT / "mangum", app / "mangum")
    (root / "requirements.txt").write_text(_REQUIREMENTS)
    machine = {"aarch64": "arm64", "arm64": "arm64"}.get(os.uname().machine, "x86_64")
    (root / "mangum.yml").write_text(
        f"name: hello\nbucket_name: hello-code\nregion_name: eu-west-1\nruntime: {_RUNTIME}\narchitecture: {machine}\n"
    )
    _run([sys.executable, "-m", "mangum", "build"], root)
    installed = root / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(installed)]
    _run([*pip, "-r", "requirements.txt"], root)
    _copy(app, installed)
    folders = {_OURS: root / "build", _PIP: installed}
    try:
        _set_modes(folders, 0o555)
        yield folders
    finally:
        _set_modes(folders, 0o755)


def _copy(source: Path, target: Path) -> None:
    for path in source.rglob("*.py"):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())


def _set_modes(folders: dict[str, Path], mode: int) -> None:
    for folder in folders.values():
        for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            path.chmod(mode)


def _run(command: list[str], folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_INSTALL_S)
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def _first_answer_s(folder: Path) -> Sample:
    """-S: none of what is installed here. No bytecode is written: root could, where Lambda cannot."""
    command = [sys.executable, "-S", "-B", "-c", _ANSWER, json.dumps(SOURCES["HTTP API 2.0"])]
    started = perf_counter()
    done = subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True)
    seconds = perf_counter() - started
    if done.stdout.strip() != "200":
        raise BenchmarkError(f"{folder.name} answered {done.stdout!r}, not 200:\n{done.stderr}")
    return Sample(seconds)
