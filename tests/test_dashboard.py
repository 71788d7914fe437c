"""The page of `mangum dev`, over HTTP: what it shows, to whom, and what it does."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import uvicorn

from mangum.backends.base import Entry
from mangum.backends.store import Store
from mangum.exceptions import BackendError
from mangum.local.dashboard import Dashboard, OpenConnection, StoredGroups
from mangum.local.dashboard import app as dashboard_app
from mangum.local.dashboard import stream as dashboard_stream
from mangum.local.invocations import Invocation, Journal

pytestmark = pytest.mark.anyio

LIMIT_S = 20.0
HOST = "localhost:8000"
OWN = {"origin": f"http://{HOST}"}
ATTACK = "<script>alert('x')</script>"


@dataclass
class Connection:
    connection_id: str
    client: str = "127.0.0.1"
    user_agent: str = "a browser"
    path: str = "/"
    connected_at: float = field(default_factory=time.time)
    last_active_at: float = field(default_factory=time.time)


class WebSockets:
    """A WebSocket API without sockets."""

    def __init__(self, *connections: Connection) -> None:
        self._open = {connection.connection_id: connection for connection in connections}
        self.sent: list[tuple[str, str | bytes]] = []

    @property
    def connections(self) -> list[OpenConnection]:
        return list(self._open.values())

    async def send(self, connection_id: str, data: str | bytes) -> bool:
        self.sent.append((connection_id, data))
        return connection_id in self._open

    async def close(self, connection_id: str) -> None:
        self._open.pop(connection_id, None)


class Fixture:
    """A dashboard, and what it is given to show."""

    def __init__(self, **options: Any) -> None:
        self.journal = Journal()
        self.repeated: list[Invocation] = []
        given = {"source": "http-api", "target": "app:handler", "send_again": self.send_again, **options}
        self.dashboard = Dashboard(self.journal, **given)

    async def send_again(self, invocation: Invocation) -> None:
        self.repeated.append(invocation)
        if invocation.title != "lost":
            self.add(Invocation(source="test", title="again", event={}, again_of=invocation.request_id, status=200))

    def add(self, invocation: Invocation) -> Invocation:
        self.journal.begin(invocation)
        self.journal.end(invocation)
        return invocation

    def client(self, address: str = "127.0.0.1", host: str = HOST) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.dashboard, client=(address, 50_000))
        return httpx.AsyncClient(transport=transport, base_url=f"http://{host}")

    async def get(self, path: str = "") -> str:
        async with self.client() as client:
            response = await client.get(f"/_mangum{path}")
        assert response.status_code == 200, response.text
        return response.text

    async def post(self, path: str, headers: dict[str, str] = OWN, **fields: str) -> httpx.Response:
        async with self.client() as client:
            return await client.post(f"/_mangum{path}", headers=headers, data=fields)


def made(**fields: Any) -> Invocation:
    return Invocation(**{"source": "http-api", "title": "GET /items", "event": {}, "status": 200, **fields})


# To whom


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:65535", "[::1]", "[::1]:8000"])
async def test_this_machine_sees_it(address: str, host: str) -> None:
    async with Fixture().client(address, host) as client:
        assert (await client.get("/_mangum")).status_code == 200


@pytest.mark.parametrize("address", ["192.168.1.5", "2001:db8::1", "::ffff:10.0.0.1", "a-socket", ""])
async def test_another_machine_does_not(address: str) -> None:
    async with Fixture().client(address) as client:
        response = await client.get("/_mangum")
    assert (response.status_code, response.text) == (403, "This is for this machine only.\n")


async def test_a_client_without_an_address_does_not() -> None:
    said = []

    async def receive() -> Any:
        raise AssertionError("nothing is to be read")

    async def send(message: Any) -> None:
        said.append(message)

    scope = {"type": "http", "method": "GET", "path": "/_mangum", "headers": [(b"host", b"localhost")], "client": None}
    await Fixture().dashboard(scope, receive, send)
    assert said[0]["status"] == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io:80", "10.0.0.1", "localhost:x"]
)
async def test_another_name_for_this_machine_does_not_show_it(host: str) -> None:
    async with Fixture().client() as client:
        response = await client.get("/_mangum", headers={"host": host})
    assert (response.status_code, "localhost" in response.text) == (403, True)


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Forwarded-Host", "Forwarded"])
async def test_the_client_of_a_proxy_does_not_see_it(name: str) -> None:
    async with Fixture().client() as client:
        response = await client.get("/_mangum", headers={name: "127.0.0.1"})
    assert (response.status_code, "not for clients of a proxy" in response.text) == (403, True)


async def test_two_hosts_are_none() -> None:
    async with Fixture().client() as client:
        response = await client.get("/_mangum", headers=[("host", HOST), ("host", HOST)])
    assert response.status_code == 403


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        (OWN, True),
        ({"origin": "HTTP://LOCALHOST:8000"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "http://localhost:8001"}, False),
        ({"origin": "https://localhost:8000"}, False),
        ({"origin": "http://evil.example", "sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
    ],
)
async def test_only_its_own_pages_change_something(headers: dict[str, str], allowed: bool) -> None:
    fixture = Fixture()
    done = fixture.add(made())
    response = await fixture.post(f"/invocations/{done.request_id}/again", headers)
    assert response.status_code == (303 if allowed else 403)
    assert fixture.repeated == ([done] if allowed else [])


@pytest.mark.parametrize("path", ["", "/dashboard.css", "/nothing", "/connections"])
async def test_the_headers_that_browsers_are_kept_by(path: str) -> None:
    for address in ("127.0.0.1", "10.0.0.1"):
        async with Fixture().client(address) as client:
            headers = (await client.get(f"/_mangum{path}")).headers
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")
        assert headers["cache-control"] == "no-store"


# What it shows


async def test_before_anything_happened() -> None:
    page = await Fixture(path="/dev/").get()
    assert re.search(r'<div class="empty" id="nothing-yet"><h2>Nothing has been invoked yet', page)
    assert f"curl -i http://{HOST}/dev/" in page
    assert "Connections" not in page


async def test_nothing_is_loaded_from_elsewhere_and_nothing_is_inline() -> None:
    fixture = Fixture(connections=WebSockets(Connection("c1=")))
    done = fixture.add(made(duration_ms=3.0, parts_ms={"application": 2.0}, lines=["said"], answer="{}"))
    for path in ("", f"/invocations/{done.request_id}", "/connections"):
        page = await fixture.get(path)
        for url in re.findall(r'(?:src|href|action)="([^"]*)"', page):
            assert url.startswith(("/_mangum", f"http://{HOST}/", "#")), url
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?! src)", page)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("dashboard.css", "text/css"), ("dashboard.js", "text/javascript"), ("icon.svg", "image/svg+xml")],
)
async def test_its_files(name: str, kind: str) -> None:
    async with Fixture().client() as client:
        response = await client.get(f"/_mangum/{name}")
    assert response.headers["content-type"].startswith(kind)
    assert len(response.content) > 100
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", response.text)


async def test_the_list() -> None:
    fixture = Fixture()
    fixture.add(made(title="GET /first", received_at=1.0, is_cold=True, init_ms=812.0, duration_ms=4.26))
    fixture.add(made(title="GET /second", received_at=2.5, status=404, is_cold=False, duration_ms=1234.0))
    fixture.add(made(title="GET /third", received_at=3.0, status=None, failure="Runtime.ExitError", duration_ms=250.0))
    fixture.add(made(title="GET /fourth", received_at=4.0, status=None, is_cold=True))
    page = await fixture.get("/rows")
    fourth, third, second, first = re.findall(r"<li.*?</li>", page)
    assert "/first" in first
    for text in ("Cold start: 812 ms", ">cold<", "4.3 ms", ">200<", "badge s2"):
        assert text in first
    for text in (">404<", "badge s4", ">warm<", "1.23 s", ".500"):
        assert text in second
    assert ">failed<" in third
    assert "250 ms" in third
    assert ">running<" in fourth
    assert "Cold start" not in fourth


async def test_parts_of_the_time() -> None:
    fixture = Fixture()
    parts = {"response": 1.0, "translation": 1.0, "application": 6.0, "unheard-of": 0.5}
    done = fixture.add(made(duration_ms=10.0, parts_ms=parts, is_cold=True, init_ms=300.0, memory_mb=71.6))
    page = await fixture.get(f"/invocations/{done.request_id}/detail")
    bars = re.findall(r'<rect x="([\d.]+)" width="([\d.]+)" height="1" class="part (\w+)">', page)
    assert bars == [
        ("0.00", "10.00", "translation"),
        ("10.00", "60.00", "application"),
        ("70.00", "10.00", "response"),
        ("80.00", "20.00", "other"),
    ]
    assert 'title="translation 1.0 ms, application 6.0 ms, response 1.0 ms, other 2.0 ms"' in page
    assert "init</dt><dd>300 ms" in page
    assert "72 MB" in page


async def test_no_time_at_all_and_no_parts() -> None:
    fixture = Fixture()
    done = fixture.add(made(duration_ms=0.0))
    assert 'width="0.00"' in await fixture.get(f"/invocations/{done.request_id}/detail")


async def test_what_others_wrote_stays_text() -> None:
    hostile_id = f'"{ATTACK}'.replace("/", "")
    hostile = Connection(ATTACK, ATTACK, ATTACK, ATTACK)

    async def groups(connection_id: str) -> list[str]:
        return [ATTACK, '"><img src=x onerror=alert(1)>']

    fixture = Fixture(connections=WebSockets(hostile), groups=groups, target=ATTACK, source=ATTACK)
    fixture.add(
        made(
            title=f"GET /{ATTACK}",
            source=ATTACK,
            event={"body": ATTACK, f"{ATTACK}&amp;": [f'a "quoted" {ATTACK}', 1.5e3, None, True]},
            answer=json.dumps({"statusCode": 200, "body": json.dumps({ATTACK: ATTACK})}),
            failure=ATTACK,
            lines=[ATTACK],
            request_id=hostile_id,
            connection_id=ATTACK,
            again_of=ATTACK,
        )
    )
    for path in ("", "/rows", f"?q={ATTACK}&note={ATTACK}", "/connections", "/connections/list"):
        page = await fixture.get(path)
        assert "<script>alert" not in page
        assert "<img" not in page
        assert "&lt;script&gt;" in page
    assert 'href="/_mangum/invocations/%22%3Cscript%3E' in await fixture.get("/rows")
    request_id = quote(hostile_id, safe="")
    page = await fixture.get(f"/invocations/{request_id}")
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;") > 10


async def test_any_text_is_shown() -> None:
    """Half of a surrogate pair has no encoding, and control characters have no place on a page."""
    odd = "\ud800 \x1b[2J \r\n\u202e"
    connections = WebSockets(Connection(odd, odd, odd, odd))
    fixture = Fixture(connections=connections, target=odd)
    fields = {"title": f"GET /{odd}", "failure": odd, "lines": [odd], "connection_id": "abc="}
    done = fixture.add(
        made(event={"body": odd, odd: odd}, answer=json.dumps({"body": odd}, ensure_ascii=False), **fields)
    )
    for path in ("", "/rows", "/connections", f"/invocations/{done.request_id}"):
        page = await fixture.get(path)
        assert "\\ud800 \\x1b[2J" in page
        assert "\x1b" not in page
    for name in ("event", "answer"):
        document = json.loads(await fixture.get(f"/invocations/{done.request_id}/{name}.json"))
        assert document["body"] == odd
    assert await fixture.get(f"/invocations/{done.request_id}/log.txt") == "\\ud800 \\x1b[2J \\r\\n\\u202e"


async def test_details() -> None:
    fixture = Fixture()
    done = fixture.add(
        made(
            title="POST /items",
            event={"rawPath": "/items", "body": '{"name": "caf\\u00e9", "n": -1.5, "ok": true}'},
            answer=json.dumps({"statusCode": 200, "body": "plain words"}),
            failure="ValueError: no good",
            lines=["first line", '{"second": "as it is"}'],
            connection_id="abc=",
            again_of="other-id",
        )
    )
    page = await fixture.get(f"/invocations/{done.request_id}")
    assert 'aria-current="true"' in page
    assert '<span class="key">&quot;name&quot;</span>: <span class="string">&quot;café&quot;</span>' in page
    assert '<span class="number">-1.5</span>' in page
    assert '<span class="word">true</span>' in page
    for text in ("plain words", "ValueError: no good", "first line\n{&quot;second&quot;", "HTTP API"):
        assert text in page
    for url in ("/_mangum?q=abc%3D", "/_mangum/invocations/other-id"):
        assert f'href="{url}"' in page
    url = f"/invocations/{done.request_id}"
    assert json.loads(await fixture.get(f"{url}/event.json")) == done.event
    assert await fixture.get(f"{url}/answer.json") == done.answer
    assert await fixture.get(f"{url}/log.txt") == 'first line\n{"second": "as it is"}'


async def test_what_runs_has_no_response_yet() -> None:
    fixture = Fixture()
    done = fixture.add(made(status=None))
    page = await fixture.get(f"/invocations/{done.request_id}/detail")
    assert ">Response<" not in page
    assert ">Log<" not in page
    assert await fixture.get(f"/invocations/{done.request_id}/answer.json") == "null"


@pytest.mark.parametrize(
    ("body", "is_base64", "shown"),
    [
        (base64.b64encode("grüße".encode()).decode(), True, ">grüße</pre>"),
        (base64.b64encode(b'{"a": 1}').decode(), True, '<span class="key">&quot;a&quot;</span>: '),
        (base64.b64encode(b"\xff" * 1234).decode(), True, "1,234 bytes, which are not text."),
        ("not base64!", True, ">not base64!</pre>"),
        ("123", False, ">123</pre>"),
    ],
)
async def test_bodies(body: str, is_base64: bool, shown: str) -> None:
    fixture = Fixture()
    fields = {"body": body, "isBase64Encoded": is_base64}
    done = fixture.add(made(event=fields, answer=json.dumps(fields)))
    page = await fixture.get(f"/invocations/{done.request_id}/detail")
    assert page.count("<h4>Body</h4>") == 2
    assert page.count(shown) == 2


@pytest.mark.parametrize("answer", ['{"statusCode": 200}', '"words"', "nonsense", '{"body": 5}', '{"body": ""}'])
async def test_answers_without_a_body(answer: str) -> None:
    fixture = Fixture()
    done = fixture.add(made(answer=answer))
    page = await fixture.get(f"/invocations/{done.request_id}/detail")
    assert "<h4>Body</h4>" not in page
    assert "<details open><summary>Answer of the function" in page


async def test_what_is_too_long_is_cut() -> None:
    fixture = Fixture()
    done = fixture.add(made(event={"body": "x" * 30_000}, lines=["y" * 25_000]))
    page = await fixture.get(f"/invocations/{done.request_id}/detail")
    assert "The first 20,000 of 30,000 characters." in page
    assert "The first 20,000 of 25,000 characters." in page
    assert len(page) < 80_000
    assert len(json.loads(await fixture.get(f"/invocations/{done.request_id}/event.json"))["body"]) == 30_000


async def test_websocket_messages_can_be_told_apart() -> None:
    fixture = Fixture()
    fixture.add(made(source="websocket", title="$default", connection_id="c=", event={"body": "hello " * 50}))
    fixture.add(made(source="websocket", title="$connect", connection_id="c="))
    page = await fixture.get("/rows")
    assert f'<span class="preview">{("hello " * 50)[:100]}</span>' in page
    assert page.count("preview") == 1
    assert page.count(">WS</b>") == 2


async def test_a_title_that_is_one_word() -> None:
    fixture = Fixture()
    fixture.add(made(title="SQS"))
    assert '<span class="path">SQS</span>' in await fixture.get("/rows")


@pytest.mark.parametrize(
    ("words", "found"),
    [("items", 2), ("ITEMS 404", 1), ("404 items cold", 0), ("warm", 1), ("c1=", 1), ("failed", 1), ("teapot", 0)],
)
async def test_filter(words: str, found: int) -> None:
    fixture = Fixture()
    fixture.add(made(status=404, is_cold=False))
    fixture.add(made(status=None, failure="it exited"))
    fixture.add(made(title="$connect", connection_id="C1=", is_cold=True))
    page = await fixture.get(f"?q={words}")
    assert page.count("<li ") == found
    assert ('id="no-match" hidden' in page) is bool(found)


@pytest.mark.parametrize("part", ["", "/detail", "/event.json", "/answer.json", "/log.txt"])
async def test_what_is_not_kept_any_more(part: str) -> None:
    async with Fixture().client() as client:
        response = await client.get(f"/_mangum/invocations/none{part}")
    assert (response.status_code, response.text) == (404, "This invocation is not kept any more.")


# What it does


async def test_sending_again() -> None:
    fixture = Fixture()
    done = fixture.add(made())
    response = await fixture.post(f"/invocations/{done.request_id}/again")
    again = list(fixture.journal)[-1]
    assert again.again_of == done.request_id
    assert response.headers["location"] == f"/_mangum/invocations/{again.request_id}?note=again"
    assert "Sent again." in await fixture.get(f"/invocations/{again.request_id}?note=again")
    assert 'class="mark"' in await fixture.get("/rows")
    told = await fixture.post(f"/invocations/{done.request_id}/again", {**OWN, "accept": "text/plain"})
    assert (told.status_code, told.text) == (200, "Sent again.")


async def test_sending_again_what_leaves_no_trace() -> None:
    fixture = Fixture()
    done = fixture.add(made(title="lost"))
    response = await fixture.post(f"/invocations/{done.request_id}/again")
    assert response.headers["location"] == f"/_mangum/invocations/{done.request_id}?note=again"


async def test_open_connections() -> None:
    now = time.time()
    api = WebSockets(
        Connection("one=", client="127.0.0.9", last_active_at=now),
        Connection("two=", last_active_at=now - 60, user_agent=""),
        Connection("three=", last_active_at=now - 600),
    )

    async def groups(connection_id: str) -> list[str]:
        return {"one=": ["lobby", "staff"]}.get(connection_id, [])

    page = await Fixture(connections=api, groups=groups).get("/connections")
    one, two, three = re.findall(r"<li.*?</li>", page)
    assert '<span class="group">lobby</span><span class="group">staff</span>' in one
    assert "127.0.0.9" in one
    assert ">now<" in one
    assert ">none<" in two
    assert re.search(r">6\d s ago<", two)
    assert "User agent" not in two
    assert ">10 min ago<" in three
    assert 'id="nobody" hidden' in page
    assert 'id="connections-count">3<' in page


async def test_no_connections() -> None:
    page = await Fixture(connections=WebSockets()).get("/connections")
    assert f"ws://{HOST}/" in page
    assert 'id="nobody">' in page


async def test_more_connections_than_fit() -> None:
    page = await Fixture(connections=WebSockets(*(Connection(f"c{number}") for number in range(130)))).get(
        "/connections"
    )
    assert page.count("<li ") == 100
    assert "And 30 more." in page
    assert page.count("not known") == 100


async def test_a_store_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    async def groups(connection_id: str) -> list[str]:
        if connection_id == "one":
            return ["lobby"]
        raise BackendError("The store is down.")

    fixture = Fixture(connections=WebSockets(Connection("one"), Connection("two"), Connection("three")), groups=groups)
    with caplog.at_level(logging.WARNING, "mangum.local"):
        page = await fixture.get("/connections/list")
    assert (page.count("lobby"), page.count("not known")) == (1, 2)
    assert "The store is down." in caplog.text


async def test_a_store_that_is_slow(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async def groups(connection_id: str) -> list[str]:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(dashboard_app, "_GROUPS_S", 0.05)
    page = await Fixture(connections=WebSockets(Connection("one")), groups=groups).get("/connections/list")
    assert "not known" in page
    assert "the store is slow" in caplog.text


async def test_sending_to_a_connection() -> None:
    api = WebSockets(Connection("on/e="))
    fixture = Fixture(connections=api)
    response = await fixture.post("/connections/send", connection_id="on/e=", data="grüße & <b>")
    assert api.sent == [("on/e=", "grüße & <b>")]
    assert (response.status_code, response.headers["location"]) == (303, "/_mangum/connections?note=sent")
    for fields, told in [
        ({"connection_id": "two=", "data": "x"}, "not open any more"),
        ({"connection_id": "on/e=", "data": ""}, "Sent."),
        ({"connection_id": "on/e=", "data": "é" * 65_537}, "128 KB"),
        ({}, "not open any more"),
    ]:
        answer = await fixture.post("/connections/send", {**OWN, "accept": "text/plain"}, **fields)
        assert told in answer.text


async def test_closing_a_connection() -> None:
    api = WebSockets(Connection("one="), Connection("two="))
    response = await Fixture(connections=api).post("/connections/close", connection_id="one=")
    assert [connection.connection_id for connection in api.connections] == ["two="]
    assert response.headers["location"] == "/_mangum/connections?note=closed"


async def test_without_websockets_there_are_no_connections() -> None:
    async with Fixture().client() as client:
        assert (await client.get("/_mangum/connections")).status_code == 404


# Groups


async def test_groups_from_the_store(tmp_path: Path) -> None:
    dsn = f"sqlite://{tmp_path}/connections.db"
    store = Store.of(dsn)
    try:
        await store.join("lobby", Entry("one=", b"{}", int(time.time()) + 60))
    finally:
        await store.close()
    async with StoredGroups(dsn) as groups:
        assert await groups("one=") == ["lobby"]
        opened = groups._store
        assert await groups("two=") == []
        assert groups._store is opened
    async with StoredGroups("nonsense://"):
        pass  # what nobody asks is not opened


# The stream


@asynccontextmanager
async def served(fixture: Fixture) -> AsyncIterator[tuple[httpx.AsyncClient, uvicorn.Server, asyncio.Task[None]]]:
    """The dashboard on a socket, which httpx needs to read a stream as it comes."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(fixture.dashboard, log_level="warning", lifespan="off", ws="none"))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with asyncio.timeout(LIMIT_S), httpx.AsyncClient(base_url=url, timeout=LIMIT_S) as client:
            task = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                yield client, server, task
            finally:
                fixture.dashboard.close()
                server.should_exit = True
                await task


async def read_event(lines: AsyncIterator[str]) -> tuple[str, Any]:
    event = await anext(lines)
    data = await anext(lines)
    assert await anext(lines) == ""
    told = data.removeprefix("data:").strip()
    return event.removeprefix("event: "), json.loads(told) if told else None


async def test_news_come_while_they_happen() -> None:
    fixture = Fixture(connections=WebSockets(Connection("one=")))
    async with served(fixture) as (client, _, _), client.stream("GET", "/_mangum/stream") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.aiter_lines()
        assert await read_event(lines) == ("sync", None)
        begun = made(status=None, title=f"GET /{ATTACK}\n")
        fixture.journal.begin(begun)
        kind, news = await read_event(lines)
        assert (kind, news["connections"], [row["id"] for row in news["rows"]]) == ("news", 1, [begun.request_id])
        assert "running" in news["rows"][0]["html"]
        assert "<script>" not in news["rows"][0]["html"]
        begun.status = 201
        fixture.journal.end(begun)
        _, news = await read_event(lines)
        assert ">201<" in news["rows"][0]["html"]


async def test_who_is_too_slow_is_told_to_fetch_everything() -> None:
    fixture = Fixture()
    async with served(fixture) as (client, _, _), client.stream("GET", "/_mangum/stream") as response:
        lines = response.aiter_lines()
        await read_event(lines)
        for _ in range(450):
            fixture.add(made())
        assert await read_event(lines) == ("sync", None)
        last = fixture.add(made())
        _, news = await read_event(lines)
        assert [row["id"] for row in news["rows"]] == [last.request_id]


async def test_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard_stream, "_SILENCE_S", 0.01)
    fixture = Fixture()
    async with served(fixture) as (client, _, _), client.stream("GET", "/_mangum/stream") as response:
        lines = response.aiter_lines()
        await read_event(lines)
        assert await read_event(lines) == ("news", {"rows": [], "connections": None})


async def test_the_server_ends_with_viewers() -> None:
    fixture = Fixture()
    async with served(fixture) as (client, server, task):
        async with client.stream("GET", "/_mangum/stream") as one, client.stream("GET", "/_mangum/stream") as two:
            streams = [response.aiter_lines() for response in (one, two)]
            for lines in streams:
                await read_event(lines)
            fixture.dashboard.close()
            for lines in streams:
                assert [line async for line in lines if line.startswith("event: sync")] == []
        late = await client.get("/_mangum/stream")
        assert late.text == "event: sync\ndata: \n\n"
        server.should_exit = True
        await task


async def test_who_leaves_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard_stream, "_SILENCE_S", 0.01)
    fixture = Fixture()
    async with served(fixture) as (client, _, _):
        async with client.stream("GET", "/_mangum/stream") as response:
            await read_event(response.aiter_lines())
            assert len(fixture.journal._listeners) == 1
        while fixture.journal._listeners:  # until the timeout of `served`
            await asyncio.sleep(0.01)
