"""One invocation: a task group that runs the lifespan task and the request/response cycle, within Lambda's deadline."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from mangum.deadline import Deadline
from mangum.protocols.http import HTTPCycle, plain_response, request_line
from mangum.protocols.lifespan import Lifespan
from mangum.sandbox import Sandbox
from mangum.types import ASGI, Response, Scope

__all__ = ["run_invocation"]

logger = logging.getLogger("mangum")


async def run_invocation(
    app: ASGI, scope: Scope, body: bytes, context: Any, sandbox: Sandbox, lifespan: Lifespan | None = None
) -> Response:
    """Run the application on one request, with `lifespan` around it, or else with the one that the sandbox keeps.

    `context`, Lambda's, tells how long: shortly before Lambda would kill the sandbox, what runs is cancelled, once
    as asyncio cancels a task, so that its clean-up can await, and a moment later for good. The response is a 504 then,
    unless it was complete.

    Raises:
        LifespanFailure: startup or shutdown failed.
    """
    cycle = HTTPCycle(app, scope, body)
    deadline = sandbox.watchdog().watch(context)
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            try:
                if lifespan is not None:
                    await _serve_within(lifespan, cycle, scope, group, deadline)
                else:
                    if sandbox.keeps_lifespan:
                        scope["state"] = await sandbox.state()
                    await cycle.run()
            except asyncio.CancelledError:
                if deadline is None or not deadline.expired:
                    raise
            except BaseException as error:  # kept out of the group, which would wrap it in another
                failure = error
            finally:
                if lifespan is not None:
                    if deadline is not None:
                        deadline.aim(lifespan)
                    lifespan.end(failed=failure is not None)
    finally:
        if deadline is not None:
            deadline.release()
    if deadline is not None and deadline.expired:
        _report_expiry(scope, cycle.response)
    if failure is not None:
        raise failure
    if lifespan is not None:
        lifespan.raise_failure()
    return cycle.response or plain_response(504, "Gateway Timeout")


async def _serve_within(
    lifespan: Lifespan, cycle: HTTPCycle, scope: Scope, group: asyncio.TaskGroup, deadline: Deadline | None
) -> None:
    """Start the application up in the group, and serve the request."""
    if deadline is not None:
        deadline.aim(lifespan)
    group.create_task(lifespan.run())
    await lifespan.startup()
    if deadline is not None:
        if deadline.expired:
            return
        deadline.aim_at_host()
    scope["state"] = lifespan.state.copy()
    await cycle.run()


def _report_expiry(scope: Scope, response: Response | None) -> None:
    task = asyncio.current_task()
    if task is not None and task.cancelling():  # the caller's own cancellation came while the deadline's was handled
        raise asyncio.CancelledError
    logger.error(
        "%s was cancelled shortly before the function's timeout: %s",
        request_line(scope),
        "the answer is a 504." if response is None else "its response was complete, and stands.",
    )
