from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import main
from benchmarks.errors import BenchmarkError
from benchmarks.outcomes import Outcome, Row
from benchmarks.report import outcome_table
from benchmarks.result import as_json
from benchmarks.rounds import Method, Sample, summarize
from benchmarks.sides import ROOT, Run, Side, start
from benchmarks.suites import services
from benchmarks.suites import websocket as websocket_suites
from benchmarks.suites.services import STORES, Names, connections_endpoint
from benchmarks.suites.websocket import run_websocket
from benchmarks.targets import Verdict, judge

SHORT = Method(rounds=1, batch_s=0.001, processes=1)

# As little of mangum 0.12 as a worker needs. It runs with SQLite only, and takes 20 ms for a message.
PEER = """
import time
from urllib.request import urlopen

__version__ = "0.12.4"


class Mangum:
    def __init__(self, app, *, lifespan, dsn, api_gateway_endpoint_url, api_gateway_region_name):
        self.dsn = dsn
        self.url = api_gateway_endpoint_url

    def __call__(self, event, context):
        if not self.dsn.startswith("sqlite:"):
            raise ImportError("no library\\nfor this store")
        if event["requestContext"]["eventType"] == "MESSAGE":
            time.sleep(0.02)
            urlopen(f"{self.url}/x", b"", timeout=10).close()
        return {"statusCode": 200}
"""


def measured(path: Path, suite: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["suites"][suite]["rows"]
    return rows


@pytest.mark.parametrize("has_moto", [True, False])
def test_a_message_is_measured_through_each_store(
    has_moto: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = tmp_path / "result.json"
    monkeypatch.setattr("benchmarks.__main__.QUICK", replace(SHORT, has_moto=has_moto))

    assert main(["websocket", "--quick", "--no-peers", "--json", str(result)]) == 0

    assert ("S3 is not measured with --quick." in capsys.readouterr().out) is not has_moto
    rows = measured(result, "websocket")
    cold = "fresh process to its first answer"
    assert [(row["group"], row["case"]) for row in rows] == [
        ("warm", "SQLite"),
        ("warm", "Redis"),
        ("warm", "PostgreSQL"),
        *((("warm, on moto's server", "DynamoDB"), ("warm, on moto's server", "S3")) if has_moto else ()),
        *((cold, store) for store in STORES if has_moto or store not in ("DynamoDB", "S3")),
    ]
    for row in rows:
        assert list(row["sides"]) == (["ours"] if row["group"] == cold else ["ours", "floor"])
        assert row["sides"]["ours"]["median_us"] > 0
        assert row["ratio"] is None


def test_a_broadcast_is_measured_with_its_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = tmp_path / "result.json"
    monkeypatch.setattr("benchmarks.__main__.QUICK", SHORT)

    assert main(["broadcast", "--quick", "--no-peers", "--json", str(result)]) == 0

    output = capsys.readouterr().out
    assert "ours (per s)" in output
    assert "growth (MB)" in output
    rows = measured(result, "broadcast")
    assert [row["case"] for row in rows] == ["100 connections", "1,000 connections", "10,000 connections"]
    assert all(row["sides"]["ours"]["median_us"] > 0 and row["peak_growth_bytes"] > 0 for row in rows)
    [target] = json.loads(result.read_text(encoding="utf-8"))["targets"]
    assert target["target"] == "broadcast, MB at 10,000 beyond 1,000"


def test_a_store_that_is_not_there_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def missing() -> Iterator[Names]:
        services._require(no_such_module="a-package", json="another")
        yield lambda side: side

    monkeypatch.setattr(websocket_suites, "STORES", {"SQLite": STORES["SQLite"], "Redis": missing})
    outcome = run_websocket(Run(SHORT, frozenset()))
    assert [row.name for row in outcome.rows] == ["SQLite", "SQLite"]
    assert outcome.note == "Redis is not measured: pip install a-package"


def test_a_server_that_does_not_start_is_reported() -> None:
    class Server:
        def start(self) -> None:
            raise RuntimeError("There is no server: pip install it.")

        def stop(self) -> None:
            raise AssertionError("it was not started")

    with pytest.raises(BenchmarkError, match="There is no server"), services._running(Server):
        pass


def test_a_store_that_the_peer_does_not_run_with_is_held_against_its_sqlite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mangum").mkdir()
    (tmp_path / "mangum" / "__init__.py").write_text(PEER)
    peer = Side("0.12", (tmp_path, ROOT), "0.12.4")
    websocket_sides = Run.websocket_sides
    monkeypatch.setattr(Run, "websocket_sides", lambda run: [*websocket_sides(run), peer])
    # DynamoDB in name only: it has to be a store that the peer does not run with.
    stores = {"SQLite": STORES["SQLite"], "Redis": STORES["Redis"], "DynamoDB": STORES["Redis"]}
    monkeypatch.setattr(websocket_suites, "STORES", stores)

    outcome = run_websocket(Run(SHORT, frozenset()))

    sides = {(row.group, row.name): list(row.summaries) for row in outcome.rows}
    cold = "fresh process to its first answer"
    assert sides == {
        ("warm", "SQLite"): ["ours", "floor", "0.12"],
        ("warm", "Redis (0.12: SQLite)"): ["ours", "floor", "0.12"],
        ("warm, on moto's server", "DynamoDB"): ["ours", "floor"],
        (cold, "SQLite"): ["ours", "0.12"],
        (cold, "Redis"): ["ours"],
        (cold, "DynamoDB"): ["ours"],
    }
    assert [row.name for row in outcome.rows if row.remarks == {"0.12": "does not run"}] == [
        "DynamoDB",
        "Redis",
        "DynamoDB",
    ]
    assert outcome.note.splitlines() == [
        "mangum 0.12 does not run with Redis here: for this store",
        "mangum 0.12 does not run with DynamoDB here: for this store",
    ]
    warm, fresh = judge([outcome])
    assert (warm.target, warm.cases) == ("WebSocket message, warm (to 0.12)", 2)
    assert (fresh.target, fresh.cases) == ("WebSocket message, fresh process (to 0.12)", 1)


def test_a_peer_whose_answer_does_not_arrive_is_not_measured(tmp_path: Path) -> None:
    (tmp_path / "mangum").mkdir()
    (tmp_path / "mangum" / "__init__.py").write_text(
        "".join(line for line in PEER.splitlines(keepends=True) if "urlopen(" not in line)
    )
    with (
        connections_endpoint() as url,
        start(Side("0.12", (tmp_path, ROOT))) as worker,
        pytest.raises(BenchmarkError, match="did not arrive at the endpoint once"),
    ):
        worker.request("prepare", operation="websocket_message", dsn="sqlite:///x", url=url, old=True)


@pytest.mark.parametrize(("most", "is_met"), [(11_900_000, True), (12_100_000, False)])
def test_memory_is_flat_if_ten_thousand_connections_take_ten_megabytes_more_at_the_most(
    most: int, is_met: bool
) -> None:
    rows = [
        Row("", name, {"ours": summarize([Sample(time)]), "boto3": summarize([Sample(1.0)])}, peak_growth_bytes=peak)
        for name, time, peak in (
            ("100 connections", 0.5, 1_000_000),
            ("1,000 connections", 0.3, 2_000_000),
            ("10,000 connections", 0.08, most),
        )
    ]
    rate, memory = judge([Outcome("broadcast", ("ours", "boto3"), rows=rows)])
    assert rate == Verdict("broadcast to 10,000 (to boto3)", 0.10, 0.08, "10,000 connections", cases=1, cases_met=1)
    assert memory.worst == pytest.approx((most - 2_000_000) / 1_000_000)
    assert memory.is_met is is_met


def test_a_remark_stands_in_place_of_a_time() -> None:
    outcome = Outcome(
        "websocket", ("ours", "0.12"), [Row("", "Redis", {"ours": summarize([Sample(1e-3)])}, {"0.12": "does not run"})]
    )
    cells = [list(column.cells) for column in outcome_table(outcome).columns]
    assert cells[:4] == [["Redis"], ["1,000"], ["does not run"], ["-"]]
    [row] = as_json([outcome], [], {}, {}, SHORT)["suites"]["websocket"]["rows"]
    assert row["remarks"] == {"0.12": "does not run"}
