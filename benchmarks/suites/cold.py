"""Cold starts as Lambda has them: a fresh process with no bytecode for the function's folder, to the end of its import,
and to its first answer; and what imports cost."""

from __future__ import annotations

import resource
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter
from urllib.request import urlopen

from benchmarks.errors import BenchmarkError
from benchmarks.outcomes import Outcome, Row
from benchmarks.peers import OTHER_HANDLERS, WEB_ADAPTER
from benchmarks.rounds import Sample, interleave, summarize, take_turns
from benchmarks.sides import ROOT, Run, Side, spawn
from benchmarks.suites.functions import write_function
from benchmarks.suites.servers import serving
from benchmarks.work.app import HELLO
from benchmarks.work.events import SOURCES
from benchmarks.work.functions import MANGUM_FUNCTIONS, OTHER_FUNCTIONS, RAW, RAW_OFF

__all__ = ["OTHER_WAYS", "run_cold"]

_ANSWER, _IMPORT = "to the first answer", "to the end of the import"
OTHER_WAYS = "a raw hello-world by other ways, to the first answer"
_PROGRAM = str(ROOT / "benchmarks" / "work" / "cold_start.py")
_IMPORTS = "imports, with bytecode"
_MOST_MODULES = 12


def run_cold(run: Run) -> Outcome:
    """Four applications under both mangums, and a hello-world by the other ways."""
    answers: list[Row] = []
    imports: list[Row] = []
    others: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="mangum-") as name:
        root = Path(name)
        for app, code in MANGUM_FUNCTIONS.items():
            run.tell(app)
            sides = [side for side in run.mangum_sides() if side.has_mangum]
            is_raw = app in (RAW, RAW_OFF)
            if not is_raw:
                if "0.22" not in run.peers:  # FastAPI comes from the registry as it does
                    continue
                sides = run.with_framework(sides)
            folders = {side.name: _function_of(side, root / app, code) for side in sides}
            if app == RAW:
                folders["floor"] = write_function(root / app / "floor", OTHER_FUNCTIONS["floor"], [])
            rounds = run.method.processes if is_raw else max(2, run.method.processes // 3)
            both = take_turns({side: partial(_start, folder) for side, folder in folders.items()}, rounds)
            for group, index, found in ((_IMPORT, 0, imports), (_ANSWER, 1, answers)):
                summaries = {side: summarize([each[index] for each in pairs]) for side, pairs in both.items()}
                found.append(Row(group, app, summaries))
        ours = root / RAW / "ours"
        for peer in (*OTHER_HANDLERS, WEB_ADAPTER):
            if peer in run.peers:
                run.tell(peer)
                others.append(_other_way(run, peer, ours, root / peer))
    return Outcome("cold", rows=[*answers, *imports, *others, *_import_costs(run)])


def _function_of(side: Side, root: Path, code: str) -> Path:
    own = [ROOT / "mangum"] if side.name == "ours" else []
    return write_function(root / side.name, code, [*own, *(folder for folder in side.folders if folder != ROOT)])


def _other_way(run: Run, peer: str, ours: Path, folder: Path) -> Row:
    rounds = max(2, run.method.processes // 3)
    try:
        installed, _ = run.folders(peer)
        theirs = write_function(folder, OTHER_FUNCTIONS.get(peer, ""), [installed])
        if peer == WEB_ADAPTER:
            measure = partial(_served_s, Side(peer, (theirs, ROOT), has_mangum=False))
        else:
            measure = partial(_answered, theirs)
        return Row(OTHER_WAYS, peer, interleave({"ours": partial(_answered, ours), peer: measure}, rounds), other=peer)
    except BenchmarkError as error:
        return Row(OTHER_WAYS, peer, {}, {peer: error.in_short}, other=peer)


def _answered(folder: Path) -> Sample:
    return _start(folder)[1]


def _start(folder: Path) -> tuple[Sample, Sample]:
    """One cold start. The time on a processor is the whole process's, so that it stands with the answer."""
    side = Side("function", (folder,))
    before = _cpu_of_children_s()
    started = perf_counter()
    with spawn(
        side,
        *("-B", _PROGRAM, repr(SOURCES["HTTP API 2.0"])),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        AWS_LAMBDA_RUNTIME_API="127.0.0.1:9001",
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        imported_s = perf_counter() - started
        answer = process.stdout.readline()
        answered_s = perf_counter() - started
        if first != "imported\n" or answer.strip() != f"200 {HELLO.decode()}":
            raise BenchmarkError(f"A fresh process said {answer!r}:\n{process.stderr.read()}")
    return Sample(imported_s), Sample(answered_s, _cpu_of_children_s() - before)


def _cpu_of_children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _served_s(side: Side) -> Sample:
    """A web server from its start to its first answer to a request."""
    started = perf_counter()
    with serving(side) as port, urlopen(f"http://127.0.0.1:{port}/hello", timeout=20) as response:
        response.read()
        seconds = perf_counter() - started
    return Sample(seconds)


def _import_costs(run: Run) -> list[Row]:
    """What `import mangum` takes beyond asyncio where bytecode is there, and the modules that take the most of it."""
    sides = [side for side in run.mangum_sides() if side.has_mangum]
    traces = take_turns({side.name: partial(_import_trace, side) for side in sides}, run.method.processes)
    whole = {side: summarize([_in_all(trace) for trace in several]) for side, several in traces.items()}
    modules: dict[str, list[Sample]] = {}
    for trace in traces["ours"]:
        for module, microseconds in trace:
            modules.setdefault(module, []).append(Sample(microseconds / 1_000_000))
    summaries = {module: summarize(samples) for module, samples in modules.items()}
    dearest = sorted(summaries, key=lambda module: -summaries[module].median)[:_MOST_MODULES]
    return [
        Row(_IMPORTS, "import mangum, beyond asyncio", whole),
        *(Row(_IMPORTS, f"{module}, by itself", {"ours": summaries[module]}) for module in dearest),
    ]


def _in_all(trace: list[tuple[str, int]]) -> Sample:
    return Sample(sum(microseconds for _, microseconds in trace) / 1_000_000)


def _import_trace(side: Side) -> list[tuple[str, int]]:
    """The modules that `import mangum` imports, asyncio being there, with the microseconds that each takes itself."""
    program = "import asyncio, sys; sys.stderr.write('begin\\n'); import mangum"
    with spawn(side, "-X", "importtime", "-c", program, stderr=subprocess.PIPE) as process:
        _, trace = process.communicate()
    if process.returncode:
        raise BenchmarkError(f"{side.name} could not import mangum:\n{trace}")
    entries = []
    for line in trace.partition("begin\n")[
        2
    ].splitlines():  # "import time:   self [us] | cumulative | imported package"
        columns = line.removeprefix("import time:").split("|")
        entries.append((columns[2].strip(), int(columns[0])))
    return entries
