"""The types at mangum's borders: ASGI's, Lambda's, and the protocols of handlers and hooks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict

__all__ = [
    "ASGI",
    "Headers",
    "Hook",
    "LambdaCognitoIdentity",
    "LambdaConfig",
    "LambdaContext",
    "LambdaEvent",
    "LambdaHandler",
    "LambdaMobileClient",
    "LambdaMobileClientContext",
    "LifespanMode",
    "LifespanScope",
    "LogLevel",
    "Message",
    "Observation",
    "QueryParams",
    "Receive",
    "Response",
    "Scope",
    "Send",
]

LambdaEvent: TypeAlias = dict[str, Any]
QueryParams: TypeAlias = MutableMapping[str, str | Sequence[str]]
Headers: TypeAlias = list[list[bytes]]

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

LifespanMode: TypeAlias = Literal["auto", "on", "off"]
LifespanScope: TypeAlias = Literal["invocation", "process"]
LogLevel: TypeAlias = Literal["critical", "error", "warning", "info", "debug"]


class ASGI(Protocol):
    """An ASGI 3 application: https://asgi.readthedocs.io/en/latest/specs/main.html#applications

    Its three arguments are a `Scope`, a `Receive` and a `Send`; frameworks annotate them in ways that do not agree.
    """

    def __call__(self, scope: Any, receive: Any, send: Any, /) -> Awaitable[None]: ...


class LambdaCognitoIdentity(Protocol):
    """The Amazon Cognito identity that authorized an SDK call."""

    cognito_identity_id: str
    cognito_identity_pool_id: str


class LambdaMobileClient(Protocol):
    """The mobile application that called through the AWS Mobile SDK."""

    installation_id: str
    app_title: str
    app_version_name: str
    app_version_code: str
    app_package_name: str


class LambdaMobileClientContext(Protocol):
    """What the AWS Mobile SDK passes on: `client`, and two free dicts."""

    client: LambdaMobileClient
    custom: dict[str, Any]
    env: dict[str, Any]


class LambdaContext(Protocol):
    """Lambda's context object: https://docs.aws.amazon.com/lambda/latest/dg/python-context.html

    Local tools and tests pass less, often `None`: mangum itself asks for the remaining time alone, and only where
    the method is there.
    """

    function_name: str
    function_version: str
    invoked_function_arn: str
    memory_limit_in_mb: int
    aws_request_id: str
    log_group_name: str
    log_stream_name: str
    identity: LambdaCognitoIdentity | None
    client_context: LambdaMobileClientContext | None

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda kills the sandbox."""
        ...


class Response(TypedDict):
    """A complete HTTP response, as a handler gets it to turn it into Lambda's answer."""

    status: int
    headers: Headers
    body: bytes


class LambdaConfig(TypedDict):
    """What a handler may read from the adapter's configuration."""

    api_gateway_base_path: str
    text_mime_types: list[str]
    exclude_headers: list[str]


class LambdaHandler(Protocol):
    """One kind of event: built for an event that `infer` claims, used once.

    A class of the user's own goes into `Mangum(custom_handlers=[...])` and is asked before the built-in ones. Its
    `config` has the three keys of `LambdaConfig`.
    """

    if TYPE_CHECKING:  # a subclass may call `super().__init__()` with anything, as with mangum 0.22

        def __init__(self, event: LambdaEvent, context: LambdaContext, config: LambdaConfig, /) -> None: ...

    else:

        def __init__(self, *args: Any) -> None: ...

    @classmethod
    def infer(cls, event: LambdaEvent, context: LambdaContext, config: LambdaConfig, /) -> bool:
        """Whether this class serves the event."""
        ...

    @property
    def body(self) -> bytes:
        """The request's body."""
        ...

    @property
    def scope(self) -> Scope:
        """The ASGI scope of the request."""
        ...

    def __call__(self, response: Response, /) -> dict[str, Any]:
        """What Lambda gets back for the response."""
        ...


class Observation(Protocol):
    """One invocation, as a hook sees it. The fields are for reading."""

    event: Any
    context: Any
    is_cold: bool  # whether it is the first invocation of the process
    scope: Scope | None  # the application's, once that runs
    status: int | None  # of the application's response, once that has begun

    def parts_ms(self) -> dict[str, float]:
        """The milliseconds that each part has taken so far, with the keys "translation", "lifespan", "application",
        "backend" and "response"."""
        ...


Hook: TypeAlias = Callable[[Observation], AbstractAsyncContextManager[Any]]
