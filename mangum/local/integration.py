"""From an event to what its front door can use of the function's answer: noted in the journal, bounded in time."""

from __future__ import annotations

import asyncio
import enum
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from mangum.local.answers import MalformedAnswer
from mangum.local.function import EventTooLarge, FunctionFailed
from mangum.local.invocations import Invocation, Journal
from mangum.local.service import LambdaService
from mangum.local.streams import StreamedAnswer

__all__ = ["Fault", "Integration", "NoAnswer"]

logger: logging.Logger = logging.getLogger("mangum.local")

T = TypeVar("T")


class Fault(enum.Enum):
    """Why a front door has no answer of the function's."""

    TIMEOUT = "timeout"  # it did not come within the front door's own time
    TOO_LARGE = "too large"  # Lambda does not take the event
    FAILED = "failed"  # the function failed, or its answer is malformed


class NoAnswer(Exception):
    """The function gave none, or none of use. The developer has been told why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


class Integration:
    """The function behind one front door, which `name` stands for in the log."""

    def __init__(self, name: str, timeout_s: float | None, service: LambdaService, journal: Journal) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._service = service
        self._journal = journal

    @contextmanager
    def noted(self, invocation: Invocation) -> Iterator[None]:
        """From its event to what the client got, which is `status`, it is in the journal."""
        self._journal.begin(invocation)
        try:
            yield
        finally:
            self._journal.end(invocation)

    async def answer(
        self,
        invocation: Invocation,
        read: Callable[[Any], T],
        most_bytes: int | None = None,
        read_stream: Callable[[StreamedAnswer], T] | None = None,
    ) -> T:
        """What `read` makes of the function's answer, which has `most_bytes` as JSON, or `read_stream` of one that is
        streamed, where the front door takes that.

        Raises:
            NoAnswer: there is none; `read` has raised `MalformedAnswer` or `ValueError`; it is too large.
        """
        fault = Fault.FAILED
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._service.invoke(invocation)
            if isinstance(answer, StreamedAnswer):
                try:
                    if read_stream is None:
                        raise MalformedAnswer(f"it is streamed, which {self._name} does not take")
                    return read_stream(answer)
                except MalformedAnswer:
                    answer.hang_up()  # nobody will read it, and the runtime would wait for that
                    raise
            if most_bytes is not None and len(answer.encode(errors="surrogatepass")) > most_bytes:
                raise MalformedAnswer(f"it has more than the {most_bytes} bytes as JSON that {self._name} takes")
            return read(json.loads(answer))
        except TimeoutError:
            logger.error("%s: no answer within the %g s that %s waits.", invocation.title, self._timeout_s, self._name)
            fault = Fault.TIMEOUT
        except EventTooLarge as error:
            logger.error("%s: %s.", invocation.title, error)
            fault = Fault.TOO_LARGE
        except (MalformedAnswer, ValueError) as error:
            logger.error("%s: the function's answer is malformed: %s.", invocation.title, error)
            invocation.failure = f"The answer is malformed: {error}."
        except FunctionFailed as error:
            logger.error("%s: %s", invocation.title, error)
        raise NoAnswer(fault)
