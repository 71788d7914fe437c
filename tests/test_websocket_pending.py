"""What an application sends during CONNECT arrives at least once, in order, and before anything else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest

from mangum import Mangum
from mangum.backends.base import Entry, Pending
from mangum.backends.dsn import DSN
from mangum.backends.store import Store
from mangum.exceptions import BackendError, ConnectionGone, ConnectionsError, MessageTooLarge
from mangum.types import Receive, Scope, Send
from mangum.websocket import pending as module
from mangum.websocket.pending import deliver_pending
from tests.apps import Context
from tests.memory_backend import Memory
from tests.servers.connections import SILENCE, ConnectionsEndpoint
from tests.websocket_client import Client, connect_event, disconnect_event, message_event, serving

LATER = int(time.time()) + 86_400

pytestmark = pytest.mark.anyio


class LinkError(Exception):
    """The connection to the store has failed."""


class LosesReplies(Memory):
    """Does what it is asked, and its reply is lost as often as `lost` says for the call."""

    unavailable = (LinkError,)

    def __init__(self, dsn: DSN) -> None:
        super().__init__(dsn)
        self.lost: dict[str, int] = {}

    def _reply(self, call: str) -> None:
        if self.lost.get(call, 0):
            self.lost[call] -= 1
            raise LinkError

    async def claim(self, connection_id: str, owner: str, now: float, until: float) -> Pending | None:
        claim = await super().claim(connection_id, owner, now, until)
        self._reply("claim")
        return claim

    async def release(self, connection_id: str, owner: str, messages: Sequence[bytes]) -> None:
        await super().release(connection_id, owner, messages)
        self._reply("release")


class Gateway:
    """Takes messages; `answers` are awaited before, in turn."""

    def __init__(self, *answers: Callable[[], Awaitable[None]] | Exception) -> None:
        self.taken: list[bytes] = []
        self._answers = [*answers]

    async def post(self, message: bytes, due: float) -> None:
        if self._answers:
            answer = self._answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            await answer()
        self.taken.append(message)


@pytest.fixture
def backend() -> LosesReplies:
    backend = LosesReplies(DSN.parse(f"memory://{uuid4().hex}"))
    backend.data.pending["a"] = [b"1", b"2", b"3"]
    return backend


@pytest.fixture
def store(backend: LosesReplies) -> Store:
    return Store(backend, DSN.parse("memory://store"))


@pytest.fixture
def endpoint() -> Iterator[ConnectionsEndpoint]:
    with ConnectionsEndpoint() as running:
        yield running


def within(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def greeter(scope: Scope, receive: Receive, send: Send) -> None:
    """Greets twice, and echoes. An error of an echo is not its business."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "welcome"})
    await send({"type": "websocket.send", "text": "enjoy"})
    while (message := await receive())["type"] == "websocket.receive":
        with suppress(ConnectionsError):
            await send({"type": "websocket.send", "text": message["text"]})


# One event, or several at the same time


async def test_of_many_events_one_delivers_and_the_others_wait(store: Store) -> None:
    gateway = Gateway()
    ended = 0

    async def event() -> None:
        nonlocal ended
        await deliver_pending(store, "a", gateway.post, within(10))
        assert gateway.taken == [b"1", b"2", b"3"]
        ended += 1

    async def slow() -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        assert ended == 0

    gateway = Gateway(slow, slow, slow)
    await asyncio.gather(*(event() for _ in range(10)))
    assert ended == 10


async def test_nothing_overtakes_what_another_event_delivers(
    endpoint: ConnectionsEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    second_waits = asyncio.Event()
    claim = Store.claim

    async def observed(self: Store, connection_id: str, owner: str, until: float) -> Pending | None:
        found = await claim(self, connection_id, owner, until)
        if found is not None and found.owner != owner:
            second_waits.set()
        return found

    monkeypatch.setattr(Store, "claim", observed)
    async with Mangum(
        greeter, dsn="sqlite://:memory:", lifespan="off", api_gateway_endpoint_url=endpoint.url
    ) as handler:
        await handler.invoke(connect_event("a"), Context())
        endpoint.script(SILENCE, to="a")
        first = asyncio.create_task(handler.invoke(message_event("a", "x"), Context(300_000)))
        await endpoint.reached(lambda endpoint: endpoint.count == 1)
        second = asyncio.create_task(handler.invoke(message_event("a", "y"), Context(300_000)))
        await second_waits.wait()
        assert endpoint.count == 1
        endpoint.cut()
        assert (await first, await second) == ({"statusCode": 200}, {"statusCode": 200})
    texts = [message.decode() for message in endpoint.posts["a"]]
    assert texts[:2] == ["welcome", "enjoy"]
    assert sorted(texts[2:]) == ["x", "y"]


def test_nothing_overtakes_what_api_gateway_does_not_take(endpoint: ConnectionsEndpoint) -> None:
    with serving(greeter, endpoint, "sqlite://:memory:", lifespan="off") as handler:
        client = Client(handler, endpoint)
        client.connect()
        endpoint.script(200, 403, 403, to=client.id)  # the second is tried again before the echo
        assert client.send("x") == 200
        assert client.received == ["welcome"]
        assert client.send("y") == 200
        assert client.received == ["welcome", "enjoy", "y"]


async def test_the_claim_of_one_that_died_is_taken_over(store: Store) -> None:
    gateway = Gateway()
    await store.claim("a", "dead", time.time() + 0.1)
    await deliver_pending(store, "a", gateway.post, within(10))
    assert gateway.taken == [b"1", b"2", b"3"]


@pytest.mark.parametrize("has_deadline", [True, False])
async def test_who_waits_for_another_in_vain(has_deadline: bool, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEASE_S", 0.05)
    gateway = Gateway()
    await store.claim("a", "busy", time.time() + 60)
    begin = within(0)
    with pytest.raises(ConnectionsError, match="to the connection 'a' are being posted by another event"):
        await deliver_pending(store, "a", gateway.post, within(0.1) if has_deadline else None)
    assert within(0) - begin < 1
    assert gateway.taken == []
    claim = await store.claim("a", "busy", time.time() + 60)
    assert claim == Pending("busy", [b"1", b"2", b"3"])


async def test_a_claim_does_not_go_on_for_ever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is claimed again, by this event or another."""
    monkeypatch.setattr(module, "_LEASE_S", 0.0)
    gateways = [Gateway(), Gateway()]
    await asyncio.gather(*(deliver_pending(store, "a", gateway.post, within(10)) for gateway in gateways))
    assert sorted({*gateways[0].taken, *gateways[1].taken}) == [b"1", b"2", b"3"]
    assert await store.claim("a", "reader", 0) is None


async def test_a_post_has_no_more_time_than_the_claim(store: Store) -> None:
    dues: list[float] = []

    async def post(message: bytes, due: float) -> None:
        dues.append(due)

    await deliver_pending(store, "a", post, within(60))
    assert all(due < within(module._LEASE_S + 1) for due in dues)


# What fails


@pytest.mark.parametrize("call", ["claim", "release"])
async def test_a_lost_reply_of_the_store_loses_nothing(call: str, store: Store, backend: LosesReplies) -> None:
    gateway = Gateway()
    backend.lost[call] = 1
    await deliver_pending(store, "a", gateway.post, within(10))
    assert gateway.taken == [b"1", b"2", b"3"]
    assert await store.claim("a", "reader", 0) is None


async def test_a_store_that_fails_loses_nothing(
    store: Store, backend: LosesReplies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event ends with an error. When its claim is over, the next delivers."""
    monkeypatch.setattr(module, "_LEASE_S", 0.1)
    gateway = Gateway()
    backend.lost["claim"] = 2
    with pytest.raises(BackendError, match="failed to claim messages"):
        await deliver_pending(store, "a", gateway.post, within(10))
    assert gateway.taken == []
    await deliver_pending(store, "a", gateway.post, within(10))
    assert gateway.taken == [b"1", b"2", b"3"]


@pytest.mark.parametrize(
    "error", [ConnectionsError("throttled"), asyncio.CancelledError()], ids=["refused", "cancelled"]
)
@pytest.mark.parametrize("lost", [0, 2], ids=["store is there", "store fails too"])
async def test_what_is_not_taken_waits_on(
    error: Exception, lost: int, store: Store, backend: LosesReplies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LEASE_S", 0.1)
    backend.lost["release"] = lost

    async def fine() -> None:
        return

    async def fail() -> None:
        raise error

    gateway = Gateway(fine, fail)
    with pytest.raises(type(error)):
        await deliver_pending(store, "a", gateway.post, within(10))
    assert gateway.taken == [b"1"]
    await deliver_pending(store, "a", gateway.post, within(10))
    assert gateway.taken == [b"1", b"2", b"3"]


async def test_what_waits_for_one_that_has_gone_is_forgotten(store: Store) -> None:
    with pytest.raises(ConnectionGone):
        await deliver_pending(store, "a", Gateway(ConnectionGone("gone")).post, within(10))
    assert await store.claim("a", "reader", 0) is None


async def test_what_is_too_large_does_not_hold_up_the_rest(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    gateway = Gateway(MessageTooLarge("131,073 bytes"))
    await deliver_pending(store, "a", gateway.post, within(10))
    assert gateway.taken == [b"2", b"3"]
    assert caplog.messages == ["A message of CONNECT is dropped: 131,073 bytes"]


async def test_a_record_does_not_come_back_after_disconnect(endpoint: ConnectionsEndpoint) -> None:
    """The client leaves while what was sent at CONNECT is posted."""
    async with Mangum(
        greeter, dsn="sqlite://:memory:", lifespan="off", api_gateway_endpoint_url=endpoint.url
    ) as handler:
        hub = handler._hub
        assert hub is not None
        await handler.invoke(connect_event("a"), Context())
        record = await hub.load("a")
        assert record is not None
        endpoint.script(SILENCE, to="a")
        delivering = asyncio.create_task(hub.deliver_pending(record, None))
        await endpoint.reached(lambda endpoint: endpoint.count == 1)
        assert await handler.invoke(disconnect_event("a"), Context()) == {"statusCode": 200}
        endpoint.cut()
        assert not (await delivering).has_pending
        assert await hub.load("a") is None
        assert await hub.store.claim("a", "reader", 0) is None
        assert await handler.invoke(message_event("a", "x"), Context()) == {"statusCode": 410}


async def test_what_was_delivered_is_not_asked_for_again(endpoint: ConnectionsEndpoint) -> None:
    claims: list[Any] = []

    class Counts(Memory):
        async def claim(self, *arguments: Any) -> Pending | None:
            claims.append(arguments)
            return await super().claim(*arguments)

    backend = Counts(DSN.parse(f"memory://{uuid4().hex}"))
    async with Mangum(
        greeter, dsn="sqlite://:memory:", lifespan="off", api_gateway_endpoint_url=endpoint.url
    ) as handler:
        assert handler._hub is not None
        handler._hub.store = Store(backend, DSN.parse("memory://store"))
        await handler.invoke(connect_event("a"), Context())
        for _ in range(3):
            await handler.invoke(message_event("a", "x"), Context())
        record = backend.data.records["a"]
        assert len(claims) == 1
        await handler._hub.store.save(Entry("a", record.value.replace(b"false", b"true"), LATER))  # a reply was lost
        for _ in range(3):
            await handler.invoke(message_event("a", "x"), Context())
    assert len(claims) == 2
    assert len(endpoint.posts["a"]) == 8
