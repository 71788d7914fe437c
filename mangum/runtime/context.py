"""The context object of an invocation: https://docs.aws.amazon.com/lambda/latest/dg/python-context.html"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, ClassVar

from mangum.runtime.errors import Fault
from mangum.runtime.settings import Settings

__all__ = ["Context"]

_TENANT = b"lambda-runtime-aws-tenant-id"
_IDENTITY = b"lambda-runtime-cognito-identity"
_CLIENT_CONTEXT = b"lambda-runtime-client-context"
_RARE = (_TENANT, _IDENTITY, _CLIENT_CONTEXT)  # headers that few events come with
_LONGEST_S = 900  # https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
_NOBODY = SimpleNamespace(cognito_identity_id=None, cognito_identity_pool_id=None)
_CLIENT = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")


class Context:
    """What AWS's runtime for Python gives a handler."""

    tells_lambdas_deadline: ClassVar[bool] = True  # so that `mangum.core.deadline` takes it at its word

    def __init__(self, headers: Mapping[bytes, bytes], settings: Settings) -> None:
        """`headers`, with names in lower case, are those of the Runtime API's answer.

        Raises:
            Fault: what they say of the client or its identity is no JSON object.
        """
        self.aws_request_id: str = headers[b"lambda-runtime-aws-request-id"].decode("utf-8", "replace")
        self.function_name: str = settings.function_name
        self.function_version: str = settings.function_version
        arn = headers.get(b"lambda-runtime-invoked-function-arn", b"")
        self.invoked_function_arn: str = arn.decode("utf-8", "replace")
        self.memory_limit_in_mb: str = settings.memory_limit_in_mb
        self.log_group_name: str | None = settings.log_group_name
        self.log_stream_name: str | None = settings.log_stream_name
        self.tenant_id: str | None = None
        self.identity: SimpleNamespace = _NOBODY
        self.client_context: SimpleNamespace | None = None
        if not headers.keys().isdisjoint(_RARE):
            self._read_rare(headers)
        deadline_ms = headers.get(b"lambda-runtime-deadline-ms")
        self._epoch_deadline_time_in_ms = int(deadline_ms or (time.time() + _LONGEST_S) * 1000)

    def _read_rare(self, headers: Mapping[bytes, bytes]) -> None:
        tenant_id = headers.get(_TENANT)
        if tenant_id:
            self.tenant_id = tenant_id.decode("utf-8", "replace")
        identity = _read(headers, _IDENTITY, "Cognito Identity")
        if identity:
            self.identity = SimpleNamespace(
                cognito_identity_id=identity.get("cognitoIdentityId"),
                cognito_identity_pool_id=identity.get("cognitoIdentityPoolId"),
            )
        client = _read(headers, _CLIENT_CONTEXT, "Client Context")
        if client:
            self.client_context = _client_context(client)

    def get_remaining_time_in_millis(self) -> int:
        """Until Lambda's timeout."""
        return max(0, self._epoch_deadline_time_in_ms - int(time.time() * 1000))

    def log(self, message: str) -> None:
        """Write to the function's log, without a line break of its own."""
        sys.stdout.write(str(message))

    def __repr__(self) -> str:
        return f"<Context of {self.aws_request_id}>"


def _read(headers: Mapping[bytes, bytes], name: bytes, meaning: str) -> dict[str, Any]:
    value = headers.get(name)
    if not value:
        return {}
    try:
        document = json.loads(value)
        if document is not None and not isinstance(document, dict):
            raise TypeError(f"it is a {type(document).__name__}")
    except (ValueError, TypeError) as error:
        raise Fault("Runtime.LambdaContextUnmarshalError", f"Unable to parse {meaning} JSON: {error}") from None
    return document or {}


def _client_context(document: dict[str, Any]) -> SimpleNamespace:
    client = document.get("client")
    return SimpleNamespace(
        custom=document.get("custom"),
        env=document.get("env"),
        client=SimpleNamespace(**{name: client.get(name) for name in _CLIENT}) if isinstance(client, dict) else None,
    )
