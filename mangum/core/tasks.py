"""Tasks, and the errors that come out of task groups."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

__all__ = ["BackgroundTasks", "begin", "first_error", "is_cancelled"]

logger: logging.Logger = logging.getLogger("mangum")

T = TypeVar("T")

# From Python 3.12 on, a task can begin at once instead of in the next turn of the loop.
_BEGINS_AT_ONCE: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


def begin(
    work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop, context: contextvars.Context | None = None
) -> asyncio.Task[T]:
    """Run a coroutine in a task that the caller waits for: at once as far as it comes, if Python can do that."""
    return asyncio.Task(work, loop=loop, context=context, **_BEGINS_AT_ONCE)


def is_cancelled() -> bool:
    """Whether someone asked the current task to stop. If not, a `CancelledError` that comes out of an application is an
    error of its own: it awaited something that was cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in a group that a task group of mangum's has made: what users get to see."""
    return errors.exceptions[0]


class BackgroundTasks:
    """`scope["aws.task_group"]`: the task group for work that an application starts and does not wait for.

        group = await scope["aws.task_group"]()
        group.start_soon(send_mail, order)

    The invocation waits for these tasks before it ends, so that none is frozen with the sandbox. Under `mangum.runtime`
    the response has gone out by then. An error of a task is logged, and leaves the response alone. The group is opened
    when it is first asked for, in a task of its own: the application cannot enter it between its own scopes.
    """

    host: asyncio.Task[None] | None = None  # the group's, once it has been asked for, as are the others
    _group: TaskGroup
    _is_open: asyncio.Event
    _is_over: asyncio.Event
    is_closed: bool = False  # with the end of the invocation

    async def __call__(self) -> TaskGroup:
        """Open the group, if it is not open.

        Raises:
            RuntimeError: the invocation has ended.
        """
        host = self.host
        has_failed = host is not None and self._is_open.is_set() and self._group.cancel_scope.cancel_called
        if host is not None and has_failed and asyncio.current_task() not in self.tasks():  # which would not end
            await asyncio.wait([host])  # and then there is another group
        if self.is_closed:
            raise RuntimeError("The invocation that this aws.task_group belongs to has ended.")
        if self.host is None or self.host.done():
            self._is_open, self._is_over = asyncio.Event(), asyncio.Event()
            self.host = asyncio.get_running_loop().create_task(self._live(), name="aws.task_group")
        await self._is_open.wait()
        return self._group

    async def _live(self) -> None:
        import anyio

        try:
            async with anyio.create_task_group() as self._group:
                self._is_open.set()
                await self._is_over.wait()
        except BaseExceptionGroup as errors:
            for error in errors.exceptions:
                logger.error("A task in aws.task_group failed.", exc_info=error)

    def tasks(self) -> set[asyncio.Task[Any]]:
        """The tasks in the group, those in groups inside of it, and the one that holds it."""
        if self.host is None:
            return set()
        import anyio

        family = {id(self.host)}
        infos = anyio.get_running_tasks()
        while found := {info.id for info in infos if info.parent_id in family} - family:
            family |= found
        return {task for task in asyncio.all_tasks() if id(task) in family}

    async def cancel(self) -> None:
        """Cancel the tasks, and wait for their end. The group cannot be opened again."""
        self.is_closed = True
        if self.host is not None:
            self.host.cancel()
            await self.join()

    async def join(self) -> None:
        """Wait for the tasks. Each cancellation of the caller is passed on to them: it does not leave them behind."""
        cancelled: asyncio.CancelledError | None = None
        while self.host is not None and not self.host.done():
            self._is_over.set()
            try:
                await asyncio.wait([self.host])
            except asyncio.CancelledError as error:
                cancelled = error
                self.is_closed = True
                self.host.cancel()
        self.is_closed = True
        if cancelled is not None:
            raise cancelled
