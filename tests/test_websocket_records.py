"""Records that another version of mangum has written, since a deployment rolls over live connections."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mangum import Mangum
from mangum.backends.base import Entry
from mangum.backends.store import CONNECTION_LIFETIME_S
from mangum.exceptions import ConnectionGone
from mangum.types import Receive, Scope, Send
from mangum.websocket.connections import BroadcastResult
from mangum.websocket.event import Handshake
from mangum.websocket.records import Address, ConnectionRecord
from tests.servers.connections import ConnectionsEndpoint
from tests.websocket_client import Client, serving

NOW = float(int(time.time()))
TARGET = Address("https://abc.execute-api.eu-west-1.amazonaws.com/prod", NOW)
HANDSHAKE = Handshake([[b"host", b"ws.example.com"]], b"a=b", "203.0.113.17", ("ws.example.com", 443), "wss")
RECORD = ConnectionRecord("ann", TARGET, HANDSHAKE)
STORED: dict[str, Any] = {
    "version": 1,
    "target": {"endpoint_url": TARGET.endpoint_url, "connected_at": NOW},
    "handshake": {
        "headers": [["host", "ws.example.com"]],
        "query_string": "a=b",
        "client": "203.0.113.17",
        "server": ["ws.example.com", 443],
        "scheme": "wss",
    },
    "has_pending": False,
}


def entry(value: Any) -> Entry:
    return Entry("ann", value if isinstance(value, bytes) else json.dumps(value).encode(), TARGET.expires_at)


def without(*path: str) -> dict[str, Any]:
    """The stored record without a field."""
    stored: dict[str, Any] = json.loads(json.dumps(STORED))
    inner = stored
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return stored


def changed(value: Any, *path: str) -> dict[str, Any]:
    """The stored record with another value of a field."""
    stored: dict[str, Any] = json.loads(json.dumps(STORED))
    inner = stored
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return stored


def test_what_is_stored() -> None:
    assert json.loads(RECORD.as_entry().value) == STORED
    assert RECORD.as_entry().expires_at == int(NOW) + CONNECTION_LIFETIME_S
    assert ConnectionRecord.of_entry(RECORD.as_entry()) == RECORD


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (["version"], RECORD),
        (["has_pending"], replace(RECORD, has_pending=True)),  # which costs a question
        (["target"], replace(RECORD, target=Address(None, NOW))),
        (["target", "endpoint_url"], replace(RECORD, target=Address(None, NOW))),
        (["target", "connected_at"], RECORD),
        (["handshake"], replace(RECORD, handshake=Handshake([], b"", None, None, "wss"))),
        (["handshake", "headers"], replace(RECORD, handshake=replace(HANDSHAKE, headers=[]))),
        (["handshake", "query_string"], replace(RECORD, handshake=replace(HANDSHAKE, query_string=b""))),
        (["handshake", "client"], replace(RECORD, handshake=replace(HANDSHAKE, client=None))),
        (["handshake", "server"], replace(RECORD, handshake=replace(HANDSHAKE, server=None))),
        (["handshake", "scheme"], RECORD),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, list) else "",
)
def test_a_field_that_is_missing(path: list[str], expected: ConnectionRecord) -> None:
    assert ConnectionRecord.of_entry(entry(without(*path))) == expected


def test_fields_of_a_later_version_are_ignored_and_kept() -> None:
    stored = changed("new", "handshake", "path") | {"version": 7, "new": [1]}
    stored["target"]["new"] = {"a": 1}
    record = ConnectionRecord.of_entry(entry(stored))
    assert record == RECORD
    written = json.loads(replace(record, has_pending=True).as_entry().value)
    assert written == stored | {"has_pending": True}


ODD_FIELDS: dict[tuple[str, str], list[Any]] = {
    ("target", "endpoint_url"): [5, [], {}],
    ("target", "connected_at"): [None, "5", [], float("nan"), float("inf"), 10**400],
    ("handshake", "headers"): [None, 5, ["ab", 5], [["a"]], [[1, 2]], [["€", "a"]]],
    ("handshake", "query_string"): [None, 5, "é"],
    ("handshake", "client"): [5, []],
    ("handshake", "server"): [5, [], ["a"], ["a", "b"], [1, 2], "ab"],
    ("handshake", "scheme"): [None, "https", []],
}
UNREADABLE: list[Any] = [
    *(b"", b"not JSON", b"\xff", b"[" * 100_000, b"9" * 5_000),
    *(None, [], 5, "text", {"target": None}, {"target": []}, {"handshake": None}, {"handshake": 5}),
    *(changed(value, *path) for path, values in ODD_FIELDS.items() for value in values),
]


@pytest.mark.parametrize("value", UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_is_no_record_is_a_value_error(value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        ConnectionRecord.of_entry(entry(value))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from([*STORED, "headers", "server"]) | st.text(), inner)
        ),
    )
)
def test_whatever_is_stored_is_a_record_or_a_value_error(value: Any) -> None:
    with suppress(ValueError):
        ConnectionRecord.of_entry(entry(value))


# Members


@given(st.floats(0, 1e10), st.none() | st.from_regex(r"https://[a-z.]{1,9}/[a-z ]{0,9}", fullmatch=True))
def test_a_member_is_the_same_after_its_time_in_a_store(connected_at: float, url: str | None) -> None:
    expected = Address(url.replace(" ", "%20") if url else None, connected_at)
    assert Address.of_member(Address(url, connected_at).as_member("ann")) == expected


def test_a_member_of_a_later_version() -> None:
    member = TARGET.as_member("ann")
    assert Address.of_member(replace(member, value=member.value + b" something new")) == TARGET


@pytest.mark.parametrize("value", [b"", b"soon https://a", b"nan https://a", b"1e999 https://a", b"\xff", b"{}"])
def test_what_is_no_member_is_a_value_error(value: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        Address.of_member(Entry("ann", value, 0))


# What becomes of them


class Room:
    """Joins a room of its own, and says what its query string is. Greets if there is one."""

    def __init__(self) -> None:
        self.name = f"room {uuid4().hex}"
        self.runs: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.runs.append(scope["aws.event"]["requestContext"]["eventType"])
        await receive()
        await send({"type": "websocket.accept"})
        await scope["aws.connections"].join(self.name)
        if scope["query_string"]:
            await send({"type": "websocket.send", "text": "welcome"})
        while (await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "bytes": scope["query_string"]})


@pytest.fixture
def endpoint() -> Iterator[ConnectionsEndpoint]:
    with ConnectionsEndpoint() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql", "redis", "redis-cluster", "dynamodb", "s3"])
def handler(request: pytest.FixtureRequest, endpoint: ConnectionsEndpoint) -> Iterator[Mangum]:
    """With each built-in store."""
    dsn = request.getfixturevalue(f"{request.param.replace('-', '_')}_dsn")
    with serving(Room(), endpoint, dsn, lifespan="off") as handler:
        yield handler


def rewrite(client: Client, change: Callable[[dict[str, Any]], Any]) -> None:
    """Store the client's record as another version would."""
    hub = client.handler._hub
    assert hub is not None

    async def save() -> None:
        found = await hub.store.load(client.id)
        assert found is not None
        value = change(json.loads(found.value))
        value = value if isinstance(value, bytes) else json.dumps(value).encode()
        await hub.store.save(replace(found, value=value))

    client.handler.run(save)


def test_a_connection_outlives_a_deployment(handler: Mangum, endpoint: ConnectionsEndpoint) -> None:
    client = Client(handler, endpoint)
    client.connect(query={"a": ["b"]})
    rewrite(client, lambda value: value | {"version": 2, "new": 1})
    assert client.send("x") == 200
    rewrite(client, lambda value: {name: value[name] for name in ("target", "handshake")})
    assert client.send("x") == 200
    assert client.received == ["welcome", "a=b", "a=b"]
    assert client.disconnect() == 200
    assert client.send("x") == 410


@pytest.mark.parametrize("value", [b"not JSON", {"handshake": {"headers": 5}}])
def test_a_record_that_cannot_be_read_counts_as_not_there(
    value: Any, handler: Mangum, endpoint: ConnectionsEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(handler, endpoint)
    client.connect()
    rewrite(client, lambda _: value)
    assert client.send("x") == 410
    assert f"The record of the connection {client.id!r} cannot be read (" in caplog.text
    assert client.is_closed
    with pytest.raises(ConnectionGone):
        handler.run(handler.connections.send, client.id, "x")
    assert client.disconnect() == 200
    assert handler.app.runs == ["CONNECT"]  # type: ignore[attr-defined]


def test_a_greeting_that_is_too_large_for_api_gateway_is_dropped(
    handler: Mangum, endpoint: ConnectionsEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(handler, endpoint)
    endpoint.script(413, to=client.id)
    client.connect(query={"a": ["b"]})
    assert client.send("x") == 200
    assert client.received == ["a=b"]
    assert "A message of CONNECT is dropped: The message has 7 bytes" in caplog.text


def test_a_broadcast_goes_on_behind_a_member_that_cannot_be_read(
    handler: Mangum,
    endpoint: ConnectionsEndpoint,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    clients = [Client(handler, endpoint, name) for name in ("ann", "bob", "eve")]
    for client in clients:
        client.connect()
    rewrite(clients[2], lambda _: b"not JSON")  # a broadcast needs the membership alone
    room = handler.app.name  # type: ignore[attr-defined]
    hub = handler._hub
    assert hub is not None
    odd_members = {
        "bob": b"{}",
        "cleo": b"1783000000 https://somebody.example.com/else",
        "dan": b"1783000000 https://" + b"x" * 64 + b".execute-api.eu-west-1.amazonaws.com/no-label-is-so-long",
        "dora": b"1783000000 http://localhost:99999/",
    }
    for name, value in odd_members.items():
        handler.run(hub.store.join, room, Entry(name, value, int(time.time()) + 600))
    assert handler.run(handler.connections.broadcast, room, "x") == BroadcastResult(sent=2, failed=4)
    assert [client.received for client in clients] == [["x"], [], ["x"]]
    assert "The membership of the connection 'bob' cannot be read (" in caplog.text
    assert "https://somebody.example.com/else is neither a host of API Gateway" in caplog.text
