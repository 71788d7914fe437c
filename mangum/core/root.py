"""The root task of an event loop: the parent of everything that outlives an invocation."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

__all__ = ["Root", "adopt", "cancel_leftovers", "leftovers", "root_of", "unruly"]

logger: logging.Logger = logging.getLogger("mangum")

leftovers: set[asyncio.Task[Any]] = set()  # tasks that did not end when they were cancelled
unruly: WeakSet[asyncio.Task[Any]] = WeakSet()  # those and their children: anyio cancels them in every turn of the loop

_roots: dict[asyncio.AbstractEventLoop, Root] = {}


class Root:
    """A task with a task group, which is opened for the first child.

    Its children are the lifespan of an adapter with `lifespan_scope="process"`, and the removal of expired connections.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, stays: bool = False) -> None:
        """With `stays`, the root lives until `close`; else it ends with its last child."""
        self._stays = stays
        self._children = 0
        self._waiting: list[Callable[[TaskGroup], object]] = []  # children that the root has not started
        self._is_wanted = asyncio.Event()
        self.task: asyncio.Task[None] = loop.create_task(self._live(), name="mangum-root")
        _roots[loop] = self
        self.task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        loop = task.get_loop()
        if _roots.get(loop) is self:
            del _roots[loop]

    async def _live(self) -> None:
        await self._is_wanted.wait()
        import anyio  # which most applications import themselves, but not all

        while self._stays or self._children:  # asked again when the group has ended: a child may have come meanwhile
            async with anyio.create_task_group() as group:
                while self._stays or self._children:
                    for start in self._waiting:
                        start(group)
                    self._waiting.clear()
                    self._is_wanted.clear()
                    await self._is_wanted.wait()

    def start_soon(self, function: Callable[[], Awaitable[None]], name: str) -> None:
        """Run a function in a child task. An error that comes out of it is logged.

        The root starts it: the caller may be a callback of the loop, such as a timer, where anyio starts no task.
        """
        self._children += 1
        context = contextvars.copy_context()

        def start(group: TaskGroup) -> None:
            context.run(partial(group.start_soon, self._run, function, name=name))

        self._waiting.append(start)
        self._is_wanted.set()

    async def _run(self, function: Callable[[], Awaitable[None]]) -> None:
        try:
            await function()
        except Exception:
            logger.exception("A background task of mangum failed.")
        finally:
            self._children -= 1
            if not self._children:
                self._is_wanted.set()


def adopt(task: asyncio.Task[Any], what: str) -> None:
    """Keep a task that did not end when it was cancelled. It is cancelled again with each invocation on its loop."""
    logger.error("%s did not end when it was cancelled. It is cancelled again with each invocation.", what)
    leftovers.add(task)
    unruly.update(each for each in asyncio.all_tasks(task.get_loop()) if each.cancelling())
    task.add_done_callback(_end_leftover)


def _end_leftover(task: asyncio.Task[Any]) -> None:
    leftovers.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("A task that was left behind failed.", exc_info=error)


def cancel_leftovers() -> None:
    """Cancel them again, on the running loop."""
    loop = asyncio.get_running_loop()
    for task in leftovers:
        if task.get_loop() is loop:
            task.cancel()


def root_of(loop: asyncio.AbstractEventLoop) -> Root:
    """The root of an event loop, made if there is none."""
    root = _roots.get(loop)
    if root is None or root.task.done():
        for closed in [other for other in _roots if other.is_closed()]:
            del _roots[closed]
        root = Root(loop)
    return root
