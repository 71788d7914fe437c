"""mangum's runtime in the processes of `mangum dev`: it tells where the time went, and ends with the gateway."""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

from mangum.core.hooks import with_installed
from mangum.core.observation import current
from mangum.local.invocations import PARTS_HEADER
from mangum.local.own_code import fresh_imports
from mangum.runtime.main import Runtime
from mangum.runtime.reply import RuntimeReply
from mangum.runtime.settings import Settings

__all__ = ["MeasuredReply", "MeasuredRuntime", "main"]

_PATIENCE_S = 0.5  # the gateway is on this machine, or gone


class MeasuredReply(RuntimeReply):
    """A reply that tells the gateway how long the parts of the invocation took. Not of a stream, which just begins."""

    def send(self, answer: Any) -> None:
        observation = current.get()
        if observation is not None:
            self.note(PARTS_HEADER, json.dumps(observation.parts_ms()))
        super().send(answer)


class MeasuredRuntime(Runtime):
    """A `Runtime` with such replies."""

    reply_class: ClassVar[type[RuntimeReply]] = MeasuredReply


def main() -> None:
    """Run what the command line names, as the environment says."""
    settings = Settings.of(sys.argv[1:], os.environ)._replace(patience_s=_PATIENCE_S)
    code = Path(os.environ["LAMBDA_TASK_ROOT"])
    with fresh_imports(code), with_installed(nullcontext):  # any hook will do: the invocation is observed
        raise SystemExit(MeasuredRuntime(settings).run())
