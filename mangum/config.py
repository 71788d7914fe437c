"""The adapter's configuration: checked once, when the adapter is built, and never changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args
from urllib.parse import quote

from mangum.exceptions import ConfigurationError
from mangum.media_types import TextTypes, is_media_range
from mangum.types import LambdaHandler, LifespanMode, LifespanScope, LogLevel

__all__ = ["AUTO", "DEFAULT_TEXT_MIME_TYPES", "Config"]

DEFAULT_TEXT_MIME_TYPES: list[str] = [
    "text/",
    "application/json",
    "application/javascript",
    "application/xml",
    "application/vnd.api+json",
    "application/vnd.oai.openapi",
]

AUTO = "auto"


class Config(Mapping[str, Any]):
    """What the adapter's arguments say, in the form that the rest of mangum reads.

    It is also a mapping with the three keys of `mangum.types.LambdaConfig`, which is how custom handlers read it. (No
    dataclass: to import those and to make one takes 2 ms of each cold start.)
    """

    lifespan: LifespanMode
    lifespan_scope: LifespanScope
    log_level: LogLevel
    base_path: str | None  # "/prefix" to strip, without a trailing slash
    root_path: str | None  # "/prefix" where the application is mounted, or AUTO
    text_mime_types: TextTypes
    exclude_headers: frozenset[str]  # lower-case
    custom_handlers: tuple[type[LambdaHandler], ...]
    event_path: str | None
    dsn: str | None  # it may hold a password
    websocket_path: str
    api_gateway_endpoint_url: str | None  # without a trailing slash
    api_gateway_region_name: str | None

    # Derived, so that no request has to:
    raw_base_path: bytes
    has_mount: bool

    def __init__(
        self,
        *,
        lifespan: LifespanMode = "auto",
        lifespan_scope: LifespanScope = "invocation",
        log_level: LogLevel = "info",
        base_path: str | None = None,
        root_path: str | None = None,
        text_mime_types: TextTypes | None = None,
        exclude_headers: frozenset[str] = frozenset(),
        custom_handlers: tuple[type[LambdaHandler], ...] = (),
        event_path: str | None = None,
        dsn: str | None = None,
        websocket_path: str = "/",
        api_gateway_endpoint_url: str | None = None,
        api_gateway_region_name: str | None = None,
    ) -> None:
        vars(self).update(
            lifespan=lifespan,
            lifespan_scope=lifespan_scope,
            log_level=log_level,
            base_path=base_path,
            root_path=root_path,
            text_mime_types=TextTypes(DEFAULT_TEXT_MIME_TYPES) if text_mime_types is None else text_mime_types,
            exclude_headers=exclude_headers,
            custom_handlers=custom_handlers,
            event_path=event_path,
            dsn=dsn,
            websocket_path=websocket_path,
            api_gateway_endpoint_url=api_gateway_endpoint_url,
            api_gateway_region_name=api_gateway_region_name,
            raw_base_path=quote(base_path or "").encode(),
            has_mount=base_path is not None or root_path is not None,
        )

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name} cannot be changed: build a new Mangum(app, ...).")

    def __repr__(self) -> str:
        hidden = ("dsn", "raw_base_path", "has_mount")
        shown = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if name not in hidden)
        return f"Config({shown})"

    @classmethod
    def from_arguments(
        cls,
        *,
        lifespan: Any = "auto",
        lifespan_scope: Any = "invocation",
        log_level: Any = "info",
        api_gateway_base_path: Any = None,
        root_path: Any = None,
        text_mime_types: Any = None,
        exclude_headers: Any = None,
        custom_handlers: Any = None,
        event_path: Any = None,
        dsn: Any = None,
        websocket_path: Any = "/",
        api_gateway_endpoint_url: Any = None,
        api_gateway_region_name: Any = None,
    ) -> Config:
        """Check the arguments of `Mangum(...)`.

        Raises:
            ConfigurationError: an argument is wrong. The message says which, and what is allowed.
        """
        _choice("lifespan", lifespan, LifespanMode)
        _choice("lifespan_scope", lifespan_scope, LifespanScope)
        _choice("log_level", log_level, LogLevel)
        base_path = _prefix("api_gateway_base_path", api_gateway_base_path)
        root = AUTO if root_path == AUTO else _prefix("root_path", root_path)
        if base_path is not None and root is not None:
            raise ConfigurationError(
                "`api_gateway_base_path` strips a prefix from the path and `root_path` keeps it: use one of the two."
            )
        if event_path is not None:
            _path("event_path", event_path, "/events")
        _path("websocket_path", websocket_path, "/ws")
        dsn = dsn if dsn is not None else os.environ.get("MANGUM_DSN") or None
        if dsn is None and (api_gateway_endpoint_url is not None or websocket_path != "/"):
            raise ConfigurationError("WebSocket connections need a store: give its `dsn` too.")
        return cls(
            lifespan=lifespan,
            lifespan_scope=lifespan_scope,
            log_level=log_level,
            base_path=base_path,
            root_path=root,
            text_mime_types=TextTypes([*DEFAULT_TEXT_MIME_TYPES, *_media_ranges("text_mime_types", text_mime_types)]),
            exclude_headers=frozenset(name.lower() for name in _strings("exclude_headers", exclude_headers)),
            custom_handlers=_handlers(custom_handlers),
            event_path=event_path,
            dsn=dsn,
            websocket_path=websocket_path,
            api_gateway_endpoint_url=_url("api_gateway_endpoint_url", api_gateway_endpoint_url),
            api_gateway_region_name=_region("api_gateway_region_name", api_gateway_region_name),
        )

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Config:
        """The configuration that a handler built by hand was given, which may be a dict like `LambdaConfig`."""
        if isinstance(config, Config):
            return config
        return cls(
            base_path=_prefix("api_gateway_base_path", config.get("api_gateway_base_path")),
            text_mime_types=TextTypes(config.get("text_mime_types", DEFAULT_TEXT_MIME_TYPES)),
            exclude_headers=frozenset(config.get("exclude_headers", ())),
        )

    def __getitem__(self, key: str) -> Any:
        match key:
            case "api_gateway_base_path":
                return self.base_path or "/"
            case "text_mime_types":
                return self.text_mime_types
            case "exclude_headers":
                return sorted(self.exclude_headers)
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(("api_gateway_base_path", "text_mime_types", "exclude_headers"))

    def __len__(self) -> int:
        return 3


def _choice(name: str, value: object, choices: Any) -> None:
    allowed = get_args(choices)
    if value not in allowed:
        error = ConfigurationError(f"Invalid argument supplied for `{name}`. Choices are: {'|'.join(allowed)}")
        error.add_note(f"It was {value!r}.")
        raise error


def _prefix(name: str, value: object) -> str | None:
    """A path prefix as "/prefix", or `None` where there is none: for `None`, an empty string and "/"."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise ConfigurationError(f'`{name}` must be a path prefix like "/api", not {value!r}.')
    prefix = value.strip("/")
    return f"/{prefix}" if prefix else None


def _path(name: str, value: object, example: str) -> None:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ConfigurationError(f'`{name}` must be a path like "{example}", not {value!r}.')


def _url(name: str, value: object) -> str | None:
    """An http or https URL without the trailing slash; wss and ws, which is what clients connect to, count as these."""
    if value is None:
        return None
    scheme, _, rest = value.partition("://") if isinstance(value, str) else ("", "", "")
    scheme = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    if scheme not in ("http", "https") or not rest.strip("/"):
        raise ConfigurationError(
            f'`{name}` must be a URL like "https://abc123.execute-api.eu-west-1.amazonaws.com/prod", not {value!r}.'
        )
    return f"{scheme}://{rest.rstrip('/')}"


def _region(name: str, value: object) -> str | None:
    """The region; where it is not given, the one that Lambda tells its functions."""
    if value is None:
        return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f'`{name}` must be the name of a region like "eu-west-1", not {value!r}.')
    return value


def _strings(name: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        strings = tuple(value)
        if all(isinstance(item, str) for item in strings):
            return strings
    raise ConfigurationError(f"`{name}` must be a list of strings, not {value!r}.")


def _media_ranges(name: str, value: object) -> tuple[str, ...]:
    ranges = _strings(name, value)
    for item in ranges:
        if not is_media_range(item):
            raise ConfigurationError(
                f'`{name}` has {item!r}: each entry must be a media type like "application/yaml", '
                'or all of a type like "text/".'
            )
    return ranges


def _handlers(value: object) -> tuple[type[LambdaHandler], ...]:
    if value is None:
        return ()
    if not isinstance(value, Iterable) or isinstance(value, str | bytes):
        raise ConfigurationError(f"`custom_handlers` must be a list of classes, not {value!r}.")
    handlers = tuple(value)
    for item in handlers:
        if not callable(item) or not callable(getattr(item, "infer", None)):
            raise ConfigurationError(
                f"`custom_handlers` has {item!r}: each entry must be a class with a classmethod "
                "`infer(event, context, config)`; see `mangum.types.LambdaHandler`."
            )
    return handlers
