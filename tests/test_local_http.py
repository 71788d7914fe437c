"""The front doors of `mangum dev` for HTTP, with a function that answers whatever a test wants."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mangum import Mangum
from mangum.exceptions import ConfigurationError
from mangum.local.events.requests import EventSettings
from mangum.local.fronts import front_door
from mangum.local.function import EventTooLarge, FunctionFailed
from mangum.local.gateway import Gateway
from mangum.local.http_front import HTTPFront
from mangum.local.invocations import Journal
from mangum.local.server import Server
from mangum.local.service import LambdaService
from mangum.types import Message
from tests.apps import Recorder, hello
from tests.local_function import Answer, Answering

pytestmark = pytest.mark.anyio


class Served:
    """A front door, what it reports, and a client of it."""

    def __init__(self, source: str, answer: Any, timeout_s: float | None, **settings: Any) -> None:
        async def constant(event: dict[str, Any]) -> Any:
            return answer

        self.lines: list[str] = []
        self.journal = Journal()
        self.door = front_door(source, EventSettings(**settings), timeout_s)
        self.function = Answering(answer if callable(answer) else constant)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        async with self.function, LambdaService(self.function) as service:
            self.front = HTTPFront(self.door, service, self.journal, self.lines.append)
            transport = httpx.ASGITransport(self.front, raise_app_exceptions=True)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
                yield client


def served(source: str, answer: Any, timeout_s: float | None = None, **settings: Any) -> Served:
    return Served(source, answer, timeout_s, **settings)


def adapted(app: Any) -> Answer:
    handler = Mangum(app, lifespan="off")

    async def answer(event: dict[str, Any]) -> Any:
        return await handler.invoke(event, None)

    return answer


OK = {"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": "hi"}


async def test_one_line_and_one_entry_a_request() -> None:
    server = served("http-api", adapted(hello))
    async with server.client() as client:
        assert (await client.get("/x?y=1")).text == "Hello, world!"
    assert re.fullmatch(r"GET /x 200 \d+\.\d ms", server.lines[0])
    (invocation,) = server.journal
    assert (invocation.source, invocation.title, invocation.status) == ("http-api", "GET /x", 200)
    assert invocation.event["rawQueryString"] == "y=1"


async def test_a_client_cannot_claim_to_be_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment lets proxies say does not count."""
    clients = []

    async def gateway(scope: Any, receive: Any, send: Any) -> None:
        clients.append(scope["client"][0])

    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    config = Server(cast(Gateway, gateway)).config
    config.load()
    for client in ("192.0.2.1", "127.0.0.1"):
        headers = [(b"x-forwarded-for", b"127.0.0.9")]
        await config.loaded_app({"type": "http", "client": (client, 1), "headers": headers}, None, None)
    assert clients == ["192.0.2.1", "127.0.0.1"]


async def test_an_event_is_sent_again() -> None:
    server = served("http-api", OK)
    async with server.client() as client:
        await client.get("/x")
        (first,) = server.journal
        await server.front.send_again(first)
    again = list(server.journal)[1]
    assert (again.event, again.title, again.status, again.again_of) == (first.event, "GET /x", 200, first.request_id)
    assert again.request_id != first.request_id


@pytest.mark.parametrize(
    ("source", "status", "text"),
    [
        ("http-api", 500, '{"message": "Internal Server Error"}'),
        ("rest-api", 502, '{"message": "Internal server error"}'),
        ("function-url", 502, "Internal Server Error"),
        ("alb", 502, "<h1>502 Bad Gateway</h1>"),
    ],
)
async def test_what_clients_get_for_a_function_that_gives_no_answer(
    source: str, status: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(event: dict[str, Any]) -> Any:
        raise FunctionFailed("Runtime.ExitError", "it exited")

    failing = served(source, fail)
    async with failing.client() as client:
        response = await client.get("/")
    assert (response.status_code, text in response.text) == (status, True)
    assert "GET /: Runtime.ExitError: it exited" in caplog.text
    malformed = served(source, {"statusCode": "x"})
    async with malformed.client() as client:
        assert (await client.get("/")).status_code == status
    assert "the function's answer is malformed: `statusCode` is 'x'" in caplog.text
    (invocation,) = malformed.journal
    assert invocation.failure is not None
    assert "`statusCode` is 'x'" in invocation.failure
    assert f" {status} " in malformed.lines[0]


async def test_an_answer_beyond_a_load_balancers_limit(caplog: pytest.LogCaptureFixture) -> None:
    server = served("alb", {**OK, "body": "x" * 1_100_000})
    async with server.client() as client:
        assert (await client.get("/")).status_code == 502
    assert "more than the 1048576 bytes as JSON" in caplog.text


async def test_an_api_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    released = asyncio.Event()

    async def hang(event: dict[str, Any]) -> Any:
        await released.wait()
        return OK

    server = served("rest-api", hang, timeout_s=0.05)
    async with server.client() as client:
        response = await client.get("/")
        released.set()
    assert (response.status_code, response.json()) == (504, {"message": "Endpoint request timed out"})
    assert "no answer within the 0.05 s that rest-api waits" in caplog.text


@pytest.mark.parametrize(
    ("source", "most", "message"),
    [
        ("http-api", 10 * 1024 * 1024, "Request Entity Too Large"),
        ("rest-api", 10 * 1024 * 1024, "Request Too Long"),
        ("function-url", 6 * 1024 * 1024, "Request Entity Too Large"),
        ("alb", 1024 * 1024, "413 Request Entity Too Large"),
    ],
)
async def test_bodies_that_are_too_large(
    source: str, most: int, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def in_pieces() -> AsyncIterator[bytes]:
        yield bytes(most)
        yield b"!"

    server = served(source, OK)
    async with server.client() as client:
        for content in (bytes(most + 1), in_pieces()):
            response = await client.post("/", content=content)
            assert (response.status_code, message in response.text) == (413, True)
        assert (await client.post("/", content=bytes(most))).status_code == 200
    assert f"{source} takes bodies of {most} bytes at the most" in caplog.text


async def test_an_event_that_lambda_would_not_take(caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(event: dict[str, Any]) -> Any:
        raise EventTooLarge(7_000_000)

    server = served("http-api", refuse)
    async with server.client() as client:
        assert (await client.get("/")).status_code == 413
    assert "the event has 7,000,000 bytes as JSON" in caplog.text


async def test_heads_that_are_too_large_and_methods_that_are_not_taken() -> None:
    server = served("http-api", OK)
    async with server.client() as client:
        assert (await client.get("/", headers={"x-long": "x" * 11_000})).status_code == 431
        assert (await client.get(f"/{'x' * 11_000}")).status_code == 431
    balancer = served("alb", OK)
    async with balancer.client() as client:
        assert (await client.get("/", headers={"x-long": "x" * 11_000})).status_code == 200
        assert (await client.request("TRACE", "/")).status_code == 405


@pytest.mark.parametrize(
    ("source", "settings", "inside", "outside", "status"),
    [
        ("http-api", {"stage": "prod"}, {"/prod": "/prod/", "/prod/x": "/prod/x"}, ["/", "/x", "/production"], 404),
        ("http-api", {"base_path": "v1"}, {"/v1": "/", "/v1/x": "/x"}, ["/", "/v12"], 403),
        ("rest-api", {"stage": "prod"}, {"/prod": "/", "/prod/x": "/x"}, ["/", "/x", "/production"], 403),
        ("rest-api", {"base_path": "/v1/"}, {"/v1": "/v1", "/v1/x": "/v1/x"}, ["/", "/v12"], 403),
    ],
)
async def test_where_an_api_is(
    source: str, settings: dict[str, Any], inside: dict[str, str], outside: list[str], status: int
) -> None:
    paths = []

    async def answer(event: dict[str, Any]) -> Any:
        paths.append(event["rawPath"] if source == "http-api" else event["path"])
        return OK

    server = served(source, answer, **settings)
    async with server.client() as client:
        for path in inside:
            assert (await client.get(path)).status_code == 200
        for path in outside:
            assert (await client.get(path)).status_code == status
    assert paths == list(inside.values())


@pytest.mark.parametrize(
    ("source", "settings", "timeout_s", "message"),
    [
        ("alb", {"stage": "prod"}, None, "alb has neither a stage nor a base path"),
        ("function-url", {"base_path": "/x"}, None, "function-url has neither"),
        ("http-api", {"multi_value_headers": True}, None, "a load balancer's target group"),
        ("http-api", {"stage": "a/b"}, None, "--stage is a name"),
        ("alb", {}, 1.0, "alb has no timeout of its own"),
    ],
)
def test_settings_that_a_front_door_does_not_have(
    source: str, settings: dict[str, Any], timeout_s: float | None, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        front_door(source, EventSettings(**settings), timeout_s)


async def test_multi_value_headers_of_a_load_balancer() -> None:
    app = Recorder(200, [[b"set-cookie", b"a=1"], [b"set-cookie", b"b=2"], [b"x-a", b"1"], [b"x-a", b"2"]])
    server = served("alb", adapted(app), multi_value_headers=True)
    async with server.client() as client:
        response = await client.get("/?q=1&q=2", headers=[("x-b", "1"), ("x-b", "2")])
    assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert response.headers.get_list("x-a") == ["1", "2"]
    assert app.scope["query_string"] == b"q=1&q=2"
    assert [value for name, value in app.scope["headers"] if name == b"x-b"] == [b"1", b"2"]


async def test_the_answers_headers_are_the_only_ones() -> None:
    app = Recorder(200, [[b"content-type", b"text/plain"], [b"transfer-encoding", b"chunked"]], b"abc")
    server = served("http-api", adapted(app))
    async with server.client() as client:
        response = await client.get("/")
    assert dict(response.headers) == {"content-length": "3", "content-type": "text/plain"}


async def test_aws_computes_the_length() -> None:
    server = served("http-api", adapted(Recorder(200, [[b"content-length", b"77"], [b"connection", b"close"]], b"abc")))
    async with server.client() as client:
        response = await client.get("/")
        assert (response.headers["content-length"], "connection" in response.headers) == ("3", False)
        head = await client.head("/")
        assert (head.headers["content-length"], head.content) == ("77", b"")


@pytest.mark.parametrize("status", [204, 304])
async def test_statuses_without_a_body(status: int) -> None:
    server = served("http-api", {"statusCode": status, "headers": {"content-length": "2"}, "body": "hi"})
    async with server.client() as client:
        response = await client.get("/")
    assert (response.status_code, response.content, "content-length" in response.headers) == (status, b"", False)


async def test_any_path_and_method_reach_the_application() -> None:
    app = Recorder()
    server = served("http-api", adapted(app))
    async with server.client() as client:
        await client.request("PROPFIND", "/a%0Ab", headers={"te": "trailers", "expect": "x"})
    assert (app.scope["method"], app.scope["path"]) == ("PROPFIND", "/a\nb")
    assert not {b"te", b"expect", b"connection"} & {name for name, _ in app.scope["headers"]}
    assert server.lines[0].startswith("PROPFIND '/a\\nb' 200")


async def test_a_client_that_goes_before_it_has_sent_everything() -> None:
    server = served("http-api", OK)
    messages: list[Message] = [
        {"type": "http.request", "body": b"half", "more_body": True},
        {"type": "http.disconnect"},
    ]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(b"content-length", b"8")],
        "scheme": "http",
        "client": None,
        "server": None,
    }

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        raise AssertionError(message)

    async with server.client():
        await server.front(scope, receive, send)
    assert (list(server.journal), server.lines) == ([], [])


HEADER_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20).map(str.strip)


@given(
    source=st.sampled_from(["http-api", "rest-api", "function-url", "alb"]),
    path=st.text(st.characters(codec="utf-8", exclude_characters="."), max_size=20),
    query=st.lists(st.tuples(st.text("aé+&= %", min_size=1, max_size=5), st.text("bü+&= %", max_size=5)), max_size=3),
    body=st.binary(max_size=50),
    header=HEADER_TEXT,
    status=st.sampled_from([200, 201, 404, 500]),
)
async def test_the_way_there_and_back(
    source: str, path: str, query: list[tuple[str, str]], body: bytes, header: str, status: int
) -> None:
    """What a client sends is what the application gets, and what it answers is what the client gets. httpx takes out
    dots between slashes before it sends."""
    app = Recorder(status, [[b"x-answer", header.encode()], [b"content-type", b"application/octet-stream"]], body)
    server = served(source, adapted(app))
    async with server.client() as client:
        url = httpx.URL("http://127.0.0.1:8000/", params=dict(query))
        target = f"/{quote(path)}".encode() + (b"?" + url.query if url.query else b"")
        response = await client.post(
            httpx.URL("http://127.0.0.1:8000").copy_with(raw_path=target), content=body, headers={"x-asked": header}
        )
    assert app.scope["path"] == f"/{path}"
    assert app.body == body
    assert dict(app.scope["headers"])[b"x-asked"].decode() == header
    assert (response.status_code, response.content, response.headers["x-answer"]) == (status, body, header)
