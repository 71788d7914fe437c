"""The program that each side runs in: requests come as lines of JSON on stdin, answers go as such to stdout.

It imports the standard library, this package and the side's own `mangum`, and nothing else: see `benchmarks.sides`.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from benchmarks.work.memory import footprint
from benchmarks.work.operations import OPERATIONS, Operation
from benchmarks.work.others import hop, other_way
from benchmarks.work.websocket import (
    bare_posts,
    blocking_posts,
    broadcast,
    fill_group,
    peak_resident_bytes,
    websocket_message,
)

__all__ = ["main"]

_OPERATIONS = {
    **OPERATIONS,
    **{
        operation.__name__: operation
        for operation in (other_way, hop, websocket_message, broadcast, blocking_posts, bare_posts)
    },
}


class Worker:
    """One operation at a time: prepared, calibrated, and then timed again and again."""

    def __init__(self) -> None:
        self._operation: Operation | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the method named by the request's `command` returns for the rest of the request."""
        arguments = dict(request)
        methods: dict[str, Callable[..., dict[str, Any]]] = {
            "locate": self.locate,
            "version": self.version,
            "collector": self.collector,
            "prepare": self.prepare,
            "calibrate": self.calibrate,
            "measure": self.measure,
            "footprint": self.footprint,
            "peak": self.peak,
            "fill": self.fill,
        }
        return methods[arguments.pop("command")](**arguments)

    def locate(self) -> dict[str, Any]:
        """The file of the mangum that is imported here."""
        import mangum

        return {"file": mangum.__file__}

    def collector(self) -> dict[str, Any]:
        """The state of the garbage collector."""
        return {"is_enabled": gc.isenabled(), "thresholds": gc.get_threshold()}

    def version(self) -> dict[str, Any]:
        """The version of the mangum that is imported here; 0.22 itself does not tell."""
        import importlib.metadata

        import mangum

        return {"version": getattr(mangum, "__version__", None) or importlib.metadata.version("mangum")}

    def prepare(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Put another operation in place of the one before. It checks its own answer."""
        if self._operation is not None:
            self._operation.close()
            self._operation = None
        self._operation = _OPERATIONS[operation](**arguments)
        gc.collect()
        return {}

    def calibrate(self, batch_s: float) -> dict[str, Any]:
        """How many iterations take about `batch_s` seconds. Finding out warms up."""
        self._run(1)  # the first loads and fills what the others find
        iterations = 1
        while (seconds := self._run(iterations)) < batch_s / 2:
            iterations *= 2
        return {"iterations": max(1, round(iterations * batch_s / seconds))}

    def measure(self, iterations: int) -> dict[str, Any]:
        """The time of one iteration in seconds, out of so many: on the clock, and on a processor."""
        before = time.process_time()
        seconds = self._run(iterations)
        return {"seconds": seconds / iterations, "cpu_seconds": (time.process_time() - before) / iterations}

    def footprint(self) -> dict[str, Any]:
        """What the process holds now."""
        return footprint()

    def peak(self) -> dict[str, Any]:
        """The most memory that the process has held, in bytes."""
        return {"resident_bytes": peak_resident_bytes()}

    def fill(self, **arguments: Any) -> dict[str, Any]:
        """Put the members of a group into a store."""
        fill_group(**arguments)
        return {}

    def _run(self, iterations: int) -> float:
        if self._operation is None:
            raise RuntimeError("No operation has been prepared.")
        return self._operation.run(iterations)


def main() -> None:
    """Answer requests until stdin ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a stray line must not end up between the answers
    worker = Worker()
    with answers:
        for line in sys.stdin:
            try:
                answer = worker.answer(json.loads(line))
            except Exception:
                answer = {"error": traceback.format_exc()}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
