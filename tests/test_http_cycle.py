"""The request/response cycle, as an application sees it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup

from mangum import Mangum
from mangum.exceptions import UnexpectedMessage
from mangum.local.events.requests import HTTPRequest
from mangum.types import ASGI, Message, Receive, Scope, Send
from tests.apps import TEXT, Context, Sender, read_body, respond
from tests.sources import BY_NAME

EVENT = BY_NAME["http-api-2.0"].event(HTTPRequest(method="POST", path="/x", body=b"request"))
ERROR = {
    "statusCode": 500,
    "headers": {"content-type": "text/plain; charset=utf-8"},
    "body": "Internal Server Error",
    "isBase64Encoded": False,
}
START: Message = {"type": "http.response.start", "status": 200, "headers": TEXT}


def body(content: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


def call(app: ASGI, context: Any = None) -> Any:
    with Mangum(app, lifespan="off") as handler:
        return handler(EVENT, context)


def test_a_body_in_chunks_is_one_body() -> None:
    answer = call(Sender(START, body(b"a", more=True), body(b"b", more=True), body(b"c")))
    assert (answer["statusCode"], answer["body"]) == (200, "abc")


def test_what_may_be_left_out_and_other_kinds_of_bytes() -> None:
    assert call(Sender({"type": "http.response.start", "status": 204}, {"type": "http.response.body"}))["body"] == ""
    for kind in (bytearray, memoryview):
        assert call(Sender(START, {"type": "http.response.body", "body": kind(b"abc")}))["body"] == "abc"


def test_headers_may_be_any_iterable() -> None:
    headers = ((name, value) for name, value in TEXT)
    assert call(Sender({"type": "http.response.start", "status": 200, "headers": headers}, body(b"x")))["body"] == "x"


def test_receive_gives_the_body_and_then_waits_for_the_response() -> None:
    seen: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(await receive())

        async def wait_for_disconnect() -> None:
            seen.append(await receive())
            seen.append({"type": "the response was complete", "value": complete})

        complete = False
        async with asyncio.TaskGroup() as group:
            group.create_task(wait_for_disconnect())
            group.create_task(wait_for_disconnect())
            await asyncio.sleep(0)
            await send(START)
            await asyncio.sleep(0)
            complete = True
            await send(body())
        seen.append(await receive())

    call(app)
    disconnect = {"type": "http.disconnect"}
    complete = {"type": "the response was complete", "value": True}
    assert seen == [
        {"type": "http.request", "body": b"request", "more_body": False},
        disconnect,
        complete,
        disconnect,
        complete,
        disconnect,
    ]


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([body()], "Unexpected http.response.body: a response begins with http.response.start."),
        ([START, START], "Unexpected http.response.start: the response has been started."),
        ([START, body(), body()], "Unexpected http.response.body: the response is complete."),
        ([{"type": "http.response.start"}], "needs an integer `status`, not None"),
        ([START, {"type": "http.response.body", "body": "text"}], "needs a `body` of bytes, not str"),
        ([{"type": "websocket.accept"}], "Unexpected websocket.accept"),
    ],
)
def test_a_message_out_of_order_raises_in_send(messages: list[Message], error: str) -> None:
    raised: list[UnexpectedMessage] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            for message in messages:
                await send(message)
        except UnexpectedMessage as exc:
            raised.append(exc)
            raise

    answer = call(app)
    assert error in str(raised[0])
    assert answer == ERROR or answer["statusCode"] == 200


def test_an_exception_is_a_500_and_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(body(b"half", more=True))
        raise KeyError("cause")

    assert call(app) == ERROR
    assert "KeyError: 'cause'" in caplog.text


def test_a_complete_response_stands(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, body=b"done")
        raise KeyError("after the response")

    assert call(app)["body"] == "done"
    assert "after the response" in caplog.text


@pytest.mark.parametrize(
    ("messages", "words"),
    [([], "had started a response to POST /x"), ([START, body(more=True)], "had completed a response to POST /x")],
)
def test_an_application_that_ends_without_a_response(
    messages: list[Message], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert call(Sender(*messages)) == ERROR
    assert words in caplog.text


def test_a_cancelled_error_of_the_applications_own_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task

    assert call(app, Context()) == ERROR
    assert "CancelledError" in caplog.text


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_an_exit_is_not_a_500(kind: type[BaseException]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if await read_body(receive):
            raise kind(3)

    with Mangum(app, lifespan="off") as handler:
        with pytest.raises(kind):
            handler(EVENT, None)
        with pytest.raises(kind):
            handler(EVENT, Context())


def test_one_line_about_each_request(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mangum"):
        call(Sender(START, body()))
    assert caplog.messages == ["POST /x 200"]


def test_a_path_cannot_forge_a_line(caplog: pytest.LogCaptureFixture) -> None:
    event = BY_NAME["function-url"].event(HTTPRequest(method="GET", path="/x%0AGET%20/y"))
    with caplog.at_level(logging.INFO, "mangum"), Mangum(Sender(START, body()), lifespan="off") as handler:
        handler(event, None)
    assert caplog.messages == ["GET '/x\\nGET /y' 200"]


@pytest.mark.parametrize("method", ["G\r\nGET /Y", "G\ud800", "G\u2028"], ids=ascii)
def test_a_method_cannot_forge_a_line(method: str, caplog: pytest.LogCaptureFixture) -> None:
    event = BY_NAME["function-url"].event(HTTPRequest(method="GET", path="/x"))
    event["requestContext"]["http"]["method"] = method
    with caplog.at_level(logging.INFO, "mangum"), Mangum(Sender(START, body()), lifespan="off") as handler:
        handler(event, None)
    assert caplog.messages == [f"{method!a} /x 200"]


@pytest.mark.parametrize(
    ("arguments", "has_group"),
    [({"lifespan": "off"}, False), ({"lifespan": "off", "dsn": "sqlite://:memory:"}, True), ({}, True)],
    ids=["neither", "a store", "a lifespan"],
)
def test_a_request_with_a_store_or_a_lifespan_has_a_task_group(
    arguments: dict[str, Any], has_group: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[TaskGroup] = []

    def create() -> TaskGroup:
        groups.append(anyio.create_task_group())
        return groups[-1]

    with Mangum(Sender(START, body()), **arguments) as handler:
        monkeypatch.setattr("mangum.core.invocation._task_groups", lambda: create)
        assert handler(EVENT, Context())["statusCode"] == 200
    assert bool(groups) is has_group
