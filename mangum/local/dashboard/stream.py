"""News of invocations for a browser, as Server-Sent Events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from mangum.local.invocations import Invocation, Journal

__all__ = ["Stream"]

_MOST_PENDING = 200
_PAUSE_S = 0.05  # news of that time go together: a browser has better to do than to draw a thousand times in a second
_SILENCE_S = 15.0  # after which a sign of life finds out whether anybody is there

_SYNC = "event: sync\ndata: \n\n"


class Stream:
    """What happens from now on, for one browser after the other.

    It begins with `sync`, at which the browser has to fetch the whole list, and again when it was too slow. In between,
    `news` has what `render` makes, for JSON, of the invocations that began or ended, oldest first; of none from time to
    time.
    """

    def __init__(self, journal: Journal, render: Callable[[list[Invocation]], object]) -> None:
        self._journal = journal
        self._render = render
        self._viewers: set[_Viewer] = set()
        self._is_over = False

    async def events(self) -> AsyncIterator[str]:
        """The stream for one browser, until it leaves or `close` is called."""
        viewer = _Viewer()
        self._viewers.add(viewer)
        try:
            with self._journal.listening(viewer.note):
                yield _SYNC
                while not self._is_over:
                    yield self._event(await viewer.news())
                    await asyncio.sleep(_PAUSE_S)
        finally:
            self._viewers.discard(viewer)

    def close(self) -> None:
        """End the streams, those to come too."""
        self._is_over = True
        for viewer in self._viewers:
            viewer.wake()

    def _event(self, news: list[Invocation] | None) -> str:
        return _SYNC if news is None else f"event: news\ndata: {json.dumps(self._render(news))}\n\n"


class _Viewer:
    """What one browser has not been told yet."""

    def __init__(self) -> None:
        self._pending: dict[str, Invocation] = {}
        self._has_missed = False
        self._awake = asyncio.Event()

    def note(self, invocation: Invocation) -> None:
        """Something is new about an invocation."""
        self._pending[invocation.request_id] = invocation
        if len(self._pending) > _MOST_PENDING:
            self._pending.clear()
            self._has_missed = True
        self.wake()

    def wake(self) -> None:
        """Do not wait any longer."""
        self._awake.set()

    async def news(self) -> list[Invocation] | None:
        """Wait for something to tell: `None` if it is more than was kept, and nothing if it took too long."""
        try:
            async with asyncio.timeout(_SILENCE_S):
                await self._awake.wait()
        except TimeoutError:
            return []
        self._awake.clear()
        news, has_missed = list(self._pending.values()), self._has_missed
        self._pending.clear()
        self._has_missed = False
        return None if has_missed else news
