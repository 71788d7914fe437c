"""One invocation: a task group, in which the lifespan and the exchange run until they end or the deadline comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Protocol

from mangum.core.deadline import Deadline, watch
from mangum.core.root import cancel_leftovers, leftovers, root_of
from mangum.core.tasks import first_error

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from mangum.core.lifespan import Serve
    from mangum.core.reply import Reply

__all__ = ["Exchange", "LifespanPolicy", "NoLifespan", "run_invocation", "warm_up"]

logger: logging.Logger = logging.getLogger("mangum")

_LAST_ANSWER_S = 1.0


class Exchange(Protocol):
    """What an invocation runs: a request with its response, or an event of a WebSocket."""

    @property
    def has_tasks(self) -> bool:
        """Whether it starts tasks in the invocation's group."""
        ...

    @property
    def is_answered(self) -> bool:
        """Whether the application's answer is complete."""
        ...

    @property
    def is_cut_off(self) -> bool:
        """Whether a part of the answer has been sent, and the rest will not be."""
        ...

    @property
    def line(self) -> str:
        """What is run, for a log."""
        ...

    async def run(self, state: dict[str, Any] | None, deadline: Deadline | None, group: TaskGroup | None) -> None:
        """Run the application. `state` is the lifespan's. Errors are kept for `finish`."""
        ...

    def abandon(self) -> None:
        """Cut off an answer that has begun and not ended, and give the reason."""
        ...

    async def finish(self, *, in_time: bool) -> None:
        """At the end of the invocation: answer if nothing has been answered.

        Raises:
            Exception: what the caller has to hear of.
        """
        ...


class LifespanPolicy(Protocol):
    """When the application's lifespan runs: never (`NoLifespan`), around each invocation, or once in the process."""

    @property
    def has_lifespan(self) -> bool:
        """Whether a lifespan may be around the next invocation."""
        ...

    @property
    def state(self) -> dict[str, Any] | None:
        """The state for a request without a lifespan: empty if the application turned out not to support it."""
        ...

    async def around(self, serve: Serve, group: TaskGroup) -> None:
        """Call `serve` while the application is up. `group` is the invocation's.

        Raises:
            LifespanFailure: startup or shutdown failed.
            LoopError: the lifespan runs on another event loop.
        """
        ...


class NoLifespan:
    """Never."""

    has_lifespan = False
    state = None

    async def around(self, serve: Serve, group: TaskGroup) -> None:
        await serve(None)


async def run_invocation(exchange: Exchange, context: Any, lifespan: LifespanPolicy, reply: Reply) -> None:
    """Run an exchange while the application is up.

    Everything runs in one task group, so that nothing of it outlives the invocation. An HTTP request without a lifespan
    has nothing to group: it is a single coroutine. Shortly before the function's timeout, which Lambda's `context`
    tells, the invocation is cancelled, see `Deadline`. Then the answer is a 504, unless it was complete.

    Raises:
        LifespanFailure: startup or shutdown failed.
        Exception: what the handler or the store raised.
    """
    if leftovers:
        cancel_leftovers()
    deadline = watch(context)
    if deadline is not None and reply.when_left is not None:
        deadline.when_left = partial(_leave, exchange, reply.when_left, deadline.host)
    failure: BaseException | None = None
    is_own = True
    try:
        if exchange.has_tasks or lifespan.has_lifespan:
            failure = await _run_in_group(exchange, deadline, lifespan)
        else:
            await exchange.run(lifespan.state, deadline, None)
    except asyncio.CancelledError as error:
        failure = error
    finally:
        if deadline is not None:
            is_own = deadline.release()
    in_time = deadline is None or not deadline.expired
    if deadline is not None and not in_time:
        failure = _expired(exchange, failure, is_own=is_own, is_reported=deadline.is_left)
    if failure is not None:
        exchange.abandon()
        raise failure
    await exchange.finish(in_time=in_time)


async def _run_in_group(
    exchange: Exchange, deadline: Deadline | None, lifespan: LifespanPolicy
) -> BaseException | None:
    """Returns what came out of the group, if anything did."""
    try:
        async with _task_groups()() as group:
            if deadline is not None:
                deadline.scope = group.cancel_scope
            await lifespan.around(partial(_serve, exchange, deadline, group), group)
    except BaseExceptionGroup as errors:
        return first_error(errors)
    return None


@cache
def _task_groups() -> Callable[[], TaskGroup]:
    """anyio's, imported for the first group: an application without a lifespan and WebSockets needs none."""
    import anyio

    return anyio.create_task_group


async def _serve(
    exchange: Exchange, deadline: Deadline | None, group: TaskGroup | None, state: dict[str, Any] | None
) -> None:
    """Run the exchange, while the application is up."""
    own_state = None if state is None else state.copy()
    if deadline is None:
        await exchange.run(own_state, None, group)
    elif not deadline.expired:  # which a startup may have ignored
        with deadline:
            await exchange.run(own_state, deadline, group)


def _expired(
    exchange: Exchange, failure: BaseException | None, *, is_own: bool, is_reported: bool
) -> BaseException | None:
    """What is left to raise after the deadline has come. Logs what became of the answer, unless it `is_reported`."""
    if not is_own:  # the caller's own cancellation came while the deadline's was handled
        return asyncio.CancelledError()
    if not is_reported:
        _report(exchange)
    return None if isinstance(failure, asyncio.CancelledError) else failure


def _report(exchange: Exchange) -> None:
    fate = "its response was complete, and stands." if exchange.is_answered else "the answer is a 504."
    logger.error(
        "%s was cancelled shortly before the function's timeout: %s",
        exchange.line,
        "its response is cut off." if exchange.is_cut_off else fate,
    )


def _leave(exchange: Exchange, when_left: Callable[[asyncio.Task[Any]], None], host: asyncio.Task[Any]) -> None:
    """Answer for an invocation that does not end, and let whoever waits for it go on."""

    async def finish() -> None:
        try:
            _report(exchange)
            exchange.abandon()
            async with asyncio.timeout(_LAST_ANSWER_S):
                await exchange.finish(in_time=False)
        finally:
            when_left(host)

    host.set_name(exchange.line)  # for the log
    root_of(host.get_loop()).start_soon(finish, "mangum-leave")


async def warm_up() -> None:
    """Open a task group, in the init phase: the first one imports anyio's asyncio backend."""
    async with _task_groups()():
        pass
