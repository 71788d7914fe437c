"""Where the time of an invocation goes, seen from around the application."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from mangum.adapter import Mangum
from mangum.types import Receive, Scope, Send

__all__ = ["PARTS_HEADER", "Stopwatch"]

# In which a runtime of mangum's tells the gateway where the time went, as a JSON object of milliseconds.
PARTS_HEADER = "Mangum-Parts"


class Stopwatch:
    """Measures an adapter that answers one event at a time.

    It puts itself around the application, the store of WebSocket connections and the posts to them. What has passed
    before the application begins is translation, what comes after its last response message is the response. The
    application may still be at work then: that is not in it.
    """

    def __init__(self, handler: Mangum) -> None:
        self._app = handler.app
        self._calls = 0  # to the store and of posts, that run
        self._calls_began = 0.0
        handler.app = self._call
        handler._sandbox._app = self._call
        gateway = handler._hub
        if gateway is not None:
            gateway.store._backend = _Timed(gateway.store._backend, self._time)  # type: ignore[assignment]
            gateway._management = _Timed(gateway._management, self._time)  # type: ignore[assignment]
        self.start()

    def start(self) -> None:
        """An event comes."""
        self._begin = time.perf_counter()
        self._first: float | None = None  # when the application was first called
        self._last: float | None = None  # when it was last done
        self._lifespan = self._application = self._backend = self._backend_before = self._backend_inside = 0.0

    def stop(self) -> dict[str, float]:
        """The answer is there: milliseconds by part."""
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

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._call_lifespan(scope, receive, send)
            return
        begin = self._now()
        inside = self._backend

        def note() -> None:
            nonlocal begin, inside
            now = self._last = time.perf_counter()
            self._application += now - begin
            self._backend_inside += self._backend - inside
            begin, inside = now, self._backend

        async def timed_send(message: Any) -> None:
            note()
            await send(message)

        try:
            await self._app(scope, receive, timed_send)
        finally:
            note()

    async def _call_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Startup is from the first message that the application takes to its answer; shutdown likewise."""
        begin = self._now()
        outer_receive, outer_send = receive, send

        async def timed_receive() -> Any:
            nonlocal begin
            message = await outer_receive()
            begin = self._now()
            return message

        async def timed_send(message: Any) -> None:
            self._last = time.perf_counter()
            self._lifespan += self._last - begin
            await outer_send(message)

        await self._app(scope, timed_receive, timed_send)

    def _now(self) -> float:
        now = time.perf_counter()
        if self._first is None:
            self._first = now
            self._backend_before = self._backend
        return now

    async def _time(self, call: Awaitable[Any]) -> Any:
        """Wait for a call to the store or a post. What runs at the same time as another counts once."""
        if self._calls == 0:
            self._calls_began = time.perf_counter()
        self._calls += 1
        try:
            return await call
        finally:
            self._calls -= 1
            if self._calls == 0:
                self._backend += time.perf_counter() - self._calls_began


class _Timed:
    """An object whose asynchronous methods are timed."""

    def __init__(self, inner: Any, timed: Callable[[Awaitable[Any]], Awaitable[Any]]) -> None:
        self._inner = inner
        self._timed = timed

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value) or isinstance(value, type):
            return value

        def call(*arguments: Any, **named: Any) -> Any:
            result = value(*arguments, **named)
            return self._timed(result) if hasattr(result, "__await__") else result

        return call
