"""All invocations of one process: one after another, and several at once where Lambda has it so."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import signal
from collections.abc import Coroutine
from concurrent.futures import Executor
from functools import partial
from typing import Any

from mangum.core.loop import warm_loop
from mangum.core.tasks import begin
from mangum.runtime.context import Context
from mangum.runtime.documents import documents_for
from mangum.runtime.loading import Handler, is_adapter, is_asynchronous
from mangum.runtime.logs import Log
from mangum.runtime.reply import RuntimeReply
from mangum.runtime.settings import Settings
from mangum.runtime.tracing import install
from mangum.runtime.worker import Invoke, Worker

__all__ = ["Invocations"]

logger: logging.Logger = logging.getLogger("mangum.runtime")

# For invocations that run when SIGTERM comes, of the 300 ms that Lambda gives a runtime beside external extensions. The
# rest is for what is cancelled then, and for the application's shutdown.
_LAST_RUN_S = 0.1
_LAST_CANCEL_S = 1.0


class Invocations:
    """From the first request for an event until SIGTERM."""

    def __init__(
        self, handler: Handler, settings: Settings, log: Log, reply_class: type[RuntimeReply] = RuntimeReply
    ) -> None:
        self.is_stopping: bool = False
        self._settings = settings
        self._threads: Executor | None = None
        invoke = self._way_to_call(handler)
        documents = documents_for(handler)
        self._workers = [
            Worker(invoke, documents, settings, log, self, reply_class) for _ in range(settings.concurrency)
        ]
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()  # that each invocation begins with
        self._stopped = asyncio.Event()
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Serve events until SIGTERM, or Ctrl-C.

        Raises:
            ContainerBroken: the execution environment cannot go on.
            RuntimeAPIUnreachable: the Runtime API has been out of reach for too long.
        """
        install(apart=self._settings.concurrency > 1)
        for number in (signal.SIGTERM, signal.SIGINT):
            _handled_before[number] = signal.getsignal(number)
            self._loop.add_signal_handler(number, self.stop)
        try:
            for worker in self._workers:
                worker.begin()
            await self._stopped.wait()
        finally:
            await self._end_running()
            if self._threads is not None:
                self._threads.shutdown(wait=False, cancel_futures=True)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Ask for no more events, and let `run` end."""
        if not self.is_stopping:
            self.is_stopping = True
            self._stopped.set()
            for worker in self._workers:
                worker.stop()

    # What workers call

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return begin(work, self._loop, self._context.copy())

    def break_down(self, error: Exception) -> None:
        self._failure = error
        self.stop()

    async def _end_running(self) -> None:
        await _wait_ended(self._workers, _LAST_RUN_S)
        tasks = [worker.task for worker in self._workers]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_LAST_CANCEL_S)
        for worker in self._workers:
            worker.end()

    def _way_to_call(self, handler: Handler) -> Invoke:
        if is_adapter(handler):
            return handler.invoke
        if self._settings.is_streaming:
            logger.warning(
                "%s is not a Mangum itself, but a function, a wrapper or a subclass with a `__call__` of its own: its "
                "answers are sent whole and not as streams.",
                self._settings.target,
            )
        if is_asynchronous(handler):
            return lambda event, context, answer: handler(event, context)
        from concurrent.futures import ThreadPoolExecutor

        threads = self._threads = ThreadPoolExecutor(self._settings.concurrency, "mangum-handler")

        async def in_thread(event: Any, context: Context, answer: RuntimeReply) -> Any:
            own = contextvars.copy_context()
            call = partial(own.run, warm_loop().outside, handler, event, context)
            return await asyncio.get_running_loop().run_in_executor(threads, call)

        return in_thread


_handled_before: dict[signal.Signals, Any] = {}  # by whom, until the runtime took these signals


def _give_signals_back() -> None:
    """In a forked child, which ends at a signal as if there were no runtime."""
    for number, handler in _handled_before.items():
        signal.signal(number, handler)


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows
    os.register_at_fork(after_in_child=_give_signals_back)


async def _wait_ended(workers: list[Worker], timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            for worker in workers:
                await worker.ended.wait()
    except TimeoutError:
        pass
