"""Events that are not HTTP, POSTed to the application."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI

from mangum import Mangum
from mangum.config import Config
from mangum.exceptions import ConfigurationError, EventFailed, InvalidEvent
from mangum.handlers.posted_event import PostedEvent
from mangum.local.events.requests import HTTPRequest
from mangum.types import ASGI, Headers
from tests.apps import Context, Recorder, WithLifespan
from tests.sources import BY_NAME, FrontDoor

JSON: Headers = [[b"Content-Type", b"application/json; charset=utf-8"]]
QUEUE = {"Records": [{"eventSource": "aws:sqs", "messageId": "1", "body": "\ud83d\ude00"}]}


def post(status: int, headers: Headers, body: bytes, event: Any = QUEUE, **arguments: Any) -> Any:
    with Mangum(Recorder(status, headers, body), event_path="/_aws/events", **arguments) as handler:
        return handler(event, Context())


def test_the_json_of_the_response_is_what_lambda_gets() -> None:
    failures = b'{"batchItemFailures": [{"itemIdentifier": "1"}]}'
    assert post(200, JSON, failures) == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert post(200, [[b"content-type", b"application/problem+json"]], b"[1]") == [1]


def test_a_response_without_json_is_null(caplog: pytest.LogCaptureFixture) -> None:
    assert post(204, [], b"") is None
    assert caplog.messages == []
    assert post(200, [[b"content-type", b"text/plain"]], b"123") is None
    assert post(200, [], b"123") is None
    assert "The response to an SQS event is 'text/plain', not JSON: Lambda gets null." in caplog.messages


@pytest.mark.parametrize("headers", [[[b"x"]], ["x"], [["a", "b"]], [[b"a\n", b"b"]]])
@pytest.mark.parametrize("body", [b"", b"{}"])
def test_headers_that_no_response_can_have_fail(headers: Any, body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(EventFailed, match="answered 500"):
        post(200, headers, body)
    assert "header" in caplog.text


def test_json_that_cannot_be_read_fails() -> None:
    with pytest.raises(EventFailed, match="could not be read"):
        post(200, JSON, b"{")


@pytest.mark.parametrize("status", [307, 400, 404, 500, 503])
def test_an_error_status_fails_so_that_lambda_retries(status: int) -> None:
    with pytest.raises(EventFailed, match=f"answered {status} to an SQS event") as caught:
        post(status, JSON, b"{}")
    assert caught.value.status == status


def test_an_exception_fails_too() -> None:
    async def app(*args: Any) -> None:
        raise ValueError

    with Mangum(app, event_path="/_aws/events") as handler, pytest.raises(EventFailed, match="500"):
        handler(QUEUE, None)


@pytest.mark.parametrize("event", [{"action": "migrate"}, [1, 2], "text", 5, None])
def test_any_value_can_be_invoked(event: Any) -> None:
    assert post(200, JSON, b'"ok"', event) == "ok"


def test_a_websocket_event_is_not_posted() -> None:
    event = {"requestContext": {"connectionId": "x", "eventType": "MESSAGE"}, "body": "{}"}
    with pytest.raises(ConfigurationError, match="WebSocket"):
        post(200, JSON, b"{}", event)


@pytest.mark.parametrize(
    ("root_path", "path"), [("/api", "/api/_aws/events"), ("auto", "/_aws/events"), (None, "/_aws/events")]
)
def test_it_is_below_the_root_path(root_path: str | None, path: str) -> None:
    app = Recorder(200, JSON, b"{}")
    with Mangum(app, event_path="/_aws/events", root_path=root_path) as handler:
        handler(QUEUE, Context())
    assert (app.scope["path"], app.scope["raw_path"]) == (path, path.encode())
    assert app.scope["root_path"] == (root_path if root_path == "/api" else "")
    assert app.scope["headers"][:2] == [[b"host", b"lambda"], [b"content-type", b"application/json"]]


def test_the_lifespan_is_around_it() -> None:
    app = WithLifespan(Recorder(200, JSON, b"1"))
    with Mangum(app, event_path="/_aws/events") as handler:
        assert handler(QUEUE, Context()) == 1
    assert app.log == ["startup", "request", "shutdown"]


@pytest.mark.parametrize(
    "path",
    [
        "/_aws/events",
        "/_aws/events/",
        "//_aws//events//",
        "/_%61ws/%65vents",
        "/_AWS/Events",
        "/_aws/events%0A",
        "/_aws/events%20",
        "/_aws/ev%00ents",
        "/_aws/events%E2%80%8B",
        "/_aws%5Cevents",
        "/_aws/./events/.",
        "/_aws/x/../events",
        "/prod/_aws/events",
        "/a/b/_aws/events",
    ],
)
def test_a_request_from_outside_gets_404(door: FrontDoor, path: str, caplog: pytest.LogCaptureFixture) -> None:
    app = Recorder()
    with Mangum(app, lifespan="off", event_path="/_aws/events") as handler:
        status, _, body = door.read(handler(door.event(HTTPRequest(method="POST", path=path)), Context()))
    assert (status, body) == (404, b"Not Found")
    assert app.scope == {}
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "choose another event_path" in record.message
    assert record.message.isprintable()


@pytest.mark.parametrize(
    "path", ["/events", "/_aws/events/1", "/_aws/event", "/_aws-events", "/_aws", "/_aws/events/x/", "/"]
)
def test_other_requests_from_outside_reach_the_application(door: FrontDoor, path: str) -> None:
    app = Recorder()
    with Mangum(app, lifespan="off", event_path="/_aws/events") as handler:
        status, _, _ = door.read(handler(door.event(HTTPRequest(method="POST", path=path)), Context()))
    assert status == 200
    assert "aws.posted_event" not in app.scope


def fastapi(root_path: str) -> ASGI:
    app = FastAPI()
    app.root_path = root_path

    @app.post("/_aws/events")
    def consume() -> str:
        return "consumed"

    return app


@pytest.mark.parametrize("root_path", ["", "/prod"])
@pytest.mark.parametrize(
    "path",
    [
        "/_aws/events",
        "/prod/_aws/events",
        "/prod//_aws/events",
        "/PROD/_aws/events",
        "/_aws/events/",
        "/prod/_aws/events%0a",
    ],
)
def test_the_consumer_of_a_framework_with_a_root_path_is_out_of_reach(root_path: str, path: str) -> None:
    event = BY_NAME["function-url"].event(HTTPRequest(method="POST", path=path))
    with Mangum(fastapi(root_path), lifespan="off", event_path="/_aws/events") as handler:
        assert handler(event, Context())["statusCode"] == 404
        assert handler(QUEUE, Context()) == "consumed"


def test_a_posted_event_is_marked_in_the_scope() -> None:
    app = Recorder(200, JSON, b"1")
    with Mangum(app, lifespan="off", event_path="/_aws/events") as handler:
        handler(QUEUE, Context())
    assert app.scope["aws.posted_event"] is True


def test_a_request_from_outside_gets_404_below_the_root_path() -> None:
    app = Recorder()
    with Mangum(app, lifespan="off", event_path="/_aws/events", root_path="/api") as handler:
        for path in ("/_aws/events", "/api/_aws/events"):
            event = BY_NAME["function-url"].event(HTTPRequest(method="POST", path=path))
            assert handler(event, None)["statusCode"] == 404
        ok = BY_NAME["function-url"].event(HTTPRequest(method="POST", path="/api/_aws/events/1"))
        assert handler(ok, None)["statusCode"] == 200


def test_who_claims_an_event() -> None:
    assert PostedEvent.infer(QUEUE, Context(), Config(event_path="/_aws/events"))
    assert not PostedEvent.infer(QUEUE, Context(), Config())
    request = BY_NAME["alb"].event(HTTPRequest(method="GET", path="/"))
    assert not PostedEvent.infer(request, Context(), Config(event_path="/_aws/events"))


@pytest.mark.parametrize("path", ["/api/events", "/events"])
def test_an_event_path_that_is_written_with_the_root_path(path: str) -> None:
    with Mangum(Recorder(200, JSON, b"1"), event_path="/api/events", root_path="/api") as handler:
        assert handler(QUEUE, None) == 1
        assert handler(BY_NAME["function-url"].event(HTTPRequest(method="POST", path=path)), None)["statusCode"] == 404


def test_what_json_cannot_say_is_no_event() -> None:
    with pytest.raises(InvalidEvent, match="cannot be written as JSON"):
        post(200, JSON, b"1", b"bytes")
