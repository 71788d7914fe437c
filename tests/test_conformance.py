"""The checks that stores are held against notice a store that is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import pytest

from mangum.backends import conformance
from mangum.backends.base import Entry, Page, Pending
from mangum.backends.conformance import CHECKS, Check
from mangum.backends.dsn import DSN
from mangum.backends.store import Store
from mangum.exceptions import BackendError
from tests.memory_backend import Memory

pytestmark = pytest.mark.anyio


def stores(backend_class: type[Memory]) -> tuple[Store, Store]:
    dsn = DSN.parse(f"memory://{uuid4().hex}")
    return Store(backend_class(dsn), dsn), Store(backend_class(dsn), dsn)


def test_all_checks_are_listed_and_say_what_they_check() -> None:
    named = [value for name, value in vars(conformance).items() if name.startswith("check_")]
    assert list(CHECKS) == named
    assert all(check.__doc__ for check in CHECKS)


class KeepsTheFirst(Memory):
    async def save(self, record: Entry) -> None:
        self.data.records.setdefault(record.connection_id, record)


class KeepsWhatIsDeleted(Memory):
    async def delete(self, connection_id: str) -> None:
        await self.leave_all(connection_id)


class KeepsToItself(Memory):
    def __init__(self, dsn: DSN) -> None:
        super().__init__(DSN.parse(f"memory://{uuid4().hex}"))


class IgnoresTheExpiry(Memory):
    async def load(self, connection_id: str) -> Entry | None:
        record = await super().load(connection_id)
        return record and Entry(record.connection_id, record.value, record.expires_at + 3600)


class PurgesWhatIsRenewed(Memory):
    def __init__(self, dsn: DSN) -> None:
        super().__init__(dsn)
        self.doomed: list[str] = []

    async def save(self, record: Entry) -> None:
        self.doomed += [record.connection_id] if record.value == b"old" else []
        await super().save(record)

    async def purge(self, now: int, most: int) -> None:
        for connection_id in self.doomed:
            await self.delete(connection_id)


class AddsToWhatIsHeld(Memory):
    async def hold(self, connection_id: str, messages: Sequence[bytes], expires_at: int) -> None:
        self.data.pending.setdefault(connection_id, []).extend(messages)


class UpdatesWhatIsDeleted(Memory):
    async def update(self, record: Entry) -> None:
        await self.save(record)


class UpdatesInTwoSteps(Memory):
    async def update(self, record: Entry) -> None:
        if record.connection_id in self.data.records:
            await asyncio.sleep(0)
            await self.save(record)


class ClaimsInAnyOrder(Memory):
    async def claim(self, connection_id: str, owner: str, now: float, until: float) -> Pending | None:
        claim = await super().claim(connection_id, owner, now, until)
        return claim and Pending(claim.owner, sorted(claim.messages))


class ClaimsInTwoSteps(Memory):
    async def claim(self, connection_id: str, owner: str, now: float, until: float) -> Pending | None:
        _, ends = self.data.claims.get(connection_id, (owner, 0))
        await asyncio.sleep(0)
        if ends <= now:
            self.data.claims.pop(connection_id, None)
        return await super().claim(connection_id, owner, now, until)


class TakesWhatIsClaimed(Memory):
    """As a store of an earlier version did: what it has told is no longer there."""

    async def claim(self, connection_id: str, owner: str, now: float, until: float) -> Pending | None:
        claim = await super().claim(connection_id, owner, now, until)
        self.data.pending.pop(connection_id, None)
        return claim


class ClaimsForEver(Memory):
    async def claim(self, connection_id: str, owner: str, now: float, until: float) -> Pending | None:
        return await super().claim(connection_id, owner, now, until + 3600)


class ReleasesWhatIsAnothers(Memory):
    async def release(self, connection_id: str, owner: str, messages: Sequence[bytes]) -> None:
        if connection_id in self.data.claims:
            await self.hold(connection_id, messages, 0)


class KeepsClaimsToWhatIsHeldAgain(Memory):
    async def hold(self, connection_id: str, messages: Sequence[bytes], expires_at: int) -> None:
        self.data.pending[connection_id] = list(messages)


class SavesOverWhatIsHeld(Memory):
    async def save(self, record: Entry) -> None:
        self.data.pending.pop(record.connection_id, None)
        await super().save(record)


class KeepsMessagesOfTheDeleted(Memory):
    async def delete(self, connection_id: str) -> None:
        self.data.records.pop(connection_id, None)
        await self.leave_all(connection_id)


class KeepsMembershipsOfTheDeleted(Memory):
    async def delete(self, connection_id: str) -> None:
        self.data.records.pop(connection_id, None)
        self.data.pending.pop(connection_id, None)


class DeletesWhoLeavesAll(Memory):
    async def leave_all(self, connection_id: str) -> None:
        self.data.records.pop(connection_id, None)
        await super().leave_all(connection_id)


class LeavesEverything(Memory):
    async def leave(self, group: str, connection_id: str) -> None:
        await self.leave_all(connection_id)


class RefusesWhoIsNoMember(Memory):
    async def leave(self, group: str, connection_id: str) -> None:
        if connection_id not in self.data.groups[group]:
            raise KeyError(connection_id)
        await super().leave(group, connection_id)


class KeepsTheFirstJoin(Memory):
    async def join(self, group: str, member: Entry) -> None:
        self.data.groups[group].setdefault(member.connection_id, member)


class ListsGroupsTwice(Memory):
    async def groups(self, connection_id: str) -> list[str]:
        return await super().groups(connection_id) * 2


class IgnoresTheLimit(Memory):
    async def members(self, group: str, after: str | None, limit: int) -> Page:
        return await super().members(group, after, limit + 1)


class ForgetsTheNextPage(Memory):
    async def members(self, group: str, after: str | None, limit: int) -> Page:
        return Page((await super().members(group, after, limit)).members, None)


class CountsFromTheStart(Memory):
    """Whoever leaves moves the others into a page that has been read."""

    async def members(self, group: str, after: str | None, limit: int) -> Page:
        begin = int(after or 0)
        members = [member for _, member in sorted(self.data.groups[group].items())]
        return Page(members[begin : begin + limit], str(begin + limit) if begin + limit < len(members) else None)


class IgnoresCase(Memory):
    async def save(self, record: Entry) -> None:
        await super().save(Entry(record.connection_id.lower(), record.value, record.expires_at))

    async def load(self, connection_id: str) -> Entry | None:
        record = await super().load(connection_id.lower())
        return record and Entry(connection_id, record.value, record.expires_at)


class TrimsNames(Memory):
    async def groups(self, connection_id: str) -> list[str]:
        return [group.strip() for group in await super().groups(connection_id)]


class TakesNamesForPatterns(Memory):
    async def delete(self, connection_id: str) -> None:
        for name in [name for name in self.data.records if name.startswith(connection_id.rstrip("*"))]:
            await super().delete(name)


class CutsValues(Memory):
    async def save(self, record: Entry) -> None:
        await super().save(Entry(record.connection_id, record.value[:65_536], record.expires_at))


class SavesInTwoSteps(Memory):
    def __init__(self, dsn: DSN) -> None:
        super().__init__(dsn)
        self.seen: dict[str, Entry] = {}

    async def save(self, record: Entry) -> None:
        self.seen[record.connection_id] = record
        await super().save(record)

    async def load(self, connection_id: str) -> Entry | None:
        return self.seen.get(connection_id) or await super().load(connection_id)


@pytest.mark.parametrize(
    ("backend_class", "check"),
    [
        (KeepsTheFirst, conformance.check_a_record_is_kept),
        (KeepsWhatIsDeleted, conformance.check_a_record_is_kept),
        (KeepsToItself, conformance.check_a_record_is_kept),
        (RefusesWhoIsNoMember, conformance.check_repeated_calls),
        (AddsToWhatIsHeld, conformance.check_repeated_calls),
        (ListsGroupsTwice, conformance.check_repeated_calls),
        (RefusesWhoIsNoMember, conformance.check_unknown_ids),
        (IgnoresTheExpiry, conformance.check_expiry),
        (PurgesWhatIsRenewed, conformance.check_expiry),
        (AddsToWhatIsHeld, conformance.check_pending_messages),
        (UpdatesWhatIsDeleted, conformance.check_a_record_is_updated),
        (UpdatesInTwoSteps, conformance.check_a_record_is_updated),
        (ClaimsInAnyOrder, conformance.check_pending_messages),
        (TakesWhatIsClaimed, conformance.check_pending_messages),
        (TakesWhatIsClaimed, conformance.check_repeated_calls),
        (ClaimsForEver, conformance.check_a_claim_comes_to_an_end),
        (ReleasesWhatIsAnothers, conformance.check_a_claim_comes_to_an_end),
        (KeepsClaimsToWhatIsHeldAgain, conformance.check_a_claim_comes_to_an_end),
        (SavesOverWhatIsHeld, conformance.check_pending_messages),
        (KeepsMessagesOfTheDeleted, conformance.check_pending_messages),
        (ClaimsInTwoSteps, conformance.check_messages_are_claimed_once),
        (LeavesEverything, conformance.check_groups),
        (KeepsTheFirstJoin, conformance.check_groups),
        (KeepsMembershipsOfTheDeleted, conformance.check_end_of_all_memberships),
        (DeletesWhoLeavesAll, conformance.check_end_of_all_memberships),
        (IgnoresTheLimit, conformance.check_pages),
        (ForgetsTheNextPage, conformance.check_pages),
        (CountsFromTheStart, conformance.check_a_large_group),
        (IgnoresCase, conformance.check_odd_names),
        (TrimsNames, conformance.check_odd_names),
        (TakesNamesForPatterns, conformance.check_odd_names),
        (CutsValues, conformance.check_values),
        (SavesInTwoSteps, conformance.check_two_clients_at_once),
    ],
    ids=lambda value: value.__name__,
)
async def test_a_store_that_is_wrong(backend_class: type[Memory], check: Check) -> None:
    with pytest.raises((AssertionError, BackendError), match=r"; found: |failed to leave"):
        await check(*stores(backend_class))


class Small(Memory):
    value_limit = 1_000


class SmallerThanItSays(Store):
    """Does not refuse what is too large."""

    async def save(self, record: Entry) -> None:
        await self._backend.save(record)


async def test_a_store_that_keeps_less() -> None:
    await conformance.check_values(*stores(Small))
    dsn = DSN.parse("memory://small")
    store = SmallerThanItSays(Small(dsn), dsn)
    with pytest.raises(AssertionError, match=r"^a record of 7,000 bytes was not refused; found: 1000$"):
        await conformance.check_values(store, store)


async def test_what_was_found_is_shown_in_short() -> None:
    with pytest.raises(AssertionError) as caught:
        await conformance.check_values(*stores(CutsValues))
    assert str(caught.value).startswith("expected of a record of 200,000 bytes: Entry(connection_id=")
    assert str(caught.value).count(" characters)") == 2
    assert len(str(caught.value)) < 3_000
