"""The function in processes, one event at a time each, as Lambda has it."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType

import anyio
from anyio.abc import TaskGroup

import mangum
from mangum.exceptions import ConfigurationError
from mangum.local.function import (
    Function,
    FunctionFailed,
    FunctionSettings,
    FunctionStopped,
    FunctionTimedOut,
    event_json,
)
from mangum.local.invocations import Invocation
from mangum.local.printable import printable
from mangum.local.streams import StreamedAnswer
from mangum.local.workers.process import Process
from mangum.local.workers.runtime_api import Delivery, RuntimeAPI

__all__ = ["RUNTIMES", "Workers"]

logger: logging.Logger = logging.getLogger("mangum.local")

# Lambda's. Code that takes longer is run again there, within the first event's time; here it gets that time at once.
_INIT_S = 10.0
_STOP_S = 2.0
_FREE_S = 0.1  # for one that has answered and asks for the next event in a moment, before another is started
# The first two would tell a runtime that it is on Lambda, with its log socket or many events at once.
_FOREIGN = frozenset({"AWS_LAMBDA_MAX_CONCURRENCY", "_LAMBDA_TELEMETRY_LOG_FD", "PYTHONIOENCODING"})
# What is printed on Lambda is UTF-8, is seen at once, and has times in UTC, whatever this machine is set to.
_AS_ON_LAMBDA = {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", "TZ": ":UTC"}


# With -P the working folder, which has the function's code, is not first on the path: nothing of it is imported as a
# module of the standard library. mangum itself may be found by that folder only.
_RUN = "import sys; sys.path.append({folder!r}); from mangum.local.workers.{module} import main; main()"


def _command(module: str, target: str) -> list[str]:
    code = _RUN.format(folder=str(Path(mangum.__file__).parent.parent), module=module)
    return [sys.executable, "-P", "-c", code, target]


def _own_runtime(target: str) -> list[str]:
    return _command("runtime", target)


def _aws_runtime(target: str) -> list[str]:
    if importlib.util.find_spec("awslambdaric") is None:
        raise ConfigurationError("AWS's runtime for Python is not installed: pip install awslambdaric")
    return _command("aws_runtime", target.replace(":", "."))


# By name, what makes the command that runs "module:attribute". Each raises `ConfigurationError` if it cannot.
RUNTIMES: dict[str, Callable[[str], list[str]]] = {"mangum": _own_runtime, "awslambdaric": _aws_runtime}


class Workers(Function):
    """Up to `count` processes. One is started when an event comes and none is free; when there are as many as may be,
    further events wait, first come, first served.

    `command` is any that speaks the Lambda Runtime API, by default mangum's own.
    """

    def __init__(self, settings: FunctionSettings, count: int, command: Sequence[str] | None = None) -> None:
        self._settings = settings
        self._command = list(command or _own_runtime(settings.target))
        self._turns = asyncio.Semaphore(count)
        self._idle: list[_Worker] = []  # the one that has run last is last, and taken first
        self._workers: set[_Worker] = set()
        self._freed = asyncio.Event()  # whether one has become idle
        self._generation = 0  # of the code
        self._stack = AsyncExitStack()
        self._tasks: TaskGroup

    async def __aenter__(self) -> Workers:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._stop_all)
            try:
                self._idle.append(await self._start(None))
            except FunctionFailed as failure:
                raise ConfigurationError(f"{self._settings.target} cannot be run. {failure}") from None
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(self._tasks.cancel_scope.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def invoke(self, invocation: Invocation) -> str | StreamedAnswer:
        event = event_json(invocation.event)
        answer: asyncio.Future[str | StreamedAnswer] = asyncio.get_running_loop().create_future()
        # Not in this task: who waits for the answer may be gone before the function has ended.
        self._tasks.start_soon(self._serve, invocation, event, answer)
        try:
            result = await answer
        except FunctionFailed as failure:
            invocation.failure = str(failure)
            raise
        if isinstance(result, str):
            invocation.answer = result
        return result

    async def reload(self) -> None:
        self._generation += 1
        while self._idle:
            self._tasks.start_soon(self._idle.pop().stop)

    async def _serve(self, invocation: Invocation, event: str, answer: asyncio.Future[str | StreamedAnswer]) -> None:
        """Run an event: `answer` is set when it is there, this ends when its worker is free again."""
        with _settling(answer):
            async with self._turns:
                worker = await self._take(invocation)
                try:
                    await worker.run(invocation, event, answer)
                except FunctionFailed:
                    worker.kill()
                    raise
                self._put(worker)

    def _put(self, worker: _Worker) -> None:
        if worker.generation == self._generation:
            self._idle.append(worker)
            self._freed.set()
        else:
            self._tasks.start_soon(worker.stop)

    async def _take(self, invocation: Invocation) -> _Worker:
        if not self._idle and any(worker.has_answered for worker in self._workers):
            self._freed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_FREE_S):
                    await self._freed.wait()
        while self._idle:
            worker = self._idle.pop()
            if worker.is_ready:
                return worker
            worker.kill()  # it has ended of itself, or is about to
        return await self._start(invocation)

    async def _start(self, invocation: Invocation | None) -> _Worker:
        worker = _Worker(self._settings, self._generation, invocation, self._workers.discard)
        self._workers.add(worker)
        try:
            await worker.start(self._command)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await worker.stop()
            self._workers.discard(worker)
            raise
        return worker

    async def _stop_all(self) -> None:
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                for worker in list(self._workers):
                    tasks.start_soon(worker.stop)


class _Worker:
    """A sandbox: a process, and the Runtime API that it speaks to. It runs one event at a time."""

    def __init__(
        self,
        settings: FunctionSettings,
        generation: int,
        invocation: Invocation | None,
        ended: Callable[[_Worker], None],
    ) -> None:
        self.generation = generation
        self.has_answered = False  # and not yet asked for another event
        self._settings = settings
        self._invocation = invocation  # that it runs, or has run last: whose its output is
        self._ended = ended
        self._api = RuntimeAPI(settings)
        self._process = Process(self._note, self._end)
        self._init_ms = 0.0
        self._is_used = False

    @property
    def is_ready(self) -> bool:
        """Whether it waits for an event."""
        return self._api.is_ready

    async def start(self, command: Sequence[str]) -> None:
        """The init phase.

        Raises:
            FunctionFailed: it did not come to its end.
        """
        begin = time.perf_counter()
        limit_s = max(_INIT_S, self._settings.timeout_s) if self._settings.timeout_s else None
        environment = self._environment(await self._api.listen())
        try:
            async with asyncio.timeout(limit_s):
                await self._process.start(command, folder=self._settings.folder, environment=environment)
                await self._api.wait_ready()
        except TimeoutError:
            raise FunctionTimedOut(limit_s or 0) from None
        except OSError as error:
            raise FunctionFailed("Runtime.InvalidEntrypoint", f"{command[0]}: {error.strerror}") from None
        self._init_ms = (time.perf_counter() - begin) * 1000
        if self._init_ms > _INIT_S * 1000:
            logger.warning(
                "Init took %.1f s: Lambda stops it after %.0f s, and runs it again.", self._init_ms / 1000, _INIT_S
            )

    async def run(self, invocation: Invocation, event: str, answer: asyncio.Future[str | StreamedAnswer]) -> None:
        """Run an event, until the runtime asks for the next one. The answer may be there long before.

        Raises:
            FunctionFailed: the process has ended, or did not come to an end in time and has to be killed.
        """
        self._invocation = invocation
        invocation.is_cold = not self._is_used
        invocation.init_ms = None if self._is_used else self._init_ms
        self._is_used = True
        delivery = Delivery(invocation.request_id, event, self._settings)
        try:
            async with asyncio.timeout(self._settings.timeout_s or None):
                with self._noting(invocation, delivery):
                    self._api.deliver(delivery)
                    await asyncio.wait([delivery.answer])
                self._process.read_output()
                _pass_on(delivery.answer, answer)
                self.has_answered = True
                await self._api.wait_ready()
            self._process.end_lines()  # what is printed next belongs to the next invocation
        except TimeoutError:
            raise FunctionTimedOut(self._settings.timeout_s) from None
        finally:
            self.has_answered = False

    async def stop(self) -> None:
        """End the process, and wait for that."""
        try:
            await self._process.stop(_STOP_S)
        finally:
            self._api.close()

    def kill(self) -> None:
        """End the process now. It closes the rest when it has ended."""
        self._process.kill()

    @contextmanager
    def _noting(self, invocation: Invocation, delivery: Delivery) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            invocation.duration_ms = (time.perf_counter() - begin) * 1000
            invocation.parts_ms = delivery.parts_ms
            invocation.memory_mb = self._process.peak_memory_mb()

    def _environment(self, address: str) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
        return {
            **own,
            **_AS_ON_LAMBDA,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
            **self._settings.variables(),
            "AWS_LAMBDA_RUNTIME_API": address,
        }

    def _note(self, line: str, is_stdout: bool) -> None:
        stream = sys.stdout if is_stdout else sys.stderr
        encoding = stream.encoding or "utf-8"
        stream.write(f"{printable(line)}\n".encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
        if self._invocation is not None:
            self._invocation.log(line)

    def _end(self, status: int) -> None:
        """The process has ended."""
        self._api.fail(FunctionFailed("Runtime.ExitError", _describe_exit(status)))
        self._api.close()
        self._ended(self)  # not before: whoever ends the gateway waits for each that has not ended


def _describe_exit(status: int) -> str:
    """In Lambda's words."""
    if status == 0:
        return "Runtime exited without providing a reason"
    if status > 0:
        return f"Runtime exited with error: exit status {status}"
    return f"Runtime exited with error: signal: {(signal.strsignal(-status) or str(-status)).lower()}"


@contextmanager
def _settling(answer: asyncio.Future[str | StreamedAnswer]) -> Iterator[None]:
    """However this ends, `answer` is set then."""
    try:
        yield
    except FunctionFailed as failure:
        if not answer.done():
            answer.set_exception(failure)
        elif answer.cancelled() or answer.exception() is not failure:
            logger.warning("Nobody waited any more when the function failed: %s", failure)
    finally:
        if not answer.done():
            answer.set_exception(FunctionStopped())


def _pass_on(result: asyncio.Future[str | StreamedAnswer], answer: asyncio.Future[str | StreamedAnswer]) -> None:
    """`answer` is done already if nobody waits for it any more."""
    if answer.done():
        return
    error = result.exception()
    if error is None:
        answer.set_result(result.result())
    else:
        answer.set_exception(error)
