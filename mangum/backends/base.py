"""What a connection store does. A store of your own implements `Backend`, is found by the entry-point group
`mangum.backends`, and is held against `mangum.backends.conformance`.

A store keeps bytes and does not look into them. What is the same for all stores (serialisation, limits of names and of
time, expiry, the retry on a connection that died, errors) stands once, in `mangum.backends.store`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from mangum.backends.dsn import DSN

__all__ = ["Backend", "Entry", "Page", "Pending"]


@dataclass(frozen=True)
class Entry:
    """Something kept for a connection: its record, or its membership in a group."""

    connection_id: str
    value: bytes
    expires_at: int  # Unix seconds


@dataclass(frozen=True)
class Pending:
    """Messages that wait until a connection is open, and who may post them."""

    owner: str
    messages: Sequence[bytes]  # in order


@dataclass(frozen=True)
class Page:
    """Some members of a group, and where the next page begins; `None` after the last."""

    members: Sequence[Entry]
    next: str | None


class Backend(ABC):
    """One store.

    Each call is one attempt: it neither limits its time nor retries, and raises its library's errors. `Store`, the only
    caller, does the rest: so every call may be cancelled and may come twice, and has to be idempotent. Calls may run
    at the same time on one event loop. Connection ids and group names are any Unicode text of 1 to 1,024 bytes of
    UTF-8 without NUL; a value has up to 256 KB.
    """

    # What its library raises when a connection, not the request, has failed: the call is tried again on a fresh one, as
    # it is after any ConnectionError or TimeoutError.
    unavailable: ClassVar[tuple[type[BaseException], ...]] = (OSError,)

    # What a record may hold at most in bytes, where the store sets a limit below 256 KB.
    value_limit: ClassVar[int | None] = None

    @abstractmethod
    def __init__(self, dsn: DSN) -> None:
        """Check the DSN. No I/O.

        Raises:
            ConfigurationError: it names nothing, or has a parameter that is not known.
        """

    @abstractmethod
    async def open(self) -> None:
        """Connect, on the running event loop, and create what is missing (tables, indexes, buckets).

        Raises:
            ConfigurationError: what is missing cannot be created; the message says what to create.
        """

    @abstractmethod
    async def close(self) -> None:
        """Give everything back. What was never opened, or is closed already, is no error."""

    @abstractmethod
    async def abort(self) -> None:
        """Drop every connection at once, without a word to the other end: it may be silent. `open` follows."""

    @abstractmethod
    async def save(self, record: Entry) -> None:
        """Keep a record, in place of one that the connection may have."""

    @abstractmethod
    async def update(self, record: Entry) -> None:
        """Keep a record in place of the one that the connection has. If it has none, do nothing: it was deleted, and
        stays so. Atomic."""

    @abstractmethod
    async def load(self, connection_id: str) -> Entry | None:
        """The record of a connection. An expired one may be returned or not: `Store` drops it."""

    @abstractmethod
    async def delete(self, connection_id: str) -> None:
        """Forget a connection: its record, its memberships, its pending messages."""

    @abstractmethod
    async def hold(self, connection_id: str, messages: Sequence[bytes], expires_at: int) -> None:
        """Keep the connection's pending messages, in order, in place of any that it may have. Nobody has a claim to
        them."""

    @abstractmethod
    async def claim(self, connection_id: str, owner: str, now: float, until: float) -> Pending | None:
        """Claim the connection's pending messages for `owner` (ASCII letters and digits) up to `until`, and return them
        with the owner of the claim; `None` if there are none. They stay. Times are Unix seconds.

        If another has a claim that ends after `now`, it stays as it is, and the result has that owner and any messages.
        A claim of the same owner is renewed: the reply to an earlier call may have been lost. Atomic: of callers at the
        same time, in whatever process, one gets the claim.
        """

    @abstractmethod
    async def release(self, connection_id: str, owner: str, messages: Sequence[bytes]) -> None:
        """End the claim of `owner`, and keep `messages`, in order, in place of those that were claimed; with none, the
        connection has no pending messages any more. If the claim is another's by now, do nothing. Atomic."""

    @abstractmethod
    async def join(self, group: str, member: Entry) -> None:
        """Make a connection a member of a group, with a value that a broadcast needs. Again is no error: the last value
        counts."""

    @abstractmethod
    async def leave(self, group: str, connection_id: str) -> None:
        """End a membership. One that is not there is no error."""

    @abstractmethod
    async def leave_all(self, connection_id: str) -> None:
        """End all memberships of a connection; its record stays."""

    @abstractmethod
    async def groups(self, connection_id: str) -> list[str]:
        """The groups that a connection is a member of, in any order."""

    @abstractmethod
    async def members(self, group: str, after: str | None, limit: int) -> Page:
        """At most `limit` members of a group, from the page's `next` on, or from the start for `None`. Who is a member
        from the first page to the last is given exactly once. A page may be empty and not be the last."""

    async def purge(self, now: int, most: int) -> None:
        """Remove up to about `most` records, with what belongs to them, and memberships that had expired at `now` (Unix
        seconds), where the store does not do so by itself."""
        return
