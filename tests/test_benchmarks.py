from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import main
from benchmarks.compare import Change, compare, read_result
from benchmarks.errors import BenchmarkError
from benchmarks.outcomes import Outcome, Row, Suite
from benchmarks.peers import PEERS, install
from benchmarks.plots import BARS, draw
from benchmarks.report import outcome_table
from benchmarks.result import as_json
from benchmarks.rounds import Method, Sample, Summary, interleave, ratio, summarize
from benchmarks.sides import ROOT, Run, start
from benchmarks.suites import SUITES
from benchmarks.suites.http import run_bodies, run_lifespan
from benchmarks.targets import _TARGETS, Verdict, judge
from benchmarks.work import edge_floor, floors, payloads
from benchmarks.work.app import HELLO, HELLO_HEADERS, hello
from benchmarks.work.events import SOURCES, Context
from benchmarks.work.operations import OPERATIONS
from mangum import Mangum
from mangum.types import Response

SHORT = Method(rounds=1, batch_s=0.001, processes=1, invocations=20, soak=200, stream_bytes=1_000_000, has_moto=False)


def test_a_summary_is_the_median_and_the_quartiles_around_it() -> None:
    summary = summarize([Sample(value) for value in (5.0, 1.0, 3.0, 2.0, 4.0)])
    assert summary == Summary(median=3.0, lower_quartile=2.0, upper_quartile=4.0, rounds=5)
    assert summary.spread == pytest.approx(1 / 3)


def test_one_round_has_no_spread() -> None:
    assert summarize([Sample(7.0)]) == Summary(median=7.0, lower_quartile=7.0, upper_quartile=7.0, rounds=1)
    assert summarize([Sample(7.0)]).spread == 0


def test_sides_are_measured_in_turn_and_the_first_round_does_not_count() -> None:
    order: list[str] = []
    ours, theirs = iter([100.0, 1.0, 1.0]), iter([100.0, 2.0, 2.0])

    def measure_ours() -> Sample:
        order.append("ours")
        return Sample(next(ours))

    def measure_theirs() -> Sample:
        order.append("0.22")
        return Sample(next(theirs))

    summaries = interleave({"ours": measure_ours, "0.22": measure_theirs}, rounds=2)

    assert order == ["ours", "0.22", "0.22", "ours", "ours", "0.22"]
    assert summaries == {"ours": Summary(1.0, 1.0, 1.0, 2), "0.22": Summary(2.0, 2.0, 2.0, 2)}
    assert ratio(summaries, "ours", "0.22") == 0.5


def test_a_ratio_compares_the_sides_of_each_round() -> None:
    ours = summarize([Sample(value) for value in (1.0, 4.0, 6.0, 2.0)])  # the machine is slower in the middle
    theirs = summarize([Sample(value) for value in (2.0, 8.0, 8.0, 4.0)])
    assert ratio({"ours": ours, "0.22": theirs}, "ours", "0.22") == 0.5


def test_a_ratio_of_sides_with_other_numbers_of_rounds_is_that_of_their_medians() -> None:
    ours, theirs = summarize([Sample(1.0), Sample(2.0), Sample(3.0)]), summarize([Sample(4.0)])
    assert ratio({"ours": ours, "0.22": theirs}, "ours", "0.22") == 0.5


def test_there_is_no_ratio_to_a_side_that_was_not_measured() -> None:
    assert ratio({"ours": summarize([Sample(1.0)])}, "ours", "0.22") is None


def row(group: str, name: str, ours: float, theirs: float | None) -> Row:
    summaries = {"ours": summarize([Sample(ours)])}
    if theirs is not None:
        summaries["0.22"] = summarize([Sample(theirs)])
    return Row(group, name, summaries)


def test_a_target_is_met_if_its_worst_case_is() -> None:
    off = [row("lifespan off", "HTTP API 2.0", 8.0, 10.0), row("lifespan off", "VPC Lattice v1", 9.0, None)]
    fastapi = "FastAPI, a `def` endpoint, HTTP API 2.0"
    threads = [row(fastapi, "lifespan off", 5.0, 10.0), row(fastapi, "default", 8.0, 10.0)]

    verdicts = judge([Outcome("warm", rows=off + threads), Outcome("memory")])

    assert verdicts == [
        Verdict("warm, lifespan off", 0.85, 0.8, "lifespan off, HTTP API 2.0", cases=1, cases_met=1),
        Verdict("warm, FastAPI, `def` endpoint", 0.70, 0.8, f"{fastapi}, default", cases=2, cases_met=1),
    ]
    assert [verdict.is_met for verdict in verdicts] == [True, False]


def test_a_run_without_the_peer(quick: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = tmp_path / "new" / "result.json"

    assert main(["translate", "--quick", "--no-peers", "--json", str(result)]) == 0

    output = capsys.readouterr().out
    assert "the garbage collector is on, (" in output
    assert "targets" not in output
    measured: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    assert list(measured["versions"]) == ["ours"]
    assert measured["targets"] == []
    rows = measured["suites"]["translate"]["rows"]
    assert [row["case"] for row in rows] == list(SOURCES)
    for row in rows:
        assert list(row["sides"]) == ["ours", "floor"]
        assert row["ratio"] is None
        times = row["sides"]["ours"]
        assert 0 < times["lower_quartile_us"] <= times["median_us"] <= times["upper_quartile_us"]
        assert times["cpu_us"] > 0
        assert times["rounds"] == measured["method"]["rounds"]


def test_suites_and_peers_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    listed = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines() if line]
    assert listed == [*SUITES, "Peers:", *PEERS]
    asked = "cold warm translate lifespan bodies websocket broadcast stream concurrency runtime local memory soak"
    assert SUITES.keys() >= set(asked.split())


def test_a_peer_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["--peers", "0.22,1.22"])
    assert exit_info.value.code == 2
    assert "no such peer: 1.22 (there are 0.22, 0.12," in capsys.readouterr().err


def test_an_unknown_suite_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["warm", "wram"])
    assert exit_info.value.code == 2
    assert "no such suite: wram (there are cold, warm, translate," in capsys.readouterr().err


def test_the_floor_of_an_edge_translation_gives_what_the_handler_gives() -> None:
    event, context = SOURCES["Lambda@Edge"], Context()
    response: Response = {"status": 200, "headers": HELLO_HEADERS, "body": HELLO}
    with Mangum(hello, lifespan="off") as adapter:
        handler = adapter.infer(event, context)
        floor = edge_floor.infer(event, context)
        assert floor.scope == handler.scope
        assert floor.body == handler.body
        assert floor(response) == handler(response)


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_is_answered(source: str) -> None:
    run_once("translation", source=source)
    run_once("bare", source=source)
    for lifespan in ("off", "invocation", "process"):
        run_once("warm", source=source, lifespan=lifespan)


@pytest.mark.parametrize(
    ("operation", "kind", "largest"),
    [
        ("response_body", "text", payloads.largest_text()),
        ("response_body", "unicode", payloads.largest_text(beyond_ascii=True)),
        ("response_body", "binary", payloads.LARGEST_BINARY),
        ("request_body", "text", payloads.largest_text()),
        ("request_body", "binary", payloads.LARGEST_BINARY),
    ],
)
def test_the_largest_bodies_are_carried(operation: str, kind: str, largest: int) -> None:
    assert largest > 4_000_000
    run_once(operation, kind=kind, size=largest)


def run_once(name: str, **arguments: Any) -> None:
    operation = OPERATIONS[name](**arguments)
    try:
        assert operation.run(1) > 0
    finally:
        operation.close()


@pytest.mark.parametrize("beyond_ascii", [False, True])
@pytest.mark.parametrize("size", [1_000, 1_001, 1_002, 1_003])
def test_text_has_the_size_that_was_asked_for(size: int, beyond_ascii: bool) -> None:
    text = payloads.text(size, beyond_ascii=beyond_ascii)
    assert len(text.encode()) == size
    assert text.isascii() is not beyond_ascii


def test_the_deadline_is_fifteen_minutes_ahead() -> None:
    assert 0 < Context().get_remaining_time_in_millis() <= 900_000


def test_a_worker_says_what_went_wrong_and_goes_on() -> None:
    ours = Run(SHORT, frozenset()).mangum_sides()[0]
    with start(ours) as worker:
        with pytest.raises(BenchmarkError, match=r"ours failed at prepare .*\n[\s\S]*KeyError: 'no such'"):
            worker.request("prepare", operation="no such")
        assert worker.request("prepare", operation="warm", source="ALB", lifespan="off") == {}
        assert worker.request("measure", iterations=1)["seconds"] > 0


def test_a_peer_that_pip_cannot_install_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    cache = tmp_path / "cache"
    with pytest.raises(BenchmarkError, match=r"could not install the peer mangum==0\.22\.0 .*--peers none"):
        install(cache, PEERS["0.22"].requirements)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("source", [source for source in SOURCES if source != "Lambda@Edge"])
def test_the_floor_of_a_translation_has_what_the_handler_has(source: str) -> None:
    event, context = SOURCES[source], Context()
    response: Response = {"status": 200, "headers": HELLO_HEADERS, "body": HELLO}
    floor = floors.infer_of(source)(event, context)
    with Mangum(hello, lifespan="off") as adapter:
        scope = adapter.infer(event, context).scope
    assert floor.scope["headers"] == scope["headers"]
    assert floor.scope.keys() == scope.keys()
    assert floor(response)["headers"] == {"content-type": "text/plain; charset=utf-8", "content-length": "13"}


@pytest.mark.parametrize("way", ["request_body", "response_body"])
@pytest.mark.parametrize("kind", ["text", "binary"])
@pytest.mark.parametrize("is_fast", [True, False])
def test_the_floor_of_a_body_converts_it(way: str, kind: str, is_fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not is_fast:
        monkeypatch.setitem(sys.modules, "pybase64", None)
    run_once("body_floor", way=way, kind=kind, size=1_000)


# Suites, on this project alone: peers come from a registry


def without_peers(suite: str, capsys: pytest.CaptureFixture[str], path: Path) -> list[dict[str, Any]]:
    assert main([suite, "--quick", "--peers", "none", "--json", str(path)]) == 0
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = document["suites"][suite]["rows"]
    return rows


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.__main__.QUICK", SHORT)


@pytest.mark.parametrize("suite", ["cold", "stream", "concurrency", "runtime", "soak"])
def test_a_suite_without_peers(suite: str, quick: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = without_peers(suite, capsys, tmp_path / "result.json")
    output = capsys.readouterr().out
    assert rows, output
    assert all(side["median_us"] > 0 for row in rows for side in row["sides"].values())
    if suite == "cold":
        assert [row["case"] for row in rows if row["group"] == "imports, with bytecode"][1:][0].endswith(", by itself")
        assert {"ours", "floor"} == set(rows[0]["sides"])
    if suite == "concurrency":
        assert all(row["memory_bytes"]["mangum.runtime"] > 1_000_000 for row in rows)
    if suite == "soak":
        assert "What it holds has grown by" in output


def test_what_needs_linux_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda path: False)
    for suite in ("runtime", "stream", "concurrency"):
        outcome = SUITES[suite].run(Run(SHORT, frozenset()))
        assert (outcome.rows, outcome.note) == ([], "Not measured: It needs Linux.")


def test_lifespan_and_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    run = Run(SHORT, frozenset(), told.append)
    lifespan = run_lifespan(run)
    assert [row.name for row in lifespan.rows[1:4]] == [
        "no state",
        "10 entries in its state",
        "1,000 entries in its state",
    ]
    [verdict] = judge([lifespan])
    assert verdict.target == "lifespan, with 1,000 entries in its state (to none)"
    assert "default, no state" in told
    bodies = run_bodies(run)
    assert {tuple(row.summaries) for row in bodies.rows} == {("ours", "floor")}


def test_a_peer_that_cannot_be_had_says_why_in_the_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(cache: Path, requirements: tuple[str, ...]) -> Path:
        raise BenchmarkError("pip could not.\nERROR: there is no network")

    monkeypatch.setattr("benchmarks.sides.install", fails)
    monkeypatch.setattr("benchmarks.suites.http.SOURCES", {})
    run = Run(SHORT, frozenset({"apig-wsgi"}))
    for suite in ("warm", "cold"):
        row = next(row for row in SUITES[suite].run(run).rows if row.name == "apig-wsgi")
        assert row.remarks == {"apig-wsgi": "ERROR: there is no network"}


# What is kept, compared and drawn


def result_of(*rows: Row, suite: str = "warm", **arguments: Any) -> dict[str, Any]:
    outcome = Outcome(suite, rows=list(rows), **arguments)
    return as_json([outcome], [], {}, {"is_enabled": True, "thresholds": [700, 10, 10]}, SHORT)


def test_what_became_slower_and_faster() -> None:
    old = result_of(row("a", "same", 1.0, 2.0), row("a", "slower", 1.0, 2.0), row("", "faster", 2.0, None))
    new = result_of(row("a", "same", 1.04, 2.0), row("a", "slower", 1.2, 2.0), row("", "faster", 1.0, None))
    assert compare(old, new) == [
        Change("warm", "a, slower", 0.5, 0.6, 0.05, is_time=False),
        Change("warm", "faster", 2_000_000.0, 1_000_000.0, 0.05, is_time=True),
    ]
    assert [change.is_slower for change in compare(old, new)] == [True, False]
    assert compare(old, old) == compare(old, {"suites": {"memory": {"footprints": []}}}) == []


def test_noise_is_what_both_runs_spread() -> None:
    def spread(*values: float) -> dict[str, Any]:
        return result_of(Row("", "case", {"ours": summarize([Sample(value) for value in values])}))

    assert compare(spread(1.0, 1.2, 1.4), spread(1.2, 1.5, 1.8)) == []
    [change] = compare(spread(1.0, 1.2, 1.4), spread(2.0, 2.0, 2.0))
    assert change.noise == pytest.approx(2 * 0.1 / 1.2)


def test_a_run_is_compared_with_an_older_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def suite(times: list[float]) -> Suite:
        return Suite("warm", "a suite", lambda run: Outcome("warm", rows=[row("", "case", times.pop(0), 1.0)]))

    path = tmp_path / "old.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SUITES, "warm", suite([0.5, 0.7, 0.3]))
        run = ["warm", "--peers", "none", "--json"]
        assert main([*run, str(path)]) == 0
        assert main([*run, str(tmp_path / "new.json"), "--compare", str(path)]) == 3
        assert "slower" in capsys.readouterr().out
        document = json.loads(path.read_text())
        path.write_text(json.dumps({**document, "machine": "another"}))
        assert main([*run, str(tmp_path / "new.json"), "--compare", str(path)]) == 0
    output = capsys.readouterr().out
    assert "from another machine" in output
    assert "faster" in output


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"suites": 1}'])
def test_what_is_no_result_is_refused(content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "old.json"
    if content is not None:
        path.write_text(content)
    assert main(["--compare", str(path)]) == 1
    error = capsys.readouterr().err.replace("\n", "")
    assert "is no result of these benchmarks" in error or "cannot be read" in error
    with pytest.raises(BenchmarkError):
        read_result(path)


def test_plots_show_what_there_is(tmp_path: Path) -> None:
    assert draw(result_of(), tmp_path) == []
    documents = [
        result_of(row("lifespan off", "HTTP API 2.0", 1.0, 2.0)),
        result_of(row("binary response", "1 MB", 1.0, 2.0), suite="bodies"),
        result_of(row("", "100 connections", 1e-3, None), suite="broadcast"),
        result_of(Row("", "10 at once", {}, memory_bytes={"ours": 1_000, "theirs": 2_000}), suite="concurrency"),
    ]
    for document, name in zip(documents, ("ratios", "bodies", "broadcast", "concurrency"), strict=True):
        [path] = draw(document, tmp_path)
        assert path == tmp_path / f"{name}.svg"
        content = path.read_text()
        draw(document, tmp_path)
        assert path.read_text() == content  # the same result makes the same file
        assert "</svg>" in content


def test_without_matplotlib_there_are_no_plots(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(SUITES, "warm", Suite("warm", "a suite", lambda run: Outcome("warm")))
    assert main(["warm", "--peers", "none", "--json", str(tmp_path / "result.json")]) == 0
    assert "There are no plots: pip install matplotlib" in capsys.readouterr().out


def test_a_table_has_cpu_time_and_memory() -> None:
    summaries = {"ours": summarize([Sample(1e-6, 2e-6)]), "theirs": summarize([Sample(4e-6)])}
    outcome = Outcome("x", rows=[Row("", "case", summaries, other="theirs", memory_bytes={"ours": 3_000_000})])
    columns = {str(column.header): list(column.cells) for column in outcome_table(outcome).columns}
    assert columns["peer (µs)"] == ["4.00"]
    assert columns["ours/peer"] == ["0.250"]
    assert columns["CPU (µs)"] == ["2.00 / -"]
    assert columns["memory (MB)"] == ["3 / -"]


# What the repository keeps: names in it that no longer fit would be left out without a word

KEPT: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / "latest.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("bar", BARS, ids=lambda bar: bar[0])
def test_the_kept_result_has_each_bar_of_the_main_plot(bar: tuple[str, str, str, str]) -> None:
    label, suite, group, case = bar
    [found] = [row for row in KEPT["suites"][suite]["rows"] if (row["group"], row["case"]) == (group, case)]
    assert found["ratio"] > 0, label


def test_the_kept_result_is_of_a_whole_run() -> None:
    assert list(KEPT["suites"]) == list(SUITES)
    kept = [verdict["target"] for verdict in KEPT["targets"]]
    assert len(set(kept)) == len(kept) == len(_TARGETS) + 2
    assert {target.name for target in _TARGETS} < set(kept)
