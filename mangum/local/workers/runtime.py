"""mangum's runtime in the processes of `mangum dev`: it tells where the time went, and ends with the gateway."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mangum.adapter import Mangum
from mangum.local.own_code import fresh_imports
from mangum.local.stopwatch import PARTS_HEADER, Stopwatch
from mangum.replies import Reply, Stream
from mangum.runtime.answers import Answer
from mangum.runtime.loading import Handler
from mangum.runtime.main import Runtime
from mangum.runtime.settings import Settings

__all__ = ["main"]

_PATIENCE_S = 0.5  # the gateway is on this machine, or gone


class MeasuredRuntime(Runtime):
    """A `Runtime` whose answers have a header of their own."""

    def load(self) -> Handler:
        handler = super().load()
        if isinstance(handler, Mangum):
            _measure(handler)
        return handler


def _measure(handler: Mangum) -> None:
    stopwatch = Stopwatch(handler)
    invoke = handler.invoke

    async def measured(event: Any, context: Any, reply: Any = None) -> Any:
        stopwatch.start()
        return await invoke(event, context, MeasuredReply(reply, stopwatch))

    handler.invoke = measured  # type: ignore[method-assign]


class MeasuredReply(Reply):
    """An answer that says how long it took. Of a stream, nobody knows at its begin."""

    def __init__(self, answer: Answer, stopwatch: Stopwatch) -> None:
        self.is_streaming = answer.is_streaming
        self._answer = answer
        self._stopwatch = stopwatch

    @property
    def is_sent(self) -> bool:  # type: ignore[override] # whoever looks at it does not set it
        return self._answer.is_sent

    def send(self, answer: Any) -> None:
        self._answer.note(PARTS_HEADER, json.dumps(self._stopwatch.stop()))
        self._answer.send(answer)

    def stream(self, prelude: bytes, when_gone: Callable[[], None]) -> Stream:
        return self._answer.stream(prelude, when_gone)


def main() -> None:
    """Run what the command line names, as the environment says."""
    settings = Settings.of(sys.argv[1:], os.environ)._replace(patience_s=_PATIENCE_S)
    with fresh_imports(Path(os.environ["LAMBDA_TASK_ROOT"])):
        raise SystemExit(MeasuredRuntime(settings).run())
