"""When an application's lifespan runs: around each invocation, or once in the process. Each class is a
`LifespanPolicy`. Loaded for adapters with a lifespan."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mangum.core.lifespan import Lifespan, LifespanTask, Serve
from mangum.core.root import adopt, root_of
from mangum.exceptions import LifespanFailure, LoopError
from mangum.types import ASGI, LifespanMode

if TYPE_CHECKING:
    from anyio.abc import TaskGroup, TaskStatus

__all__ = ["PerInvocation", "PerProcess"]

logger: logging.Logger = logging.getLogger("mangum.lifespan")

# How long an application that is up has to ask for its shutdown before it is served all the same. Frameworks ask at
# once.
_ASK_S = 0.5
_SHUTDOWN_S = 10.0


class PerInvocation:
    """Around each invocation: the request runs inside the application's `receive()`."""

    def __init__(self, app: ASGI, mode: LifespanMode) -> None:
        self.has_lifespan: bool = True
        self._app = app
        self._mode = mode
        self._is_known = False  # whether the application has been seen to ask for its shutdown
        self._ask_s: float | None = None  # how long it may take to ask, if it cannot be served inside its `receive()`

    @property
    def state(self) -> dict[str, Any]:
        return {}

    async def around(self, serve: Serve, group: TaskGroup) -> None:
        if not self.has_lifespan:
            await serve({})
        elif self._ask_s is not None:
            await self._around_in_task(serve, group, self._ask_s)
        elif self._is_known:
            await self._around_inside(Lifespan(self._app, self._mode, serve))
        else:
            await self._around_first(serve, group)

    async def _around_inside(self, lifespan: Lifespan) -> None:
        await lifespan.run()
        if lifespan.polls:
            self._serve_in_task("cancels its receive(), and the request with it: the answer is a 500", _ASK_S)
        if lifespan.is_unsupported and self._mode == "auto":
            self.has_lifespan = False
        lifespan.raise_failure()

    async def _around_first(self, serve: Serve, group: TaskGroup) -> None:
        """The same, for an application that may not ask for its shutdown at all."""
        is_up, is_over = asyncio.Event(), asyncio.Event()

        async def serve_beside(*, task_status: TaskStatus[None]) -> None:
            task_status.started()
            await is_up.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(_ASK_S):
                    await is_over.wait()
            if await lifespan.serve_beside():
                self._serve_in_task("does not wait for its shutdown in receive()", _ASK_S if lifespan.has_asked else 0)

        lifespan = Lifespan(self._app, self._mode, serve, when_up=is_up.set)
        await group.start(serve_beside)
        try:
            await self._around_inside(lifespan)
        finally:
            self._is_known = lifespan.has_asked
            is_over.set()
            is_up.set()

    def _serve_in_task(self, why: str, ask_s: float) -> None:
        self._ask_s = ask_s
        logger.error(
            "The application's lifespan %s. From now on it runs in a task of its own, which takes longer. "
            "An application that is up should await receive() until it is told to shut down.",
            why,
        )

    async def _around_in_task(self, serve: Serve, group: TaskGroup, ask_s: float) -> None:
        lifespan = LifespanTask(self._app, self._mode)
        group.start_soon(lifespan.run)
        await lifespan.wait_up()
        try:
            await serve(lifespan.state)
        finally:
            await lifespan.shut_down(ask_s=ask_s)


class PerProcess:
    """Once: at the first invocation, or at `start`. The lifespan is a child of the loop's root task."""

    has_lifespan = True
    state = None

    def __init__(self, app: ASGI, mode: LifespanMode, when_started: Callable[[], None]) -> None:
        """`when_started` is called with each startup."""
        self._app = app
        self._mode = mode
        self._when_started = when_started
        self._resident: _Resident | None = None

    async def around(self, serve: Serve, group: TaskGroup) -> None:
        resident = self._resident
        await serve(resident.state if resident is not None and resident.is_up else await self.start())

    async def start(self) -> dict[str, Any]:
        """Start the application up, if it is not up. Returns the lifespan's state.

        Raises:
            LifespanFailure: startup failed. The next call tries again.
            LoopError: the lifespan runs on another event loop.
        """
        while True:
            resident = self._resident
            is_new = resident is None or resident.is_over
            if resident is None or is_new:
                resident = self._resident = _Resident(self._app, self._mode)
                self._when_started()
            await resident.wait_up()
            if not resident.is_over:
                return resident.state
            if is_new:  # else another invocation, which started it, was cancelled meanwhile
                raise LifespanFailure("Lifespan startup failure. The application's lifespan was cancelled.")

    async def stop(self) -> None:
        """Shut the application down, if it is up.

        Raises:
            LifespanFailure: it said that its shutdown failed.
            LoopError: the lifespan runs on another event loop.
        """
        resident = self._resident
        if resident is not None and not resident.is_over:
            resident.check_loop()
            self._resident = None
            await resident.shut_down()


class _Resident:
    """A lifespan that outlives the invocation that started it."""

    def __init__(self, app: ASGI, mode: LifespanMode) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = LifespanTask(app, mode)
        self.state: dict[str, Any] = self._task.state
        self._was_up = False
        self._is_given_up = False
        root_of(self._loop).start_soon(self._task.run, "mangum-lifespan")

    @property
    def is_over(self) -> bool:
        """Whether it has to be started again. An application that ends its lifespan early is not over."""
        return self._is_given_up or self._task.was_cancelled or self._loop.is_closed()

    @property
    def is_up(self) -> bool:
        """Whether a request can be served at once: `wait_up` has returned on this loop before."""
        is_over = self._is_given_up or self._task.was_cancelled
        return self._was_up and not is_over and self._loop is asyncio.get_running_loop()

    def check_loop(self) -> None:
        if self._loop is not asyncio.get_running_loop():
            raise LoopError(
                "The application was started on another event loop, and its lifespan lives there: "
                "use either handler(event, context) or `await handler.invoke(event, context)`, from one loop."
            )

    async def wait_up(self) -> None:
        self.check_loop()
        try:
            await self._task.wait_up()
            self._was_up = True
        except LifespanFailure:
            self._is_given_up = True
            raise
        except asyncio.CancelledError:
            self._keep_left_over()
            raise

    async def shut_down(self) -> None:
        self._is_given_up = True
        if not await self._task.shut_down(ask_s=_ASK_S, timeout_s=_SHUTDOWN_S):
            logger.error("The application had not shut down after %s s, and was cancelled.", _SHUTDOWN_S)
            self._keep_left_over()

    def _keep_left_over(self) -> None:
        task = self._task.left_over
        if task is not None:
            adopt(task, "The application's lifespan")
