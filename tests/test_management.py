"""Posting to WebSocket connections, against an endpoint on this machine that answers as API Gateway may."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from mangum.exceptions import ConfigurationError, ConnectionGone, ConnectionsError, MessageTooLarge
from mangum.websocket.management.api import ManagementAPI
from mangum.websocket.management.pool import Pool, Unreached
from tests.servers import HOST, free_port
from tests.servers.connections import (
    CUT,
    SILENCE,
    Answer,
    ConnectionsEndpoint,
    Raw,
    endpoint_process,
)
from tests.servers.tcp import serving

ID = "R0oXAdfD0kwCH6w="
LONG_AGO = 0.0

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_aws")]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that need not be waited for."""
    monkeypatch.setattr("mangum.websocket.management.api._FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr("mangum.websocket.management.api._LONGEST_PAUSE_S", 0.01)


@pytest.fixture
async def api() -> AsyncIterator[ManagementAPI]:
    api = ManagementAPI(None)
    yield api
    await api.close()


def within(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def post(api: ManagementAPI, endpoint: ConnectionsEndpoint, data: bytes = b"hello", to: str = ID) -> None:
    await api.post(endpoint.url, to, data, opened_at=LONG_AGO, due=None)


# What goes well


@pytest.mark.parametrize("connection_id", [ID, "a/b", "ünïcode ✓", "a%20b", "x" * 1024, "~-_.", "a b?c#d"])
@pytest.mark.parametrize(
    "data", [b"", b"hello", bytes(range(256)), b"x" * 128 * 1024], ids=["none", "text", "all", "128K"]
)
async def test_a_message_arrives_as_it_is(
    api: ManagementAPI, endpoint: ConnectionsEndpoint, connection_id: str, data: bytes
) -> None:
    await post(api, endpoint, data, connection_id)
    assert endpoint.posts == {connection_id: [data]}


async def test_the_id_is_encoded_in_the_path(api: ManagementAPI, endpoint: ConnectionsEndpoint) -> None:
    await post(api, endpoint)
    request = endpoint.requests[0]
    assert (request.method, request.target) == ("POST", "/test/%40connections/R0oXAdfD0kwCH6w%3D")
    host = endpoint.url.split("/")[2]
    assert request.headers == {"host": host, "user-agent": "mangum", "content-length": "5"}


@pytest.mark.parametrize(
    "answer",
    [
        204,
        Answer(200, b"{}"),
        Answer(200, b"as an emulator may", chunked=True),
        Answer(200, b"x" * 60_000),
        Answer(200, closes=True),
        Raw(b"HTTP/1.0 200 OK\r\n\r\nuntil the end", closes=True),
        Raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 408 Request Timeout\r\n\r\n"),
    ],
)
async def test_every_form_of_success_is_one(api: ManagementAPI, endpoint: ConnectionsEndpoint, answer: Any) -> None:
    endpoint.script(answer)
    await post(api, endpoint)
    await post(api, endpoint)
    assert endpoint.count == 2


async def test_messages_keep_their_order_and_share_a_connection(
    api: ManagementAPI, endpoint: ConnectionsEndpoint
) -> None:
    messages = [b"%d" % number for number in range(100)]
    for message in messages:
        await post(api, endpoint, message)
    assert endpoint.posts[ID] == messages
    assert endpoint.accepted == 1


async def test_no_more_than_64_connections_are_opened(api: ManagementAPI, endpoint: ConnectionsEndpoint) -> None:
    async with asyncio.TaskGroup() as tasks:
        for number in range(500):
            tasks.create_task(post(api, endpoint, to=f"{number}"))
    assert len(endpoint.posts) == 500
    assert endpoint.accepted == 64


async def test_stages_of_an_api_share_its_connections(api: ManagementAPI, endpoint: ConnectionsEndpoint) -> None:
    await post(api, endpoint)
    await api.post(endpoint.url + "/", ID, b"again", opened_at=LONG_AGO, due=None)
    assert endpoint.posts[ID] == [b"hello", b"again"]
    assert endpoint.accepted == 1


# Gone


async def test_a_connection_that_is_gone_is_gone_at_once(api: ManagementAPI, endpoint: ConnectionsEndpoint) -> None:
    endpoint.script(410, to=ID, always=True)
    with pytest.raises(ConnectionGone, match=ID) as caught:
        await post(api, endpoint)
    assert isinstance(caught.value, OSError)
    assert endpoint.count == 1
    await post(api, endpoint, to="another")
    assert endpoint.accepted == 1


async def test_a_connection_that_was_just_opened_may_not_be_there_yet(
    api: ManagementAPI, endpoint: ConnectionsEndpoint
) -> None:
    endpoint.script(410, 410, 410)
    await api.post(endpoint.url, ID, b"welcome", opened_at=time.time(), due=None)
    assert endpoint.posts[ID] == [b"welcome"]
    assert endpoint.count == 4


@pytest.mark.parametrize("ahead_s", [0, 3600], ids=["in time", "by a clock that is ahead"])
async def test_a_connection_that_was_just_opened_may_be_gone(
    api: ManagementAPI, endpoint: ConnectionsEndpoint, monkeypatch: pytest.MonkeyPatch, ahead_s: float
) -> None:
    monkeypatch.setattr("mangum.websocket.management.api._OPENING_S", 0.1)
    endpoint.script(410, always=True)
    opened_at = time.time()
    with pytest.raises(ConnectionGone):
        await api.post(endpoint.url, ID, b"welcome", opened_at=opened_at + ahead_s, due=None)
    assert time.time() >= opened_at + 0.1
    assert endpoint.count > 2


async def test_a_connection_that_may_still_open_is_not_called_gone(
    api: ManagementAPI, endpoint: ConnectionsEndpoint
) -> None:
    endpoint.script(410, always=True)
    with pytest.raises(ConnectionsError, match="in time: it answered 410") as caught:
        await api.post(endpoint.url, ID, b"welcome", opened_at=time.time(), due=within(0.05))
    assert not isinstance(caught.value, ConnectionGone)


# What may pass, and does or does not

TROUBLE = [
    pytest.param(429, "it answered 429 (Too Many Requests)", id="429"),
    pytest.param(408, "it answered 408", id="408"),
    pytest.param(500, "it answered 500", id="500"),
    pytest.param(Answer(503, b"<html>\n", closes=True), "it answered 503 (<html>)", id="503"),
    pytest.param(Answer(502, b'{"message":"a\\nb"}', chunked=True), "it answered 502 (a)", id="chunked"),
    pytest.param(CUT, "the connection was closed", id="cut"),
    pytest.param(Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab", closes=True), "was closed before", id="half"),
    pytest.param(Raw(b"HTTP/1.1 200 OK\r\ncontent-le"), "nothing was answered in time", id="slow"),
    pytest.param(Raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "invalid HTTP/1.1 response", id="no HTTP"),
    pytest.param(SILENCE, "nothing was answered in time", id="silence"),
]


@pytest.mark.parametrize(("answer", "text"), TROUBLE)
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
async def test_what_passes_costs_time_and_no_message(
    api: ManagementAPI,
    endpoint: ConnectionsEndpoint,
    monkeypatch: pytest.MonkeyPatch,
    answer: Any,
    text: str,
    warm: bool,
) -> None:
    monkeypatch.setattr("mangum.websocket.management.client._ATTEMPT_S", 0.1)
    if warm:
        await post(api, endpoint, b"first")
    endpoint.script(answer, answer)
    await post(api, endpoint)
    assert endpoint.posts[ID] == [b"first", b"hello"][not warm :]
    endpoint.script(answer, answer)
    await api.delete(endpoint.url, ID, due=None)
    assert endpoint.deleted == [ID]


@pytest.mark.parametrize(("answer", "text"), TROUBLE)
async def test_what_does_not_pass_is_an_error_when_time_is_up(
    api: ManagementAPI, endpoint: ConnectionsEndpoint, monkeypatch: pytest.MonkeyPatch, answer: Any, text: str
) -> None:
    monkeypatch.setattr("mangum.websocket.management.client._ATTEMPT_S", 0.1)
    endpoint.script(answer, always=True)
    due = within(0.3)
    with pytest.raises(ConnectionsError, match="did not take a POST") as caught:
        await api.post(endpoint.url, ID, b"hello", opened_at=LONG_AGO, due=due)
    assert text in str(caught.value)
    assert within(0) < due + 1
    assert endpoint.count > 1
    with pytest.raises(ConnectionsError, match="did not take a DELETE"):
        await api.delete(endpoint.url, ID, due=within(0.1))


@pytest.mark.parametrize("answer", [500, 503, CUT, SILENCE], ids=["500", "503", "cut", "silence"])
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
async def test_a_gateway_that_takes_a_message_and_fails_gets_it_few_times(
    api: ManagementAPI, endpoint: ConnectionsEndpoint, monkeypatch: pytest.MonkeyPatch, answer: Any, warm: bool
) -> None:
    """Each time may have delivered it, however much time is left and however many connections were kept."""
    if answer is SILENCE:
        monkeypatch.setattr("mangum.websocket.management.client._ATTEMPT_S", 0.1)
    if warm:
        async with asyncio.TaskGroup() as tasks:
            for number in range(10):
                tasks.create_task(post(api, endpoint, to=f"{number}"))
    before, accepted = endpoint.count, endpoint.accepted
    endpoint.script(answer, to=ID, always=True)
    with pytest.raises(ConnectionsError, match=r"did not take a POST .* in 4 attempts, though it may have: "):
        await post(api, endpoint)
    assert endpoint.count - before <= 5
    await endpoint.reached(lambda endpoint: endpoint.open_connections <= max(accepted, 1))


async def test_a_server_that_ends_while_it_has_a_message(api: ManagementAPI) -> None:
    with ConnectionsEndpoint() as endpoint:
        await post(api, endpoint)
    # The loop has not seen yet that the kept connection is closed.
    with pytest.raises(ConnectionsError, match=r"did not take a POST .* in time: .*Connect call failed"):
        await api.post(endpoint.url, ID, b"hello", opened_at=LONG_AGO, due=within(0.1))
    assert endpoint.posts[ID] == [b"hello"]


async def test_throttling_is_waited_for_however_often(api: ManagementAPI, endpoint: ConnectionsEndpoint) -> None:
    endpoint.script(*[500, 429] * 3, *[429] * 10)
    await post(api, endpoint)
    assert (endpoint.count, endpoint.posts[ID]) == (17, [b"hello"])


async def test_a_server_that_was_not_reached_is_tried_as_long_as_there_is_time(
    api: ManagementAPI, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "mangum.websocket.connections")
    with pytest.raises(ConnectionsError, match=r"in time: .*Connect call failed"):
        await api.post(f"http://{HOST}:{free_port()}", ID, b"hello", opened_at=LONG_AGO, due=within(0.2))
    assert len(caplog.messages) > 4


async def test_a_call_without_a_deadline_ends_too(
    api: ManagementAPI, endpoint: ConnectionsEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mangum.websocket.management.api._LONGEST_S", 0.1)
    endpoint.script(429, always=True)
    with pytest.raises(ConnectionsError):
        await post(api, endpoint)


async def test_a_deadline_limits_an_attempt(api: ManagementAPI, endpoint: ConnectionsEndpoint) -> None:
    await post(api, endpoint)  # on this connection an attempt has been given longer
    endpoint.script(SILENCE)
    start = within(0)
    with pytest.raises(ConnectionsError, match="nothing was answered in time"):
        await api.post(endpoint.url, ID, b"hello", opened_at=LONG_AGO, due=start + 0.1)
    assert within(0) < start + 2


async def test_an_attempt_has_its_time_from_its_own_start(
    api: ManagementAPI, endpoint: ConnectionsEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mangum.websocket.management.client._ATTEMPT_S", 0.1)
    await post(api, endpoint)
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.06)
    endpoint.script(SILENCE)
    start = within(0)
    await post(api, endpoint)
    assert start + 0.1 <= within(0)
    assert endpoint.accepted == 2


async def test_pauses_between_attempts_grow(
    api: ManagementAPI, endpoint: ConnectionsEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("mangum.websocket.management.api._LONGEST_PAUSE_S", 0.2)
    endpoint.script(*[429] * 4)
    start = within(0)
    await post(api, endpoint)
    pauses = within(0) - start
    assert (0.05 + 0.1 + 0.2 + 0.2) / 2 <= pauses < (0.05 + 0.1 + 0.2 + 0.2) + 1


async def test_a_server_that_is_not_there_is_an_error_in_time(api: ManagementAPI) -> None:
    due = within(0.1)
    with pytest.raises(ConnectionsError, match="Connect call failed") as caught:
        await api.post(f"http://{HOST}:{free_port()}", ID, b"hello", opened_at=LONG_AGO, due=due)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert within(0) < due + 1


# What will not pass


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        (400, ["does not know such a connection id", "400 (Invalid connectionId: x)"]),
        (
            403,
            [
                "403 (Forbidden)",
                "execute-api:ManageConnections on arn:aws:execute-api:us-east-1:*:*/*/POST/@connections/*",
                "`api_gateway_endpoint_url`",
            ],
        ),
        (404, ["execute-api:ManageConnections", "`api_gateway_endpoint_url`"]),
        (Answer(301, headers={"location": "/elsewhere"}), ["does not answer as API Gateway does: it answered 301"]),
        (Answer(426, b"\xff" + b"x" * 1000), ["426 (\ufffd" + "x" * 299 + "...)"]),
        (Answer(418, b"[]"), ["it answered 418 ([])"]),
        (Answer(418, b"[" * 60_000), ["it answered 418 ([[["]),
        (Answer(418, b'{"Message": 1}'), ["it answered 418 (1)"]),
    ],
)
async def test_a_refusal_is_an_error_at_once_that_says_what_to_do(
    api: ManagementAPI, endpoint: ConnectionsEndpoint, answer: Any, texts: list[str]
) -> None:
    endpoint.script(answer, always=True)
    with pytest.raises(ConnectionsError) as caught:
        await post(api, endpoint)
    for text in texts:
        assert text in str(caught.value)
    assert endpoint.count == 1


async def test_another_stage_is_an_error_that_names_the_endpoint(
    api: ManagementAPI, endpoint: ConnectionsEndpoint
) -> None:
    with pytest.raises(ConnectionsError, match="/elsewhere: it answered 404"):
        await api.post(f"{endpoint.url}/elsewhere", ID, b"hello", opened_at=LONG_AGO, due=None)


async def test_a_message_that_is_too_large_is_not_sent(api: ManagementAPI, endpoint: ConnectionsEndpoint) -> None:
    with pytest.raises(MessageTooLarge, match=r"has 131,073 bytes, and API Gateway carries 131,072"):
        await post(api, endpoint, b"x" * (128 * 1024 + 1))
    assert endpoint.count == 0


async def test_a_gateway_may_find_a_message_too_large(api: ManagementAPI, endpoint: ConnectionsEndpoint) -> None:
    endpoint.script(413)
    with pytest.raises(MessageTooLarge, match=r"has 5 bytes"):
        await post(api, endpoint)
    assert endpoint.count == 1


async def test_an_answer_to_half_a_request_does_not_harm_the_next() -> None:
    """A server that answers when it has seen the head, and does not care for the rest."""
    heads: list[bytes] = []

    async def serve(stream: SocketStream) -> None:
        async with stream:
            heads.append(await stream.receive(100))
            await stream.send(b"HTTP/1.1 413 No\r\ncontent-length: 0\r\n\r\n")
            await anyio.sleep_forever()

    async with serving(serve) as port:
        pool = Pool(HOST, port, None, most=1)
        for _ in range(2):
            request = b"POST / HTTP/1.1\r\n\r\n" + bytes(2**25)
            response = await pool.request(request, due=within(5), limit_s=5)
            assert response.status == 413
        await pool.close()
    assert [head[:4] for head in heads] == [b"POST", b"POST"]


@pytest.mark.parametrize(
    "url",
    [
        "wss://abc.execute-api.eu-west-1.amazonaws.com/prod",
        "localhost:3001",
        "https://a..b/prod",
        f"https://{'x' * 64}.example.com/prod",
        "https://host/\ud800",
    ],
)
async def test_what_is_no_endpoint_is_refused(api: ManagementAPI, url: str) -> None:
    """In a configuration when the adapter is built; in a record when something is posted there."""
    with pytest.raises(ConfigurationError, match="`api_gateway_endpoint_url` must look like"):
        ManagementAPI(None, url)
    with pytest.raises(ConnectionsError, match="`api_gateway_endpoint_url` must look like"):
        await api.post(url, ID, b"hello", opened_at=LONG_AGO, due=None)


# Closing a WebSocket connection


@pytest.mark.parametrize("answer", [200, 204, 404, 410])
async def test_a_connection_is_closed_whether_it_is_there_or_not(
    api: ManagementAPI, endpoint: ConnectionsEndpoint, answer: int
) -> None:
    endpoint.script(answer)
    await api.delete(endpoint.url, ID, due=None)
    assert endpoint.count == 1
    assert endpoint.requests[0].method == "DELETE"
    assert endpoint.deleted == [ID] * (answer < 300)


async def test_a_connection_may_not_be_closed_by_everybody(api: ManagementAPI, endpoint: ConnectionsEndpoint) -> None:
    endpoint.script(403)
    with pytest.raises(ConnectionsError, match=r"/DELETE/@connections/\*"):
        await api.delete(endpoint.url, ID, due=None)


# Connections that died


async def test_a_connection_that_the_server_closed_costs_no_message(
    api: ManagementAPI, endpoint: ConnectionsEndpoint
) -> None:
    async with asyncio.TaskGroup() as tasks:
        for _ in range(10):
            tasks.create_task(post(api, endpoint))
    endpoint.cut()
    await post(api, endpoint, b"after")
    assert endpoint.posts[ID] == [b"hello"] * 10 + [b"after"]


async def test_connections_that_fell_silent_cost_one_attempt(
    api: ManagementAPI, endpoint: ConnectionsEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mangum.websocket.management.client._ATTEMPT_S", 0.2)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(10):
            tasks.create_task(post(api, endpoint))
    endpoint.freeze()
    start = within(0)
    await post(api, endpoint, b"after")
    assert 0.2 <= within(0) - start < 2
    assert endpoint.posts[ID] == [b"hello"] * 10 + [b"after"]
    assert endpoint.accepted == 11


async def test_a_connection_that_says_something_unasked_is_not_used_again(
    api: ManagementAPI, endpoint: ConnectionsEndpoint
) -> None:
    await post(api, endpoint)
    endpoint.say(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n")
    await endpoint.reached(lambda endpoint: endpoint.open_connections == 0)
    await post(api, endpoint)
    assert endpoint.accepted == 2


async def test_a_connection_that_was_idle_for_long_is_not_used_again(
    api: ManagementAPI, endpoint: ConnectionsEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    await post(api, endpoint)
    monkeypatch.setattr("mangum.websocket.management.pool._MOST_IDLE_S", -1)
    endpoint.freeze()
    await post(api, endpoint)
    assert endpoint.accepted == 2
    await endpoint.reached(lambda endpoint: endpoint.open_connections == 1)


async def test_a_process_that_was_stopped_goes_on(endpoint: ConnectionsEndpoint) -> None:
    """As Lambda freezes a sandbox: for longer than the server keeps an idle connection."""
    endpoint.keep_alive_s = 0.2
    program = (
        "import asyncio, sys\n"
        "from mangum.websocket.management.api import ManagementAPI\n"
        "async def main():\n"
        "    api = ManagementAPI(None)\n"
        "    for line in sys.stdin:\n"
        "        await api.post(sys.argv[1], 'a', line.strip().encode(), opened_at=0, due=None)\n"
        "        print('posted', flush=True)\n"
        "    await api.close()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", program, endpoint.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def say(line: str) -> None:
            assert process.stdin is not None
            process.stdin.write(f"{line}\n")
            process.stdin.flush()

        say("before")
        assert process.stdout.readline() == "posted\n"
        process.send_signal(signal.SIGSTOP)
        endpoint.wait_until(lambda endpoint: endpoint.open_connections == 0)
        say("after")
        process.send_signal(signal.SIGCONT)
        assert process.stdout.readline() == "posted\n"
        process.stdin.close()
    assert process.returncode == 0
    assert endpoint.posts["a"] == [b"before", b"after"]


# Cancelled calls


async def test_a_call_that_is_cancelled_leaves_nothing_half_used(
    api: ManagementAPI, endpoint: ConnectionsEndpoint
) -> None:
    endpoint.script(SILENCE)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(post, api, endpoint, b"never answered")
        await endpoint.reached(lambda endpoint: endpoint.count == 1)
        tasks.cancel_scope.cancel()
    await endpoint.reached(lambda endpoint: endpoint.open_connections == 0)
    await post(api, endpoint)
    assert endpoint.posts[ID] == [b"hello"]
    assert (endpoint.accepted, endpoint.open_connections) == (2, 1)


async def test_calls_that_wait_for_their_turn_can_be_cancelled(
    api: ManagementAPI, endpoint: ConnectionsEndpoint
) -> None:
    endpoint.script(SILENCE, always=True)
    async with asyncio.TaskGroup() as tasks:
        busy = [tasks.create_task(post(api, endpoint)) for _ in range(64)]
        await endpoint.reached(lambda endpoint: endpoint.count == 64)
        waiting = [tasks.create_task(post(api, endpoint, b"waiting")) for _ in range(3)]
        with anyio.move_on_after(0.05):
            await post(api, endpoint, b"impatient")
        waiting[0].cancel()
        endpoint.script()
        for task in busy:
            task.cancel()
    assert waiting[0].cancelled()
    assert endpoint.posts[ID] == [b"waiting"] * 2
    await post(api, endpoint)


async def test_a_turn_that_does_not_come_is_an_error_in_time(
    api: ManagementAPI, endpoint: ConnectionsEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mangum.websocket.management.api._MOST_CONNECTIONS", 1)
    endpoint.script(SILENCE)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(post, api, endpoint)
        await endpoint.reached(lambda endpoint: endpoint.count == 1)
        with pytest.raises(ConnectionsError, match="it did not answer"):
            await api.post(endpoint.url, ID, b"hello", opened_at=LONG_AGO, due=within(0.05))
        tasks.cancel_scope.cancel()


async def test_a_call_can_be_cancelled_between_two_attempts(
    api: ManagementAPI, endpoint: ConnectionsEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mangum.websocket.management.api._FIRST_PAUSE_S", 5)
    endpoint.script(429)
    pausing = asyncio.Event()
    with telling(pausing):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post, api, endpoint)
            await pausing.wait()
            tasks.cancel_scope.cancel()
    assert endpoint.posts == {}
    await post(api, endpoint)
    assert endpoint.accepted == 1


@contextmanager
def telling(pausing: asyncio.Event) -> Iterator[None]:
    """Set the event when a call says that it will try again."""
    logger = logging.getLogger("mangum.websocket.connections")
    handler = logging.Handler()
    handler.emit = lambda record: pausing.set()  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.setLevel(logging.NOTSET)
        logger.removeHandler(handler)


# Opened, closed, opened again


def test_each_event_loop_has_its_own_connections(endpoint: ConnectionsEndpoint) -> None:
    api = ManagementAPI(None)

    async def use() -> None:
        await post(api, endpoint)
        await api.close()
        await post(api, endpoint)
        await api.close()
        await api.close()

    asyncio.run(use())
    asyncio.run(use())
    assert endpoint.posts[ID] == [b"hello"] * 4
    assert endpoint.accepted == 4
    endpoint.wait_until(lambda endpoint: endpoint.open_connections == 0)


def test_loops_may_take_turns(endpoint: ConnectionsEndpoint) -> None:
    """Without `close` in between, as in tests of an application; a connection that is left ends with its loop."""
    api = ManagementAPI(None)
    endpoint.script(Answer(closes=True))
    first = asyncio.new_event_loop()
    first.run_until_complete(post(api, endpoint))
    asyncio.run(post_and_close(api, endpoint))
    first.run_until_complete(post_and_close(api, endpoint))
    first.close()
    assert endpoint.posts[ID] == [b"hello"] * 3
    assert endpoint.accepted == 3


async def post_and_close(api: ManagementAPI, endpoint: ConnectionsEndpoint) -> None:
    await post(api, endpoint)
    await api.close()


async def test_closing_ends_calls_under_way(api: ManagementAPI, endpoint: ConnectionsEndpoint) -> None:
    endpoint.script(SILENCE)

    async def fail() -> None:
        with pytest.raises(ConnectionsError, match="the connection was closed"):
            await post(api, endpoint)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fail)
        await endpoint.reached(lambda endpoint: endpoint.count == 1)
        await api.close()
    await endpoint.reached(lambda endpoint: endpoint.open_connections == 0)


def test_an_endpoint_can_have_a_process_of_its_own() -> None:
    async def use() -> None:
        api = ManagementAPI(None)
        for _ in range(3):
            await api.post(url, ID, b"hello", opened_at=LONG_AGO, due=None)
        await api.close()

    with endpoint_process() as url:
        asyncio.run(use())
        with urllib.request.urlopen("/".join(url.split("/")[:3]) + "/count", timeout=5) as response:
            assert response.read() == b"3"


async def test_a_connection_that_opens_too_late_is_closed(endpoint: ConnectionsEndpoint) -> None:
    host, _, port = endpoint.url.split("/")[2].partition(":")
    pool = Pool(host, int(port), None, most=1)
    request = b"DELETE /test/%40connections/a HTTP/1.1\r\n\r\n"
    call = asyncio.create_task(pool.request(request, due=within(5), limit_s=5))
    await asyncio.sleep(0)  # it connects now
    await pool.close()
    with pytest.raises(Unreached, match="the connections were closed"):
        await call
    await endpoint.reached(lambda endpoint: (endpoint.accepted, endpoint.open_connections) == (1, 0))
    assert endpoint.count == 0


async def test_few_endpoints_are_kept_open(
    api: ManagementAPI, endpoint: ConnectionsEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients choose the names where a domain has a wildcard."""
    monkeypatch.setattr("mangum.websocket.management.api._MOST_ENDPOINTS", 3)
    stages = [endpoint.url, *(f"{endpoint.url.removesuffix('/test')}/test/{number}" for number in range(9))]
    with ConnectionsEndpoint() as other:
        await post(api, other)
        for url in stages:
            with suppress(ConnectionsError):  # this stage is not there
                await api.post(url, ID, b"hello", opened_at=LONG_AGO, due=None)
        assert api._session is not None
        assert list(api._session._targets) == stages[-3:]
        assert len(api._session._pools) == 1  # all stages share its connections
        await other.reached(lambda other: not other.open_connections)
        await post(api, other)
        assert other.accepted == 2
        assert endpoint.accepted == 1


async def test_an_endpoint_with_calls_under_way_stays_open(
    api: ManagementAPI, endpoint: ConnectionsEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mangum.websocket.management.api._MOST_ENDPOINTS", 1)
    endpoint.script(SILENCE, to="slow")
    async with asyncio.TaskGroup() as tasks:
        slow = tasks.create_task(post(api, endpoint, to="slow"))
        await endpoint.reached(lambda endpoint: endpoint.count == 1)
        with ConnectionsEndpoint() as first, ConnectionsEndpoint() as second:
            await post(api, first)
            await post(api, second)
            assert api._session is not None
            assert list(api._session._targets) == [endpoint.url, second.url]
            endpoint.cut()
        await slow
    assert endpoint.posts == {"slow": [b"hello"]}
