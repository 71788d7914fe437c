"""The root task of an event loop: the parent of everything that outlives an invocation."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias
from weakref import WeakSet

__all__ = ["Root", "adopt", "cancel_leftovers", "leftovers", "root_of", "unruly"]

logger: logging.Logger = logging.getLogger("mangum")

_NAME = "mangum-root"

leftovers: set[asyncio.Task[Any]] = set()  # tasks that did not end when they were cancelled
unruly: WeakSet[asyncio.Task[Any]] = WeakSet()  # those and their children: anyio cancels them in every turn of the loop

_roots: dict[asyncio.AbstractEventLoop, Root] = {}

_Child: TypeAlias = tuple[contextvars.Context, Callable[[], Awaitable[None]], str]


class Root:
    """A task with a task group, which is opened for the first child.

    Its children are the lifespan of an adapter with `lifespan_scope="process"`, the removal of expired connections, the
    shutdown of an adapter that was dropped, and the answer for an invocation that is left behind.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, stays: bool = False) -> None:
        """With `stays`, the root lives until it is cancelled; else it ends with its last child."""
        self._loop = loop
        self._stays = stays
        self._children = 0
        self._waiting: deque[_Child] = deque()  # to be started
        self._has_changed = asyncio.Event()
        self.task: asyncio.Task[None] = loop.create_task(self._live(), name=_NAME)
        _roots[loop] = self
        self.task.add_done_callback(self._end)
        if stays:
            # Private, and the only way: by this callback of `run_until_complete`, anyio tells the task that its worker
            # threads live as long as. But to run the loop by `run_until_complete` takes a tenth of a call.
            self.task.add_done_callback(asyncio.base_events._run_until_complete_cb)  # type: ignore[attr-defined]

    async def _live(self) -> None:
        await self._has_changed.wait()
        import anyio  # which most applications import themselves, but not all

        while self._stays or self._children:  # asked again after the group: a child may have come meanwhile
            async with anyio.create_task_group() as group:
                while self._stays or self._children:
                    while self._waiting:
                        context, function, name = self._waiting.popleft()
                        context.run(partial(group.start_soon, self._run, function, name=name))
                    self._has_changed.clear()
                    await self._has_changed.wait()

    def start_soon(self, function: Callable[[], Awaitable[None]], name: str) -> None:
        """Run a function in a child task. An error that comes out of it is logged. Callbacks of the loop may call this,
        unlike a task group's method, since the root itself starts the child."""
        self._children += 1
        self._waiting.append((contextvars.copy_context(), function, name))
        self._has_changed.set()

    async def _run(self, function: Callable[[], Awaitable[None]]) -> None:
        try:
            await function()
        except Exception:
            logger.exception("A background task of mangum failed.")
        finally:
            self._children -= 1
            self._has_changed.set()

    def _end(self, task: asyncio.Task[None]) -> None:
        if _roots.get(self._loop) is self:
            del _roots[self._loop]
        for context, function, name in self._waiting:  # the root was cancelled before they began
            context.run(root_of(self._loop).start_soon, function, name)

    def forget_if_closed(self) -> None:
        """`forget` the root if its loop is closed."""
        if self._loop.is_closed():
            self.forget()

    def forget(self) -> None:
        """Let go of a root on a closed loop. If its user has closed the loop, the root's task cannot end, which asyncio
        would report."""
        if _roots.get(self._loop) is self:
            del _roots[self._loop]
        handle = self._loop.get_exception_handler() or type(self._loop).default_exception_handler

        def handle_others(loop: asyncio.AbstractEventLoop, error: dict[str, Any]) -> None:
            task = error.get("task")
            if task is None or task.get_name() != _NAME:
                handle(loop, error)

        self._loop.set_exception_handler(handle_others)


def adopt(task: asyncio.Task[Any], what: str | None = None) -> None:
    """Keep a task that did not end when it was cancelled: each invocation on its loop cancels it again. `what` is
    its name for the log, by default the task's."""
    logger.error(
        "%s did not end when it was cancelled. It is cancelled again with each invocation.",
        what or f"The task of {task.get_name()}",
    )
    leftovers.add(task)
    unruly.update(each for each in asyncio.all_tasks(task.get_loop()) if each.cancelling())
    task.add_done_callback(_end_leftover)


def _end_leftover(task: asyncio.Task[Any]) -> None:
    leftovers.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("The task of %s, which was left behind, failed.", task.get_name(), exc_info=error)


def cancel_leftovers() -> None:
    """Cancel them again, on the running loop."""
    loop = asyncio.get_running_loop()
    for task in list(leftovers):
        if task.get_loop() is loop:
            task.cancel()
        elif task.get_loop().is_closed():  # where it can never end
            leftovers.discard(task)


def root_of(loop: asyncio.AbstractEventLoop) -> Root:
    """The root of an event loop, made if there is none."""
    root = _roots.get(loop)
    if root is None or root.task.done():
        for other in list(_roots.values()):
            other.forget_if_closed()
        root = Root(loop)
    return root
