"""A Lambda runtime for the processes of `mangum dev`: `python -m mangum.local.workers module:attribute`."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from mangum.adapter import Mangum
from mangum.exceptions import ConfigurationError
from mangum.local.context import LocalContext
from mangum.local.function import FunctionSettings
from mangum.local.loading import load_handler
from mangum.local.stopwatch import PARTS_HEADER, Stopwatch

__all__ = ["main"]

_RUNTIME = "/2018-06-01/runtime"


class RuntimeClient:
    """The runtime's side of the Runtime API, on one connection that is kept."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address)

    def next(self) -> tuple[http.client.HTTPMessage, bytes]:
        """The next event, as soon as there is one, and what Lambda says beside it."""
        return self._request("GET", "invocation/next", None, {})

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Report an answer or an error. One that is refused has been noted over there."""
        self._request("POST", path, body, headers)

    def close(self) -> None:
        self._connection.close()

    def _request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPMessage, bytes]:
        self._connection.request(method, f"{_RUNTIME}/{path}", body, headers)
        response = self._connection.getresponse()
        return response.headers, response.read()


class Worker:
    """The loop: an event, the handler, its answer."""

    def __init__(self, target: str, client: RuntimeClient, settings: FunctionSettings) -> None:
        self._target = target
        self._client = client
        self._settings = settings
        self._handler: Callable[[Any, Any], Any] | None = None
        self._stopwatch: Stopwatch | None = None
        self._is_waiting = False
        self._is_stopped = False

    def stop(self, signum: int, frame: FrameType | None) -> None:
        """End the process: at once if it waits for an event, else after the one that runs."""
        self._is_stopped = True
        if self._is_waiting:
            raise SystemExit(0)

    def run(self) -> None:
        """Serve events until the process is told to stop, or the gateway is gone."""
        try:
            self._load()
            while self._serve():
                pass
        finally:
            self._is_waiting = False
            if isinstance(self._handler, Mangum):
                self._handler.close()

    def _load(self) -> None:
        """Lambda's init phase."""
        try:
            handler = self._handler = load_handler(self._target)
            if isinstance(handler, Mangum):
                self._stopwatch = Stopwatch(handler)
                handler.start()
        except Exception as error:
            name = "Runtime.ImportModuleError" if isinstance(error, ConfigurationError) else type(error).__name__
            self._report("init/error", name, error, {})
            raise SystemExit(1) from None

    def _serve(self) -> bool:
        self._is_waiting = True
        if self._is_stopped:
            return False
        headers, event = self._client.next()
        self._is_waiting = False
        context = LocalContext(
            self._settings,
            headers["Lambda-Runtime-Aws-Request-Id"],
            deadline=int(headers["Lambda-Runtime-Deadline-Ms"]) / 1000,
        )
        os.environ["_X_AMZN_TRACE_ID"] = headers["Lambda-Runtime-Trace-Id"]
        self._answer(event, context, {"Lambda-Runtime-Invocation-Id": headers["Lambda-Runtime-Invocation-Id"]})
        return True

    def _answer(self, event: bytes, context: LocalContext, headers: Mapping[str, str]) -> None:
        path = f"invocation/{context.aws_request_id}"
        try:
            answer, parts = self._call(event, context)
        except Exception as error:
            self._report(f"{path}/error", type(error).__name__, error, headers)
            return
        try:
            body = json.dumps(answer, ensure_ascii=False).encode()
        except (TypeError, ValueError) as error:
            self._report(f"{path}/error", "Runtime.MarshalError", error, headers)
            return
        self._client.post(f"{path}/response", body, {**headers, PARTS_HEADER: json.dumps(parts)})

    def _call(self, event: bytes, context: LocalContext) -> tuple[Any, dict[str, float]]:
        assert self._handler is not None
        if self._stopwatch is None:
            return self._handler(json.loads(event), context), {}
        self._stopwatch.start()
        answer = self._handler(json.loads(event), context)
        return answer, self._stopwatch.stop()

    def _report(self, path: str, error_type: str, error: Exception, headers: Mapping[str, str]) -> None:
        traceback.print_exception(error)
        sys.stderr.flush()
        document = {
            "errorMessage": str(error),
            "errorType": error_type,
            "stackTrace": traceback.format_tb(error.__traceback__),
        }
        named = {**headers, "Lambda-Runtime-Function-Error-Type": error_type}
        self._client.post(path, json.dumps(document).encode(), named)


def main() -> None:
    """Run what the command line names, as the environment says."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr] # not of another type this early
    client = RuntimeClient(os.environ["AWS_LAMBDA_RUNTIME_API"])
    settings = FunctionSettings(
        target=sys.argv[1],
        folder=Path.cwd(),
        name=os.environ["AWS_LAMBDA_FUNCTION_NAME"],
        memory_mb=int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]),
        region=os.environ["AWS_REGION"],
    )
    worker = Worker(sys.argv[1], client, settings)
    signal.signal(signal.SIGTERM, worker.stop)
    try:
        with suppress(ConnectionError, http.client.HTTPException):  # the gateway is gone: nobody is left to be told
            worker.run()
    finally:
        client.close()
