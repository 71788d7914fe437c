"""What an application sends to its client during CONNECT: kept in the store, and posted when the connection is open.

API Gateway refuses messages to a connection before its CONNECT has been answered. Later events of the connection may
run at the same time, in several sandboxes. One of them claims the messages for a while, posts them, and then deletes
what it has posted. The others wait for it, so that nothing overtakes these messages. The claim of a sandbox that died
comes to its end by itself, and another posts them again: they arrive at least once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

from mangum.backends.store import Store
from mangum.exceptions import BackendError, ConnectionGone, ConnectionsError, MessageTooLarge

__all__ = ["Post", "deliver_pending"]

logger: logging.Logger = logging.getLogger("mangum.websocket")

Post: TypeAlias = Callable[[bytes, float], Awaitable[None]]  # a message, and by when in the loop's time

# How long a claim lasts. Measured with the wall clock: sandboxes share it, and the loop's clock may stop in a freeze.
_LEASE_S = 10.0
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5


async def deliver_pending(store: Store, connection_id: str, post: Post, due: float | None) -> None:
    """Post what waits for a connection to open, or wait until another event has done it: by `due`, in the loop's time,
    and in two leases without one.

    Raises:
        ConnectionGone: the connection is closed. Nothing waits any more.
        ConnectionsError: API Gateway did not take a message, or another event still posts them. They go on waiting.
        BackendError: the store failed. They go on waiting.
    """
    owner = os.urandom(8).hex()
    now = asyncio.get_running_loop().time
    if due is None:
        due = now() + 2 * _LEASE_S
    pause = _FIRST_PAUSE_S
    while True:
        until = time.time() + _LEASE_S
        claim = await store.claim(connection_id, owner, until)
        if claim is None:
            return
        if claim.owner == owner:
            if await _post_claimed(store, connection_id, owner, [*claim.messages], post, due, until):
                return
        elif now() + pause >= due:
            raise ConnectionsError(
                f"Messages of CONNECT to the connection {connection_id!r} are being posted by another event, which has "
                "not come to an end in time."
            )
        else:
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)


async def _post_claimed(
    store: Store, connection_id: str, owner: str, messages: list[bytes], post: Post, due: float, until: float
) -> bool:
    """Post messages for half of the claim's time, and release the rest. Returns whether there is none."""
    loop = asyncio.get_running_loop()
    try:
        while messages:
            try:
                await post(messages[0], min(due, loop.time() + until - time.time()))
            except MessageTooLarge as error:  # which it will be for ever
                logger.error("A message of CONNECT is dropped: %s", error)
            messages.pop(0)
            if time.time() > until - _LEASE_S / 2:  # claim the rest again
                break
    except (ConnectionsError, asyncio.CancelledError) as error:
        with suppress(BackendError):  # without it the claim comes to its end by itself
            await store.release(connection_id, owner, [] if isinstance(error, ConnectionGone) else messages)
        raise
    await store.release(connection_id, owner, messages)
    return not messages
