"""The adapter: an ASGI application in, a Lambda handler out."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, cast

from mangum.config import DEFAULT_TEXT_MIME_TYPES, AppAndOptions, Config, takes
from mangum.core.deadline import due_of
from mangum.core.hooks import installed
from mangum.core.http import HTTPExchange, plain_response, request_line
from mangum.core.invocation import Exchange, run_invocation, warm_up
from mangum.core.loop import warm_loop
from mangum.core.reply import KeptReply
from mangum.core.root import adopt
from mangum.core.sandbox import Sandbox
from mangum.exceptions import ConfigurationError, LoopError, RequestRefused, UnsupportedEvent
from mangum.handlers import handler_class
from mangum.handlers.base import HTTPHandler
from mangum.handlers.sources import Source, source_of
from mangum.types import (
    ASGI,
    Hook,
    LambdaContext,
    LambdaHandler,
    LifespanMode,
    Scope,
)

if TYPE_CHECKING:
    from mangum.core.observation import ObservedCalls
    from mangum.core.reply import Reply
    from mangum.websocket.connections import Connections
    from mangum.websocket.event import WebSocketEvent
    from mangum.websocket.hub import Hub

__all__ = ["DEFAULT_TEXT_MIME_TYPES", "Mangum"]

logger: logging.Logger = logging.getLogger("mangum")

_CLOSED = "The handler is closed: build a new Mangum(app)."

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class Mangum:
    """A Lambda handler for an ASGI application.

    Args:
        app: Any ASGI 3 application.
        lifespan: "auto" infers whether the application supports the lifespan protocol, and serves requests even if its
            startup raises; "on" makes any failure of startup a `LifespanFailure`; "off" never runs the lifespan.
        lifespan_scope: "invocation" starts up and shuts down around each invocation; "process" starts up once, in the
            first invocation or at `start`, and shuts down on SIGTERM, at `close` and at the interpreter's exit.
        log_level: The level of the logger `mangum`. "info" leaves it to your logging configuration; Lambda's own shows
            warnings and errors.
        api_gateway_base_path: A prefix ("/prefix") that API Gateway or a Function URL leaves in the path, and that is
            stripped from it.
        root_path: Where the application is mounted ("/prefix"), as ASGI has it: `path` begins with it. "auto" takes
            it from the event: the stage of an API, or the mapping of a custom domain.
        text_mime_types: Media types ("application/yaml", "text/") that are text, in addition to
            `DEFAULT_TEXT_MIME_TYPES`.
        exclude_headers: Names of response headers that are never sent.
        custom_handlers: Classes like `mangum.types.LambdaHandler`, asked before the built-in ones.
        event_path: Where events that are not HTTP requests are POSTed, as JSON ("/_aws/events").
        dsn: Where WebSocket connections are stored: "sqlite://", "postgresql://", "redis://", "dynamodb://", "s3://"
            and others, see the documentation. Default: `MANGUM_DSN` from the environment.
        websocket_path: The ASGI path of WebSocket connections; API Gateway has none.
        api_gateway_endpoint_url: The HTTPS URL of the WebSocket API, where messages are posted. Default: taken from the
            CONNECT event, which lacks the mapping of a custom domain.
        api_gateway_region_name: The region of the WebSocket API. Default: its endpoint's, else the function's own.
        hooks: Callables that observe invocations, for telemetry and metrics; see `mangum.types.Hook`.

    Raises:
        ConfigurationError: An argument is wrong.
    """

    @takes(AppAndOptions)
    def __init__(self, app: ASGI, *arguments: Any, **options: Any) -> None:
        if not callable(app):
            raise ConfigurationError(f"`app` must be an ASGI 3 application, a callable, not {app!r}.")
        self.app = app
        config = Config(*arguments, **options)
        self.config: Config = config
        self.lifespan: LifespanMode = config.lifespan
        self.custom_handlers: list[type[LambdaHandler]] = list(config.custom_handlers)
        if config.log_level != "info":
            logger.setLevel(config.log_level.upper())
        self._hooks: tuple[Hook, ...] = (*config.hooks, *installed)
        self._hub: Hub | None = None
        self._websocket_class: type[WebSocketEvent] | None = None  # loaded only for those who need it
        if config.dsn is not None:
            self._hub, self._websocket_class = _hub(config.dsn, config, is_observed=bool(self._hooks))
        lifespan_app = _observed(app) if self._hooks else app
        self._sandbox = Sandbox(lifespan_app, config.lifespan, config.lifespan_scope, self._hub)
        self._finalizer = weakref.finalize(self, self._sandbox.drop)
        self._finalizer.atexit = False  # the sandbox sees to that itself
        warm_loop().prepare(None if config.lifespan == "off" and self._hub is None else warm_up)

    # What Lambda calls

    def __call__(self, event: Any, context: LambdaContext | Any) -> Any:
        """Answer an event on the warm loop. Calls from several threads are served one at a time.

        Returns:
            What the event's source understands as a response; for a non-HTTP event the application's JSON value.

        Raises:
            UnsupportedEvent: no handler serves events of this kind.
            InvalidEvent: a field of the event is missing or of the wrong type.
            EventFailed: the application answered a non-HTTP event with a status of 300 or more.
            BackendError: the store of WebSocket connections does not answer.
            LifespanFailure: the application's startup or shutdown failed.
            LoopError: called inside a running event loop; use `invoke` there. Or in a thread that an invocation waits
                for. Or after `close`.
        """
        reply = KeptReply()
        serve = self._observe if self._hooks else self._serve
        if self._sandbox.is_closed:
            raise LoopError(_CLOSED)
        try:
            warm_loop().run(serve(event, context, reply), "`await handler.invoke(event, context)`", reply, context)
        except asyncio.CancelledError:  # the application has cancelled its own task: a response that is complete stands
            if not reply.is_sent:
                raise
            logger.error("The application was cancelled after its response, which stands.")
        return reply.answer

    async def invoke(self, event: Any, context: LambdaContext | Any, reply: Reply | None = None) -> Any:
        """Answer an event on the running event loop of asyncio: the same as a call, from asynchronous code.

        `reply` is for a runtime: it takes the answer as soon as that is complete, while the application may still be at
        work, or as a stream. Then `None` is returned.
        """
        serve = self._observe if self._hooks else self._serve
        if reply is not None:
            await serve(event, context, reply)
            return None
        kept = KeptReply()
        await serve(event, context, kept)
        return kept.answer

    async def _observe(self, event: Any, context: Any, reply: Reply) -> None:
        from mangum.core.observation import observe

        await observe(self._hooks, event, context, partial(self._serve, event, context, reply))

    async def _serve(self, event: Any, context: Any, reply: Reply) -> None:
        """Find the handler, make the exchange, run the invocation: the reply gets the answer."""
        handler = self.infer(event, context)
        try:
            exchange = self._exchange(handler, context, reply)
        except RequestRefused as refusal:
            logger.warning("%s The answer is a %d.", refusal, refusal.status)
            await _http_exchange(handler, reply).respond(handler, reply, None, plain_response(refusal.status))
        else:
            await run_invocation(exchange, context, self._sandbox.lifespan, reply)

    def _exchange(self, handler: LambdaHandler, context: Any, reply: Reply) -> Exchange:
        """What the invocation runs.

        Raises:
            RequestRefused: the application must not get the request.
        """
        app = _observed(self.app) if self._hooks else self.app
        hub = self._hub
        if hub is not None and isinstance(handler, cast("type[WebSocketEvent]", self._websocket_class)):
            from mangum.websocket.invocation import WebSocketExchange

            return WebSocketExchange(app, handler, hub, reply)
        scope = handler.scope
        body = handler.body
        config = self.config
        if config.event_path is not None and isinstance(handler, HTTPHandler):
            _refuse_event_path(scope, config)
        if body:
            _add_content_length(scope, len(body))
        if hub is not None:
            scope["aws.connections"] = _connections(hub, context)
        return _http_exchange(handler, reply)(app, handler, scope, body, reply)

    def _run(self, main: Coroutine[Any, Any, T], instead: str) -> T:
        if self._sandbox.is_closed:
            main.close()
            raise LoopError(_CLOSED)
        return warm_loop().run(main, instead)

    def infer(self, event: Any, context: LambdaContext | Any) -> LambdaHandler:
        """The handler for an event.

        Raises:
            UnsupportedEvent: none serves it.
            ConfigurationError: it is a WebSocket event, and there is no `dsn`.
        """
        config = self.config
        mapping: Any = config  # it has the keys of LambdaConfig
        for custom_handler in self.custom_handlers:
            if custom_handler.infer(event, context, mapping):
                return custom_handler(event, context, mapping)
        source = source_of(event)
        found = handler_class(source)
        if found is not None:
            return found(event, context, config)
        if source is Source.WEBSOCKET:
            if self._websocket_class is None:
                raise ConfigurationError(
                    "A WebSocket event came, and there is no store for its connection: "
                    'Mangum(app, dsn="...") names one, such as "dynamodb://table" or "redis://host".'
                )
            return cast("LambdaHandler", self._websocket_class(event, context, config))
        if config.event_path is not None and source.is_posted:
            from mangum.handlers.posted_event import PostedEvent

            return PostedEvent(event, context, config)
        raise UnsupportedEvent(_unsupported(source, event))

    # WebSocket connections, from code of your own

    @property
    def connections(self) -> Connections:
        """The WebSocket connections, for a function that `run` runs on the warm loop.

        Raises:
            ConfigurationError: there is no `dsn`.
        """
        if self._hub is None:
            raise ConfigurationError('There is no store of WebSocket connections: Mangum(app, dsn="...") names one.')
        return _connections(self._hub, None)

    def run(self, function: Callable[[*Arguments], Coroutine[Any, Any, T]], *arguments: *Arguments) -> T:
        """Run an asynchronous function on the warm loop, and return what it returns.

        Raises:
            LoopError: called inside a running event loop; await the function there. Or after `close`.
        """
        return self._run(function(*arguments), "`await` the function")

    # Its life

    def start(self) -> None:
        """Make the loop, connect to the store of WebSocket connections, and with `lifespan_scope="process"` start the
        application up: for Lambda's init phase.

        Raises:
            LifespanFailure: startup failed.
            BackendError: the store does not answer.
            ConfigurationError: the store lacks something that could not be created.
            LoopError: called inside a running event loop; use `astart` there. Or after `close`.
        """
        self._run(self._sandbox.start(), "`await handler.astart()`")

    async def astart(self) -> None:
        """`start`, on the running event loop."""
        await self._sandbox.start()

    def close(self) -> None:
        """Shut the application down, and close the store of connections. Does nothing a second time. The event loop,
        which other adapters share, stays open.

        Raises:
            LifespanFailure: the application said that its shutdown failed.
            LoopError: called inside a running event loop; use `aclose` there.
        """
        self._sandbox.close()
        self._finalizer.detach()

    def abandon(self) -> None:
        """Leave the application to itself, with an invocation that cannot be ended: nothing is shut down."""
        self._sandbox.let_go()
        self._finalizer.detach()

    async def disconnect(self) -> None:
        """Close what WebSocket connections need: the store, and the way to API Gateway. The next event that needs them
        opens them again; so does `astart`."""
        if self._hub is not None:
            await self._hub.close()

    async def aclose(self) -> None:
        """Shut the application down where `invoke` or `astart` have started it, on the running event loop."""
        await self._sandbox.aclose()

    def __enter__(self) -> Mangum:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Mangum:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def _observed(app: ASGI) -> ASGI:
    from mangum.core.observation import observed

    return observed(app)


def _hub(dsn: str, config: Config, *, is_observed: bool) -> tuple[Hub, type[WebSocketEvent]]:
    from mangum.backends.store import Store
    from mangum.websocket.event import WebSocketEvent
    from mangum.websocket.hub import Hub
    from mangum.websocket.management.api import ManagementAPI

    observe_calls: type[ObservedCalls] | None = None
    if is_observed:
        from mangum.core.observation import ObservedCalls

        observe_calls = ObservedCalls
    return Hub(
        Store.of(dsn, observe_calls, adopt),
        ManagementAPI(config.api_gateway_region_name, config.api_gateway_endpoint_url),
        observe_calls,
    ), WebSocketEvent


def _connections(hub: Hub, context: Any) -> Connections:
    from mangum.websocket.connections import Connections

    return Connections(hub, due_of(context))


def _http_exchange(handler: LambdaHandler, reply: Reply) -> type[HTTPExchange]:
    if reply.is_streaming and isinstance(handler, HTTPHandler) and handler.streams:
        from mangum.core.streaming import StreamedExchange

        return StreamedExchange
    return HTTPExchange


def _refuse_event_path(scope: Scope, config: Config) -> None:
    from mangum.handlers.posted_event import is_event_path

    if is_event_path(scope, config):
        raise RequestRefused(
            f"{request_line(scope)} came from outside, and its path is that of events, which only AWS may send. "
            'If it is a route of the application, choose another event_path, such as "/_aws/events".',
            404,
        )


def _add_content_length(scope: Scope, length: int) -> None:
    """REST APIs drop the header, and WSGI applications behind a2wsgi and Django's uploads read no body without it."""
    headers = scope.get("headers") or []
    if not any(name == b"content-length" for name, _ in headers):
        scope["headers"] = [*headers, [b"content-length", b"%d" % length]]


def _unsupported(source: Source, event: object) -> str:
    message = f"The adapter was unable to infer a handler for the event, which looks like {source.value}."
    if source is Source.AUTHORIZER:
        return f"{message} It asks for a decision over a request and is none itself: give the authorizer a function."
    if source is Source.UNKNOWN and isinstance(event, dict):
        names = sorted(name if name.isprintable() else ascii(name) for name in map(str, event))
        message += f" Its fields are: {', '.join(names)[:200] or 'none'}."
    elif source is Source.UNKNOWN:
        message += f" It is a {type(event).__name__}, not an object."
    return f'{message} Mangum(app, event_path="/_aws/events") would POST it to the application as JSON.'
