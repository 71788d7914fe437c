"""The sides of a comparison, and the conversation with the process that each runs in."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.peers import FRAMEWORK, PEER_VERSION, PEERS, SPEED, STORES, WEBSOCKET_PEER_VERSION, install
from benchmarks.rounds import Method

__all__ = [
    "CORE",
    "PINS",
    "ROOT",
    "Run",
    "Side",
    "WorkerProcess",
    "anyio_sides",
    "collector",
    "linked",
    "spawn",
    "start",
    "start_all",
    "versions",
]

ROOT = Path(__file__).resolve().parent.parent

_PEER_CACHE = ROOT / ".cache" / "benchmarks"

# What this project needs: anyio and what that needs.
CORE = ("anyio", "idna", "sniffio", "typing_extensions")

_EXIT_S = 10.0

PINS = hasattr(os, "sched_setaffinity")


@dataclass(frozen=True)
class Side:
    """A name, and the folders where its imports are looked for, before the standard library."""

    name: str
    folders: tuple[Path, ...]
    version: str | None = None
    has_mangum: bool = True


@dataclass(frozen=True)
class Run:
    """What a suite is given: how much to measure, beside whom, and where to say what it is at."""

    method: Method
    peers: frozenset[str] = frozenset(PEERS)
    tell: Callable[[str], None] = lambda what: None

    def mangum_sides(self) -> list[Side]:
        """This project, mangum 0.22 (installed if it is not yet), and the floor.

        Each side's own `mangum` comes first. The repository, where this package is found, also holds this project's.

        Raises:
            BenchmarkError: the peer could not be installed.
        """
        peers = [Side("0.22", self.folders("0.22"), PEER_VERSION)] if "0.22" in self.peers else []
        return [Side("ours", (ROOT, linked(*CORE))), *peers, Side("floor", (ROOT,), has_mangum=False)]

    def folders(self, peer: str) -> tuple[Path, ...]:
        """Where a peer is, and this package; it is installed if it is not yet.

        Raises:
            BenchmarkError: it could not be.
        """
        return self.install(PEERS[peer].requirements), ROOT

    def install(self, requirements: tuple[str, ...]) -> Path:
        """Where these packages are; they are installed if they are not yet.

        Raises:
            BenchmarkError: they could not be.
        """
        return install(_PEER_CACHE, requirements)

    def with_framework(self, sides: list[Side]) -> list[Side]:
        """The same, each with the same FastAPI."""
        folder = self.install(FRAMEWORK)
        return [replace(side, folders=(*side.folders[:1], folder, *side.folders[1:])) for side in sides]

    def with_speed(self, side: Side) -> Side:
        """The same, with what `mangum[speed]` has."""
        return replace(side, folders=(*side.folders, self.install(SPEED)))

    def websocket_sides(self) -> list[Side]:
        """This project and mangum 0.12, each with the libraries of its stores; without the peer, with those that this
        interpreter has.

        Raises:
            BenchmarkError: something could not be installed.
        """
        if "0.12" in self.peers:
            ours = Side("ours", (ROOT, self.install(STORES)))
            return [ours, Side("0.12", self.folders("0.12"), WEBSOCKET_PEER_VERSION)]
        packages = (_folder_of("anyio"), Path(sysconfig.get_path("platlib")))  # the latter has what is compiled
        return [Side("ours", (ROOT, *dict.fromkeys(folder for folder in packages if folder is not None)))]

    def boto3_side(self) -> Side:
        """boto3, as it was installed beside mangum 0.12."""
        return Side("boto3", self.folders("0.12"), has_mangum=False)


def linked(*packages: str) -> Path:
    """A folder with packages that this interpreter has, and nothing else. One that it does not have is left out: which
    those of anyio are depends on its version."""
    folder = _PEER_CACHE / "-".join((*packages, sys.implementation.cache_tag or "python"))
    folder.mkdir(parents=True, exist_ok=True)
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            origin = Path(spec.origin)
            target = origin.parent if origin.name == "__init__.py" else origin
            with suppress(FileExistsError):  # another run has made it
                (folder / target.name).symlink_to(target)
    return folder


def anyio_sides() -> list[Side]:
    """asyncio, and anyio if this interpreter can import it."""
    sides = [Side("asyncio", (ROOT,), has_mangum=False)]
    if (packages := _folder_of("anyio")) is not None:
        sides.append(Side("anyio", (ROOT, packages), has_mangum=False))
    return sides


def _folder_of(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent.parent


def spawn(
    side: Side,
    *arguments: str,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    is_server: bool = False,
    **environment: str,
) -> subprocess.Popen[str]:
    """A process of Python that finds nothing but the standard library and the side's folders, on one core, unless it is
    a server, which runs while another process asks it.

    The hash seed is the same for all, since it decides how dicts and sets collide.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with nullcontext() if is_server else _on_one_core():
        return subprocess.Popen(
            [sys.executable, "-P", "-S", "-s", *arguments],
            env={**kept, "PYTHONPATH": os.pathsep.join(map(str, side.folders)), "PYTHONHASHSEED": "0", **environment},
            encoding="utf-8",
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )


class WorkerProcess:
    """A side's worker, as its parent sees it."""

    def __init__(self, side: Side, process: subprocess.Popen[str]) -> None:
        self.side = side
        self._process = process

    def request(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Ask for one thing, and wait for the answer.

        Raises:
            BenchmarkError: the worker could not do it, or has ended.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        line = ""
        with suppress(BrokenPipeError):
            stdin.write(json.dumps({"command": command, **arguments}) + "\n")
            stdin.flush()
            line = stdout.readline()
        if not line:
            raise BenchmarkError(f"The worker of {self.side.name} ended at {command} with {arguments}.")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchmarkError(f"{self.side.name} failed at {command} with {arguments}:\n{answer['error']}")
        return answer


@contextmanager
def start(side: Side) -> Iterator[WorkerProcess]:
    """The side's worker, which has shown that it imports the right mangum.

    Raises:
        BenchmarkError: it imports another.
    """
    process = spawn(side, "-m", "benchmarks.work.worker", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        worker = WorkerProcess(side, process)
        try:
            if side.has_mangum:
                _verify_location(worker)
            yield worker
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(_EXIT_S)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def start_all(sides: list[Side]) -> Iterator[dict[str, WorkerProcess]]:
    """A worker for each side, by name."""
    with ExitStack() as stack:
        yield {side.name: stack.enter_context(start(side)) for side in sides}


def versions(sides: list[Side]) -> dict[str, str]:
    """The version of mangum on each side that has one.

    Raises:
        BenchmarkError: a side that asks for a certain version has another.
    """
    found = {}
    with start_all([side for side in sides if side.has_mangum]) as workers:
        for name, worker in workers.items():
            version = worker.request("version")["version"]
            if worker.side.version not in (None, version):
                raise BenchmarkError(f"{name} has mangum {version}, not {worker.side.version}.")
            found[name] = version
    return found


def collector(side: Side) -> dict[str, Any]:
    """The state of the garbage collector in a side's process."""
    with start(side) as worker:
        return worker.request("collector")


def _verify_location(worker: WorkerProcess) -> None:
    found = Path(worker.request("locate")["file"]).resolve()
    expected = (worker.side.folders[0] / "mangum" / "__init__.py").resolve()
    if found != expected:
        raise BenchmarkError(f"{worker.side.name} imports mangum from {found}, not from {expected}.")


@contextmanager
def _on_one_core() -> Iterator[None]:
    """Processes that are started here run on one core only, all on the same, where the system can do that."""
    if not PINS:
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
