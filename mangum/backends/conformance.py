"""What every connection store is held against. `CHECKS` are async functions of two clients of one store:

    @pytest.mark.anyio
    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_conformance(check: Check) -> None:
        store, second = Store.of(DSN), Store.of(DSN)
        try:
            await check(store, second)
        finally:
            await store.close()
            await second.close()

A check that fails raises an `AssertionError` that says what the store did. Checks use ids and members of their own, so
that they can share a store, at the same time too. They leave a few thousand small entries behind, which expire within
ten minutes.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, TypeAlias, TypeVar
from uuid import uuid4

from mangum.backends.base import Entry, Pending
from mangum.backends.store import Store
from mangum.exceptions import BackendError

__all__ = [
    "CHECKS",
    "Check",
    "check_a_claim_comes_to_an_end",
    "check_a_large_group",
    "check_a_record_is_kept",
    "check_a_record_is_updated",
    "check_end_of_all_memberships",
    "check_expiry",
    "check_groups",
    "check_messages_are_claimed_once",
    "check_odd_names",
    "check_pages",
    "check_pending_messages",
    "check_repeated_calls",
    "check_two_clients_at_once",
    "check_unknown_ids",
    "check_values",
]

T = TypeVar("T")
Check: TypeAlias = Callable[[Store, Store], Awaitable[None]]

_LIFETIME_S = 600
_AT_ONCE = 32
_MEMBERS = 2_000
_LARGE = 200_000
_LONGEST_NAME = 1024
_LEASE_S = 300

_ODD = [
    *("/", "//", "a/", "/a", "a/b", ".", "..", "../a", "a.b", "a//b", "a\\b"),
    *("'", '"', "''", "a'b\"c", "`", "$1", ":id", "?", "*", "#", "&", "=", "+", ";--", "|", "~", "^", "<a>"),
    *("%", "%%", "%s", "%2F", "%252F", "_", "a_b", "{", "}", "{}", "{a}", "{a}b", "[0]", "(", "a,b", "a:b", "@", "!"),
    *(" ", "a b", " a", "a ", "a  b", "\t", "a\nb", "a\r\nb", "\x01", "\x7f", "\xa0", "\u2028", "\ufeff", "\uffff"),
    *("a", "A", "é", "e\u0301", "ß", "ss", "日本語", "עברית", "😀", "\U0010ffff", "0", "None", "null", "-", "-1"),
]


async def check_a_record_is_kept(store: Store, second: Store) -> None:
    """A record is found as it was saved, by every client, until it is deleted; it is replaced by the next one."""
    first, other = _record(b"first"), _record(b"other")
    await store.save(first)
    await store.save(other)
    for client in (store, second):
        _expect(await client.load(first.connection_id), first, "a record that was saved")
        _expect(await client.load(other.connection_id), other, "another connection's record")
    replaced = Entry(first.connection_id, b"second", first.expires_at + 60)
    await second.save(replaced)
    _expect(await store.load(first.connection_id), replaced, "a record that was replaced")
    await store.delete(first.connection_id)
    for client in (store, second):
        _expect(await client.load(first.connection_id), None, "a record that was deleted")
        _expect(await client.load(other.connection_id), other, "another connection's record")
    await store.save(first)
    _expect(await second.load(first.connection_id), first, "a record that was saved again")


async def check_a_record_is_updated(store: Store, second: Store) -> None:
    """A record is updated if there is one. One that was deleted does not come back."""
    record = _record(b"first")
    await store.update(record)
    _expect(await second.load(record.connection_id), None, "a record that was updated and never saved")
    await store.save(record)
    for number, client in enumerate((store, second)):
        updated = Entry(record.connection_id, b"%d" % number * (number + 1), record.expires_at + number)
        await client.update(updated)
        _expect(await store.load(record.connection_id), updated, "a record that was updated")
    await second.delete(record.connection_id)
    for client in (store, second):
        await client.update(record)
        _expect(await client.load(record.connection_id), None, "a record that was updated after it was deleted")
    await store.save(record)
    updates = [second.update(Entry(record.connection_id, b"%d" % n, record.expires_at)) for n in range(10)]
    await asyncio.gather(*updates[:5], store.delete(record.connection_id), *updates[5:])
    _expect(await second.load(record.connection_id), None, "a record that was updated while it was deleted")


async def check_repeated_calls(store: Store, second: Store) -> None:
    """Each call may come twice, with the effect of one."""
    record, group = _record(b"once"), _name("group")
    for client in (store, second):
        await client.save(record)
        await client.join(group, record)
        await client.hold(record.connection_id, [b"1", b"2"], record.expires_at)
    _expect(await store.load(record.connection_id), record, "a record that was saved twice")
    _expect(await store.groups(record.connection_id), [group], "the groups of a member that joined twice")
    _expect(await _members(store, group), [record], "a group that one member joined twice")
    _expect(await _waiting(store, record.connection_id), [b"1", b"2"], "messages that were held twice")
    until = time.time() + _LEASE_S
    for client in (store, second):
        claimed = await client.claim(record.connection_id, "ann", until)
        _expect(claimed, Pending("ann", [b"1", b"2"]), "messages that one owner claimed twice")
    for client in (store, second):
        await client.release(record.connection_id, "ann", [b"2"])
    _expect(await _waiting(store, record.connection_id), [b"2"], "messages that were released twice")
    for client in (store, second):
        await client.update(record)
    for client in (store, second):
        await client.leave(group, record.connection_id)
        await client.leave_all(record.connection_id)
    _expect(await _members(store, group), [], "a group that its member left twice")
    for client in (store, second):
        await client.delete(record.connection_id)
    _expect(await store.load(record.connection_id), None, "a record that was deleted twice")


async def check_unknown_ids(store: Store, second: Store) -> None:
    """What was never there is no error."""
    connection_id, group = _name("unknown"), _name("group")
    for client in (store, second):
        _expect(await client.load(connection_id), None, "an unknown connection's record")
        _expect(await _waiting(client, connection_id), [], "an unknown connection's messages")
        await client.release(connection_id, "ann", [])
        await client.release(connection_id, "ann", [b"1"])
        _expect(await _waiting(client, connection_id), [], "an unknown connection's messages after their release")
        _expect(await client.groups(connection_id), [], "an unknown connection's groups")
        _expect(await _members(client, group), [], "an unknown group")
        await client.leave(group, connection_id)
        await client.leave_all(connection_id)
        await client.delete(connection_id)


async def check_expiry(store: Store, second: Store) -> None:
    """An expired record or member is never returned, purged or not; what was renewed stays."""
    group = _name("group")
    past, future = int(time.time()) - 60, int(time.time()) + _LIFETIME_S
    expired = [Entry(_name("expired"), b"old", past) for _ in range(5)]
    renewed = [Entry(_name("renewed"), b"old", past) for _ in range(5)]
    current = [Entry(entry.connection_id, b"new", future) for entry in renewed]
    for entry in [*expired, *renewed, *current]:
        await store.save(entry)
        await store.join(group, entry)
    for _ in range(3):
        for client in (store, second):
            for entry in expired:
                _expect(await client.load(entry.connection_id), None, "an expired record")
            for entry in current:
                _expect(await client.load(entry.connection_id), entry, "a record that was renewed")
                _expect(await client.groups(entry.connection_id), [group], "the groups of a renewed member")
            _expect(await _members(client, group), _in_order(current), "a group with expired and renewed members")
        await asyncio.gather(store.purge(), second.purge())


async def check_pending_messages(store: Store, second: Store) -> None:
    """Messages are kept in order and byte for byte, with a record or without, until they are released."""
    record = _record(b"record")
    connection_id, expires_at = record.connection_id, record.expires_at
    messages = [
        b"",
        bytes(range(256)),
        *(f"{number}".encode() for number in range(50)),
        b"same",
        b"same",
        b"x" * 30_000,
    ]
    await store.hold(connection_id, [b"replaced"], expires_at)
    await second.hold(connection_id, messages, expires_at)
    _expect(await store.load(connection_id), None, "the record of a connection that has only messages")
    await store.save(record)
    for left in (messages, messages[1:], [b"x"], []):
        await _release(second, connection_id, left)
        for client in (store, second):
            _expect(await _waiting(client, connection_id), left, "messages that were released")
            _expect(await client.load(connection_id), record, "the record beside messages that were released")
    await store.hold(connection_id, [b"again"], expires_at)
    await store.hold(connection_id, [], expires_at)
    _expect(await _waiting(second, connection_id), [], "messages that were replaced by none")
    await store.hold(connection_id, [b"left"], expires_at)
    _expect(await _waiting(second, connection_id), [b"left"], "messages that are held again")
    await store.claim(connection_id, "ann", time.time() + _LEASE_S)
    await store.delete(connection_id)
    await store.release(connection_id, "ann", [b"left"])
    _expect(await _waiting(second, connection_id), [], "messages of a connection that was deleted")


async def check_messages_are_claimed_once(store: Store, second: Store) -> None:
    """Of many who claim messages at the same time, on two clients, one gets the claim."""
    messages = [b"1", b"2", b"3"]
    for _ in range(10):
        record = _record(b"record")
        await store.save(record)
        await store.hold(record.connection_id, messages, record.expires_at)
        until = time.time() + _LEASE_S
        owners = {f"owner{number}": (store, second)[number % 2] for number in range(16)}
        claims = await asyncio.gather(
            *(client.claim(record.connection_id, owner, until) for owner, client in owners.items())
        )
        own = [
            claim.messages
            for owner, claim in zip(owners, claims, strict=True)
            if claim is not None and claim.owner == owner
        ]
        _expect(own, [messages], "claims of those who claimed at the same time")
        _expect([claim for claim in claims if claim is None], [], "claims of nothing, while the messages are there")


async def check_a_claim_comes_to_an_end(store: Store, second: Store) -> None:
    """A claim keeps others away until it is released or its time is over. Then its former owner changes nothing."""
    record, messages = _record(b"record"), [b"1", b"2"]
    connection_id, now = record.connection_id, time.time()
    await store.hold(connection_id, messages, record.expires_at)
    await store.claim(connection_id, "ann", now + _LEASE_S)
    for client in (store, second):
        claim = await client.claim(connection_id, "bob", now + _LEASE_S)
        _expect(claim and claim.owner, "ann", "the owner of messages that were claimed")
        await client.release(connection_id, "bob", [])
        _expect(await client.claim(connection_id, "ann", now + _LEASE_S), Pending("ann", messages), "a claim, renewed")
    await store.release(connection_id, "ann", messages[1:])
    claim = await second.claim(connection_id, "bob", now - 1)  # which is over at once
    _expect(claim, Pending("bob", messages[1:]), "a claim after the release of another")
    claim = await store.claim(connection_id, "eve", now + _LEASE_S)
    _expect(claim, Pending("eve", messages[1:]), "a claim after the end of another")
    for left in ([], messages):
        await second.release(connection_id, "bob", left)
        claim = await second.claim(connection_id, "eve", now + _LEASE_S)
        _expect(claim, Pending("eve", messages[1:]), "a claim after the release of one that was over")
    await second.hold(connection_id, messages, record.expires_at)
    claim = await store.claim(connection_id, "bob", now + _LEASE_S)
    _expect(claim, Pending("bob", messages), "a claim of messages that were held again")


async def check_groups(store: Store, second: Store) -> None:
    """Joins and leaves touch one membership. A join again changes its value."""
    red, blue = _name("red"), _name("blue")
    ann, bob, eve = _record(b"ann"), _record(b"bob"), _record(b"")
    for group in (red, blue):
        for member in (ann, bob, eve):
            await store.join(group, member)
    for client in (store, second):
        _expect(await _members(client, red), _in_order([ann, bob, eve]), "a group of three")
        _expect(sorted(await client.groups(ann.connection_id)), sorted([red, blue]), "the groups of a connection")
    await second.leave(red, bob.connection_id)
    _expect(await _members(store, red), _in_order([ann, eve]), "a group that one member left")
    _expect(await _members(store, blue), _in_order([ann, bob, eve]), "a group that nobody left")
    _expect(await store.groups(bob.connection_id), [blue], "the groups of a connection that left one")
    moved = Entry(ann.connection_id, b"moved", ann.expires_at + 60)
    await store.join(red, moved)
    _expect(await _members(second, red), _in_order([moved, eve]), "a group with a member that joined again")
    _expect(await _members(second, blue), _in_order([ann, bob, eve]), "a group that the member did not join again")
    _expect(sorted(await second.groups(ann.connection_id)), sorted([red, blue]), "groups after joining one again")
    await store.join(red, bob)
    _expect(await _members(second, red), _in_order([moved, bob, eve]), "a group that a member left and joined again")


async def check_end_of_all_memberships(store: Store, second: Store) -> None:
    """`leave_all` ends all memberships of one connection and keeps the rest of it; `delete` ends both."""
    groups = [_name("group") for _ in range(120)]
    ann, bob = _record(b"ann"), _record(b"bob")
    for end, record_after in ((store.leave_all, ann), (store.delete, None)):
        await store.save(ann)
        await store.hold(ann.connection_id, [b"pending"], ann.expires_at)
        await _each(groups, lambda group: store.join(group, ann))
        await _each(groups[:3], lambda group: store.join(group, bob))
        _expect(sorted(await second.groups(ann.connection_id)), sorted(groups), "the groups of a connection in 120")
        await end(ann.connection_id)
        for client in (store, second):
            _expect(await client.groups(ann.connection_id), [], f"the groups after `{end.__name__}`")
            _expect(await client.load(ann.connection_id), record_after, f"the record after `{end.__name__}`")
            for group in groups[:3]:
                _expect(await _members(client, group), [bob], f"a group after `{end.__name__}` of another member")
            _expect(await _members(client, groups[-1]), [], f"a group after `{end.__name__}` of its only member")
        left = await _waiting(second, ann.connection_id)
        _expect(left, [b"pending"] if record_after else [], f"the messages after `{end.__name__}`")
        _expect(sorted(await store.groups(bob.connection_id)), sorted(groups[:3]), "the groups of another connection")


async def check_pages(store: Store, second: Store) -> None:
    """Pages have at most the size that is asked for, and have each member once."""
    for count, size in ((1, 1), (6, 3), (7, 3), (20, 1), (20, 100)):
        group = _name("group")
        members = [_record(f"{number}".encode()) for number in range(count)]
        await _each(members, partial(store.join, group))
        pages = [page async for page in second.pages(group, size)]
        _expect([page for page in pages if len(page) > size], [], f"pages of more than {size}")
        _expect(
            _in_order(member for page in pages for member in page),
            _in_order(members),
            f"{count} members in pages of {size}",
        )


async def check_a_large_group(store: Store, second: Store) -> None:
    """Who stays in a group of thousands is read exactly once, while others join and leave."""
    group = _name("group")
    stay = [_record(b"%d" % number) for number in range(_MEMBERS)]
    leave = [_record(b"leaves") for _ in range(_MEMBERS // 20)]
    everyone = _in_order([*stay, *leave])  # by their ids, which are random
    await _each(everyone, partial(store.join, group))

    leaving = {member.connection_id for member in leave}
    seen: list[Entry] = []
    async for page in store.pages(group):
        seen += page
        # The last of a page too, if it is one of those: where the next page begins is then no longer there.
        leavers = [member.connection_id for member in page if member.connection_id in leaving]
        await _each(leavers, partial(second.leave, group))
        await _each([_record(b"joins") for _ in range(20)], partial(second.join, group))
    _expect(
        _in_order(member for member in seen if member.value not in (b"leaves", b"joins")),
        _in_order(stay),
        f"{_MEMBERS:,} members who stayed while others joined and left",
    )
    left = [member.connection_id for member in seen if member.connection_id in leaving]
    remaining = {member.connection_id for member in await _members(second, group)}
    _expect(remaining & set(left), set(), "members who had left while the group was read")


async def check_odd_names(store: Store, second: Store) -> None:
    """Names are any text of 1 to 1,024 bytes, are kept apart, and come back as they were."""
    token = uuid4().hex[:8]
    odd = [*(f"{token}{name}" for name in _ODD), *(f"{name}{token}" for name in _ODD)]
    odd += [token.ljust(_LONGEST_NAME, "x"), token + "€" * ((_LONGEST_NAME - len(token)) // 3), token.ljust(1023, "/")]
    records = [Entry(name, name.encode(), int(time.time()) + _LIFETIME_S) for name in dict.fromkeys(odd)]
    groups = [*_ODD, *odd]
    members = dict(zip(groups, [*records, *records, *records], strict=False))  # for each group one of them

    await _each(records, store.save)
    await _each(records, lambda record: store.hold(record.connection_id, [record.value], record.expires_at))
    await _each(members.items(), lambda membership: store.join(*membership))
    for record in records:
        name = record.connection_id
        _expect(await second.load(name), record, f"the record of {name!r}")
        _expect(await _waiting(second, name), [record.value], f"the messages of {name!r}")
        own = sorted(group for group, member in members.items() if member == record)
        _expect(sorted(await second.groups(name)), own, f"the groups of {name!r}")
    for group, member in members.items():
        # Groups whose names have no token are shared with whoever else runs this check.
        found = [entry for entry in await _members(second, group) if token in entry.connection_id]
        _expect(found, [member], f"the members of {group!r}")
    await _each(records[1:], lambda record: store.delete(record.connection_id))
    _expect(await second.load(records[0].connection_id), records[0], "the one record that was not deleted")
    for record in records[1:]:
        _expect(await second.load(record.connection_id), None, f"the record of {record.connection_id!r}, deleted")
        _expect(await second.groups(record.connection_id), [], f"the groups of {record.connection_id!r}, deleted")


async def check_values(store: Store, second: Store) -> None:
    """A record has up to 200 KB of any bytes. Where the store keeps less, it says so."""
    for value in (b"", b"\0", bytes(range(256)), "€😀".encode() * 1_000, os.urandom(_LARGE)):
        record = _record(value)
        if store.value_limit is None or len(value) <= store.value_limit:
            await store.save(record)
            _expect(await second.load(record.connection_id), record, f"a record of {len(value):,} bytes")
            continue
        try:
            await store.save(record)
        except BackendError:
            _expect(await second.load(record.connection_id), None, "a record that was refused")
        else:
            _fail(f"a record of {len(value):,} bytes was not refused", store.value_limit)


async def check_two_clients_at_once(store: Store, second: Store) -> None:
    """Two clients that write the same at the same time leave what one of them wrote, and both see it."""
    record, group = _record(b""), _name("group")
    connection_id = record.connection_id
    written = [Entry(connection_id, b"%d" % number, record.expires_at) for number in range(20)]

    await _each(written, lambda entry: (store, second)[int(entry.value) % 2].save(entry))
    await _each(written, lambda entry: (store, second)[int(entry.value) % 2].join(group, entry))
    for found in (await store.load(connection_id), *(await _members(store, group))):
        _expect(found in written, True, f"one of those that were written, not {found}")
    _expect(await second.load(connection_id), await store.load(connection_id), "a record that two clients saved")
    _expect(
        await _members(second, group), await _members(store, group), "a group that one member joined from two sides"
    )
    _expect(await second.groups(connection_id), [group], "the groups of a member that joined from two sides")

    ends: list[Awaitable[None]] = []
    for client in (store, second):
        ends += [client.delete(connection_id), client.leave(group, connection_id), client.leave_all(connection_id)]
    await asyncio.gather(*ends)
    for client in (store, second):
        _expect(await client.load(connection_id), None, "a record that two clients deleted")
        _expect(await _members(client, group), [], "a group that its member left in six ways")
        _expect(await client.groups(connection_id), [], "the groups of a connection that left in six ways")


CHECKS: tuple[Check, ...] = (
    check_a_record_is_kept,
    check_a_record_is_updated,
    check_repeated_calls,
    check_unknown_ids,
    check_expiry,
    check_pending_messages,
    check_messages_are_claimed_once,
    check_a_claim_comes_to_an_end,
    check_groups,
    check_end_of_all_memberships,
    check_pages,
    check_a_large_group,
    check_odd_names,
    check_values,
    check_two_clients_at_once,
)


def _name(kind: str) -> str:
    return f"{uuid4().hex}-{kind}"


def _record(value: bytes) -> Entry:
    return Entry(_name("connection"), value, int(time.time()) + _LIFETIME_S)


async def _waiting(store: Store, connection_id: str) -> list[bytes]:
    """The messages of a connection, which nobody has a claim to afterwards: this one is over at once."""
    claim = await store.claim(connection_id, "reader", 0)
    return [] if claim is None else [*claim.messages]


async def _release(store: Store, connection_id: str, messages: list[bytes]) -> None:
    await store.claim(connection_id, "writer", time.time() + _LEASE_S)
    await store.release(connection_id, "writer", messages)


def _in_order(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: (entry.connection_id, entry.value))


async def _members(store: Store, group: str) -> list[Entry]:
    return _in_order([member async for page in store.pages(group) for member in page])


async def _each(items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Do the same with all items, a few of them at a time."""
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    async with asyncio.TaskGroup() as workers:
        for _ in range(_AT_ONCE):
            workers.create_task(worker())


def _expect(found: Any, expected: Any, what: str) -> None:
    if found != expected:
        _fail(f"expected of {what}: {_short(expected)}", found)


def _fail(what: str, found: Any) -> None:
    raise AssertionError(f"{what}; found: {_short(found)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 1_000 else f"{text[:1_000]}... ({len(text):,} characters)"
