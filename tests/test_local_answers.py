"""A function's answers, as the responses that clients get."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mangum.local.answers import (
    MalformedAnswer,
    read_alb,
    read_alb_multi_value,
    read_payload_v1,
    read_payload_v2,
)


def test_reading_payload_v1() -> None:
    answer = {
        "statusCode": "201",
        "headers": {"X-A": "1", "B": True},
        "multiValueHeaders": {"x-a": ["1", "2"]},
        "body": "aGk=",
        "isBase64Encoded": True,
    }
    json_type = ("content-type", "application/json")
    assert read_payload_v1(answer) == (201, [("x-a", "1"), ("x-a", "2"), ("b", "true"), json_type], b"hi")
    assert read_payload_v1({"headers": None}) == (200, [json_type], b"")


def test_headers_that_a_rest_api_renames_or_leaves_out() -> None:
    answer = {"headers": {"Content-Type": "text/plain", "Server": "x", "Date": "now", "Via": "y", "TE": "z"}}
    assert read_payload_v1(answer)[1] == [
        ("content-type", "text/plain"),
        ("x-amzn-remapped-server", "x"),
        ("x-amzn-remapped-date", "now"),
    ]


def test_hop_by_hop_headers_end_at_the_front_door() -> None:
    headers = {"Connection": "close", "Transfer-Encoding": "chunked", "x-a": "1"}
    assert read_payload_v2({"statusCode": 200, "headers": headers})[1] == [("x-a", "1")]
    assert read_alb({"statusCode": 200, "headers": headers})[1] == [("x-a", "1")]


def test_reading_multi_value_headers_of_a_load_balancer() -> None:
    answer = {"statusCode": 200, "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]}, "headers": {"x-lost": "1"}}
    assert read_alb_multi_value(answer)[1] == [("set-cookie", "a=1"), ("set-cookie", "b=2")]


def test_reading_payload_v2() -> None:
    answer = {"statusCode": 200, "headers": {"a": "1"}, "cookies": ["x=1"], "body": "hi"}
    assert read_payload_v2(answer) == (200, [("a", "1"), ("set-cookie", "x=1")], b"hi")
    json_type = [("content-type", "application/json")]
    assert read_payload_v2("text") == (200, json_type, b"text")
    assert read_payload_v2({"a": 1}) == (200, json_type, b'{"a": 1}')


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "it is null"),
        ({}, "`statusCode` is None"),
        ({"statusCode": "200"}, "`statusCode` is '200', and a load balancer wants a number"),
        ({"statusCode": 101}, "`statusCode` is 101"),
        ({"statusCode": 600}, "`statusCode` is 600"),
        ({"statusCode": 200, "headers": {"a b": "1"}}, "`headers.a b` is no name of a header"),
        ({"statusCode": 200, "headers": {"a": "1\r\nb: 2"}}, "`headers.a` has a line break"),
        ({"statusCode": 200, "headers": {"a": "x" * 33_000}}, "more than 32 K"),
        ({"statusCode": 200, "headers": []}, None),
        ({"statusCode": 200, "headers": [1]}, "`headers` is not an object"),
        ({"statusCode": 200, "headers": {"a": ["1"]}}, "`headers.a` is a list"),
        ({"statusCode": 200, "body": 5}, "`body` is not a string"),
        ({"statusCode": 200, "body": "!", "isBase64Encoded": True}, "`body` is not base64"),
    ],
)
def test_malformed_answers(answer: Any, message: str | None) -> None:
    if message is None:
        assert read_alb(answer)[0] == 200
    else:
        with pytest.raises(MalformedAnswer, match=re.escape(message)):
            read_alb(answer)


def test_malformed_multi_value_headers_and_cookies() -> None:
    with pytest.raises(MalformedAnswer, match=re.escape("`multiValueHeaders.a` is not a list")):
        read_payload_v1({"multiValueHeaders": {"a": "1"}})
    with pytest.raises(MalformedAnswer, match="`cookies` is not a list of strings"):
        read_payload_v2({"statusCode": 200, "cookies": "a=1"})
    with pytest.raises(MalformedAnswer, match="`cookies` has a line break"):
        read_payload_v2({"statusCode": 200, "cookies": ["a=1\nb"]})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
def test_any_answer_is_read_or_refused(answer: Any) -> None:
    for read in (read_alb, read_alb_multi_value, read_payload_v1, read_payload_v2):
        with contextlib.suppress(MalformedAnswer):
            status, _, body = read(answer)
            assert 200 <= status <= 599
            assert isinstance(body, bytes)
