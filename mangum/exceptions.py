"""Every error that mangum raises: one tree, drawn here.

MangumError
├── ConfigurationError     an argument of `Mangum(...)` is wrong
├── LoopError              the sync handler was called where it cannot run
├── EventError
│   ├── UnsupportedEvent   the event is of a kind that no handler serves
│   ├── InvalidEvent       the event is of a known kind, but a field of it is missing or wrong
│   └── EventFailed        the application answered a non-HTTP event with no success
├── RequestRefused         the request is answered without the application
├── ResponseError
│   ├── InvalidResponse    the source has no form for what the application sent
│   └── ResponseTooLarge   the source cannot carry that much
├── BackendError           the store of WebSocket connections does not answer, or refuses
├── ConnectionsError       a message could not be handed to API Gateway
│   ├── ConnectionGone     the WebSocket connection is closed
│   └── MessageTooLarge    API Gateway does not carry a message of that size
├── LifespanFailure        startup or shutdown of the application failed
├── LifespanUnsupported    the application does not know the lifespan protocol
└── UnexpectedMessage      the application broke the ASGI message order
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "ConfigurationError",
    "ConnectionGone",
    "ConnectionsError",
    "EventError",
    "EventFailed",
    "InvalidEvent",
    "InvalidResponse",
    "LifespanFailure",
    "LifespanUnsupported",
    "LoopError",
    "MangumError",
    "MessageTooLarge",
    "RequestRefused",
    "ResponseError",
    "ResponseTooLarge",
    "UnexpectedMessage",
    "UnsupportedEvent",
]


class MangumError(Exception):
    """Base of all errors that mangum raises."""


class ConfigurationError(MangumError):
    """An argument of the adapter is wrong; the message says which, and what is allowed."""


class LoopError(MangumError, RuntimeError):
    """The handler was called where its event loop cannot run: inside a running loop, or after `close()`."""


class EventError(MangumError):
    """Lambda handed over an event that did not end in an answer."""


class UnsupportedEvent(EventError, RuntimeError):
    """No handler serves events of this kind; the message names the kind that it looks like.

    Also a `RuntimeError`, which is what mangum 0.22 raised.
    """


class InvalidEvent(EventError):
    """A field of the event is missing or of the wrong type; the message names the field, never its value."""


class EventFailed(EventError):
    """The application answered a non-HTTP event with a status of 300 or more, or with JSON that cannot be read.

    Raised out of the handler, so that Lambda counts a failure and retries as the event's source does.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class RequestRefused(MangumError):
    """The request is answered with `status`, and the application is not run."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ResponseError(MangumError):
    """The application's response cannot be handed to AWS; the client gets a 500."""


class InvalidResponse(ResponseError):
    """The event's source has no form for this response."""


class ResponseTooLarge(ResponseError):
    """The response is larger than the event's source can carry; the message has both sizes and the way out."""


class BackendError(MangumError):
    """The store of WebSocket connections does not answer, or refuses. Raised out of the handler, so that Lambda counts
    a failure and API Gateway tells the client."""


class ConnectionsError(MangumError):
    """A message could not be handed to API Gateway, or a connection not be closed."""


class ConnectionGone(ConnectionsError, OSError):
    """The WebSocket connection is closed. An `OSError`, as ASGI has it for a `send` after the disconnect:
    https://asgi.readthedocs.io/en/latest/specs/www.html#send-event"""


class MessageTooLarge(ConnectionsError):
    """The message is larger than API Gateway carries (128 KB); the text has both sizes."""


class LifespanFailure(MangumError):
    """The application's startup or shutdown failed."""


class LifespanUnsupported(MangumError):
    """Raised inside an application's `send` where it shows that it does not know the lifespan protocol."""


class UnexpectedMessage(MangumError):
    """Raised inside an application's `send` for a message that the ASGI specification does not allow there."""
