"""Lambda's timeout, seen from inside: when an invocation is cancelled, and how."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Protocol, cast

__all__ = ["CancelScope", "Deadline", "StandingTimer", "due_of", "last_answer", "remaining_s", "reserve_s", "watch"]

# Reserved before Lambda's own timeout: a tenth of the remaining time, at most half a second.
_RESERVE_SHARE = 0.1
_MOST_RESERVE_S = 0.5
_LEAST_RESERVE_S = 0.01
# Contexts of tests and wrappers claim a few milliseconds, or none. An application that answers at once is served then.
_LEAST_REMAINING_S = 0.1
# When the steps of a deadline come, as shares of the reserve.
_INSIST_AT = 0.4
_CANCEL_SCOPE_AT = 0.8
_LEAVE_AT = 0.9
# A request that ignores its cancellation is cancelled again this often. In between it gets to run.
_INSIST_S = 0.001
# Backends must answer this long before the deadline: a tenth of the remaining time, at most a tenth of a second.
_ANSWER_SHARE = 0.1
_MOST_ANSWER_S = 0.1


class CancelScope(Protocol):
    """anyio's, of which a deadline needs no more."""

    def cancel(self) -> object: ...


class Deadline:
    """The end of one invocation. It comes in steps:

    1. The request's task is cancelled once, as `asyncio.Task.cancel` does, so that its clean-up can await.
    2. A request that has not ended after a grace period is cancelled again and again. The lifespan's shutdown, which
       follows the request, has the rest of the time.
    3. The cancel scope of the invocation's task group is cancelled: level-triggered, for good.
    4. An invocation that still has not ended is left behind: `when_left` sends its answer.

    `with deadline:` goes around the request, in the task that runs it. The deadline's cancellation of the request ends
    there. A cancellation by anyone else passes through.
    """

    # What few invocations change.
    expired: bool = False
    scope: CancelScope | None = None  # of the invocation's task group, if it has one
    when_left: Callable[[], None] | None = None  # if the answer can be sent without the host
    _cancels = 0  # of the task, by this deadline
    is_left: bool = False  # whether the answer was sent without the host
    _is_request_over = False
    _steps: Iterator[float] | None = None  # once it has expired

    def __init__(self, watchdog: _Watchdog, due: float, reserve_s: float, host: asyncio.Task[Any]) -> None:
        """`host` is the invocation's task; `due` and all times here are in the loop's time."""
        self.due: float = due
        self.next_step_at: float = due
        self.host: asyncio.Task[Any] = host
        self._watchdog = watchdog
        self._reserve_s = reserve_s
        self._task = host  # which is cancelled
        self._before = host.cancelling()

    def __enter__(self) -> None:
        task = asyncio.current_task(self._watchdog.loop)
        if task is not self._task:
            self._aim(cast("asyncio.Task[Any]", task))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._is_request_over = True
        is_own = not self.expired or self._take_back()
        if self._task is not self.host:
            self._aim(self.host)
        return self.expired and is_own and isinstance(error, asyncio.CancelledError)

    def release(self) -> bool:
        """End the deadline, with the invocation. Returns whether nobody else has cancelled the host."""
        self._watchdog.forget(self)
        return not self.expired or self._take_back()

    def step(self) -> bool:
        """Take the step that is due. Returns whether another one follows."""
        if self._steps is None:
            self._steps = self._expire()
        self.next_step_at = next(self._steps, 0.0)
        return self.next_step_at > 0.0

    def _expire(self) -> Iterator[float]:
        """The steps. Yields when the next one is due."""
        self.expired = True
        self._cancel()
        yield self.due + self._reserve_s * _INSIST_AT
        for_good_at = self.due + self._reserve_s * (_LEAVE_AT if self.scope is None else _CANCEL_SCOPE_AT)
        while not self._is_request_over and (now := self._watchdog.loop.time()) < for_good_at:
            self._cancel()
            yield now + _INSIST_S
        yield for_good_at
        if self.scope is not None:
            self.scope.cancel()
            yield self.due + self._reserve_s * _LEAVE_AT
        if self.when_left is not None:
            self.is_left = True
            self.when_left()
            return
        while self.scope is None:  # the host is its caller's, who waits for it
            self._cancel()
            yield self._watchdog.loop.time() + _INSIST_S

    def _cancel(self) -> None:
        self._task.cancel()
        self._cancels += 1

    def _aim(self, task: asyncio.Task[Any]) -> None:
        self._take_back()
        self._task, self._before = task, task.cancelling()

    def _take_back(self) -> bool:
        """Take the deadline's cancellations of the task back, as whoever handles one has to (`asyncio.Task.uncancel`).
        Returns whether there are no others."""
        while self._cancels:
            self._cancels -= 1
            self._task.uncancel()
        return self._task.cancelling() <= self._before


def watch(context: Any) -> Deadline | None:
    """Watch the invocation of the current task until `Deadline.release`. `None` if Lambda's context does not tell the
    remaining time (`None` itself, a test's double). Less than 0.1 s counts as 0.1 s, unless the context is that of
    `mangum.runtime`: a deadline that has passed comes at once there."""
    global _last
    remaining = remaining_s(context)
    if remaining is None:
        return None
    loop = asyncio.get_running_loop()
    watchdog = _last
    if watchdog is None or watchdog.loop is not loop:
        watchdog = _last = _Watchdog(loop)
    reserve = reserve_s(remaining)
    host = asyncio.current_task(loop)
    assert host is not None
    deadline = Deadline(watchdog, loop.time() + remaining - reserve, reserve, host)
    watchdog.add(deadline)
    return deadline


def due_of(context: Any) -> float | None:
    """`last_answer` for an invocation; `None` if its context does not tell the remaining time."""
    remaining = remaining_s(context)
    if remaining is None:
        return None
    return last_answer(asyncio.get_running_loop().time() + remaining - reserve_s(remaining))


def last_answer(due: float) -> float:
    """Until when backends must answer, so that the application hears of it before its deadline comes at `due`. Both in
    the running loop's time."""
    remaining = due - asyncio.get_running_loop().time()
    return due - min(remaining * _ANSWER_SHARE, _MOST_ANSWER_S)


def remaining_s(context: Any) -> float | None:
    """How long the function has before Lambda's timeout; `None` if its context does not tell."""
    try:
        remaining_ms = context.get_remaining_time_in_millis()
        if not isinstance(remaining_ms, int | float):
            return None
        seconds: float = remaining_ms / 1000
    except Exception:  # tests' doubles lack the method, raise in it, or return a number that no float can hold
        return None
    if seconds >= _LEAST_REMAINING_S:
        return seconds
    is_lambdas = getattr(context, "tells_lambdas_deadline", None) is True
    return max(seconds, 0.0) if is_lambdas else _LEAST_REMAINING_S


def reserve_s(remaining: float) -> float:
    """How long before Lambda's timeout an invocation is cancelled, in seconds, of which `remaining` are left."""
    share = remaining * _RESERVE_SHARE
    return max(_LEAST_RESERVE_S, share) if share < _MOST_RESERVE_S else _MOST_RESERVE_S


class StandingTimer:
    """A reusable timer for deadlines that rarely fire.

    It stays armed when a deadline is over, since the next one is usually later. When it fires and nothing is due,
    `wake` arms it again. This saves a timer for each invocation. A freeze of the process does not delay anything,
    because an earlier deadline arms the timer again.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        self.armed_for: float = float("inf")  # in the loop's time
        self._loop = loop
        self._wake = wake
        self._handle: asyncio.TimerHandle | None = None

    def arm(self, when: float) -> None:
        """Call `wake` then, and not at the time before."""
        self.cancel()
        self.armed_for = when
        self._handle = self._loop.call_at(when, self._fire)

    def cancel(self) -> None:
        """Do not call it."""
        self.armed_for = float("inf")
        if self._handle is not None:
            self._handle.cancel()

    def _fire(self) -> None:
        self.armed_for = float("inf")
        self._wake()


class _Watchdog:
    """Watches the deadlines of the invocations on one loop, by one timer."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._watched: set[Deadline] = set()
        self._timer = StandingTimer(loop, self._wake)

    def add(self, deadline: Deadline) -> None:
        self._watched.add(deadline)
        if deadline.due < self._timer.armed_for:
            self._timer.arm(deadline.due)

    def forget(self, deadline: Deadline) -> None:
        self._watched.discard(deadline)

    def _wake(self) -> None:
        now = self.loop.time()
        for deadline in [deadline for deadline in self._watched if deadline.next_step_at <= now]:
            if not deadline.step():
                self.forget(deadline)
        if self._watched:
            self._timer.arm(min(deadline.next_step_at for deadline in self._watched))


_last: _Watchdog | None = None  # of the last invocation: usually there is one loop
