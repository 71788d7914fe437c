"""The store of connections and the management API, together: what one adapter needs for WebSockets."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from mangum.backends.store import Store
from mangum.exceptions import ConnectionGone
from mangum.websocket.management.api import ManagementAPI
from mangum.websocket.pending import deliver_pending
from mangum.websocket.records import Address, ConnectionRecord

__all__ = ["Hub"]

logger: logging.Logger = logging.getLogger("mangum.websocket")


class Hub:
    """The store and the management API, which live as long as the sandbox and open at the first call."""

    def __init__(self, store: Store, management: ManagementAPI, observe: Callable[[Any], Any] | None = None) -> None:
        """`observe` wraps the management API for observers."""
        self.store = store
        self._management = management if observe is None else observe(management)

    async def open(self) -> None:
        """Open the store."""
        await self.store.open()

    async def close(self) -> None:
        """Close both."""
        await self._management.close()
        await self.store.close()

    async def load(self, connection_id: str) -> ConnectionRecord | None:
        """What is kept of a connection. A record that cannot be read counts as not there."""
        entry = await self.store.load(connection_id)
        if entry is None:
            return None
        try:
            return ConnectionRecord.of_entry(entry)
        except ValueError as error:
            logger.warning("The record of the connection %r cannot be read (%s).", connection_id, error)
            return None

    async def send(self, record: ConnectionRecord, data: bytes, due: float | None) -> ConnectionRecord:
        """Send a message, behind those that have waited until the connection is open. Returns its record as it is then.

        Raises:
            ConnectionsError: API Gateway did not take this message, or one of those.
        """
        record = await self.deliver_pending(record, due)
        await self.post(record.connection_id, record.target, data, due)
        return record

    async def post(self, connection_id: str, target: Address, data: bytes, due: float | None) -> None:
        """Send a message. A connection that is gone loses its memberships; its record stays, because the application's
        clean-up at DISCONNECT needs it."""
        try:
            await self._management.post(
                target.endpoint_url, connection_id, data, opened_at=target.connected_at, due=due
            )
        except ConnectionGone:
            await self.store.leave_all(connection_id)
            raise

    async def deliver_pending(self, record: ConnectionRecord, due: float | None) -> ConnectionRecord:
        """Send what has waited until the connection is open. What API Gateway does not take waits on. Returns the
        connection's record as it is then."""
        if not record.has_pending:
            return record
        await deliver_pending(self.store, record.connection_id, partial(self._post_pending, record), due)
        delivered = replace(record, has_pending=False)
        await self.store.update(delivered.as_entry())
        return delivered

    async def _post_pending(self, record: ConnectionRecord, data: bytes, due: float) -> None:
        await self.post(record.connection_id, record.target, data, due)

    async def close_connection(self, connection_id: str, target: Address, due: float | None) -> None:
        """Have API Gateway close a connection; one that is closed is no error."""
        await self._management.delete(target.endpoint_url, connection_id, due=due)
