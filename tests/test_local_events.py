"""Requests as the events that AWS makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mangum import Mangum
from mangum.config import Config
from mangum.local.events import EVENT_BUILDERS, websocket
from mangum.local.events.alb import alb_event
from mangum.local.events.lambda_at_edge import origin_request_event, viewer_request_event
from mangum.local.events.payload_v1 import http_api_v1_event, rest_api_event
from mangum.local.events.payload_v2 import function_url_event, http_api_event
from mangum.local.events.requests import EventSettings, HTTPRequest
from mangum.local.events.vpc_lattice import vpc_lattice_v1_event, vpc_lattice_v2_event
from mangum.websocket.event import WebSocketEvent
from tests.apps import Recorder

REQUEST = HTTPRequest(
    method="POST",
    path="/a%20b/",
    query_string="x=1&x=a%2Bb&e=",
    headers=(("Host", "h"), ("X-A", "1"), ("X-A", "2"), ("Cookie", "c=1; d=2"), ("X-Forwarded-For", "192.0.2.9")),
    body=b"\xff",
    client="192.0.2.1",
    scheme="https",
    port=8443,
)


def test_an_http_apis_event() -> None:
    event = http_api_event(REQUEST)
    assert (event["rawPath"], event["rawQueryString"]) == ("/a b/", "x=1&x=a%2Bb&e=")
    assert event["queryStringParameters"] == {"x": "1,a+b", "e": ""}
    assert event["cookies"] == ["c=1", "d=2"]
    assert "cookie" not in event["headers"]
    assert event["headers"]["x-a"] == "1,2"
    assert event["headers"]["x-forwarded-for"] == "192.0.2.9, 192.0.2.1"
    assert (event["headers"]["x-forwarded-port"], event["headers"]["x-forwarded-proto"]) == ("8443", "https")
    assert (event["body"], event["isBase64Encoded"]) == ("/w==", True)
    empty = http_api_event(HTTPRequest(method="GET", path="/"))
    assert not {"body", "cookies", "queryStringParameters"} & set(empty)


def test_a_function_urls_event() -> None:
    event = function_url_event(REQUEST)
    assert (event["rawPath"], event["requestContext"]["http"]["path"]) == ("/a%20b/", "/a b/")
    assert event["headers"]["cookie"] == "c=1; d=2"
    assert event["requestContext"]["domainName"].endswith(".lambda-url.us-east-1.on.aws")


def test_a_rest_apis_event() -> None:
    event = rest_api_event(REQUEST)
    assert (event["path"], event["requestContext"]["path"]) == ("/a%20b/", "/a%20b/")
    assert (event["resource"], event["pathParameters"]) == ("/{proxy+}", {"proxy": "a%20b"})
    assert event["multiValueQueryStringParameters"] == {"x": ["1", "a+b"], "e": [""]}
    assert event["queryStringParameters"] == {"x": "a+b", "e": ""}
    assert (event["headers"]["X-A"], event["multiValueHeaders"]["X-A"]) == ("2", ["1", "2"])
    root = rest_api_event(HTTPRequest(method="GET", path="/"))
    assert (root["resource"], root["pathParameters"], root["body"]) == ("/", None, None)
    assert root["queryStringParameters"] is None


def test_a_load_balancers_event() -> None:
    event = alb_event(REQUEST)
    assert event["queryStringParameters"] == {"x": "a%2Bb", "e": ""}
    assert event["headers"]["x-a"] == "2"
    assert "multiValueHeaders" not in event


@pytest.mark.parametrize(
    ("content_type", "body", "encoded"),
    [
        ("text/html", b"x", False),
        ("application/json; charset=utf-8", b"x", False),
        ("application/x-www-form-urlencoded", b"x", True),
        ("text/html", b"\xff", True),
        (None, b"x", True),
    ],
)
def test_which_bodies_are_base64(content_type: str | None, body: bytes, encoded: bool) -> None:
    headers = (("Content-Type", content_type),) if content_type else ()
    request = HTTPRequest(method="POST", path="/", headers=headers, body=body)
    assert http_api_event(request)["isBase64Encoded"] is encoded
    assert alb_event(request)["isBase64Encoded"] is encoded
    compressed = HTTPRequest(method="POST", path="/", headers=(*headers, ("Content-Encoding", "br")), body=body)
    assert alb_event(compressed)["isBase64Encoded"] is True
    assert rest_api_event(request)["isBase64Encoded"] is (body == b"\xff")


def get(path: str, *headers: tuple[str, str]) -> HTTPRequest:
    return HTTPRequest(method="GET", path=path, headers=headers)


def test_a_function_url_is_open_to_anybody() -> None:
    assert function_url_event(REQUEST)["requestContext"]["accountId"] == "anonymous"


def test_a_stage_with_a_name() -> None:
    settings = EventSettings(stage="prod")
    event = http_api_event(REQUEST, settings)
    assert (event["rawPath"], event["requestContext"]["stage"]) == ("/prod/a b/", "prod")
    assert event["requestContext"]["http"]["path"] == "/prod/a b/"
    older = http_api_v1_event(REQUEST, settings)
    assert (older["path"], older["requestContext"]["path"], older["requestContext"]["stage"]) == (
        "/prod/a b/",
        "/prod/a b/",
        "prod",
    )
    rest = rest_api_event(REQUEST, settings)
    assert (rest["path"], rest["requestContext"]["path"]) == ("/a%20b/", "/prod/a%20b/")
    assert http_api_v1_event(REQUEST)["requestContext"]["stage"] == "$default"


def test_slashes_after_the_stage_of_a_rest_api() -> None:
    event = rest_api_event(get("//x//y/"), EventSettings(stage="prod"))
    assert (event["path"], event["requestContext"]["path"]) == ("/x//y/", "/prod//x//y/")
    assert event["pathParameters"] == {"proxy": "x//y"}


@pytest.mark.parametrize(("path", "whole", "proxy"), [("/", "/v1", None), ("/a%20b", "/v1/a%20b", {"proxy": "a%20b"})])
def test_the_mapping_of_a_domain_to_a_rest_api(path: str, whole: str, proxy: dict[str, str] | None) -> None:
    event = rest_api_event(get(path), EventSettings(base_path="/v1", stage="prod"))
    assert (event["path"], event["requestContext"]["path"], event["pathParameters"]) == (whole, whole, proxy)
    assert event["requestContext"]["stage"] == "prod"


def test_headers_that_a_rest_api_does_not_hand_on() -> None:
    request = get("/", ("Content-Length", "0"), ("TE", "trailers"), ("Max-Forwards", "1"), ("x-Own", "1"))
    headers = rest_api_event(request)["headers"]
    assert sorted(headers) == ["X-Amzn-Trace-Id", "X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "x-Own"]


def test_a_semicolon_separates_too_at_a_rest_api() -> None:
    request = HTTPRequest(method="GET", path="/", query_string="a=1;b=2")
    assert rest_api_event(request)["queryStringParameters"] == {"a": "1", "b": "2"}
    assert http_api_event(request)["queryStringParameters"] == {"a": "1;b=2"}


def test_multi_value_headers_of_a_load_balancer() -> None:
    event = alb_event(REQUEST, EventSettings(multi_value_headers=True))
    assert event["multiValueQueryStringParameters"] == {"x": ["1", "a%2Bb"], "e": [""]}
    assert event["multiValueHeaders"]["x-a"] == ["1", "2"]
    assert not {"headers", "queryStringParameters"} & set(event)


def test_cloudfronts_events() -> None:
    event = origin_request_event(REQUEST)["Records"][0]["cf"]
    assert event["request"]["headers"]["x-a"] == [{"key": "X-A", "value": "1"}, {"key": "X-A", "value": "2"}]
    assert event["request"]["body"]["data"] == "/w=="
    assert "origin" in event["request"]
    viewer = viewer_request_event(get("/"))["Records"][0]["cf"]
    assert (viewer["config"]["eventType"], "body" in viewer["request"]) == ("viewer-request", False)


def test_lattices_events() -> None:
    assert vpc_lattice_v1_event(REQUEST)["headers"]["x-a"] == "1, 2"
    assert vpc_lattice_v2_event(REQUEST)["headers"]["x-forwarded-for"] == ["192.0.2.9", "192.0.2.1"]
    assert vpc_lattice_v2_event(REQUEST)["queryStringParameters"] == {"x": ["1", "a+b"], "e": [""]}


@pytest.mark.parametrize("source", sorted(EVENT_BUILDERS))
def test_every_event_is_served(source: str) -> None:
    app = Recorder()
    event = EVENT_BUILDERS[source](REQUEST, EventSettings())
    Mangum(app)(json.loads(json.dumps(event)), None)
    assert (app.scope["method"], app.scope["path"]) == ("POST", "/a b/")


SAMPLES = {
    "http-api": "apiGatewayProxyV2Event_GET.json",
    "rest-api": "apiGatewayProxyEvent.json",
    "alb": "albEvent.json",
    "vpc-lattice-v1": "vpcLatticeEvent.json",
    "vpc-lattice": "vpcLatticeV2Event.json",
}
# What only some APIs have, and what samples of other years have in excess.
NOT_ALWAYS = {
    "pathParameters",
    "stageVariables",
    "authorizer",
    "authentication",
    "cookies",
    "body",
    "version",
    "messageId",
}


@pytest.mark.parametrize("source", sorted(SAMPLES))
def test_an_event_has_the_keys_of_aws_own(source: str) -> None:
    sample = json.loads(Path(__file__).parent.joinpath("events", "http", SAMPLES[source]).read_text())
    event = EVENT_BUILDERS[source](REQUEST, EventSettings())
    assert set(sample) - set(event) <= NOT_ALWAYS
    assert set(event) - set(sample) <= NOT_ALWAYS | {"rawQueryString", "queryStringParameters"}
    theirs: dict[str, Any] = sample.get("requestContext") or {}
    ours: dict[str, Any] = event.get("requestContext") or {}
    assert set(theirs) - set(ours) <= NOT_ALWAYS


class TestWebSockets:
    """What the events say is what `mangum.websocket.event` reads in them."""

    CLIENT = websocket.Client(
        connection_id="L0SM9cOFvHcCIhw=",
        connected_at_ms=1_783_000_000_000,
        domain="127.0.0.1:8000",
        stage="dev",
        source_ip="192.0.2.1",
        user_agent=None,
    )

    @staticmethod
    def read(event: dict[str, Any]) -> WebSocketEvent:
        return WebSocketEvent(json.loads(json.dumps(event)), None, Config(dsn="memory://"))

    @given(
        query=st.lists(
            st.tuples(st.text("aé+&= %", min_size=1, max_size=5), st.text("bü+&= %", max_size=5)), max_size=3
        ),
        value=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=9).map(str.strip),
        subprotocols=st.lists(st.from_regex(r"[a-z.]{1,5}", fullmatch=True), max_size=3),
    )
    def test_a_handshake(self, query: list[tuple[str, str]], value: str, subprotocols: list[str]) -> None:
        offered = [("Sec-WebSocket-Protocol", ", ".join(subprotocols))] if subprotocols else []
        request = HTTPRequest(
            method="GET",
            path="/dev",
            query_string=urlencode(query),
            headers=(("Host", "127.0.0.1:8000"), ("Upgrade", "websocket"), ("X-Value", value), *offered),
            client="192.0.2.1",
            port=8000,
        )
        event = self.read(websocket.connect(self.CLIENT, request))
        handshake = event.handshake()
        assert event.endpoint_url == "http://127.0.0.1:8000/dev"
        assert sorted(parse_qsl(handshake.query_string.decode(), keep_blank_values=True)) == sorted(query)
        assert [b"x-value", value.encode()] in handshake.headers
        assert handshake.subprotocols == subprotocols
        assert (handshake.client, handshake.server, handshake.scheme) == ("192.0.2.1", ("127.0.0.1", 8000), "ws")
        assert b"upgrade" not in [name for name, _ in handshake.headers]

    @given(data=st.text(st.characters(codec="utf-8")) | st.binary())
    def test_a_message(self, data: str | bytes) -> None:
        kind = "text" if isinstance(data, str) else "bytes"
        event = self.read(websocket.message(self.CLIENT, "$default", data))
        assert event.message() == {"type": "websocket.receive", kind: data}
        assert event.connection_id == self.CLIENT.connection_id

    @given(code=st.integers(1000, 4999), reason=st.text(st.characters(codec="utf-8"), max_size=40))
    def test_an_end(self, code: int, reason: str) -> None:
        event = self.read(websocket.disconnect(self.CLIENT, code, reason))
        assert event.message() == {"type": "websocket.disconnect", "code": code, "reason": reason}
