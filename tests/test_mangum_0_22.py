"""What code that was written for mangum 0.22 sees: fields that wrappers and tests rewrite, and imports of handlers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from mangum import Mangum
from mangum.exceptions import InvalidResponse
from mangum.handlers.utils import (
    get_server_and_port,
    handle_base64_response_body,
    handle_exclude_headers,
    handle_multi_value_headers,
    maybe_encode_body,
    strip_api_gateway_path,
)
from mangum.local.events.payload_v2 import http_api_event
from mangum.local.events.requests import EventSettings, HTTPRequest
from mangum.types import LambdaHandler, Receive, Scope, Send
from tests.apps import Context, Recorder
from tests.sources import BY_NAME, FRONT_DOORS, FrontDoor


def scope_of(event: Any, **arguments: Any) -> Scope:
    app = Recorder()
    with Mangum(app, lifespan="off", **arguments) as handler:
        handler(event, None)
    return app.scope


def with_paths(name: str, raw_path: str | None, path: str | None, domain: str | None = None) -> dict[str, Any]:
    event = BY_NAME[name].event(HTTPRequest(method="GET", path="/"))
    event["rawPath"] = raw_path
    event["requestContext"]["http"]["path"] = path
    if domain is not None:
        event["requestContext"]["domainName"] = domain
    return event


# Paths that a wrapper has changed


@pytest.mark.parametrize("raw_path", ["/service-a/items", "/prod/service-a/items", "/", None, "/%2Fx"])
@pytest.mark.parametrize("name", ["http-api-2.0", "function-url"])
def test_a_path_that_a_wrapper_has_changed_counts(name: str, raw_path: str | None) -> None:
    scope = scope_of(with_paths(name, raw_path, "/items/a b%25"))
    assert (scope["path"], scope["raw_path"]) == ("/items/a b%25", b"/items/a%20b%2525")


@pytest.mark.parametrize("path", ["/a%b/c", "/a%b/c/", None, ""])
def test_an_http_api_without_a_change(path: str | None) -> None:
    scope = scope_of(with_paths("http-api-2.0", "/a%b/c", path))
    assert (scope["path"], scope["raw_path"]) == ("/a%b/c", b"/a%25b/c")


def test_a_question_mark_that_cuts_the_raw_path() -> None:
    assert scope_of(with_paths("http-api-2.0", "/a", "/a?b"))["raw_path"] == b"/a%3Fb"


@pytest.mark.parametrize(
    ("raw_path", "path"),
    [
        ("/a%20b", "/a b"),
        ("/a%20b", "/a%20b"),
        ("/a%2Fb", "/a/b"),
        ("/a+b", "/a b"),
        ("/a+b", "/a+b"),
        ("/a%2Bb%25", "/a+b%"),
        ("/a%2525b", "/a%25b"),
        ("/%FF", "/\ufffd"),
        ("/%FF", "/ÿ"),
        ("/%FF", "/%FF"),
        ("a", "/a"),
        ("/a", "/a/"),
        ("/a%20b/", "/a b"),
        ("/a", None),
        ("/a", ""),
    ],
)
def test_a_function_url_without_a_change(raw_path: str, path: str | None) -> None:
    expected = raw_path if raw_path.startswith("/") else f"/{raw_path}"
    assert scope_of(with_paths("function-url", raw_path, path))["raw_path"] == expected.encode()


@pytest.mark.parametrize("path", ["/a%2525b", "/a%25b"])
def test_an_emulator_has_the_path_in_either_form(path: str) -> None:
    scope = scope_of(with_paths("http-api-2.0", "/a%2525b", path, "localhost"))
    assert (scope["path"], scope["raw_path"]) == ("/a%25b", b"/a%2525b")


def test_a_wrapper_behind_an_emulator_changes_the_path_as_it_was_sent() -> None:
    scope = scope_of(with_paths("http-api-2.0", "/x/a%20b", "/a%20b", "localhost"))
    assert (scope["path"], scope["raw_path"]) == ("/a b", b"/a%20b")


def test_the_stage_of_an_http_api_is_in_both_fields() -> None:
    event = http_api_event(HTTPRequest(method="GET", path="/a%20b"), EventSettings(stage="prod"))
    assert event["rawPath"] == event["requestContext"]["http"]["path"] == "/prod/a b"
    scope = scope_of(event, root_path="auto")
    assert (scope["path"], scope["root_path"]) == ("/prod/a b", "/prod")
    event["requestContext"]["http"]["path"] = "/a b"  # a wrapper that takes the stage off
    scope = scope_of(event, root_path="auto")
    assert (scope["path"], scope["root_path"]) == ("/a b", "")


# Headers that somebody has changed


@pytest.mark.parametrize("name", ["rest-api", "http-api-1.0"])
def test_of_two_maps_of_headers_the_lists_count(name: str) -> None:
    event = BY_NAME[name].event(HTTPRequest(method="GET", path="/"))
    event["headers"] = {"A": "single", "B": "same"}
    for lists in ({"A": ["list"], "B": ["same"]}, {"A": ["list"], "b": ["same"]}, {"B": ["same"], "A": ["list"]}):
        event["multiValueHeaders"] = lists
        for _ in range(2):
            assert sorted(scope_of(event)["headers"]) == [[b"a", b"list"], [b"b", b"same"]]


@pytest.mark.parametrize("door", FRONT_DOORS, ids=lambda door: door.name)
@pytest.mark.parametrize("spelling", ["X-User-Id", "X-USER-ID"])
def test_a_header_that_a_wrapper_sets_in_another_spelling_replaces_the_clients(door: FrontDoor, spelling: str) -> None:
    """Else the application would read what the client has sent first."""
    event = door.event(HTTPRequest(method="GET", path="/", headers=(("host", "a"), ("x-user-id", "admin"))))
    records = event.get("Records")
    maps = (
        [records[0]["cf"]["request"]["headers"]] if records else [event.get("headers"), event.get("multiValueHeaders")]
    )
    for headers in filter(None, maps):
        value: Any = "verified"
        if records:
            value = [{"key": spelling, "value": value}]
        elif isinstance(headers["x-user-id"], list):
            value = [value]
        headers[spelling] = value
    found = [value for name, value in scope_of(event)["headers"] if name == b"x-user-id"]
    assert found == [b"verified"]


class View(Mapping[str, Any]):
    """An event as Powertools hands it to a function: a mapping, and no dict."""

    def __init__(self, event: dict[str, Any]) -> None:
        self._event = event

    def __getitem__(self, key: str) -> Any:
        return self._event[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._event)

    def __len__(self) -> int:
        return len(self._event)


@pytest.mark.parametrize("door", FRONT_DOORS, ids=lambda door: door.name)
def test_an_event_that_is_a_mapping_and_no_dict(door: FrontDoor) -> None:
    assert scope_of(View(door.event(HTTPRequest(method="GET", path="/items"))))["path"] == "/items"


def test_a_custom_handler_that_calls_the_init_of_its_base_with_anything() -> None:
    class Custom(LambdaHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args[3:])  # type: ignore[safe-super]

        infer: Any = classmethod(lambda cls, *args: True)
        body: Any = b""
        scope: Any = None
        __call__: Any = None

    assert Custom({}, None, {}).body == b""


@pytest.mark.parametrize("status", [500, 504])
def test_an_answer_of_mangums_own_has_a_line_in_the_log(status: int, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if status == 504:
            await asyncio.sleep(60)
        raise ValueError

    caplog.set_level("INFO")
    with Mangum(app, lifespan="off") as handler:
        event = BY_NAME["http-api-2.0"].event(HTTPRequest(method="GET", path="/items"))
        assert handler(event, Context(100))["statusCode"] == status
    assert f"GET /items {status}" in caplog.messages


def test_a_header_that_only_one_map_has() -> None:
    event = BY_NAME["rest-api"].event(HTTPRequest(method="GET", path="/"))
    event["headers"] = {"a": "1", "added": "2"}
    event["multiValueHeaders"] = {"A": ["1"], "also": ["3"]}
    assert scope_of(event)["headers"] == [[b"a", b"1"], [b"also", b"3"], [b"added", b"2"]]


# Queries that were made by hand


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("rest-api", b"i=0&f=1.5&t=True&n=&s=&l=1&l=&l=False&l=x+y"),
        ("http-api-1.0", b"i=0&f=1.5&t=True&n=&s=&l=1&l=&l=False&l=x+y"),
        ("alb", b"i=0&f=1.5&t=True&n=&s=&l=1&l=&l=False&l=x y"),
        ("vpc-lattice-1", b"i=0&f=1.5&t=True&n=&s=&l=1&l=&l=False&l=x%20y"),
    ],
)
@pytest.mark.parametrize("kind", [list, tuple])
def test_a_query_of_numbers_booleans_and_null(name: str, query: bytes, kind: Any) -> None:
    event = BY_NAME[name].event(HTTPRequest(method="GET", path="/"))
    parameters = {"i": 0, "f": 1.5, "t": True, "n": None, "s": "", "l": kind([1, None, False, "x y"])}
    for key in ("queryStringParameters", "multiValueQueryStringParameters", "query_string_parameters"):
        if key in event:
            event[key] = parameters
    assert scope_of(event)["query_string"] == query


def test_keys_of_a_query_that_are_numbers() -> None:
    event = BY_NAME["rest-api"].event(HTTPRequest(method="GET", path="/"))
    event["multiValueQueryStringParameters"] = {1: ["2"]}
    assert scope_of(event)["query_string"] == b"1=2"


# mangum.handlers.utils: the values are those of mangum 0.22


@pytest.mark.parametrize(
    ("body", "is_base64", "expected"),
    [
        (None, False, b""),
        ("", True, b""),
        (None, True, b""),
        ("é", False, "é".encode()),
        (b"x", False, b"x"),
        ("eA==", True, b"x"),
        (b"eA==", True, b"x"),
        ("e\nA!==", True, b"x"),
    ],
)
def test_maybe_encode_body(body: Any, is_base64: bool, expected: bytes) -> None:
    assert maybe_encode_body(body, is_base64=is_base64) == expected


@pytest.mark.parametrize("body", ["a", "é"])
def test_maybe_encode_body_of_no_base64(body: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        maybe_encode_body(body, is_base64=True)


@pytest.mark.parametrize(
    ("headers", "server"),
    [
        ({}, ("mangum", 80)),
        ({"host": "a.b"}, ("a.b", 80)),
        ({"host": "a.b", "x-forwarded-port": "443"}, ("a.b", 443)),
        ({"host": "a.b", "x-forwarded-port": 443}, ("a.b", 443)),
        ({"host": "a.b:8080", "x-forwarded-port": "443"}, ("a.b", 8080)),
        ({"Host": "a.b"}, ("mangum", 80)),
    ],
)
def test_get_server_and_port(headers: dict[str, Any], server: tuple[str, int]) -> None:
    assert get_server_and_port(headers) == server


@pytest.mark.parametrize("headers", [{"host": "a:x"}, {"x-forwarded-port": "x"}, {"host": "a:"}])
def test_get_server_and_port_of_no_number(headers: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        get_server_and_port(headers)


@pytest.mark.parametrize(
    ("path", "base_path", "expected"),
    [
        ("", "/", "/"),
        ("", "/api", "/"),
        ("/a%20b", "/", "/a b"),
        ("/a%20b", "", "/a b"),
        ("/a%20b", None, "/a b"),
        ("/api/x", "/api", "/x"),
        ("/api/x", "api", "/x"),
        ("/x/api", "/api", "/x/api"),
        ("/api", "/api", ""),
        ("/apiary", "api", "ary"),
        ("/api/x", "/api/", "x"),
        ("//x", "//", "x"),
    ],
)
def test_strip_api_gateway_path(path: str, base_path: str | None, expected: str) -> None:
    assert strip_api_gateway_path(path, api_gateway_base_path=base_path) == expected


def test_handle_multi_value_headers() -> None:
    headers = [[b"X-A", b"1"], [b"x-b", b"2"], [b"X-B", b"3"], [b"x-B", b"4"]]
    assert handle_multi_value_headers(headers) == ({"x-a": "1"}, {"x-b": ["2", "3", "4"]})
    assert handle_multi_value_headers([]) == ({}, {})
    with pytest.raises(InvalidResponse):  # mangum 0.22 lets it out
        handle_multi_value_headers([[b"x-a", b"1\r\n"]])


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"", "image/png", ("", False)),
        (b"<p>", "text/html; charset=utf-8", ("<p>", False)),
        (b"<p>", "x-text/html", ("<p>", False)),
        (b"\xff", "text/html", ("/w==", True)),
        (b"x", "image/png", ("eA==", True)),
        (b"x", None, ("eA==", True)),
    ],
)
def test_handle_base64_response_body(body: bytes, content_type: str | None, expected: tuple[str, bool]) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    assert handle_base64_response_body(body, headers, ["text/", "application/json"]) == expected


def test_handle_exclude_headers() -> None:
    config: Any = {"exclude_headers": ["x-a"]}
    assert handle_exclude_headers({"x-a": "1", "X-A": "2", "x-b": "3"}, config) == {"X-A": "2", "x-b": "3"}


def test_a_handler_from_the_imports_of_mangum_0_22() -> None:
    class Custom:
        def __init__(self, event: Any, context: Any, config: Any) -> None:
            self.event, self.config = event, config

        @classmethod
        def infer(cls, event: Any, context: Any, config: Any) -> bool:
            return "custom" in event

        @property
        def body(self) -> bytes:
            return maybe_encode_body(self.event.get("body"), is_base64=False)

        @property
        def scope(self) -> Scope:
            path = strip_api_gateway_path("/x", api_gateway_base_path=self.config["api_gateway_base_path"])
            return {"type": "http", "method": "GET", "path": path, "headers": [], "server": get_server_and_port({})}

        def __call__(self, response: Any) -> dict[str, Any]:
            headers, multi = handle_multi_value_headers(response["headers"])
            body, is_base64 = handle_base64_response_body(response["body"], headers, self.config["text_mime_types"])
            return {"headers": handle_exclude_headers(headers, self.config), "body": [body, is_base64], "multi": multi}

    app = Recorder(200, [[b"content-type", b"text/plain"], [b"x-a", b"1"]], b"text")
    with Mangum(app, lifespan="off", custom_handlers=[Custom], exclude_headers=["X-A"]) as handler:
        answer = handler({"custom": True, "body": "b"}, None)
    assert answer == {"headers": {"content-type": "text/plain"}, "body": ["text", False], "multi": {}}
    assert (app.scope["path"], app.body) == ("/x", b"b")
