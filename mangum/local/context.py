"""Lambda's context object, for an invocation on this machine."""

from __future__ import annotations

import time
from types import SimpleNamespace

from mangum.local.function import FunctionSettings

__all__ = ["LocalContext"]


class LocalContext:
    """The attributes and methods of Lambda's own: https://docs.aws.amazon.com/lambda/latest/dg/python-context.html"""

    function_version = "$LATEST"
    log_stream_name = "local"
    client_context = None
    tenant_id = None

    def __init__(self, settings: FunctionSettings, request_id: str, deadline: float | None = None) -> None:
        """`deadline` is in Unix seconds, by default the function's timeout from now."""
        self.aws_request_id = request_id
        self.function_name: str = settings.name
        self.invoked_function_arn: str = settings.arn
        self.memory_limit_in_mb: str = str(settings.memory_mb)
        self.log_group_name: str = f"/aws/lambda/{settings.name}"
        self.identity: SimpleNamespace = SimpleNamespace(cognito_identity_id=None, cognito_identity_pool_id=None)
        self._deadline = time.time() + settings.limit_s if deadline is None else deadline

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._deadline - time.time()) * 1000))

    def log(self, message: str) -> None:
        print(message, end="")  # noqa: T201 # it is what this method is for
