"""Whatever an event looks like: an answer, or an error of mangum's that names what is wrong with it."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mangum import Mangum
from mangum.exceptions import EventError, InvalidEvent, UnsupportedEvent
from mangum.local.events.requests import HTTPRequest
from tests.apps import Recorder, hello
from tests.sources import BY_NAME, FRONT_DOORS, FrontDoor

REQUEST = HTTPRequest(
    method="POST",
    path="/a%20b",
    query_string="q=1&q=2",
    headers=(("Host", "example.org"), ("Cookie", "a=1; b=2"), ("Content-Type", "text/plain"), ("X-Secret", "hunter2")),
    body=b"body",
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all fields of an event."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += places(item, (*path, key))
    return found


@given(door=st.sampled_from(FRONT_DOORS), data=st.data())
def test_a_damaged_field_is_named_or_does_not_matter(door: FrontDoor, data: st.DataObject) -> None:
    event = copy.deepcopy(door.event(REQUEST))
    path = data.draw(st.sampled_from(places(event)))
    parent = event
    for key in path[:-1]:
        parent = parent[key]
    if data.draw(st.booleans()):
        del parent[path[-1]]
    else:
        parent[path[-1]] = data.draw(json_values)
    arguments: dict[str, Any] = data.draw(st.sampled_from([{}, {"root_path": "auto"}, {"api_gateway_base_path": "/a"}]))
    with Mangum(hello, lifespan="off", **arguments) as handler:
        try:
            answer = handler(event, None)
        except InvalidEvent as error:
            named = re.findall(r"`([^`]*)`", str(error))
            assert named, error
            assert "hunter2" not in str(error)
            last_names = [str(key) for key in path if isinstance(key, str)]
            assert any(name.split(".")[0].split("[")[0] == last_names[0] for name in named), (named, path)
        except UnsupportedEvent:
            pass
        else:
            assert answer.get("statusCode", answer.get("status")) in (
                200,
                "200",
                "413",
            )  # 413: `inputTruncated` has become true


@given(event=json_values)
def test_what_is_no_event_is_refused(event: Any) -> None:
    with Mangum(hello, lifespan="off") as handler, pytest.raises(EventError):
        handler(event, None)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("http-api-2.0", {"requestContext": {"http": {"path": "/"}}}, "`requestContext.http.method` is missing"),
        ("http-api-2.0", {"requestContext": {"http": None}}, "`requestContext.http` is null, not an object"),
        ("http-api-2.0", {"requestContext": None}, "`requestContext` is null, not an object"),
        ("http-api-2.0", {"requestContext": []}, "`requestContext` is a list, not an object"),
        (
            "alb-multi",
            {"multiValueHeaders": {"host": {"k": "v"}}},
            "`multiValueHeaders.host` is an object, not a string",
        ),
        ("rest-api", {"path": ["hello"]}, "`path` is a list, not a string"),
        ("http-api-2.0", {"headers": "none"}, "`headers` is a string, not an object"),
        ("http-api-2.0", {"headers": {"a": 1}}, "`headers.a` is a number, not a string"),
        ("http-api-2.0", {"headers": {1: "a"}}, "`headers` has a key that is a number"),
        ("http-api-2.0", {"headers": {"\ud800": "a"}}, "no Unicode text"),
        ("http-api-2.0", {"cookies": {"a": 1}}, "`cookies` is an object, not a list"),
        ("http-api-2.0", {"cookies": ["a=1", None]}, "`cookies[1]` is null, not a string"),
        ("http-api-2.0", {"isBase64Encoded": "true"}, "`isBase64Encoded` is a string, not a boolean"),
        ("http-api-2.0", {"body": {"a": 1}}, "`body` is an object, not a string"),
        ("function-url", {"rawPath": "/\udfff"}, "`rawPath` has characters that are no Unicode text"),
        ("rest-api", {"httpMethod": None}, "`httpMethod` is null, not a string"),
        ("rest-api", {"multiValueHeaders": {"a": [1]}}, "`multiValueHeaders.a` is a list, not a string"),
        (
            "rest-api",
            {"multiValueQueryStringParameters": {"a": {"b": 1}}},
            "`multiValueQueryStringParameters.a` is an object",
        ),
        (
            "rest-api",
            {"multiValueQueryStringParameters": {"a": [[1]]}},
            "`multiValueQueryStringParameters.a` is a list",
        ),
        ("alb", {"queryStringParameters": {"a": {"b": 1}}}, "`queryStringParameters.a` is an object"),
        ("alb", {"path": 5}, "`path` is a number, not a string"),
        ("lambda-at-edge", {"Records": [{"cf": 5}]}, "`Records[0].cf` is a number, not an object"),
        ("lambda-at-edge", {"Records": [{"cf": None}]}, "`Records[0].cf.request` is missing"),
        ("lambda-at-edge", {"Records": [{"cf": {}}]}, "`Records[0].cf.request` is missing"),
        (
            "lambda-at-edge",
            {"Records": [{"cf": {"request": {"method": "GET", "headers": {"a": [{}]}}}}]},
            "`Records[0].cf.request.headers.a[0].value` is missing",
        ),
        (
            "lambda-at-edge",
            {"Records": [{"cf": {"request": {"method": "GET", "headers": {"a": ["x"]}}}}]},
            "`Records[0].cf.request.headers.a[0]` is a string, not an object",
        ),
        ("vpc-lattice-1", {"raw_path": {}}, None),
        ("vpc-lattice-2", {"method": 1}, "`method` is a number, not a string"),
    ],
)
def test_the_message_names_the_field(name: str, change: dict[str, Any], message: str | None) -> None:
    event = BY_NAME[name].event(REQUEST) | change
    with Mangum(hello, lifespan="off") as handler:
        if message is None:
            assert handler(event, None)["statusCode"] == 200
        else:
            with pytest.raises(InvalidEvent, match=re.escape(message)):
                handler(event, None)


def test_an_error_that_no_field_explains_is_still_mangums() -> None:
    class Odd(str):
        def startswith(self, *args: Any) -> bool:
            raise ValueError

    event = BY_NAME["http-api-2.0"].event(REQUEST) | {"rawPath": Odd("/")}
    event["requestContext"]["http"]["path"] = Odd("/")
    with Mangum(hello, lifespan="off") as handler, pytest.raises(InvalidEvent, match="could not be read"):
        handler(event, None)


@pytest.mark.parametrize("empty", [None, {}, ""])
def test_absent_null_and_empty_are_the_same(door: FrontDoor, empty: object) -> None:
    event = door.event(HTTPRequest(method="GET", path="/"))
    for key in ("headers", "multiValueHeaders", "queryStringParameters", "multiValueQueryStringParameters", "cookies"):
        if key in event:
            event[key] = empty
    for key in ("body", "pathParameters", "stageVariables"):
        event[key] = empty
    event["isBase64Encoded"] = None
    app = Recorder()
    with Mangum(app, lifespan="off") as handler:
        handler(event, None)
    assert app.scope["query_string"] == b""
    assert app.body == b""


@pytest.mark.parametrize(
    "event",
    [
        {"type": "TOKEN", "methodArn": "arn:aws:execute-api:…", "authorizationToken": "t"},
        {"type": "REQUEST", "methodArn": "arn", **BY_NAME["rest-api"].event(REQUEST)},
        {"type": "REQUEST", "routeArn": "arn", **BY_NAME["http-api-2.0"].event(REQUEST)},
    ],
)
@pytest.mark.parametrize("event_path", [None, "/events"])
def test_an_authorizers_event_is_never_a_request(event: dict[str, Any], event_path: str | None) -> None:
    with Mangum(hello, event_path=event_path) as handler, pytest.raises(UnsupportedEvent, match="authorizer"):
        handler(event, None)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ([], "It is a list, not an object."),
        ({"b": 1, "a": 2}, "fields are: a, b"),
        ({}, "fields are: none"),
        ({"\ud800\r\n": 1}, "fields are: '\\ud800\\r\\n'."),
        ({"Records": [{"cf": {"request": {}, "response": {}}}]}, "Lambda@Edge response"),
        ({"Records": [{"eventSource": 5}]}, "no kind known"),
        ({"Records": []}, "no kind known"),
        ({"version": "2.0", "requestContext": {}}, "no kind known"),
        ({"httpMethod": "GET", "path": "/"}, "fields are: httpMethod, path"),
        ({"RequestType": "Create", "ResponseURL": "https://…"}, "CloudFormation"),
        ({"version": "1.0", "requestContext": {"functionArn": "arn"}}, "destination record"),
    ],
)
def test_what_is_not_served_is_named(event: Any, message: str) -> None:
    with Mangum(hello) as handler, pytest.raises(UnsupportedEvent, match=re.escape(message)):
        handler(event, None)
