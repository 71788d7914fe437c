"""One event at a time: asked for, run, answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeAlias

from mangum.core.deadline import StandingTimer
from mangum.core.http1 import HTTPResponse, Outcome
from mangum.core.ownership import mark, track
from mangum.core.root import adopt
from mangum.runtime.api import RuntimeAPI, is_event
from mangum.runtime.context import Context
from mangum.runtime.documents import Documents
from mangum.runtime.errors import Fault, describe
from mangum.runtime.logs import Log, current
from mangum.runtime.reply import RuntimeReply
from mangum.runtime.settings import Settings
from mangum.runtime.tracing import set_trace_id

__all__ = ["Invoke", "Owner", "Worker"]

Invoke: TypeAlias = Callable[[Any, Context, RuntimeReply], Awaitable[Any]]

_SHUT_DOWN = "The execution environment was shut down before the invocation had ended."
_LEAST_WAIT_S = 1.0  # for Lambda to take an answer, even if the deadline has come meanwhile


class Owner(Protocol):
    """Who waits for the worker's tasks."""

    @property
    def is_stopping(self) -> bool:
        """Whether no more events are wanted."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something in a task, and a context, of its own."""
        ...

    def break_down(self, error: Exception) -> None:
        """There can be no more invocations."""
        ...


class Worker:
    """Where one invocation after another runs. Between them it has no task: what comes from the connection starts the
    next one, which takes half the time."""

    def __init__(
        self,
        invoke: Invoke,
        documents: Documents,
        settings: Settings,
        log: Log,
        owner: Owner,
        reply_class: type[RuntimeReply],
    ) -> None:
        self.ended: asyncio.Event = asyncio.Event()
        self.task: asyncio.Task[None]  # the last one, that runs an event, or tries to get one; there since `begin`
        self._invoke = invoke
        self._documents = documents
        self._settings = settings
        self._log = log
        self._owner = owner
        self._reply_class = reply_class
        self._api = RuntimeAPI(settings.api, settings.patience_s)
        self._is_waiting = False  # for an event
        self._untaken: tuple[RuntimeReply, float] | None = (
            None  # what Lambda has to take, and until when in the loop's time
        )
        self._loop = asyncio.get_running_loop()
        self._patience = StandingTimer(self._loop, self._lose_patience)
        self._mark: Callable[[object], None] | None = None
        if settings.concurrency > 1:
            track(self._loop)
            self._mark = mark

    def begin(self) -> None:
        """Ask for an event, if more are wanted."""
        if self._owner.is_stopping:
            self.end()
        else:
            self._is_waiting = True
            self._api.ask(self._take)

    def stop(self) -> None:
        """Wait for no more events."""
        if self._is_waiting:
            self.task.cancel()
            self.end()

    def end(self) -> None:
        """Hang up."""
        self._api.close()
        self._patience.cancel()
        self.ended.set()

    def _take(self, outcome: Outcome) -> None:
        work = self._serve(outcome) if is_event(outcome) else self._serve_after(outcome)
        self.task = self._owner.spawn(work)

    async def _serve_after(self, instead: Outcome) -> None:
        try:
            event = await self._api.next(instead)
        except Exception as error:
            self._owner.break_down(error)
        else:
            await self._serve(event)

    async def _serve(self, event: HTTPResponse) -> None:
        self._is_waiting = False
        answer = self._reply_class(self._api, event.headers, self._documents, is_streaming=self._settings.is_streaming)

        def leave(task: asyncio.Task[Any]) -> None:
            answer.is_left = True
            adopt(task)
            self._conclude(answer, event.headers)

        answer.when_left = leave
        try:
            await self._run(event, answer)
            if not answer.is_left:
                self._conclude(answer, event.headers)
        except Exception as error:
            self._owner.break_down(error)

    def _conclude(self, answer: RuntimeReply, headers: Mapping[bytes, bytes]) -> None:
        """The invocation has ended, or is left."""
        if not answer.is_sent:
            self._rest()
        elif answer.outcome is not None:
            self._taken(answer)
        else:
            self._be_patient(answer, headers)
            answer.when_taken = self._taken

    async def _run(self, event: HTTPResponse, answer: RuntimeReply) -> None:
        headers = event.headers
        trace_id = headers.get(b"lambda-runtime-trace-id")
        # Any bytes will do, as in `os.environ`.
        set_trace_id(None if trace_id is None else trace_id.decode("utf-8", "surrogateescape"))
        try:
            context = Context(headers, self._settings)
            current.set(context)
            if self._mark is not None:
                self._mark(context)
            result = await self._invoke(self._event_of(event), context, answer)
            if not answer.is_sent:
                answer.send(result)
        except Exception as error:
            await self._fail(event, answer, error)
        except asyncio.CancelledError as error:
            if answer.is_left:
                raise
            if self._owner.is_stopping:
                if not answer.is_sent:
                    await self._fail(event, answer, Fault("Runtime.ShutDown", _SHUT_DOWN))
                raise
            _take_back_cancellation()  # by the application's own code: the worker goes on
            await self._fail(event, answer, error)

    def _event_of(self, response: HTTPResponse) -> Any:
        if not response.headers.get(b"content-type", b"application/json").startswith(b"application/json"):
            return response.body
        try:
            return self._documents.read(response.body)
        except ValueError as error:
            raise Fault("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}") from None

    async def _fail(self, event: HTTPResponse, answer: RuntimeReply, error: BaseException) -> None:
        document = describe(error, _request_id(event))
        self._log.error(document)
        if not answer.is_sent:
            await answer.fail(document)

    def _be_patient(self, answer: RuntimeReply, headers: Mapping[bytes, bytes]) -> None:
        """Let Lambda take its time until the deadline."""
        deadline_s = int(headers.get(b"lambda-runtime-deadline-ms") or 0) / 1000
        until = self._loop.time() + max(deadline_s - time.time(), _LEAST_WAIT_S)
        self._untaken = answer, until
        if until < self._patience.armed_for:
            self._patience.arm(until)

    def _lose_patience(self) -> None:
        if self._untaken is not None:
            answer, until = self._untaken
            if until <= self._loop.time():
                answer.give_up()
            else:  # it was armed for one before
                self._patience.arm(until)

    def _taken(self, answer: RuntimeReply) -> None:
        """Lambda has said something of the answer."""
        self._untaken = None
        outcome = answer.outcome
        if isinstance(outcome, HTTPResponse) and outcome.status == 202:
            self._rest()
        else:
            self.task = self._owner.spawn(self._insist(answer))

    async def _insist(self, answer: RuntimeReply) -> None:
        try:
            await answer.insist()
            self._rest()
        except Exception as error:
            self._owner.break_down(error)

    def _rest(self) -> None:
        """The invocation is over."""
        self._log.flush()  # the process may be frozen next
        self.begin()


def _take_back_cancellation() -> None:
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()


def _request_id(event: HTTPResponse) -> str:
    return event.headers[b"lambda-runtime-aws-request-id"].decode("utf-8", "replace")
