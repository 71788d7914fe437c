"""What is kept of a WebSocket connection from its CONNECT on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from mangum.backends.base import Entry
from mangum.backends.store import CONNECTION_LIFETIME_S

__all__ = ["Address", "ConnectionRecord"]


@dataclass(frozen=True)
class Address:
    """What a post to a connection needs to know, beside its id."""

    endpoint_url: str | None  # of the management API; `None` where the CONNECT event did not tell
    connected_at: float  # Unix seconds

    @property
    def expires_at(self) -> int:
        """When the connection is surely gone, Unix seconds."""
        return int(self.connected_at) + CONNECTION_LIFETIME_S

    def as_member(self, connection_id: str) -> Entry:
        """A membership in a group."""
        return Entry(connection_id, f"{self.connected_at} {self.endpoint_url or ''}".encode(), self.expires_at)

    @classmethod
    def of_member(cls, member: Entry) -> Address:
        """What `as_member` has kept."""
        connected_at, _, endpoint_url = member.value.decode().partition(" ")  # a broadcast reads thousands of these
        return cls(endpoint_url or None, float(connected_at))


@dataclass(frozen=True)
class ConnectionRecord:
    """What is kept of a connection from its CONNECT on."""

    connection_id: str
    target: Address
    handshake: dict[str, Any]  # as JSON has it
    has_pending: bool = False  # whether messages wait until it is open

    def as_entry(self) -> Entry:
        """The record for the store."""
        value = {"target": asdict(self.target), "handshake": self.handshake, "has_pending": self.has_pending}
        return Entry(self.connection_id, json.dumps(value).encode(), self.target.expires_at)

    @classmethod
    def of_entry(cls, entry: Entry) -> ConnectionRecord:
        """What `as_entry` has kept."""
        value = json.loads(entry.value)
        return cls(entry.connection_id, Address(**value.pop("target")), **value)
