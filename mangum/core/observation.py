"""What hooks observe: an invocation, and how long its parts take. Loaded for adapters that have hooks."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from contextvars import ContextVar
from typing import Any

from mangum.types import ASGI, Hook, Receive, Scope, Send

__all__ = ["MeasuredObservation", "ObservedCalls", "current", "observe", "observed"]

logger: logging.Logger = logging.getLogger("mangum")


class MeasuredObservation:
    """The `Observation` of one invocation, which measures it.

    The time before the application begins is translation, the time after its last response message is the response.
    The application may still be at work then: that time belongs to no part.
    """

    def __init__(self, event: Any, context: Any) -> None:
        global _is_cold
        self.event = event
        self.context = context
        self.is_cold: bool = _is_cold  # whether it is the first of the process
        _is_cold = False
        self.scope: Scope | None = None  # of the application, once it runs
        self.status: int | None = None  # of its response, once that has begun
        self._begin = time.perf_counter()
        self._first: float | None = None  # when the application was first called
        self._last: float | None = None  # when it was last done
        self._lifespan = self._application = self._backend = self._backend_before = self._backend_inside = 0.0
        self._calls = 0  # of the store and of API Gateway, that are under way
        self._calls_began = 0.0

    def parts_ms(self) -> dict[str, float]:
        """How long each part has taken by now, in milliseconds: "translation", "lifespan", "application", "backend",
        "response"."""
        end = time.perf_counter()
        first = end if self._first is None else self._first
        last = end if self._last is None else self._last
        parts = {
            "translation": first - self._begin - self._backend_before,
            "lifespan": self._lifespan,
            "application": self._application - self._backend_inside,
            "backend": self._backend,
            "response": end - last,
        }
        return {name: max(0.0, seconds) * 1000 for name, seconds in parts.items()}

    async def run(self, app: ASGI, scope: Scope, receive: Receive, send: Send) -> None:
        """Run an application, and measure it."""
        self.scope = scope
        begin = self._now()
        inside = self._backend

        def note() -> None:
            nonlocal begin, inside
            now = self._last = time.perf_counter()
            self._application += now - begin
            self._backend_inside += self._backend - inside
            begin, inside = now, self._backend

        async def noted_send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.status = message.get("status")
            note()
            await send(message)

        try:
            await app(scope, receive, noted_send)
        finally:
            note()

    async def run_lifespan(self, app: ASGI, scope: Scope, receive: Receive, send: Send) -> None:
        """Run an application's lifespan, and measure it: from each message that it takes to its answer."""
        begin = self._now()

        async def noted_receive() -> Any:
            nonlocal begin
            message = await receive()
            begin = self._now()
            return message

        async def noted_send(message: Any) -> None:
            self._last = time.perf_counter()
            self._lifespan += self._last - begin
            await send(message)

        await app(scope, noted_receive, noted_send)

    def _now(self) -> float:
        now = time.perf_counter()
        if self._first is None:
            self._first = now
            self._backend_before = self._backend
        return now

    async def call(self, call: Awaitable[Any]) -> Any:
        """Await a call of the store or of API Gateway. Calls at the same time count once."""
        if self._calls == 0:
            self._calls_began = time.perf_counter()
        self._calls += 1
        try:
            return await call
        finally:
            self._calls -= 1
            if self._calls == 0:
                self._backend += time.perf_counter() - self._calls_began


current: ContextVar[MeasuredObservation | None] = ContextVar("mangum_observation", default=None)
_is_cold = True


async def observe(hooks: Sequence[Hook], event: Any, context: Any, invocation: Callable[[], Awaitable[None]]) -> None:
    """Run an invocation inside its hooks. A hook that fails is logged, and does not affect the invocation."""
    observation = MeasuredObservation(event, context)
    token = current.set(observation)
    try:
        async with AsyncExitStack() as stack:
            for hook in hooks:
                await stack.enter_async_context(_Guarded(hook, observation))
            await invocation()
    finally:
        current.reset(token)


class _Guarded(AbstractAsyncContextManager[None]):
    """A hook's context manager, whose own errors are logged."""

    def __init__(self, hook: Hook, observation: MeasuredObservation) -> None:
        self._hook = hook
        self._observation = observation
        self._manager: AbstractAsyncContextManager[Any] | None = None

    async def __aenter__(self) -> None:
        try:
            manager = self._hook(self._observation)
            await manager.__aenter__()
            self._manager = manager
        except Exception:
            logger.exception("The hook %r failed.", self._hook)

    async def __aexit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if self._manager is None:
            return
        try:
            await self._manager.__aexit__(kind, error, traceback)
        except Exception as raised:
            if raised is not error:  # as a generator's context manager raises what was thrown into it
                logger.exception("The hook %r failed.", self._hook)


def observed(app: ASGI) -> ASGI:
    """An application, measured for the observation of the invocation that it runs in."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        observation = current.get()
        if observation is None:  # `Mangum.start`
            await app(scope, receive, send)
        elif scope["type"] == "lifespan":
            await observation.run_lifespan(app, scope, receive, send)
        else:
            await observation.run(app, scope, receive, send)

    return run


class ObservedCalls:
    """An object whose asynchronous methods are measured for the observation of the invocation that calls them."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value) or isinstance(value, type):
            return value

        def call(*arguments: Any, **named: Any) -> Any:
            result = value(*arguments, **named)
            observation = current.get()
            return observation.call(result) if observation is not None and hasattr(result, "__await__") else result

        return call
