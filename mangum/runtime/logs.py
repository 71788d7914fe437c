"""The function's log, as AWS's runtime for Python writes it:
https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
from contextvars import ContextVar
from typing import Any

from mangum.core.error_text import text_of
from mangum.runtime.context import Context
from mangum.runtime.settings import Settings

__all__ = ["Log", "current"]

# The invocation that the code of this context runs for.
current: ContextVar[Context | None] = ContextVar("mangum_invocation", default=None)

_TIME = "%Y-%m-%dT%H:%M:%S"
_RESERVED = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "aws_request_id", "tenant_id"}
# Of a frame: https://github.com/aws/aws-lambda-python-runtime-interface-client, FramedTelemetryLogSink. The lowest bits
# say the format, those above the level.
_FRAME = 0xA55A0000
_TEXT = 3
_JSON = 2
_FRAME_LEVELS = {logging.DEBUG: 8, logging.INFO: 12, logging.WARNING: 16, logging.ERROR: 20, logging.CRITICAL: 24}


class Log:
    """Where all lines of the process go: standard output, or the descriptor that a managed runtime has for frames."""

    def __init__(self, settings: Settings) -> None:
        self.has_json: bool = settings.has_json_logs
        self._descriptor = settings.telemetry_fd
        handler = _Handler(self)
        handler.addFilter(_note_invocation)
        formatter = _JSONFormatter() if self.has_json else _TextFormatter()
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
        root = logging.getLogger()
        root.addHandler(handler)
        level = settings.log_level or ("INFO" if self.has_json else None)
        if level in logging.getLevelNamesMapping():
            root.setLevel(level)
        for stream in (sys.stdout, sys.stderr):
            # No text of a function's fails to be printed: halves of surrogate pairs are escaped, in JSON too.
            stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr] # not of another type this early

    def write(self, message: str, level: int) -> None:
        """Write one event of the log."""
        if self._descriptor is None:
            sys.stdout.write(message)
            return
        data = message.encode(errors="backslashreplace")
        kind = _FRAME + (_JSON if self.has_json else _TEXT) + _FRAME_LEVELS.get(level // 10 * 10, 0)
        head = kind.to_bytes(4) + len(data).to_bytes(4) + (time.time_ns() // 1000).to_bytes(8)
        frame = memoryview(head + data)
        while frame:
            frame = frame[os.write(self._descriptor, frame) :]

    def error(self, document: dict[str, Any]) -> None:
        """Write what Lambda is told of an error."""
        if self.has_json:
            now = time.strftime(f"{_TIME}Z", time.gmtime())
            line = json.dumps({"timestamp": now, "level": "ERROR", "log_level": "ERROR", **document}, default=str)
            self.write(f"{line}\n", logging.ERROR)
            return
        lines = f"[ERROR] {document['errorType']}: {document['errorMessage']}".splitlines()
        if document["stackTrace"]:
            lines.append("Traceback (most recent call last):")
            lines += [line for entry in document["stackTrace"] for line in entry.splitlines()]
        # Each line of standard output is an event of its own, unless it ends like this; spaces at a line's begin would
        # not be shown.
        separator = "\n" if self._descriptor is not None else "\r"
        self.write(f"{separator.join(map(_keep_indentation, lines))}\n", logging.ERROR)

    @staticmethod
    def flush() -> None:
        """Let go of what is written: the process may be frozen next."""
        sys.stdout.flush()
        sys.stderr.flush()


def _keep_indentation(line: str) -> str:
    text = line.lstrip(" ")
    return "\N{NO-BREAK SPACE}" * (len(line) - len(text)) + text


def _note_invocation(record: logging.LogRecord) -> bool:
    context = current.get()
    record.aws_request_id = "" if context is None else context.aws_request_id
    record.tenant_id = None if context is None else context.tenant_id
    return True


class _Handler(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._log.write(self.format(record), record.levelno)
        except Exception:
            self.handleError(record)


class _TextFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s", _TIME)

    def format(self, record: logging.LogRecord) -> str:
        return f"{super().format(record)}\n"


class _JSONFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        kind, error, trace = record.exc_info or (None, None, None)
        is_document = isinstance(record.msg, dict) and not record.args
        line = {
            "timestamp": self.formatTime(record, f"{_TIME}Z"),
            "level": record.levelname,
            "message": record.msg if is_document else record.getMessage(),
            "logger": record.name,
            "stackTrace": traceback.format_tb(trace) if kind else None,
            "errorType": kind.__name__ if kind else None,
            "errorMessage": text_of(error) if kind else None,
            "requestId": getattr(record, "aws_request_id", None) or None,
            "location": f"{record.pathname}:{record.funcName}:{record.lineno}" if kind else None,
            "tenantId": getattr(record, "tenant_id", None),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _RESERVED and name not in line}
        return (
            json.dumps(
                {name: value for name, value in line.items() if value is not None}, ensure_ascii=False, default=text_of
            )
            + "\n"
        )
