"""A selector that tells when the event loop has nothing to do."""

from __future__ import annotations

import asyncio
import os
import selectors

__all__ = ["IdleSelector"]


class IdleSelector(selectors.DefaultSelector):
    """asyncio's loop asks its selector with a timeout other than 0 exactly when no callback is ready."""

    def __init__(self) -> None:
        super().__init__()
        self._waiters: list[asyncio.Future[None]] = []

    async def wait_idle(self) -> None:
        """Wait until no callback is ready: every task waits for something that has not come."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        vars(self)["select"] = self._select_or_tell  # only now, so that other turns stay as fast
        await waiter

    def _select_or_tell(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0:
            return super().select(0)
        ready = super().select(0)  # whatever is ready by now makes a callback ready
        if not ready:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
            del vars(self)["select"]
        return ready

    def detach(self) -> None:
        """In a forked child: watch nothing, without a change for the parent. The kernel's list of watched files belongs
        to both, and what the child takes off it no longer wakes the parent up."""
        with selectors.DefaultSelector() as empty:
            os.dup2(empty.fileno(), self.fileno(), inheritable=False)
