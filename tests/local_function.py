"""Functions for tests of `mangum dev`: code in a folder of its own, and coroutines of the test."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from mangum.local.function import Function, FunctionSettings
from mangum.local.invocations import Invocation

__all__ = ["Answer", "Answering", "FunctionFolder", "invocation"]

Answer = Callable[[dict[str, Any]], Awaitable[Any]]


class Answering(Function):
    """A function that is a coroutine function of the test."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def __aexit__(self, *error: object) -> None:
        return

    async def invoke(self, invocation: Invocation) -> str:
        return json.dumps(await self._answer(json.loads(json.dumps(invocation.event))))

    async def reload(self) -> None:
        raise NotImplementedError


class FunctionFolder:
    """`module` in a folder that is first on the import path."""

    def __init__(self, folder: Path, module: str = "function_under_test") -> None:
        self.folder = folder
        self.module = module
        self.path = folder / f"{module}.py"

    def write(self, code: str) -> None:
        """Give the module this code."""
        self.path.write_text(textwrap.dedent(code))

    def forget(self) -> None:
        """Take the module out of this process."""
        sys.modules.pop(self.module, None)

    def settings(self, attribute: str = "handler", timeout_s: float = 20.0, **environment: str) -> FunctionSettings:
        """How to run what the module has under a name."""
        return FunctionSettings(
            target=f"{self.module}:{attribute}", folder=self.folder, timeout_s=timeout_s, environment=environment
        )


def invocation(**event: object) -> Invocation:
    """An invocation with an event of these fields."""
    return Invocation(source="test", title="test", event=dict(event))
