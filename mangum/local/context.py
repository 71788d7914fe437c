"""Lambda's context object, for an invocation on this machine."""

from __future__ import annotations

import time
import uuid
from types import SimpleNamespace

__all__ = ["LocalContext"]


class LocalContext:
    """The attributes and methods of Lambda's own: https://docs.aws.amazon.com/lambda/latest/dg/python-context.html"""

    function_name = "mangum-dev"
    function_version = "$LATEST"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:mangum-dev"
    memory_limit_in_mb = "1769"
    log_group_name = "/aws/lambda/mangum-dev"
    log_stream_name = "local"
    client_context = None
    tenant_id = None

    def __init__(self, timeout_s: float) -> None:
        self.aws_request_id = str(uuid.uuid4())
        self.identity = SimpleNamespace(cognito_identity_id=None, cognito_identity_pool_id=None)
        self._deadline = time.time() + timeout_s

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._deadline - time.time()) * 1000))
