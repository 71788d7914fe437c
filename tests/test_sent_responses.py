"""What of an application's response may go out: the head is checked, for every front door and for streams."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mangum import Mangum
from mangum.exceptions import EventFailed, InvalidResponse
from mangum.handlers import handler_class, headers
from mangum.handlers.headers import decode_headers
from mangum.handlers.sources import source_of
from mangum.local.events.requests import HOP_BY_HOP, HTTPRequest
from mangum.types import Headers, Receive, Scope, Send
from tests.apps import Recorder
from tests.sources import BY_NAME, FrontDoor
from tests.test_replies import Recorded

GET = HTTPRequest(method="GET", path="/x")
HTML = [b"content-type", b"text/html"]
TCHAR = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def answered(door: FrontDoor, status: int, headers: Headers) -> tuple[int, dict[str, str], bytes]:
    with Mangum(Recorder(status, headers, b"body"), lifespan="off") as handler:
        got_status, pairs, body = door.read(handler(door.event(GET), None))
    return got_status, dict(pairs), body


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def is_refused(door: FrontDoor, status: int, headers: Headers) -> bool:
    return answered(door, status, headers)[::2] == (500, b"Internal Server Error")


@pytest.mark.parametrize(
    "value", [b"hunter2\r\nset-cookie: a=b", b"hunter2\n", b"\rhunter2", b"hunter2\0", b"\xff\n hunter2"]
)
def test_a_value_with_a_line_break_or_nul_is_a_500(
    door: FrontDoor, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):  # with a new name, and with a known one
        assert is_refused(door, 200, [HTML, [b"X-Broken", value], [b"x-fine", b"1"]])
    message = "GET /x: The value of the response header 'x-broken' has a line break or NUL (RFC 9110, section 5.5)."
    assert errors(caplog) == [message, message]
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    "name", [b"", b"a b", b"a:", b"a\r\nb", b"\0", b"caf\xc3\xa9", b"\xe2\x84\xaa", b"a(b)", b'"a"', b"a/b"]
)
def test_a_name_that_is_no_token_is_a_500(door: FrontDoor, name: bytes, caplog: pytest.LogCaptureFixture) -> None:
    assert is_refused(door, 200, [HTML, [name, b"hunter2"]])
    (message,) = errors(caplog)
    assert "GET /x: The response has a header whose name is no token" in message
    assert message.isprintable()
    assert "hunter2" not in caplog.text
    assert name not in headers._decoded_names


@pytest.mark.parametrize("status", [-1, 0, 1, 99, 100, 101, 103, 199, 600, 999, 2**70, True])
def test_a_status_that_is_not_final_is_a_500(door: FrontDoor, status: int, caplog: pytest.LogCaptureFixture) -> None:
    assert is_refused(door, status, [HTML])
    assert f"GET /x: The response has the status {status}, which is not one from 200 to 599." in errors(caplog)


@pytest.mark.parametrize("status", [200, 599])
def test_the_first_and_the_last_status(door: FrontDoor, status: int) -> None:
    assert answered(door, status, [HTML])[0] == status


def test_hop_by_hop_headers_are_left_out(door: FrontDoor, caplog: pytest.LogCaptureFixture) -> None:
    own = [name for name in sorted(HOP_BY_HOP) if name != "expect"]
    sent: Headers = [[spelled.encode(), b"x"] for name in own for spelled in (name, name.title(), name.upper())]
    for _ in range(2):
        status, got, _ = answered(door, 200, [HTML, *sent, [b"x-ok", b"1"]])
        assert (status, got["x-ok"]) == (200, "1")
        assert not set(got) & set(own)
    assert errors(caplog) == []
    assert not {name.lower().decode() for name in headers._decoded_names} & set(own)


def test_an_event_that_is_answered_with_a_status_below_200_fails() -> None:
    with (
        Mangum(Recorder(101, []), event_path="/events", lifespan="off") as handler,
        pytest.raises(EventFailed, match="answered 101"),
    ):
        handler({"Records": [{"eventSource": "aws:sqs"}]}, None)


@given(
    pairs=st.lists(
        st.tuples(
            st.binary(min_size=1, max_size=4) | st.text("Xx-", min_size=1).map(str.encode),
            st.binary(max_size=6) | st.text("ab\r\n\0 ", max_size=4).map(str.encode),
        ),
        max_size=5,
    )
)
def test_what_is_decoded_can_be_sent(pairs: list[tuple[bytes, bytes]]) -> None:
    is_valid = all(
        not set(name) - set(TCHAR) and not set(value) & set(b"\r\n\0")
        for name, value in pairs
        if name.lower().decode("latin-1") not in HOP_BY_HOP
    )
    for _ in range(2):
        try:
            last, decoded = decode_headers(pairs)
        except InvalidResponse:
            assert not is_valid
        else:
            assert is_valid
            assert [name for name, _ in decoded] == [
                name.decode().lower() for name, _ in pairs if name.lower() not in (b"te",)
            ]
            assert last == dict(decoded)


# Streams


@pytest.mark.parametrize("name", ["rest-api", "function-url"])
@pytest.mark.parametrize(
    ("status", "pairs"), [(200, [[b"x-broken", b"hunter2\n"]]), (200, [[b"x broken", b"hunter2"]]), (101, [])]
)
def test_a_prelude_has_only_what_can_be_sent(name: str, status: int, pairs: Headers) -> None:
    event = BY_NAME[name].event(GET)
    of_source: Any = handler_class(source_of(event))
    handler = of_source(event, None, {})
    with pytest.raises(InvalidResponse):
        handler.prelude(status, pairs)
    assert b"chunked" not in handler.prelude(200, [[b"Transfer-Encoding", b"chunked"]])


@pytest.mark.anyio
@pytest.mark.parametrize("swallows", [True, False])
async def test_a_stream_that_cannot_begin_is_a_500(swallows: bool, caplog: pytest.LogCaptureFixture) -> None:
    reply = Recorded()
    raised: list[Exception] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-broken", b"hunter2\n")]})
        try:
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
        except InvalidResponse as error:
            raised.append(error)
            if not swallows:
                raise

    async with Mangum(app, lifespan="off") as handler:
        await handler.invoke(BY_NAME["function-url"].event(GET), None, reply)
    assert reply.log == ["begins", b"Internal Server Error", "ends"]
    assert len(raised) == 1
    assert "GET /x: The value of the response header 'x-broken' has a line break or NUL" in errors(caplog)[0]
    assert "hunter2" not in errors(caplog)[0]
