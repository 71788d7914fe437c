"""The end of the process: SIGTERM, and the interpreter's exit."""

from __future__ import annotations

import os
import signal
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from types import FrameType
from typing import Any, Protocol

__all__ = ["ClosesAtExit", "Sigterm", "close_at_exit", "stay_open"]


class ClosesAtExit(Protocol):
    """What is closed at the interpreter's exit."""

    def close_at_exit(self) -> None:
        """Close. Raises nothing, and ends in a few seconds."""
        ...


_to_close: weakref.WeakSet[ClosesAtExit] = weakref.WeakSet()
_to_close_last: weakref.WeakSet[ClosesAtExit] = weakref.WeakSet()


def close_at_exit(what: ClosesAtExit, *, last: bool = False) -> None:
    """Have something closed at the interpreter's exit, `last` after all others."""
    _register()
    (_to_close_last if last else _to_close).add(what)


def stay_open(what: ClosesAtExit) -> None:
    """Take it back."""
    _to_close.discard(what)
    _to_close_last.discard(what)


@cache
def _register() -> None:
    with suppress(RuntimeError):  # the interpreter is at its end already, and nothing is closed
        import concurrent.futures.thread  # noqa: F401 # it registers too, and the last to register is called first

        # Private, and the only way: `atexit` comes after the interpreter has waited for its threads. But an
        # application's shutdown may need threads, and some of them end only with its lifespan or with the event loop.
        threading._register_atexit(_close_all)  # type: ignore[attr-defined]


def _close_all() -> None:
    for group in (_to_close, _to_close_last):
        for what in list(group):
            what.close_at_exit()


class Sigterm:
    """Closes something on SIGTERM, and then passes the signal on to the handler that was there before.

    Lambda's Python runtimes from 3.12 on send it to functions that have an extension:
    https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
    """

    def __init__(self, close: Callable[[Callable[[], None]], bool]) -> None:
        """`close` closes as soon as it can, and then calls its argument. It returns whether it will: not if everything
        has been closed before."""
        self._close = close
        self._is_hooked = False
        self._previous: Any = None

    def hook(self) -> None:
        """Take the signal. Only the main thread can."""
        if not self._is_hooked and threading.current_thread() is threading.main_thread():
            self._is_hooked = True
            self._previous = signal.signal(signal.SIGTERM, self._handle)

    def unhook(self) -> None:
        """Give the signal back, unless someone else has taken it since: then it is passed on."""
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == self._handle:
            signal.signal(signal.SIGTERM, self._previous or signal.SIG_DFL)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._close(_send_again):
            return
        if callable(self._previous):
            self._previous(signum, frame)
        elif self._previous != signal.SIG_IGN:  # pragma: no cover - it ends the process; a test does so in another
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            _send_again()


def _send_again() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
