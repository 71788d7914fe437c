"""Lambda's side of an invocation: it goes on when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from types import TracebackType

from mangum.local.function import Function, FunctionStopped
from mangum.local.invocations import Invocation
from mangum.local.streams import StreamedAnswer

__all__ = ["LambdaService"]

logger: logging.Logger = logging.getLogger("mangum.local")


class LambdaService:
    """Invokes a function in tasks of its own, which end at the latest with the service's `async with`.

    A front door whose own time is over, or whose client has gone, stops to wait; the function runs on, as on AWS.
    """

    def __init__(self, function: Function) -> None:
        self._function = function
        self._group = asyncio.TaskGroup()
        self._running: set[asyncio.Task[str | StreamedAnswer | Exception]] = set()
        self._stopping: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> LambdaService:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._stopping is not None:
            self._stopping.cancel()
        self._give_up()
        await self._group.__aexit__(kind, error, traceback)

    def stop(self, after_s: float) -> None:
        """The gateway ends: give up what still runs by then. Whoever waits for it is told."""
        self._stopping = asyncio.get_running_loop().call_later(after_s, self._give_up)

    def _give_up(self) -> None:
        for task in self._running:
            task.cancel()

    async def invoke(self, invocation: Invocation) -> str | StreamedAnswer:
        """The function's answer, as JSON, or the beginning of a stream. Cancelled, it leaves the function running.

        Raises:
            FunctionFailed, EventTooLarge: as `Function.invoke` does, or because the gateway ends.
        """
        task = self._group.create_task(self._run(invocation))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            outcome = await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                invocation.failure = str(FunctionStopped())
                raise FunctionStopped from None
            task.add_done_callback(partial(_report, invocation))
            raise
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _run(self, invocation: Invocation) -> str | StreamedAnswer | Exception:
        """What came of it: a failure is the front door's, and does not end the other invocations."""
        try:
            return await self._function.invoke(invocation)
        except Exception as error:
            return error


def _report(invocation: Invocation, task: asyncio.Task[str | StreamedAnswer | Exception]) -> None:
    """A failure that nobody waits for any more is the developer's to know all the same; a stream is the runtime's to
    end, which would wait for a reader."""
    outcome = None if task.cancelled() else task.result()
    if isinstance(outcome, Exception):
        logger.error("%s: %s", invocation.title, outcome)
    elif isinstance(outcome, StreamedAnswer):
        outcome.hang_up()
