"""A store in this process, as a package of somebody else's would bring one along."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar

from mangum.backends.base import Backend, Entry, Page, Pending
from mangum.backends.dsn import DSN
from mangum.exceptions import ConfigurationError


class _Data:
    """What a server would keep, for all its clients."""

    def __init__(self) -> None:
        self.records: dict[str, Entry] = {}
        self.pending: dict[str, list[bytes]] = {}
        self.claims: dict[str, tuple[str, float]] = {}
        self.groups: defaultdict[str, dict[str, Entry]] = defaultdict(dict)


class Memory(Backend):
    """`memory://name`: clients of one name share what they keep."""

    servers: ClassVar[defaultdict[str, _Data]] = defaultdict(_Data)

    def __init__(self, dsn: DSN) -> None:
        dsn.parameters()
        if not dsn.location:
            raise ConfigurationError(f"The DSN {dsn} names no store: memory://name.")
        self.data = self.servers[dsn.location]
        self.calls: list[str] = []

    async def open(self) -> None:
        self.calls.append("open")

    async def close(self) -> None:
        self.calls.append("close")

    async def abort(self) -> None:
        self.calls.append("abort")

    async def save(self, record: Entry) -> None:
        self.data.records[record.connection_id] = record

    async def update(self, record: Entry) -> None:
        if record.connection_id in self.data.records:
            self.data.records[record.connection_id] = record

    async def load(self, connection_id: str) -> Entry | None:
        return self.data.records.get(connection_id)

    async def delete(self, connection_id: str) -> None:
        self.data.records.pop(connection_id, None)
        self.data.pending.pop(connection_id, None)
        self.data.claims.pop(connection_id, None)
        await self.leave_all(connection_id)

    async def hold(self, connection_id: str, messages: Sequence[bytes], expires_at: int) -> None:
        self.data.pending[connection_id] = list(messages)
        self.data.claims.pop(connection_id, None)

    async def claim(self, connection_id: str, owner: str, now: float, until: float) -> Pending | None:
        messages = self.data.pending.get(connection_id)
        if not messages:
            return None
        holder, ends = self.data.claims.get(connection_id, (owner, until))
        if holder == owner or ends <= now:
            holder, ends = self.data.claims[connection_id] = (owner, until)
        return Pending(holder, messages)

    async def release(self, connection_id: str, owner: str, messages: Sequence[bytes]) -> None:
        if self.data.claims.get(connection_id, ("", 0))[0] == owner:
            await self.hold(connection_id, messages, 0)

    async def join(self, group: str, member: Entry) -> None:
        self.data.groups[group][member.connection_id] = member

    async def leave(self, group: str, connection_id: str) -> None:
        self.data.groups[group].pop(connection_id, None)

    async def leave_all(self, connection_id: str) -> None:
        for members in self.data.groups.values():
            members.pop(connection_id, None)

    async def groups(self, connection_id: str) -> list[str]:
        return [group for group, members in self.data.groups.items() if connection_id in members]

    async def members(self, group: str, after: str | None, limit: int) -> Page:
        ids = sorted(key for key in self.data.groups[group] if after is None or key > after)
        page = [self.data.groups[group][key] for key in ids[:limit]]
        return Page(page, ids[limit - 1] if len(ids) > limit else None)

    async def purge(self, now: int, most: int) -> None:
        for record in [record for record in self.data.records.values() if record.expires_at <= now][:most]:
            await self.delete(record.connection_id)
        for members in self.data.groups.values():
            for member in [member for member in members.values() if member.expires_at <= now]:
                del members[member.connection_id]
