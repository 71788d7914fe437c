"""What the page needs to know of the WebSocket API, and of the store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Protocol

from mangum.backends.store import Store

__all__ = ["ConnectionsView", "Groups", "OpenConnection", "StoredGroups"]

Groups = Callable[[str], Awaitable[list[str]]]


class OpenConnection(Protocol):
    """A WebSocket connection that is open. Times are in Unix seconds."""

    @property
    def connection_id(self) -> str: ...
    @property
    def connected_at(self) -> float: ...
    @property
    def last_active_at(self) -> float: ...
    @property
    def client(self) -> str: ...
    @property
    def user_agent(self) -> str: ...
    @property
    def path(self) -> str: ...


class ConnectionsView(Protocol):
    """The WebSocket API, as the page sees it."""

    @property
    def connections(self) -> Iterable[OpenConnection]: ...

    async def send(self, connection_id: str, data: str | bytes) -> bool:
        """Send a message; `False` if the connection is not there any more."""

    async def close(self, connection_id: str) -> None:
        """Close a connection, if it is still there."""


class StoredGroups:
    """The groups of a connection, from the store that the function uses: opened once, when it is first asked."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._store: Store | None = None

    async def __call__(self, connection_id: str) -> list[str]:
        """Their names.

        Raises:
            MangumError: the store cannot be had, or does not answer.
        """
        if self._store is None:
            self._store = Store.of(self._dsn)
        return await self._store.groups(connection_id)

    async def __aenter__(self) -> StoredGroups:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._store is not None:
            await self._store.close()
