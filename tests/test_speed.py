"""The extra `speed`: nothing is different with it but the time that it takes."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mangum import Mangum
from mangum.handlers import bodies
from mangum.handlers.alb import ALB
from mangum.handlers.bodies import decode_body, encode_body
from mangum.local.events.requests import HTTPRequest
from mangum.runtime.documents import Documents, documents_for
from tests.apps import Context, hello
from tests.sources import BY_NAME

LARGE = bodies._LARGE
MODULES = ("orjson", "pybase64")


def is_text(content_type: str) -> bool:
    return content_type == "text/plain"


@pytest.fixture(params=["with", "without"])
def speed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """Whether the extra is there."""
    bodies._pybase64.cache_clear()
    if request.param == "without":
        for module in MODULES:
            monkeypatch.setitem(sys.modules, module, None)
    yield request.param == "with"
    bodies._pybase64.cache_clear()


@pytest.mark.parametrize("size", [LARGE - 1, LARGE, LARGE + 1, 1_000_000])
def test_binary_bodies_both_ways(speed: bool, size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    text, is_base64 = encode_body(body[:size], "image/png", None, is_text)
    assert is_base64
    assert decode_body(text, True) == body[:size]
    assert decode_body(text.encode(), True) == body[:size]
    assert (bodies._pybase64() is not None) is speed


@pytest.mark.parametrize("body", ["aGVs\r\n" * LARGE, "aGVs\n" * LARGE])
def test_large_base64_in_lines(speed: bool, body: str) -> None:
    assert decode_body(body, True) == b"hel" * LARGE


@pytest.mark.parametrize("end", ["!", "é", "a"])
def test_a_large_text_that_is_no_base64(speed: bool, end: str, caplog: pytest.LogCaptureFixture) -> None:
    body = "aGVs" * LARGE + end
    assert decode_body(body, True) == body.encode()
    assert "taken as text" in caplog.text


def test_a_small_body_loads_nothing() -> None:
    bodies._pybase64.cache_clear()
    assert encode_body(b"x", None, None, is_text) == ("eA==", True)
    assert bodies._pybase64.cache_info().currsize == 0


# JSON of the runtime


def test_what_reads_and_writes_json(speed: bool) -> None:
    with Mangum(hello) as handler:
        fast = documents_for(handler)
    assert (type(fast) is not Documents) is speed


def test_other_values_than_requests_and_responses_keep_python_s_json() -> None:
    """orjson would make a float of such an integer, and null of NaN."""
    with (
        Mangum(hello, event_path="/events") as posted,
        Mangum(hello, custom_handlers=[ALB]) as custom,
    ):
        for handler in (posted, custom, lambda event, context: event):
            documents = documents_for(handler)
            assert documents.read(b"[123456789012345678901234567890]") == [123456789012345678901234567890]
            assert documents.write([math.nan, 1 << 70]) == b"[NaN, 1180591620717411303424]"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
)


@given(JSON)
def test_both_read_and_write_the_same(value: Any) -> None:
    with Mangum(hello) as handler:
        fast = documents_for(handler)
    for documents in (fast, Documents()):
        assert documents.read(json.dumps(value).encode()) == value
        assert json.loads(documents.write(value)) == value


@pytest.mark.parametrize("text", ['"\\ud800"', '{"a": 1e400}', "NaN"])
def test_what_orjson_does_not_read(text: str) -> None:
    with Mangum(hello) as handler:
        assert repr(documents_for(handler).read(text.encode())) == repr(json.loads(text))


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a": 1,}'])
def test_what_is_no_json_is_an_error(speed: bool, body: bytes) -> None:
    with Mangum(hello) as handler, pytest.raises(ValueError):  # noqa: PT011 # of several kinds
        documents_for(handler).read(body)


def test_half_of_a_surrogate_pair_in_an_answer(speed: bool) -> None:
    with Mangum(hello) as handler:
        assert json.loads(documents_for(handler).write({"body": "\ud800"})) == {"body": "\ud800"}


def test_an_answer_that_cannot_be_written(speed: bool) -> None:
    answer: list[Any] = []
    answer.append(answer)
    with Mangum(hello) as handler:
        for value in ({1, 2}, answer):
            with pytest.raises((TypeError, ValueError, RecursionError)):
                documents_for(handler).write(value)


def test_an_invocation_with_a_large_body(speed: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [[b"content-type", b"image/png"]]})
        await send({"type": "http.response.body", "body": b"\xff" * LARGE})

    with Mangum(app, "off") as handler:
        answer = handler(BY_NAME["http-api-2.0"].event(HTTPRequest(method="GET", path="/")), Context())
    assert answer["isBase64Encoded"] is True
    assert decode_body(answer["body"], True) == b"\xff" * LARGE
