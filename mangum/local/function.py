"""The function behind the front doors: what invokes it, whatever runs it."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mangum.handlers.bodies import LAMBDA_RESPONSE_LIMIT
from mangum.local.invocations import Invocation
from mangum.local.streams import StreamedAnswer

__all__ = [
    "MOST_EVENT_BYTES",
    "EventTooLarge",
    "Function",
    "FunctionFailed",
    "FunctionSettings",
    "FunctionStopped",
    "FunctionTimedOut",
    "check_answer",
    "event_json",
    "own_region",
]

# What Lambda takes as the event of a synchronous invocation, and gives as its result, as JSON:
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MOST_EVENT_BYTES = LAMBDA_RESPONSE_LIMIT
_MOST_ANSWER_BYTES = LAMBDA_RESPONSE_LIMIT
_UNLIMITED_S = 900.0  # Lambda's longest timeout


class FunctionFailed(Exception):
    """The invocation ended without an answer: the function raised, could not be loaded, exited, or said nothing of use.

    `error_type` is Lambda's name for it, such as "Runtime.ExitError", or the exception's class.
    """

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(f"{error_type}: {message}" if message else error_type)
        self.error_type = error_type


class FunctionTimedOut(FunctionFailed):
    """It ran for as long as it may, and was stopped."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__("Sandbox.Timedout", f"Task timed out after {timeout_s:.2f} seconds")


class FunctionStopped(FunctionFailed):
    """The gateway ends, and did not wait for it any more."""

    def __init__(self) -> None:
        super().__init__("Runtime.ExitError", "the gateway has been stopped")


class EventTooLarge(Exception):
    """Lambda does not take an event of this size: the function is not invoked."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the event has {size:,} bytes as JSON, and Lambda takes {MOST_EVENT_BYTES:,} at the most")


@dataclass(frozen=True, kw_only=True)
class FunctionSettings:
    """What a function's configuration says on AWS."""

    target: str  # what to run, as "module:attribute"
    folder: Path  # where its code is: the working folder, first on the import path
    name: str = "mangum-dev"
    memory_mb: int = 1769
    timeout_s: float = 30.0  # 0: none, for a debugger
    region: str = "us-east-1"
    environment: Mapping[str, str] = field(default_factory=dict)  # of the user's own, on top of the gateway's

    @property
    def limit_s(self) -> float:
        """How long an invocation may take, as Lambda's context tells it."""
        return self.timeout_s or _UNLIMITED_S

    @property
    def arn(self) -> str:
        """The function's Amazon Resource Name."""
        return f"arn:aws:lambda:{self.region}:123456789012:function:{self.name}"

    def variables(self) -> dict[str, str]:
        """The variables that Lambda sets, and the function's own:
        https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html

        No credentials: the function uses what you have, as any program on this machine does.
        """
        module, _, attribute = self.target.partition(":")
        return {
            "_HANDLER": f"{module}.{attribute}",
            "LAMBDA_TASK_ROOT": str(self.folder),
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory_mb),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": "local",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            **self.environment,
        }


class Function(AbstractAsyncContextManager["Function"], ABC):
    """A function that can be invoked between `async with` and its end, which stops whatever runs it.

    Entering it loads the function's code once, so that a mistake shows at once.

    Raises (on entering):
        ConfigurationError: `target` names nothing that can be run.
    """

    @abstractmethod
    async def invoke(self, invocation: Invocation) -> str | StreamedAnswer:
        """Run it with `invocation.event` as Lambda would, in a sandbox that is free or as soon as one is, and return
        its answer, as JSON, or the beginning of a stream. How it went is noted in `invocation`, the answer and the
        failure too.

        Raises:
            FunctionFailed: there is no answer. Later invocations run all the same.
            EventTooLarge: Lambda would not have invoked it.
        """

    @abstractmethod
    async def reload(self) -> None:
        """Run the next events with the code as it is now; what runs is let end. Code that cannot be loaded is logged,
        and fails the invocations until it can."""


def own_region() -> str:
    """The region that AWS's tools are set to on this machine."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def event_json(event: dict[str, Any]) -> str:
    """An event as JSON, for the function: characters beyond ASCII stay what they are, as AWS leaves them.

    Raises:
        EventTooLarge: Lambda would not take it.
    """
    document = json.dumps(event, ensure_ascii=False)
    document = document.encode(errors="backslashreplace").decode()  # halves of surrogate pairs, as JSON escapes them
    size = len(document.encode())
    if size > MOST_EVENT_BYTES:
        raise EventTooLarge(size)
    return document


def check_answer(answer: str) -> str:
    """An answer as JSON, from the function.

    Raises:
        FunctionFailed: Lambda would not take it.
    """
    size = len(answer.encode(errors="surrogatepass"))
    if size > _MOST_ANSWER_BYTES:
        raise FunctionFailed(
            "Function.ResponseSizeTooLarge",
            f"Exceeded maximum allowed payload size ({_MOST_ANSWER_BYTES} bytes): the answer has {size}.",
        )
    return answer
