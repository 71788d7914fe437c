"""The store of connections and the management API, together: what one adapter needs for WebSockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mangum.backends.store import Store
from mangum.exceptions import ConfigurationError, ConnectionGone, ConnectionsError
from mangum.websocket.management.api import ManagementAPI
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

    async def post(self, connection_id: str, target: Address, data: bytes, due: float | None) -> None:
        """Send a message. A connection that is gone loses its memberships; its record stays, because the application's
        clean-up at DISCONNECT needs it."""
        try:
            await self._management.post(_endpoint(target), connection_id, data, opened_at=target.connected_at, due=due)
        except ConnectionGone:
            await self.store.leave_all(connection_id)
            raise

    async def deliver_pending(self, record: ConnectionRecord, due: float | None) -> None:
        """Send what has waited until the connection is open, if anything has and nobody else does. What API Gateway
        does not take waits on."""
        if not record.has_pending:
            return
        connection_id, target = record.connection_id, record.target
        pending = await self.store.take(connection_id)
        try:
            while pending:
                await self.post(connection_id, target, pending[0], due)
                pending.pop(0)
        except ConnectionGone:
            raise
        except (ConnectionsError, asyncio.CancelledError):
            await self.store.hold(connection_id, pending, target.expires_at)
            raise
        await self.store.save(replace(record, has_pending=False).as_entry())

    async def close_connection(self, connection_id: str, target: Address, due: float | None) -> None:
        """Have API Gateway close a connection; one that is closed is no error."""
        await self._management.delete(_endpoint(target), connection_id, due=due)


def _endpoint(target: Address) -> str:
    if target.endpoint_url is None:
        raise ConfigurationError(
            "The CONNECT event did not tell where messages to its connection are posted: "
            'Mangum(app, api_gateway_endpoint_url="https://...") does.'
        )
    return target.endpoint_url
