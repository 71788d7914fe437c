"""Sending to WebSocket connections, one or a group of them: `scope["aws.connections"]` and `handler.connections`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass, field
from operator import length_hint
from typing import Protocol

import anyio

from mangum.backends.base import Entry
from mangum.exceptions import ConnectionGone, ConnectionsError, MessageTooLarge
from mangum.websocket.hub import Hub
from mangum.websocket.management.endpoint import MOST_BYTES
from mangum.websocket.records import Address, ConnectionRecord

__all__ = ["BroadcastResult", "Connections", "Own", "encoded"]

logger: logging.Logger = logging.getLogger("mangum.websocket")

# Posts at the same time in a broadcast. API Gateway answers in some 10 ms, so that these are thousands in a second.
_CONCURRENCY = 64


@dataclass
class BroadcastResult:
    """How a broadcast went: numbers of connections."""

    sent: int = 0
    gone: int = 0  # closed already, and therefore no longer in any group
    failed: int = 0  # API Gateway would not take the message; the log says why


class Own(Protocol):
    """The connection whose event is being handled."""

    @property
    def connection_id(self) -> str:
        """Its id."""
        ...

    @property
    def effects(self) -> AbstractAsyncContextManager[bool]:
        """Goes around what the application does, and tells whether it counts: see `mangum.websocket.cycle`."""
        ...

    async def send(self, data: str | bytes) -> None:
        """Send to this connection, or keep the message until it is open."""
        ...

    async def join(self, group: str) -> None:
        """Join with this connection, or as soon as it is accepted."""
        ...

    async def leave(self, group: str) -> None:
        """Leave with this connection."""
        ...


@dataclass(frozen=True)
class Connections:
    """The WebSocket connections of an application.

    All methods raise `BackendError` where the store does not answer, and `ValueError` for an id or a group name that is
    not 1 to 1,024 bytes of UTF-8. A message is text or bytes, 128 KB at the most.
    """

    _hub: Hub
    _due: float | None = None  # in the loop's time
    _own: Own | None = field(default=None, repr=False)

    async def send(self, connection_id: str, data: str | bytes) -> None:
        """Send a message to a connection.

        Raises:
            ConnectionGone: it is closed, or never was.
            MessageTooLarge: the message has more than 128 KB.
            ConnectionsError: API Gateway did not take it within the deadline.
        """
        message = encoded(data)
        async with self._effect() as counts:
            if not counts:
                return
            if self._own is not None and connection_id == self._own.connection_id:
                await self._own.send(data)
                return
            record = await self._record(connection_id)
            await self._hub.send(record, message, self._due)

    async def close(self, connection_id: str) -> None:
        """Close a connection; its DISCONNECT event follows. One that is closed, or never was, is no error.

        Raises:
            ConnectionsError: API Gateway did not do it within the deadline.
        """
        async with self._effect() as counts:
            if not counts:
                return
            record = await self._hub.load(connection_id)
            if record is not None:
                await self._hub.close_connection(connection_id, record.target, self._due)

    async def join(self, group: str, connection_id: str | None = None) -> None:
        """Make a connection a member of a group: the one whose event this is, or another.

        Raises:
            ConnectionGone: the other is closed, or never was.
            ValueError: no id is given, and this is no event of a WebSocket connection.
        """
        async with self._effect() as counts:
            whose = self._whose("join", connection_id)
            if not counts:
                return
            if isinstance(whose, str):
                record = await self._record(whose)
                await self._hub.store.join(group, record.target.as_member(whose))
            else:
                await whose.join(group)

    async def leave(self, group: str, connection_id: str | None = None) -> None:
        """End a membership; one that is not there is no error.

        Raises:
            ValueError: no id is given, and this is no event of a WebSocket connection.
        """
        async with self._effect() as counts:
            whose = self._whose("leave", connection_id)
            if not counts:
                return
            if isinstance(whose, str):
                await self._hub.store.leave(group, whose)
            else:
                await whose.leave(group)

    async def broadcast(
        self, group: str, data: str | bytes, *, exclude: Collection[str] = frozenset()
    ) -> BroadcastResult:
        """Send a message to all members of a group but those whose ids are in `exclude`.

        Returns:
            How many connections got it, were gone, or failed. While the application is replayed, all are 0.

        Raises:
            MessageTooLarge: the message has more than 128 KB.
        """
        if isinstance(exclude, str):
            raise TypeError(f"`exclude` must be a set of connection ids, not a string; {{{exclude!r}}} is one.")
        message = encoded(data)
        result = BroadcastResult()
        async with self._effect() as counts:
            if counts:
                await self._broadcast(group, data, message, frozenset(exclude), result)
        return result

    async def _broadcast(
        self, group: str, data: str | bytes, message: bytes, exclude: frozenset[str], result: BroadcastResult
    ) -> None:
        failures: list[Exception] = []

        async def post_each() -> None:
            try:
                while not members.is_over:
                    page = members.page
                    for member in page:  # which others iterate over too
                        await self._post_member(member, data, message, result)
                    await members.turn(page)
            except Exception as error:  # kept out of the group, which would wrap it in another
                failures.append(error)
                posting.cancel_scope.cancel()

        async with aclosing(self._hub.store.pages(group)) as pages:
            members = _Members(pages, exclude)
            await members.turn(members.page)
            async with anyio.create_task_group() as posting:
                for _ in range(min(_CONCURRENCY, length_hint(members.page) or 1)):
                    posting.start_soon(post_each)
        if failures:
            raise failures[0]

    async def _post_member(self, member: Entry, data: str | bytes, message: bytes, result: BroadcastResult) -> None:
        own = self._own
        try:
            if own is not None and own.connection_id == member.connection_id:
                await own.send(data)
            else:
                try:
                    target = Address.of_member(member)
                except ValueError as error:
                    raise ConnectionsError(
                        f"The membership of the connection {member.connection_id!r} cannot be read ({error})."
                    ) from error
                await self._hub.post(member.connection_id, target, message, self._due)
        except ConnectionGone:
            result.gone += 1
        except ConnectionsError as error:
            result.failed += 1
            logger.warning("A member of a group did not get a broadcast: %s", error)
        else:
            result.sent += 1

    def _effect(self) -> AbstractAsyncContextManager[bool]:
        return nullcontext(True) if self._own is None else self._own.effects

    def _whose(self, verb: str, connection_id: str | None) -> Own | str:
        """The connection whose event this is, or the id of another."""
        own = self._own
        if own is not None and connection_id in (None, own.connection_id):
            return own
        if connection_id is None:
            raise ValueError(
                f'{verb}("group") is for a WebSocket connection, and this is no event of one: '
                f'{verb}("group", connection_id) says which.'
            )
        return connection_id

    async def _record(self, connection_id: str) -> ConnectionRecord:
        record = await self._hub.load(connection_id)
        if record is None:
            raise ConnectionGone(f"There is no WebSocket connection {connection_id!r}.")
        return record


class _Members:
    """The members of a group, for any number of workers: all iterate over the same page, and the first to come to its
    end turns to the next."""

    def __init__(self, pages: AsyncIterator[list[Entry]], exclude: frozenset[str]) -> None:
        self.page: Iterator[Entry] = iter(())
        self.is_over = False
        self._pages = pages
        self._exclude = exclude
        self._turning = anyio.Lock()

    async def turn(self, page: Iterator[Entry]) -> None:
        """Turn to the page after this one, if nobody has."""
        async with self._turning:
            if page is self.page and not self.is_over:
                try:
                    members = await anext(self._pages)
                except StopAsyncIteration:
                    self.is_over = True
                else:
                    self.page = iter([member for member in members if member.connection_id not in self._exclude])


def encoded(data: str | bytes) -> bytes:
    """A message as it is posted.

    Raises:
        MessageTooLarge: API Gateway does not carry it.
    """
    if not isinstance(data, str | bytes | bytearray | memoryview):
        raise TypeError(f"A message is a string or bytes, not {type(data).__name__}.")
    message = data.encode() if isinstance(data, str) else bytes(data)
    if len(message) > MOST_BYTES:
        raise MessageTooLarge(
            f"The message has {len(message):,} bytes, and API Gateway carries {MOST_BYTES:,} at the most."
        )
    return message
