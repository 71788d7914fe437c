"""What goes wrong, and how Lambda is told:
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-invokeerror"""

from __future__ import annotations

import os
import re
import traceback
from typing import Any

from mangum.core.error_text import text_of

__all__ = ["ContainerBroken", "Fault", "RuntimeAPIUnreachable", "describe", "field_value", "type_of"]

_OWN_CODE = os.path.dirname(__file__)
# Which handlers are called through, in a thread.
_THREAD = (os.path.join("concurrent", "futures", "thread.py"), os.path.join("mangum", "core", "loop.py"))


class Fault(Exception):
    """Something that Lambda has a name for, such as "Runtime.ImportModuleError"."""

    def __init__(self, error_type: str, message: str, stack: list[str] | None = None) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.stack: list[str] = stack or []


class ContainerBroken(Exception):
    """The Runtime API has said that the execution environment cannot go on: the runtime has to exit."""


class RuntimeAPIUnreachable(Exception):
    """The Runtime API has not answered for long."""


def _is_own(path: str) -> bool:
    return path.startswith(_OWN_CODE) or path.endswith(_THREAD)


def type_of(error: BaseException) -> str:
    """Lambda's name for an error, or else its class."""
    return error.error_type if isinstance(error, Fault) else type(error).__name__


def field_value(text: str) -> bytes:
    """A text as the value of a header field: what may not be in one becomes a question mark."""
    return re.sub(rb"[^\t -~]", b"?", text.encode("ascii", "replace"))


def describe(error: BaseException, request_id: str = "") -> dict[str, Any]:
    """An error as the Runtime API takes it. Its stack begins where the runtime's own code ends."""
    if isinstance(error, Fault):
        stack = error.stack
    else:
        frames = traceback.extract_tb(error.__traceback__)
        while frames and _is_own(frames[0].filename):
            del frames[0]
        stack = traceback.format_list(frames)
    return {"errorMessage": text_of(error), "errorType": type_of(error), "requestId": request_id, "stackTrace": stack}
