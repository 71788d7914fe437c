"""Lambda's Extensions API, for extensions that run inside the runtime's own process: a runtime registers one to be sent
SIGTERM before its end. https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from mangum.local.function import FunctionSettings
from mangum.local.workers.runtime_http import HTTPConnection, Request

__all__ = ["Extensions"]

_MOST = 10


@dataclass(eq=False)
class _Extension:
    name: str
    wants_events: bool
    poll: HTTPConnection | None = None  # of its `next`, while that waits
    events: list[dict[str, Any]] = field(default_factory=list)  # that it has not asked for yet
    identifier: str = field(default_factory=lambda: str(uuid.uuid4()))


class Extensions:
    """The extensions of one sandbox."""

    def __init__(self, settings: FunctionSettings) -> None:
        self._settings = settings
        self._by_identifier: dict[str, _Extension] = {}
        self._is_open = True

    def close_registration(self) -> None:
        """The runtime is ready: no others can register."""
        self._is_open = False

    def register(self, request: Request, connection: HTTPConnection) -> None:
        """A new one, which is told its identifier, or why it cannot be."""
        name = request.headers.get("lambda-extension-name", "")
        try:
            events = json.loads(request.body)["events"] or []
            refusal = self._check(name, events)
        except (ValueError, TypeError, LookupError) as error:
            refusal = "InvalidRequestFormat", str(error)
        if refusal is not None:
            _refuse(connection, *refusal)
            return
        extension = _Extension(name, "INVOKE" in events)
        self._by_identifier[extension.identifier] = extension
        variables = self._settings.variables()
        connection.reply_json(
            200,
            {
                "functionName": self._settings.name,
                "functionVersion": variables["AWS_LAMBDA_FUNCTION_VERSION"],
                "handler": variables["_HANDLER"],
            },
            {"Lambda-Extension-Identifier": extension.identifier},
        )

    def next(self, request: Request, connection: HTTPConnection) -> None:
        """An extension waits for an event."""
        identifier = request.headers.get("lambda-extension-identifier")
        if not identifier:
            _refuse(connection, "Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header")
            return
        extension = self._by_identifier.get(identifier)
        if extension is None:
            _refuse(connection, "Extension.UnknownExtensionIdentifier", f"Unknown extension {identifier}")
            return
        extension.poll = connection
        _deliver(extension)

    def tell(self, request_id: str, deadline_ms: int, arn: str, trace_id: str) -> None:
        """An event goes to the runtime."""
        event = {
            "eventType": "INVOKE",
            "deadlineMs": deadline_ms,
            "requestId": request_id,
            "invokedFunctionArn": arn,
            "tracing": {"type": "X-Amzn-Trace-Id", "value": trace_id},
        }
        for extension in self._by_identifier.values():
            if extension.wants_events:
                extension.events.append(event)
                _deliver(extension)

    def closed(self, connection: HTTPConnection) -> None:
        """Nobody waits there any more."""
        for extension in self._by_identifier.values():
            if extension.poll is connection:
                extension.poll = None

    def _check(self, name: str, events: list[Any]) -> tuple[str, str] | None:
        """Why an extension cannot be registered."""
        if not name:
            return "Extension.InvalidExtensionName", "Empty extension name"
        unknown = [event for event in events if event != "INVOKE"]
        if unknown:
            return "Extension.InvalidEventType", f"{unknown[0]}: event type is not allowed for an internal extension"
        if not self._is_open:
            return "Extension.RegistrationClosed", "Extension registration closed already"
        if any(extension.name == name for extension in self._by_identifier.values()):
            return "Extension.InvalidExtensionState", "Extension with this name already registered"
        if len(self._by_identifier) == _MOST:
            return "Extension.TooManyExtensions", f"Extension limit ({_MOST}) reached"
        return None


def _deliver(extension: _Extension) -> None:
    if extension.poll is not None and extension.events:
        poll, extension.poll = extension.poll, None
        headers = {"Lambda-Extension-Event-Identifier": str(uuid.uuid4())}
        poll.reply_json(200, extension.events.pop(0), headers)


def _refuse(connection: HTTPConnection, error_type: str, message: str) -> None:
    connection.reply_json(403, {"errorMessage": message, "errorType": error_type})
