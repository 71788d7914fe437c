"""A TCP server of a test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.abc import SocketAttribute, SocketStream

from tests.servers import HOST

__all__ = ["serving"]


@asynccontextmanager
async def serving(handler: Callable[[SocketStream], Awaitable[None]]) -> AsyncIterator[int]:
    """Serve on the running event loop. Gives the port; the handlers end with it."""
    async with await anyio.create_tcp_listener(local_host=HOST) as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handler)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()
