"""What the environment and the command line say, read once:
https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mangum.exceptions import ConfigurationError

__all__ = ["Settings"]

_MODES = ("buffered", "stream")
_OFF = ("0", "false", "no", "off")
# Lambda's names for Python's.
_LEVELS = {"TRACE": "DEBUG", "FATAL": "CRITICAL", "WARN": "WARNING"}


class Settings(NamedTuple):
    """How the runtime runs. (A dataclass takes a millisecond of a cold start to make.)"""

    api: str  # host and port of the Runtime API
    target: str  # the handler, as "module:attribute" or "module.attribute"
    is_streaming: bool = False  # whether the function's front door takes streams
    concurrency: int = 1  # invocations at once
    patience_s: float = 60.0  # with a Runtime API that has no event and gives another answer, or none
    registers: bool = True  # as an extension, for the sake of SIGTERM
    is_snap_start: bool = False
    has_json_logs: bool = False
    log_level: str | None = None  # of Python's, for the root logger
    telemetry_fd: int | None = None  # where managed runtimes write their logs
    task_root: str | None = None
    runtime_dir: str | None = None
    function_name: str = ""
    function_version: str = ""
    memory_limit_in_mb: str = ""
    log_group_name: str | None = None
    log_stream_name: str | None = None

    @classmethod
    def of(cls, arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
        """From the command line, which comes first, and the environment.

        Raises:
            ConfigurationError: something is missing or wrong.
            SystemExit: the command line is wrong, or asked for help.
        """
        api = environment.get("AWS_LAMBDA_RUNTIME_API")
        is_plain = len(arguments) <= 1 and not any(argument.startswith("-") for argument in arguments)
        options = {"target": arguments[0] if arguments else None} if is_plain else _parse(arguments)
        target = options["target"] or environment.get("_HANDLER")
        if not api:
            raise ConfigurationError(
                "AWS_LAMBDA_RUNTIME_API is not set: this runs inside of Lambda, or as `mangum dev --workers 1`."
            )
        if not target:
            raise ConfigurationError("There is no handler to run: name it as module:attribute, or in _HANDLER.")
        mode = options.get("response_mode") or environment.get("MANGUM_RESPONSE_MODE") or "buffered"
        if mode not in _MODES:
            raise ConfigurationError(f'MANGUM_RESPONSE_MODE must be "buffered" or "stream", not {mode!r}.')
        level = environment.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
        settings = cls(
            api=api,
            target=target,
            is_streaming=mode == "stream",
            concurrency=_concurrency(
                options.get("concurrency") or environment.get("AWS_LAMBDA_MAX_CONCURRENCY") or "1"
            ),
            registers=environment.get("MANGUM_RUNTIME_EXTENSION", "on").lower() not in _OFF,
            is_snap_start=environment.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start",
            has_json_logs=environment.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON",
            log_level=_LEVELS.get(level, level) or None,
            task_root=environment.get("LAMBDA_TASK_ROOT"),
            runtime_dir=environment.get("LAMBDA_RUNTIME_DIR"),
            function_name=environment.get("AWS_LAMBDA_FUNCTION_NAME", ""),
            function_version=environment.get("AWS_LAMBDA_FUNCTION_VERSION", ""),
            memory_limit_in_mb=environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", ""),
            log_group_name=environment.get("AWS_LAMBDA_LOG_GROUP_NAME"),
            log_stream_name=environment.get("AWS_LAMBDA_LOG_STREAM_NAME"),
        )
        descriptor = environment.get("_LAMBDA_TELEMETRY_LOG_FD", "")
        return settings._replace(telemetry_fd=int(descriptor)) if descriptor.isdecimal() else settings


def _concurrency(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise ConfigurationError(f"The concurrency must be a positive number, not {value!r}.")
    return int(value)


def _parse(arguments: Sequence[str]) -> dict[str, Any]:
    import argparse  # here, since Lambda gives no options, and pays for each import

    parser = argparse.ArgumentParser("python -m mangum.runtime", description="Run a handler on AWS Lambda.")
    parser.add_argument("target", nargs="?", help="module:attribute; by default what _HANDLER says")
    parser.add_argument(
        "--response-mode", choices=_MODES, help="by default what MANGUM_RESPONSE_MODE says, or buffered"
    )
    parser.add_argument("--concurrency", help="invocations at once; by default AWS_LAMBDA_MAX_CONCURRENCY, or 1")
    return vars(parser.parse_args(arguments))
