"""Lambda's timeout, seen from inside: what to cancel, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, cast

__all__ = ["Cancellable", "Deadline", "StandingTimer", "Watchdog", "due_of", "last_answer"]

# Set apart before Lambda's own timeout: a tenth of what remains, half a second at the most.
_RESERVE_SHARE = 0.1
_MOST_RESERVE_S = 0.5
# Of it, the application's clean-up and then the lifespan's shutdown get two fifths each, the answer the rest.
_GRACE_SHARE = 0.4
# Who does not end in that time is cancelled again and again. Between two times it gets to run.
_INSIST_S = 0.001
# Others have to answer that long before the deadline: a tenth of what remains, a tenth of a second at the most.
_ANSWER_SHARE = 0.1
_MOST_ANSWER_S = 0.1


class Cancellable(Protocol):
    """What can be cancelled as asyncio cancels a task: once, so that its clean-up can await."""

    def cancel(self) -> object: ...


class Deadline:
    """One invocation's end. When it comes, its target is cancelled once, and after a time of grace for good: wherever
    it awaits. The target is the invocation's own task, the host, until it is aimed at another."""

    expired = False
    _host_cancels = 0

    def __init__(self, watchdog: Watchdog, due: float, grace_s: float, host: asyncio.Task[Any]) -> None:
        self.due = due  # of the next step, in the loop's time
        self._watchdog = watchdog
        self._grace_s = grace_s
        self._host = host
        self._target: Cancellable = host

    def aim(self, target: Cancellable) -> None:
        """Cancel `target` from now on, and no longer the host. After the deadline it gets a time of grace first."""
        self._target = target
        if self.expired:
            self._take_back()
            self._watchdog.postpone(self, self._grace_s)

    def aim_at_host(self) -> None:
        """Cancel the host from now on. After the deadline it gets a time of grace first."""
        self._target = self._host
        if self.expired:
            self._watchdog.postpone(self, self._grace_s)

    def release(self) -> None:
        """Cancel nothing any more."""
        self._watchdog.forget(self)
        if self.expired:
            self._take_back()

    def step(self) -> None:
        """Take the step that is due, and set when the next is."""
        self.due += _INSIST_S if self.expired else self._grace_s
        self.expired = True
        self._target.cancel()
        self._host_cancels += self._target is self._host

    def _take_back(self) -> None:
        """Whoever asks a task to cancel, and then handles it, takes the request back (`asyncio.Task.uncancel`)."""
        while self._host_cancels:
            self._host_cancels -= 1
            self._host.uncancel()


def due_of(context: Any) -> float | None:
    """`last_answer` for the deadline of an invocation; `None` where its context does not tell."""
    remaining_s = _remaining_s(context)
    if remaining_s is None:
        return None
    reserve_s = _reserve_s(remaining_s)
    return last_answer(asyncio.get_running_loop().time() + remaining_s - reserve_s)


def last_answer(due: float) -> float:
    """Until when others have to answer, so that the application hears of it before its deadline comes at `due`. Both in
    the running loop's time."""
    remaining_s = due - asyncio.get_running_loop().time()
    return due - min(remaining_s * _ANSWER_SHARE, _MOST_ANSWER_S)


def _remaining_s(context: Any) -> float | None:
    try:
        remaining_ms = context.get_remaining_time_in_millis()
    except Exception:  # tests' doubles lack the method, or raise in it
        return None
    if not isinstance(remaining_ms, int | float) or remaining_ms <= 0:
        return None
    return remaining_ms / 1000


def _reserve_s(remaining_s: float) -> float:
    return min(remaining_s * _RESERVE_SHARE, _MOST_RESERVE_S)


class StandingTimer:
    """One timer for times that follow one another, and of which nearly none comes.

    It stays armed when nobody waits for it any more, since the next time lies later as a rule: when it fires and
    nothing is due, `wake` arms it anew. A timer for each would cost a tenth of an invocation. What a freeze does to the
    loop's clock cannot delay anything, because a time before `armed_for` arms it anew.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        self.armed_for = float("inf")  # in the loop's time
        self._loop = loop
        self._wake = wake
        self._handle: asyncio.TimerHandle | None = None

    def arm(self, when: float) -> None:
        """Have `wake` called then, and not at the time before."""
        self.cancel()
        self.armed_for = when
        self._handle = self._loop.call_at(when, self._fire)

    def cancel(self) -> None:
        """Have it called no more."""
        if self._handle is not None:
            self._handle.cancel()

    def _fire(self) -> None:
        self.armed_for = float("inf")
        self._wake()


class Watchdog:
    """Watches the deadlines of all invocations on one loop, by one timer."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._watched: set[Deadline] = set()
        self._timer = StandingTimer(loop, self._wake)

    def watch(self, context: Any) -> Deadline | None:
        """Watch the invocation of the current task until it is released. `None` where the context does not tell the
        remaining time (`None` itself, a test's double)."""
        remaining_s = _remaining_s(context)
        if remaining_s is None:
            return None
        reserve_s = _reserve_s(remaining_s)
        due = self.loop.time() + remaining_s - reserve_s
        host = cast("asyncio.Task[Any]", asyncio.current_task(self.loop))
        deadline = Deadline(self, due, reserve_s * _GRACE_SHARE, host)
        self._watched.add(deadline)
        if due < self._timer.armed_for:
            self._timer.arm(due)
        return deadline

    def postpone(self, deadline: Deadline, seconds: float) -> None:
        """Take the deadline's next step that much later than now."""
        deadline.due = self.loop.time() + seconds

    def forget(self, deadline: Deadline) -> None:
        """The deadline no longer counts."""
        self._watched.discard(deadline)

    def _wake(self) -> None:
        now = self.loop.time()
        for deadline in [deadline for deadline in self._watched if deadline.due <= now]:
            deadline.step()
        if self._watched:
            self._timer.arm(min(deadline.due for deadline in self._watched))
