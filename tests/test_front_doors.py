"""What is peculiar to each front door, as AWS documents it."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from mangum import Mangum
from mangum.config import Config
from mangum.handlers import headers, origin
from mangum.handlers.alb import ALB
from mangum.handlers.api_gateway import APIGateway, HTTPGateway, HTTPGatewayV1, HTTPGatewayV2
from mangum.handlers.function_url import FunctionURL
from mangum.handlers.lambda_at_edge import LambdaAtEdge
from mangum.local.events.lambda_at_edge import origin_request_event
from mangum.local.events.requests import API_DOMAIN, API_ID, HTTPRequest
from mangum.types import Headers
from tests.apps import Context, Recorder
from tests.sources import BY_NAME, FrontDoor


def get(path: str = "/", query_string: str = "", *headers: tuple[str, str]) -> HTTPRequest:
    return HTTPRequest(method="GET", path=path, query_string=query_string, headers=headers, scheme="https", port=443)


def received(event: Any, **arguments: Any) -> Recorder:
    app = Recorder()
    with Mangum(app, lifespan="off", **arguments) as handler:
        handler(event, None)
    return app


def answered(event: Any, status: int = 200, headers: Headers | None = None, body: bytes = b"", **arguments: Any) -> Any:
    with Mangum(Recorder(status, headers or [], body), lifespan="off", **arguments) as handler:
        return handler(event, None)


def test_the_whole_scope() -> None:
    event = BY_NAME["http-api-2.0"].event(get("/caf%C3%A9", "q=%20", ("Host", "example.org"), ("Cookie", "a=1; b=2")))
    event["headers"].pop("x-amzn-trace-id")
    context = Context()
    assert HTTPGateway(event, context, Config()).scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": "/café",
        "raw_path": b"/caf%C3%A9",
        "root_path": "",
        "query_string": b"q=%20",
        "headers": [
            [b"host", b"example.org"],
            [b"x-forwarded-for", b"127.0.0.1"],
            [b"x-forwarded-port", b"443"],
            [b"x-forwarded-proto", b"https"],
            [b"cookie", b"a=1; b=2"],
        ],
        "client": ("127.0.0.1", 0),
        "server": ("example.org", 443),
        "aws.event": event,
        "aws.context": context,
    }


# API Gateway


@pytest.mark.parametrize("domain", ["localhost", "127.0.0.1:3000", "[::1]:3000", "offlineContext_domainName", None])
@pytest.mark.parametrize("name", ["http-api-2.0", "http-api-1.0"])
def test_an_emulator_hands_the_path_over_as_it_was_sent(name: str, domain: str | None) -> None:
    event = BY_NAME[name].event(get("/a%2525b"))
    event["requestContext"]["domainName"] = domain
    event["headers"] = {"host": "127.0.0.1:3000"}
    event.pop("multiValueHeaders", None)
    event["rawPath"] = event["path"] = event["requestContext"].setdefault("http", {})["path"] = "/a%2525b"
    scope = received(event).scope
    assert (scope["path"], scope["raw_path"], scope["scheme"]) == ("/a%25b", b"/a%2525b", "http")
    assert scope["server"] == ("127.0.0.1", 3000)


def test_aws_hands_the_path_of_an_http_api_over_decoded() -> None:
    event = BY_NAME["http-api-2.0"].event(get("/a%2525b", "", ("Host", "localhost")))
    assert event["rawPath"] == "/a%25b"
    scope = received(event).scope
    assert (scope["path"], scope["raw_path"]) == ("/a%25b", b"/a%2525b")


@pytest.mark.parametrize("name", ["rest-api", "http-api-1.0", "http-api-2.0", "function-url", "alb"])
def test_an_empty_or_bare_path_becomes_absolute(name: str) -> None:
    event = BY_NAME[name].event(get("/"))
    for path, expected in (("", "/"), ("x", "/x")):
        if "rawPath" in event:
            event["requestContext"]["http"]["path"] = path
        scope = received(event | {key: path for key in ("path", "rawPath") if key in event}).scope
        assert (scope["path"], scope["raw_path"]) == (expected, expected.encode())


@pytest.mark.parametrize("name", ["http-api-2.0", "function-url"])
def test_the_path_of_the_request_context_stands_in_for_a_missing_raw_path(name: str) -> None:
    event = BY_NAME[name].event(get("/caf%C3%A9"))
    del event["rawPath"]
    assert received(event).scope["raw_path"] == b"/caf%C3%A9"
    del event["requestContext"]["http"]["path"]
    assert received(event).scope["path"] == "/"


def test_text_beyond_ascii_in_a_sent_path_is_quoted() -> None:
    event = BY_NAME["rest-api"].event(get("/")) | {"path": "/café%20x"}
    scope = received(event).scope
    assert (scope["path"], scope["raw_path"]) == ("/café x", b"/caf%C3%A9%20x")


def test_octets_that_are_no_text_stay_in_the_raw_path() -> None:
    scope = received(BY_NAME["function-url"].event(get("/%FF"))).scope
    assert (scope["path"], scope["raw_path"]) == ("/\ufffd", b"/%FF")


def test_rest_takes_headers_from_both_maps() -> None:
    event = BY_NAME["rest-api"].event(get())
    event["headers"] = {"Host": "example.org", "X-Only": "single", "X-Both": "last"}
    event["multiValueHeaders"] = {"Host": ["example.org"], "X-Both": ["first", "last"], "X-Null": [None]}
    headers = received(event).scope["headers"]
    assert [b"x-only", b"single"] in headers
    assert [value for name, value in headers if name == b"x-both"] == [b"first", b"last"]


def test_a_null_among_header_values_is_left_out() -> None:
    event = BY_NAME["http-api-2.0"].event(get())
    event["headers"] = {"a": None, "b": "2", "c": ["3", None, "4"]}
    assert received(event).scope["headers"] == [[b"b", b"2"], [b"c", b"3"], [b"c", b"4"]]


def test_a_plain_string_in_the_multi_value_map_is_one_value() -> None:
    event = BY_NAME["rest-api"].event(get()) | {"headers": None, "multiValueHeaders": {"a": "text", "b": ["1"]}}
    assert received(event).scope["headers"] == [[b"a", b"text"], [b"b", b"1"]]


def test_rest_falls_back_to_the_single_query_map() -> None:
    event = BY_NAME["rest-api"].event(get())
    event |= {"multiValueQueryStringParameters": None, "queryStringParameters": {"a b": "c&d", "e": None}}
    assert received(event).scope["query_string"] == b"a+b=c%26d&e="


def test_names_are_compared_without_case() -> None:
    event = BY_NAME["rest-api"].event(get())
    event |= {"headers": {"HOST": "a.b:81", "x-forwarded-PROTO": "http"}, "multiValueHeaders": None}
    scope = received(event).scope
    assert (scope["server"], scope["scheme"]) == (("a.b", 81), "http")


@pytest.mark.parametrize(
    ("host", "port", "server"),
    [
        ("[::1]:8080", "443", ("::1", 8080)),
        ("[2001:db8::1]", "443", ("2001:db8::1", 443)),
        ("example.org:", "8443", ("example.org", 8443)),
        ("example.org", "no", ("example.org", 443)),
        ("example.org:8080", "443", ("example.org", 8080)),
        ("example.org:00080", "443", ("example.org", 80)),
        ("EXAMPLE.org", "65535", ("EXAMPLE.org", 65535)),
        ("example.org", "0", ("example.org", 443)),
        ("example.org", "65536", ("example.org", 443)),
        ("example.org", "-1", ("example.org", 443)),
        ("example.org", "٤٤٣", ("example.org", 443)),
        ("example.org", "9" * 10_000, ("example.org", 443)),
        ("caf%C3%A9.example", None, ("caf%C3%A9.example", 443)),
        ("192.0.2.1", None, ("192.0.2.1", 443)),
    ],
)
def test_server(host: str | None, port: str | None, server: tuple[str, int]) -> None:
    event = BY_NAME["http-api-2.0"].event(get())
    event["headers"] = {"host": host, "x-forwarded-port": port, "x-forwarded-proto": "https"}
    assert received(event).scope["server"] == server


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        ":80",
        "a b",
        "a/b",
        "user@a",
        "a?b",
        "é.example",
        "a%2",
        "a\n",
        "a:x",
        "a:0",
        "a:65536",
        "a:1:2",
        "::1",
        "[::1",
        "[]",
        "[1.2.3.4]",
        "[::1]x",
        "[fe80::1%eth0]",
        "[12345::]",
        "a" * 262,
    ],
)
def test_a_host_that_is_none_gives_way_to_the_domain_of_the_event(host: str | None) -> None:
    for name, server in (("rest-api", (API_DOMAIN, 8443)), ("http-api-2.0", (API_DOMAIN, 8443)), ("alb", None)):
        event = BY_NAME[name].event(get())
        event["headers"] = {"Host": host, "X-Forwarded-Port": "8443", "X-Forwarded-Proto": "https"}
        event.pop("multiValueHeaders", None)
        assert received(event).scope["server"] == server
    edge = origin_request_event(get("/", "", *([("Host", host)] if host else [])))
    assert received(edge).scope["server"] == (f"{API_ID}.cloudfront.net", 443)
    edge["Records"][0]["cf"]["config"] = {"distributionDomainName": 5}
    assert received(edge).scope["server"] is None


@pytest.mark.parametrize("proto", ["", "ftp", "HTTP", "javascript", "https, http", "http\r\nx: y", None])
def test_a_scheme_that_is_none_of_the_four_is_https(door: FrontDoor, proto: str | None) -> None:
    headers = [] if proto is None else [("x-forwarded-proto", proto), ("cloudfront-forwarded-proto", proto)]
    event = door.event(get("/", "", ("Host", "example.org"), *headers))
    for key in ("headers", "multiValueHeaders"):
        if key in event and door.name not in ("vpc-lattice-1", "vpc-lattice-2"):
            for name in ("x-forwarded-proto", "X-Forwarded-Proto"):
                event[key].pop(name, None)
            event[key]["x-forwarded-proto"] = proto
    scope = received(event).scope
    assert (scope["scheme"], scope["server"]) == ("https", ("example.org", 443))


@pytest.mark.parametrize(("proto", "port"), [("http", 80), ("https", 443), ("ws", 80), ("wss", 443)])
def test_each_scheme_has_its_port(proto: str, port: int) -> None:
    event = BY_NAME["alb"].event(get())
    event["headers"] = {"host": "example.org", "x-forwarded-proto": proto}
    scope = received(event).scope
    assert (scope["scheme"], scope["server"]) == (proto, ("example.org", port))


@pytest.mark.parametrize("name", ["lambda-at-edge", "vpc-lattice-1", "vpc-lattice-2"])
def test_a_port_that_the_client_sends_is_not_taken(name: str) -> None:
    event = BY_NAME[name].event(get("/", "", ("Host", "example.org"), ("X-Forwarded-Port", "8080")))
    assert received(event).scope["server"] == ("example.org", 443)


def test_a_client_that_the_event_does_not_tell_has_no_name(door: FrontDoor) -> None:
    event = door.event(get())
    for key in ("headers", "multiValueHeaders"):
        if key in event:
            event[key] = {}
    context = event.get("requestContext", {})
    context.pop("identity", None)
    context.get("http", {}).pop("sourceIp", None)
    if "Records" in event:
        event["Records"][0]["cf"]["request"]["clientIp"] = None
    assert received(event).scope["client"] == ("", 0)


@pytest.mark.parametrize(
    "names", [("cookie", "cookie"), ("Cookie", "cookie"), ("COOKIE", "cookie"), ("Cookie", "Cookie")]
)
def test_several_cookie_fields_become_one(door: FrontDoor, names: tuple[str, str]) -> None:
    if door.keeps_last or door.name == "vpc-lattice-1":
        return  # what AWS has lost or joined already
    request = get(
        "/", "", ("Host", "example.org"), (names[0], "a=1; b=2"), ("X-A", "1"), (names[1], "c=3"), ("X-A", "2")
    )
    for _ in range(2):  # with new names, and with known ones
        scope = received(door.event(request)).scope
        cookies = [value for name, value in scope["headers"] if name == b"cookie"]
        assert cookies == [b"a=1; b=2; c=3"]
        if door.joins_headers is None:
            assert [value for name, value in scope["headers"] if name == b"x-a"] == [b"1", b"2"]


@pytest.mark.parametrize("names", [("Cookie", "cookie"), ("cOOkie", "COOKIE"), ("Cookie", "cOOkie")])
@pytest.mark.parametrize("name", ["rest-api", "http-api-1.0", "http-api-2.0", "alb", "vpc-lattice-1"])
def test_a_cookie_in_two_spellings_is_one_field(name: str, names: tuple[str, str]) -> None:
    event = BY_NAME[name].event(get())
    event |= {"headers": {names[0]: "a=1", "x": "1", names[1]: "b=2"}}
    event.pop("multiValueHeaders", None)
    for _ in range(2):
        assert received(event).scope["headers"] == [[b"cookie", b"a=1; b=2"], [b"x", b"1"]]


@pytest.mark.parametrize("name", ["rest-api", "alb-multi", "vpc-lattice-2"])
def test_the_forwarded_addresses_are_one_list(name: str) -> None:
    event = BY_NAME[name].event(get())
    event.pop("multiValueHeaders", None)
    lists = {"X-Forwarded-For": ["forged", "192.0.2.1"], "x-forwarded-for": ["192.0.2.2"]}
    event["headers" if name == "vpc-lattice-2" else "multiValueHeaders"] = lists
    for _ in range(2):
        headers = received(event).scope["headers"]
        assert headers.count([b"x-forwarded-for", b"forged, 192.0.2.1, 192.0.2.2"]) == 1
        assert [name for name, _ in headers].count(b"x-forwarded-for") == 1


def test_fields_that_may_come_once_only_are_not_joined() -> None:
    event = BY_NAME["alb-multi"].event(get())
    lists = {"host": ["a", "b"], "content-type": ["c", "d"], "authorization": ["e", "f"], "if-match": ["g", "h"]}
    event["multiValueHeaders"] = lists
    assert received(event).scope["headers"] == [
        [name.encode(), value.encode()] for name, values in lists.items() for value in values
    ]


def test_http_api_cookies_replace_the_header_of_a_function_url() -> None:
    event = BY_NAME["function-url"].event(get("/", "", ("Cookie", "a=1; b=2")))
    event["headers"]["cookie"] = "a=1,b=2"
    assert [pair for pair in received(event).scope["headers"] if pair[0] == b"cookie"] == [[b"cookie", b"a=1; b=2"]]


@pytest.mark.parametrize(
    ("protocol", "version"), [("HTTP/1.0", "1.0"), ("HTTP/2", "2"), ("HTTP/1.1", "1.1"), (None, "1.1")]
)
def test_http_version(protocol: str | None, version: str) -> None:
    event = BY_NAME["function-url"].event(get())
    event["requestContext"]["http"]["protocol"] = protocol
    assert received(event).scope["http_version"] == version


def test_payload_v2_answers_with_the_fields_that_there_are() -> None:
    event = BY_NAME["http-api-2.0"].event(get())
    assert answered(event, 204) == {
        "statusCode": 204,
        "body": "",
        "headers": {"content-type": "application/json"},
        "isBase64Encoded": False,
    }
    assert answered(event, 204, exclude_headers=["Content-Type"]) == {
        "statusCode": 204,
        "body": "",
        "isBase64Encoded": False,
    }
    assert answered(event, headers=[[b"set-cookie", b"a"], [b"x", b"1"], [b"x", b"2"]])["cookies"] == ["a"]


def test_payload_v1_answers_with_both_maps() -> None:
    headers: Headers = [[b"X-A", b"1"], [b"x-b", b"1"], [b"X-B", b"2"], [b"set-cookie", b"c"]]
    answer = answered(BY_NAME["rest-api"].event(get()), 200, headers, b"\x00")
    assert answer == {
        "statusCode": 200,
        "headers": {"x-a": "1", "set-cookie": "c"},
        "multiValueHeaders": {"x-b": ["1", "2"]},
        "body": "AA==",
        "isBase64Encoded": True,
    }


def test_one_class_for_what_mangum_0_22_has_in_one() -> None:
    payloads: dict[str, Any] = {
        "http-api-1.0": HTTPGatewayV1,
        "http-api-2.0": HTTPGatewayV2,
        "function-url": FunctionURL,
    }
    for name, payload in payloads.items():
        event = BY_NAME[name].event(get())
        assert HTTPGateway.infer(event, Context(), Config())
        context = Context()
        handler = HTTPGateway(event, context, Config())
        assert isinstance(handler, HTTPGateway)
        assert isinstance(handler, payload)
        assert handler.scope == payload(event, context, Config()).scope
        assert handler.streams is payload.streams
    assert not HTTPGateway.infer(BY_NAME["rest-api"].event(get()), Context(), Config())


def test_a_handler_takes_the_dict_that_mangum_0_22_gave_it() -> None:
    config = {"api_gateway_base_path": "api", "text_mime_types": ["text/"], "exclude_headers": ["x-a"]}
    handler = APIGateway(BY_NAME["rest-api"].event(get("/api/x")), Context(), config)
    assert handler.scope["path"] == "/x"
    answer = handler({"status": 200, "headers": [[b"x-a", b"1"], [b"content-type", b"text/x"]], "body": b"t"})
    assert answer["headers"] == {"content-type": "text/x"}


# ALB


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("forged, 192.0.2.1:5123", "192.0.2.1"),
        ("forged, 2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:99", "2001:db8::1"),
        ("<script>", ""),
        ("999.1.1.1", ""),
        ("1.2.3", ""),
        ("1.2.3.4\xe9", ""),
        ("2001:db8::1::2", ""),
        ("[localhost]", ""),
        ("unknown", ""),
        ("1" * 3_000, ""),
        ("192.0.2.1,", ""),
    ],
)
def test_the_client_is_the_last_that_the_load_balancer_saw(forwarded: str, client: str) -> None:
    event = BY_NAME["alb"].event(get())
    event["headers"]["x-forwarded-for"] = forwarded
    assert received(event).scope["client"] == (client, 0)


def test_a_health_check_has_no_host_and_no_address() -> None:
    event = BY_NAME["alb"].event(get()) | {"headers": {"user-agent": "ELB-HealthChecker/2.0"}}
    scope = received(event).scope
    assert (scope["server"], scope["client"], scope["scheme"]) == (None, ("", 0), "https")


def test_alb_passes_the_query_through_as_it_is() -> None:
    event = BY_NAME["alb"].event(get("/", "q=a%2Bb+c&empty="))
    assert received(event).scope["query_string"] == b"q=a%2Bb+c&empty="


def test_single_mode_spells_each_cookie_differently() -> None:
    cookies: Headers = [[b"set-cookie", str(number).encode()] for number in range(512)]
    answer = answered(BY_NAME["alb"].event(get()), 200, [*cookies, [b"x", b"1"], [b"x", b"2"]])
    spellings = [name for name in answer["headers"] if name.lower() == "set-cookie"]
    assert [answer["headers"][name] for name in spellings] == [str(number) for number in range(512)]
    assert answer["headers"]["x"] == "1, 2"


def test_more_cookies_than_spellings_are_an_error(caplog: pytest.LogCaptureFixture) -> None:
    cookies: Headers = [[b"set-cookie", b"x"]] * 513
    assert answered(BY_NAME["alb"].event(get()), 200, cookies)["statusCode"] == 500
    assert "513 cookies" in caplog.text


def test_multi_mode_shows_even_without_headers() -> None:
    event = BY_NAME["alb-multi"].event(get()) | {"multiValueHeaders": {}}
    assert answered(event, 200, [[b"a", b"1"], [b"a", b"2"]])["multiValueHeaders"] == {"a": ["1", "2"]}
    assert ALB.infer(event, Context(), Config())


# Lambda@Edge


def test_every_value_and_cookie_at_the_edge() -> None:
    headers: Headers = [[b"set-cookie", b"a"], [b"Set-Cookie", b"b"], [b"content-type", b"image/png"]]
    answer = answered(origin_request_event(get()), 201, headers, b"\x89")
    assert answer == {
        "status": "201",
        "headers": {
            "set-cookie": [{"key": "set-cookie", "value": "a"}, {"key": "set-cookie", "value": "b"}],
            "content-type": [{"key": "content-type", "value": "image/png"}],
        },
        "body": "iQ==",
        "bodyEncoding": "base64",
    }


def test_headers_that_cloudfront_refuses_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    headers: Headers = [[b"content-length", b"0"], [b"x-cache", b"hit"], [b"x-edge-y", b"1"], [b"x-ok", b"1"]]
    assert list(answered(origin_request_event(get()), 200, headers)["headers"]) == ["x-ok"]
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.args for record in warnings] == [("x-cache",), ("x-edge-y",)]


def test_the_edge_sends_no_body_with_204() -> None:
    assert answered(origin_request_event(get()), 204, [], b"x")["body"] == ""


def test_a_cut_off_body_is_refused() -> None:
    event = origin_request_event(HTTPRequest(method="POST", path="/", body=b"half"))
    event["Records"][0]["cf"]["request"]["body"]["inputTruncated"] = True
    app = Recorder()
    with Mangum(app, lifespan="off") as handler:
        assert handler(event, None)["status"] == "413"
    assert app.scope == {}


def test_the_scheme_that_the_viewer_used() -> None:
    event = origin_request_event(get("/", "", ("CloudFront-Forwarded-Proto", "http"), ("Host", "example.org")))
    scope = received(event).scope
    assert (scope["scheme"], scope["server"]) == ("http", ("example.org", 80))
    assert LambdaAtEdge.infer(event, Context(), Config())


# VPC Lattice


def test_the_query_map_stands_in_where_the_path_has_no_query() -> None:
    event = BY_NAME["vpc-lattice-2"].event(get("/x"))
    event["queryStringParameters"] = {"a b": ["1", "%32"], "c": None}
    assert received(event).scope["query_string"] == b"a%20b=1&a%20b=%32&c="


# All of them


def test_excluded_headers_are_never_sent(door: FrontDoor) -> None:
    headers: Headers = [[b"X-Powered-By", b"x"], [b"x-ok", b"1"], [b"content-type", b"text/plain"]]
    answer = answered(door.event(get()), 200, headers, b"text", exclude_headers=["x-powered-BY"])
    _, pairs, body = door.read(answer)
    assert body == b"text"
    assert {name for name, _ in pairs} == {"x-ok", "content-type"}


def test_values_beyond_utf8_are_latin1(door: FrontDoor) -> None:
    _, pairs, _ = door.read(answered(door.event(get()), 200, [[b"x-name", b"caf\xe9"], [b"x-utf8", "é".encode()]]))
    assert {("x-name", "café"), ("x-utf8", "é")} <= set(pairs)


@pytest.mark.parametrize(
    ("headers", "misfit"),
    [
        ([["x-a", "text"]], "(str, str)"),
        ([[b"a", b"\xff"], [b"b", "c"]], "(bytes, str)"),
        ([b"x-a"], "(bytes)"),
        ([[b"a", b"b", b"c"]], "(bytes, bytes, bytes)"),
    ],
)
def test_headers_that_are_no_pairs_of_bytes(headers: Any, misfit: str, caplog: pytest.LogCaptureFixture) -> None:
    assert answered(BY_NAME["rest-api"].event(get()), 200, headers)["statusCode"] == 500
    assert misfit in caplog.text


@pytest.mark.parametrize(
    ("content_type", "encoding", "body", "is_base64"),
    [
        ("text/html", None, b"<p>", False),
        ("text/html", None, b"\xff", True),
        ("TEXT/HTML; charset=utf-8", None, b"<p>", False),
        ("application/json", None, b"{}", False),
        ("application/problem+json", None, b"{}", False),
        ("application/vnd.oai.openapi+json;version=3.0", None, b"{}", False),
        ("image/x-text/foo", None, b"x", True),
        ("application/jsonlines", None, b"x", True),
        ("application/octet-stream", None, b"x", True),
        ("application/octet-stream", None, b"", False),
        ("application/yaml", None, b"x", False),
        ("model/x", None, b"x", False),
        ("text/plain", "gzip", b"x", True),
        ("text/plain", "br", b"x", True),
        ("text/plain", "identity", b"x", False),
        ("text/plain", "", b"x", False),
    ],
)
def test_text_and_binary(content_type: str, encoding: str | None, body: bytes, is_base64: bool) -> None:
    headers: Headers = [[b"content-type", content_type.encode()]]
    if encoding is not None:
        headers.append([b"content-encoding", encoding.encode()])
    event = BY_NAME["rest-api"].event(get())
    answer = answered(event, 200, headers, body, text_mime_types=["application/yaml", "model/*"])
    assert answer["isBase64Encoded"] is is_base64


def test_a_body_without_a_type_is_binary_except_for_payload_v2() -> None:
    assert answered(BY_NAME["rest-api"].event(get()), body=b"x")["isBase64Encoded"] is True
    assert answered(BY_NAME["http-api-2.0"].event(get()), body=b"{}")["isBase64Encoded"] is False


@pytest.mark.parametrize("body", ["aGVsbG8=", "aGVs\r\nbG8=\n"])
def test_base64_in_lines(body: str) -> None:
    event = BY_NAME["alb"].event(get()) | {"body": body, "isBase64Encoded": True}
    assert received(event).body == b"hello"


def test_bytes_as_body_of_a_hand_made_event() -> None:
    event = BY_NAME["alb"].event(get())
    assert received(event | {"body": b"hello"}).body == b"hello"
    assert received(event | {"body": b"aGVsbG8=", "isBase64Encoded": True}).body == b"hello"


def test_a_text_that_is_no_base64_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "mangum"):
        event = BY_NAME["alb"].event(get()) | {"body": "héllo", "isBase64Encoded": True}
        assert received(event).body == "héllo".encode()
    assert "taken as text" in caplog.text


# A Content-Length for what has a body


def test_a_body_without_content_length_gets_one_on_its_way_only() -> None:
    event = BY_NAME["rest-api"].event(HTTPRequest(method="POST", path="/", body=b"12345"))
    assert [b"content-length", b"5"] in received(event).scope["headers"]
    assert all(name != b"content-length" for name, _ in APIGateway(event, Context(), Config()).scope["headers"])


def test_a_content_length_that_is_there_stays() -> None:
    event = BY_NAME["http-api-2.0"].event(
        HTTPRequest(method="POST", path="/", headers=(("Content-Length", "5"),), body=b"12345")
    )
    assert [pair for pair in received(event).scope["headers"] if pair[0] == b"content-length"] == [
        [b"content-length", b"5"]
    ]


def test_answers_are_json(door: FrontDoor) -> None:
    answer = answered(door.event(get()), 200, [[b"a", b"b"]], b"\x00\xff")
    assert json.loads(json.dumps(answer)) == answer


def test_the_memory_of_header_names_is_bounded() -> None:
    many = [f"x-{number}" for number in range(2_000)]
    event = BY_NAME["http-api-2.0"].event(get())
    event["headers"] = dict.fromkeys(many, "v")
    assert [name.decode() for name, _ in received(event).scope["headers"]] == many
    answer = answered(event, 200, [[name.encode(), b"v"] for name in many])
    assert list(answer["headers"])[: len(many)] == many
    assert max(len(headers._encoded_names), len(headers._decoded_names)) <= 1024


def test_what_is_long_is_not_kept() -> None:
    name, host = "x-" + "n" * 5_000, "h" * 5_000
    event = BY_NAME["http-api-2.0"].event(get())
    event["headers"] = {"host": host, "x-forwarded-proto": "https", "x-forwarded-port": "1" * 5_000, name: "v"}
    misses = origin._server.cache_info().misses
    assert [name.encode(), b"v"] in received(event).scope["headers"]
    assert origin._server.cache_info().misses <= misses + 1  # of the event's domain
    content_type = b"text/plain; x=" + b"y" * 5_000
    app = Recorder(200, [[name.encode(), b"v"], [b"content-type", content_type]], b"text")
    with Mangum(app, lifespan="off") as handler:
        for _ in range(2):
            answer = handler(event, None)
        assert handler.config.text_mime_types._cached_match.cache_info().currsize == 0  # type: ignore[attr-defined]
    assert (answer["headers"][name], answer["body"]) == ("v", "text")
    assert max(map(len, [*headers._encoded_names, *headers._decoded_names])) <= 128


def test_the_maps_of_headers_may_have_different_names() -> None:
    event = BY_NAME["rest-api"].event(get()) | {"headers": {"a": "1"}, "multiValueHeaders": {"b": ["2"]}}
    for _ in range(2):  # with new names, and with known ones
        assert received(event).scope["headers"] == [[b"b", b"2"], [b"a", b"1"]]


def test_null_in_place_of_a_list_of_values() -> None:
    event = BY_NAME["rest-api"].event(get()) | {"headers": {"a": "1"}, "multiValueHeaders": {"a": None}}
    assert received(event).scope["headers"] == []


def test_an_application_that_sends_no_headers_at_all() -> None:
    assert answered(BY_NAME["rest-api"].event(get()), 200, [])["headers"] == {}


def test_a_domain_that_only_begins_like_a_local_one_is_aws() -> None:
    event = BY_NAME["http-api-2.0"].event(get("/a%2541"))
    event["requestContext"]["domainName"] = "localhost-tools.example.com"
    assert received(event).scope["path"] == "/a%41"


def test_an_edge_event_without_a_configuration_has_the_larger_limit() -> None:
    event = origin_request_event(get())
    event["Records"][0]["cf"]["config"] = "x"
    assert answered(event, 200, [], b"a" * 60_000)["status"] == "200"
