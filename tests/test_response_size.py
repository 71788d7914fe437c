"""A response larger than its source carries: a 500, and a log line that tells the way out."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mangum import Mangum
from mangum.handlers.bodies import LAMBDA_RESPONSE_LIMIT, _json_size
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


@pytest.mark.parametrize("escapes", [False, True])
@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), repeat=st.sampled_from([1, 7]))
def test_the_size_is_that_of_the_json_document(escapes: bool, text: str, repeat: int) -> None:
    text = "é" + text * repeat
    body = text.encode()
    size = len(json.dumps(text, ensure_ascii=escapes).encode()) - 2
    beyond_ascii = len(body) - len(text) if escapes else 0
    assert _json_size(body, beyond_ascii, size) <= size
    assert _json_size(body, beyond_ascii, size - 1) > size - 1


@given(text=st.text(st.sampled_from('abc"\n\x01é€😀'), max_size=400_000 // 1000), budget=st.integers(0, 3000))
def test_it_is_told_for_sure_whether_it_fits(text: str, budget: int) -> None:
    size = len(json.dumps(text, ensure_ascii=False).encode()) - 2
    assert (_json_size(text.encode(), 0, budget) <= budget) == (size <= budget)
    escaped = len(json.dumps(text).encode()) - 2
    beyond_ascii = len(text.encode()) - len(text)
    assert (_json_size(text.encode(), beyond_ascii, budget) <= budget) == (escaped <= budget)


def test_text_far_from_the_limit_is_not_read_to_its_end() -> None:
    assert _json_size(b'"' * 1_100_000, 0, LAMBDA_RESPONSE_LIMIT) < 2_200_000


def test_text_beyond_ascii_is_escaped_by_lambdas_runtime_of_python_3_11_alone() -> None:
    event = BY_NAME["http-api-2.0"].event(GET)
    most = 1_045_000 if sys.version_info < (3, 12) else 3_145_000
    assert answer(event, "é".encode() * most)["statusCode"] == 200
    assert answer(event, "é".encode() * (most + 5_000))["statusCode"] == 500
