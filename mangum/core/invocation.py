"""One invocation: the lifespan's task, and within it the request/response cycle, until Lambda's deadline."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from mangum.core.deadline import Deadline
from mangum.core.lifespan import Lifespan
from mangum.core.sandbox import Sandbox

__all__ = ["Cycle", "run_invocation"]

logger = logging.getLogger("mangum")


class Cycle(Protocol):
    """What an invocation runs: a request and its response, or an event of a WebSocket."""

    @property
    def response(self) -> Any:
        """What the application has answered, once that is complete, else `None`."""
        ...

    @property
    def is_cut_off(self) -> bool:
        """Whether a part of the answer has been sent, and the rest will not be."""
        ...

    @property
    def line(self) -> str:
        """What is run, for a log."""
        ...

    async def run(self, deadline: Deadline | None, state: dict[str, Any] | None) -> None:
        """Run it, and wait for all tasks that it starts. `deadline` is aimed at the caller's task."""
        ...


async def run_invocation(
    cycle: Cycle,
    context: Any,
    sandbox: Sandbox,
    lifespan: Lifespan | None = None,
    state: dict[str, Any] | None = None,
) -> None:
    """Run a cycle with `lifespan` around it, or else with the one that the sandbox keeps, or else with `state`.

    `context`, Lambda's, tells how long: shortly before Lambda would kill the sandbox, what runs is cancelled, once
    as asyncio cancels a task, so that its clean-up can await, and a moment later for good. Then the cycle may be left
    without a response.

    Raises:
        LifespanFailure: startup or shutdown failed.
    """
    deadline = sandbox.watchdog().watch(context)
    failure: Exception | None = None
    try:
        if lifespan is not None:
            await _run_within(lifespan, cycle, deadline)
        else:
            if sandbox.keeps_lifespan:
                state = await sandbox.state()
            await cycle.run(deadline, state)
    except asyncio.CancelledError:
        if deadline is None or not deadline.expired:
            raise
    except Exception as error:  # after what the log has to say of the deadline
        failure = error
    finally:
        if deadline is not None:
            deadline.release()
    if deadline is not None and deadline.expired:
        _report_expiry(cycle)
    if failure is not None:
        raise failure
    if lifespan is not None:
        lifespan.raise_failure()


async def _run_within(lifespan: Lifespan, cycle: Cycle, deadline: Deadline | None) -> None:
    """Start the application up, run the cycle, and shut it down.

    A task group around the lifespan's task would do the same, and take 4 us more: a tenth of a warm invocation.
    """
    if deadline is not None:
        deadline.aim(lifespan)
    lifespan.begin()
    failed = False
    try:
        await lifespan.startup()
        if deadline is not None:
            if deadline.expired:
                return
            deadline.aim_at_host()
        await cycle.run(deadline, lifespan.state.copy())
    except BaseException as error:
        failed = deadline is None or not deadline.expired or not isinstance(error, asyncio.CancelledError)
        raise
    finally:
        if deadline is not None:
            deadline.aim(lifespan)
        lifespan.end(failed=failed)
        await lifespan.wait_ended()


def _report_expiry(cycle: Cycle) -> None:
    task = asyncio.current_task()
    if task is not None and task.cancelling():  # the caller's own cancellation came while the deadline's was handled
        raise asyncio.CancelledError
    fate = "the answer is a 504." if cycle.response is None else "its response was complete, and stands."
    logger.error(
        "%s was cancelled shortly before the function's timeout: %s",
        cycle.line,
        "its response is cut off." if cycle.is_cut_off else fate,
    )
