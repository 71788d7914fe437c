from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks import edge_floor, payloads
from benchmarks.__main__ import main
from benchmarks.app import HELLO, HELLO_HEADERS, hello
from benchmarks.errors import BenchmarkError
from benchmarks.events import SOURCES, Context
from benchmarks.operations import OPERATIONS
from benchmarks.outcomes import Outcome, Row
from benchmarks.peers import install_peer
from benchmarks.rounds import Summary, interleave, ratio, summarize
from benchmarks.sides import mangum_sides, start
from benchmarks.suites import SUITES
from benchmarks.targets import Verdict, judge
from mangum import Mangum
from mangum.types import Response


def test_a_summary_is_the_median_and_the_quartiles_around_it() -> None:
    summary = summarize([5.0, 1.0, 3.0, 2.0, 4.0])
    assert summary == Summary(median=3.0, lower_quartile=2.0, upper_quartile=4.0, rounds=5)
    assert summary.spread == pytest.approx(1 / 3)


def test_one_round_has_no_spread() -> None:
    assert summarize([7.0]) == Summary(median=7.0, lower_quartile=7.0, upper_quartile=7.0, rounds=1)
    assert summarize([7.0]).spread == 0


def test_sides_are_measured_in_turn_and_the_first_round_does_not_count() -> None:
    order: list[str] = []
    ours, theirs = iter([100.0, 1.0, 1.0]), iter([100.0, 2.0, 2.0])

    def measure_ours() -> float:
        order.append("ours")
        return next(ours)

    def measure_theirs() -> float:
        order.append("0.22")
        return next(theirs)

    summaries = interleave({"ours": measure_ours, "0.22": measure_theirs}, rounds=2)

    assert order == ["ours", "0.22"] * 3
    assert summaries == {"ours": Summary(1.0, 1.0, 1.0, 2), "0.22": Summary(2.0, 2.0, 2.0, 2)}
    assert ratio(summaries, "ours", "0.22") == 0.5


def test_there_is_no_ratio_to_a_side_that_was_not_measured() -> None:
    assert ratio({"ours": summarize([1.0])}, "ours", "0.22") is None


def row(group: str, name: str, ours: float, theirs: float | None) -> Row:
    summaries = {"ours": summarize([ours])}
    if theirs is not None:
        summaries["0.22"] = summarize([theirs])
    return Row(group, name, summaries)


def test_a_target_is_met_if_its_worst_case_is() -> None:
    off = [row("lifespan off", "ALB", 9.0, 10.0), row("lifespan off", "VPC Lattice v1", 9.0, None)]
    default = [row("default", "ALB", 5.0, 10.0), row("default", "Lambda@Edge", 8.0, 10.0)]

    verdicts = judge([Outcome("warm", rows=off + default), Outcome("memory")])

    assert verdicts == [
        Verdict("warm, lifespan off", 0.95, 0.9, "ALB", cases=1, cases_met=1),
        Verdict("warm, default", 0.75, 0.8, "Lambda@Edge", cases=2, cases_met=1),
    ]
    assert [verdict.is_met for verdict in verdicts] == [True, False]


def test_a_run_without_the_peer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = tmp_path / "new" / "result.json"

    assert main(["translate", "--quick", "--no-peers", "--json", str(result)]) == 0

    output = capsys.readouterr().out
    assert "the garbage collector stays on" in output
    assert "targets" not in output
    measured: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    assert list(measured["versions"]) == ["ours"]
    assert measured["targets"] == []
    rows = measured["suites"]["translate"]["rows"]
    assert [row["case"] for row in rows] == list(SOURCES)
    for row in rows:
        assert list(row["sides"]) == (["ours", "floor"] if row["case"] == "Lambda@Edge" else ["ours"])
        assert row["ratio"] is None
        times = row["sides"]["ours"]
        assert 0 < times["lower_quartile_us"] <= times["median_us"] <= times["upper_quartile_us"]
        assert times["rounds"] == measured["method"]["rounds"]


def test_the_suites_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert (
        listed
        == list(SUITES)
        == [
            "warm",
            "translate",
            "bodies",
            "memory",
            "import",
            "websocket",
            "broadcast",
            "local",
            "deployment",
            "runtime",
            "groups",
        ]
    )


def test_an_unknown_suite_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["warm", "wram"])
    assert exit_info.value.code == 2
    assert "no such suite: wram (there are warm, translate," in capsys.readouterr().err


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
    ours = mangum_sides(with_peer=False)[0]
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
    with pytest.raises(BenchmarkError, match=r"could not install the peer mangum==0\.22\.0 .*--no-peers"):
        install_peer(cache)
    assert list(cache.iterdir()) == []
