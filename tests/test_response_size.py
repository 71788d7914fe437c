"""A response larger than its source carries: a 500, and a log line that tells the way out."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks.work import payloads
from mangum import Mangum
from mangum.handlers.answer_size import _OF_ALL, _OF_ASCII, _Escapes, _json_size
from mangum.local.events.lambda_at_edge import origin_request_event, viewer_request_event
from mangum.local.events.requests import HTTPRequest
from mangum.types import Headers
from tests.apps import Recorder
from tests.sources import BY_NAME

GET = HTTPRequest(method="GET", path="/")
KB, MB = 1024, 1024 * 1024


def answer(event: Any, body: bytes, content_type: bytes = b"text/plain", headers: Headers | None = None) -> Any:
    app = Recorder(200, [[b"content-type", content_type], *(headers or [])], body)
    with Mangum(app, lifespan="off") as handler:
        return handler(event, None)


@pytest.mark.parametrize(
    ("event", "fits", "too_large"),
    [
        (BY_NAME["http-api-2.0"].event(GET), 6 * MB - 512, 6 * MB + 101),
        (BY_NAME["rest-api"].event(GET), 6 * MB - 512, 6 * MB + 101),
        (BY_NAME["function-url"].event(GET), 6 * MB - 512, 6 * MB + 101),
        (BY_NAME["vpc-lattice-2"].event(GET), 6 * MB - 512, 6 * MB + 101),
        (BY_NAME["alb"].event(GET), MB - 512, MB + 1),
        (origin_request_event(GET), MB - 512, MB + 1),
        (viewer_request_event(GET), 40 * KB - 512, 40 * KB + 1),
    ],
)
def test_each_source_has_its_limit(event: Any, fits: int, too_large: int, caplog: pytest.LogCaptureFixture) -> None:
    def status(size: int) -> int:
        answered = answer(event, b"a" * size)
        return int(answered.get("statusCode", answered.get("status")))

    assert status(fits) == 200
    caplog.clear()
    assert status(too_large) == 500
    (message,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert "too large" in message
    assert f"{too_large // 1_000_000}" in message
    assert "S3" in message or "CloudFront" in message


def test_base64_counts() -> None:
    event = BY_NAME["http-api-2.0"].event(GET)
    assert answer(event, bytes(4_700_000), b"image/png")["statusCode"] == 200
    assert answer(event, bytes(4_720_000), b"image/png")["statusCode"] == 500


def test_escapes_count() -> None:
    event = BY_NAME["http-api-2.0"].event(GET)
    assert answer(event, b'"' * 3_140_000)["statusCode"] == 200
    assert answer(event, b'"' * 3_150_000)["statusCode"] == 500
    assert answer(event, b"\x01" * 1_040_000)["statusCode"] == 200
    assert answer(event, b"\x01" * 1_050_000)["statusCode"] == 500


def test_headers_count() -> None:
    headers: Headers = [[b"x-large", b"h" * 8_000]]
    event = viewer_request_event(GET)
    assert answer(event, b"a" * 36_000)["status"] == "200"
    assert answer(event, b"a" * 36_000, headers=headers)["status"] == "500"
    assert answer(event, b"", headers=[[b"x-%d" % number, b"h" * 1_000] for number in range(60)])["status"] == "500"


BOTH_RUNTIMES = pytest.mark.parametrize(
    ("escapes", "ensure_ascii"), [(_OF_ASCII, False), (_OF_ALL, True)], ids=["3.12", "3.11"]
)


def json_size(text: str, ensure_ascii: bool) -> int:
    return len(json.dumps(text, ensure_ascii=ensure_ascii).encode()) - 2


@BOTH_RUNTIMES
@given(text=st.text(st.characters(exclude_categories=["Cs"])), repeat=st.sampled_from([1, 7]))
def test_the_size_is_that_of_the_json_document(escapes: _Escapes, ensure_ascii: bool, text: str, repeat: int) -> None:
    size = json_size(text * repeat, ensure_ascii)
    assert _json_size((text * repeat).encode(), escapes, size) <= size
    assert not text or _json_size((text * repeat).encode(), escapes, size - 1) > size - 1


@BOTH_RUNTIMES
@given(text=st.text(st.sampled_from('abc"\n\x01\x7fé€😀'), max_size=400), budget=st.integers(0, 3000))
def test_it_is_told_for_sure_whether_it_fits(escapes: _Escapes, ensure_ascii: bool, text: str, budget: int) -> None:
    size = json_size(text, ensure_ascii)
    assert (_json_size(text.encode(), escapes, budget) <= budget) == (size <= budget)


@BOTH_RUNTIMES
@given(
    record=st.text(st.sampled_from('abcdefgh"\n\x01é€😀'), min_size=1, max_size=60),
    padding=st.integers(0, 300),
    excess=st.floats(0, 0.2),
)
@example(record="a" + '"' * 126, padding=0, excess=0.2)  # all that one of the samples sees is the letter
@example(record="a" + '"' * 130, padding=0, excess=0.2)
@example(record=" " + "\x01" * 253, padding=0, excess=0.2)
@settings(deadline=None)
def test_a_large_text_that_does_not_fit_is_found(
    escapes: _Escapes, ensure_ascii: bool, record: str, padding: int, excess: float
) -> None:
    text = record + " " * padding
    text *= 1_000_000 // len(text.encode()) + 1
    budget = int(json_size(text, ensure_ascii) / (1 + excess)) - 1
    assert _json_size(text.encode(), escapes, budget) > budget


@BOTH_RUNTIMES
def test_a_large_text_that_fits_is_not_taken_for_larger(escapes: _Escapes, ensure_ascii: bool) -> None:
    text = payloads.text(1_000_000, beyond_ascii=True)
    size = json_size(text, ensure_ascii)
    assert _json_size(text.encode(), escapes, size) == size
    assert _json_size(text.encode(), escapes, int(size * 1.1)) == pytest.approx(size, rel=0.004)


def test_text_far_from_the_limit_is_not_read_to_its_end() -> None:
    assert _json_size(b'"' * 100_000, _OF_ASCII, 600_000) == 100_000


def test_text_beyond_ascii_is_escaped_by_lambdas_runtime_of_python_3_11_alone() -> None:
    event = BY_NAME["http-api-2.0"].event(GET)
    most = 1_045_000 if sys.version_info < (3, 12) else 3_145_000
    assert answer(event, "é".encode() * most)["statusCode"] == 200
    assert answer(event, "é".encode() * (most + 5_000))["statusCode"] == 500
