"""What is kept of a WebSocket connection from its CONNECT on.

A deployment rolls over live connections, forwards and back, so what one version has written another reads. Unknown
fields are ignored, and kept when the record is written again; missing ones have defaults. A field whose meaning changes
gets another name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mangum.backends.base import Entry
from mangum.backends.store import CONNECTION_LIFETIME_S
from mangum.websocket.event import Handshake

__all__ = ["Address", "ConnectionRecord"]

_VERSION = 1  # of the fields


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
        url = (self.endpoint_url or "").replace(" ", "%20")
        return Entry(connection_id, f"{self.connected_at} {url}".encode(), self.expires_at)

    @classmethod
    def of_member(cls, member: Entry) -> Address:
        """What `as_member` has kept. A broadcast reads thousands of these.

        Raises:
            ValueError: it is something else.
        """
        connected_at, _, rest = member.value.decode().partition(" ")
        endpoint_url, _, _ = rest.partition(" ")  # another version may have more behind it
        return cls(endpoint_url or None, _moment(float(connected_at)))

    @classmethod
    def of_json(cls, value: Mapping[str, Any], expires_at: int) -> Address:
        """What a record has kept, which expires at that time.

        Raises:
            ValueError: a field is something else.
        """
        url = value.get("endpoint_url")
        if not (url is None or isinstance(url, str)):
            raise ValueError("`endpoint_url` is no text")
        return cls(url, _moment(value.get("connected_at", expires_at - CONNECTION_LIFETIME_S)))


@dataclass(frozen=True)
class ConnectionRecord:
    """What is kept of a connection from its CONNECT on."""

    connection_id: str
    target: Address
    handshake: Handshake
    has_pending: bool = False  # whether messages wait until it is open
    stored: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)  # as it was read

    def as_entry(self) -> Entry:
        """The record for the store."""
        stored = self.stored
        value = {
            "version": _VERSION,
            **stored,
            "target": {**stored.get("target", {}), **asdict(self.target)},
            "handshake": {**stored.get("handshake", {}), **self.handshake.as_json()},
            "has_pending": self.has_pending,
        }
        return Entry(self.connection_id, json.dumps(value).encode(), self.target.expires_at)

    @classmethod
    def of_entry(cls, entry: Entry) -> ConnectionRecord:
        """What `as_entry` has kept, in this version or another.

        Raises:
            ValueError: it cannot be read.
        """
        try:
            value = json.loads(entry.value)
            return cls(
                entry.connection_id,
                Address.of_json(value.get("target", {}), entry.expires_at),
                Handshake.of_json(value.get("handshake", {})),
                bool(value.get("has_pending", True)),  # the store knows
                value,
            )
        except (AttributeError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error


def _moment(value: object) -> float:
    """Unix seconds.

    Raises:
        ValueError: it is no number, or one that no clock has.
    """
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("`connected_at` is no time")
    return float(value)
