"""The options of `Mangum(app, ...)`: each is declared once, and checked when the adapter is built."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from inspect import signature
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeAlias, get_args
from urllib.parse import quote

from mangum.exceptions import ConfigurationError
from mangum.media_types import TextTypes, is_media_range
from mangum.types import ASGI, Hook, LambdaHandler, LifespanMode, LifespanScope, LogLevel

__all__ = ["AUTO", "DEFAULT_TEXT_MIME_TYPES", "AppAndOptions", "Check", "Config", "Options", "shown_url", "takes"]

DEFAULT_TEXT_MIME_TYPES: list[str] = [
    "text/",
    "application/json",
    "application/javascript",
    "application/xml",
    "application/vnd.api+json",
    "application/vnd.oai.openapi",
]

AUTO = "auto"

# The checks. Each gets an option's name and value, and returns the value to keep.

Check: TypeAlias = Callable[[str, Any], object]


def _checked(check: Check) -> dict[str, Check]:
    """The metadata of an option's field."""
    return {"check": check}


def _optional(check: Check) -> Check:
    return lambda name, value: None if value is None else check(name, value)


def _one_of(choices: Any) -> Check:
    allowed = get_args(choices)

    def check(name: str, value: object) -> object:
        if value in allowed:
            return value
        error = ConfigurationError(f"Invalid argument supplied for `{name}`. Choices are: {'|'.join(allowed)}")
        error.add_note(f"It was {value!r}.")
        raise error

    return check


def _path(example: str) -> Callable[[str, object], str]:
    def check(name: str, value: object) -> str:
        if isinstance(value, str) and value.startswith("/"):
            return value
        raise ConfigurationError(f'`{name}` must be a path like "{example}", not {value!r}.')

    return check


def _event_path(name: str, value: object) -> str:
    path = _path("/_aws/events")(name, value)
    if not path.strip("/"):
        raise ConfigurationError(
            f'`{name}` must be a path of its own like "/_aws/events": "/" is a route of most applications.'
        )
    return path


def _prefix(name: str, value: object) -> str | None:
    """A path prefix as "/prefix". `None`, an empty string and "/" all mean no prefix, which is `None`."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise ConfigurationError(f'`{name}` must be a path prefix like "/api", not {value!r}.')
    prefix = value.strip("/")
    return f"/{prefix}" if prefix else None


def _prefix_or_auto(name: str, value: object) -> str | None:
    return AUTO if value == AUTO else _prefix(name, value)


def _url(name: str, value: object) -> str:
    """An http or https URL without a trailing slash. Clients connect to ws and wss, which become http and https."""
    scheme, _, rest = value.partition("://") if isinstance(value, str) else ("", "", "")
    scheme = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    if scheme not in ("http", "https") or not rest.strip("/"):
        shown = repr(shown_url(value)) if isinstance(value, str) else f"a {type(value).__name__}"
        raise ConfigurationError(
            f'`{name}` must be a URL like "https://abc123.execute-api.eu-west-1.amazonaws.com/prod", not {shown}.'
        )
    return f"{scheme}://{rest.rstrip('/')}"


def shown_url(url: str) -> str:
    """What an error may show of a URL, valid or not: no userinfo, query or fragment, and no port that is not a number
    (`https://user:password` lacks its @)."""
    scheme, separator, rest = url.partition("://")
    if not scheme.isalnum():
        scheme, separator, rest = "", "", url
    rest = f"***@{rest.rpartition('@')[2]}" if "@" in rest else rest
    for mark in "?#":
        before, found, _ = rest.partition(mark)
        rest = f"{before}{mark}***" if found else rest
    authority, slash, path = rest.partition("/")
    address, bracket, host = authority.rpartition("]") if "[" in authority else ("", "", authority)
    host, colon, port = host.partition(":")
    port = port if port.isdecimal() else "***"
    return f"{scheme}{separator}{address}{bracket}{host}{colon}{port if colon else ''}{slash}{path}"


def _dsn(name: str, value: object) -> object:
    """The DSN, by default `MANGUM_DSN` from the environment. The store that it names checks it."""
    return value if value is not None else os.environ.get("MANGUM_DSN") or None


def _region(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f'`{name}` must be the name of a region like "eu-west-1", not {value!r}.')
    return value


def _items(name: str, value: object, kind: str) -> tuple[Any, ...]:
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return tuple(value)
    raise ConfigurationError(f"`{name}` must be a list of {kind}, not {value!r}.")


def _strings(name: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    strings = _items(name, value, "strings")
    if all(isinstance(item, str) for item in strings):
        return strings
    raise ConfigurationError(f"`{name}` must be a list of strings, not {value!r}.")


def _header_names(name: str, value: object) -> frozenset[str]:
    """Header names in lower case."""
    return frozenset(header.lower() for header in _strings(name, value))


def _text_types(name: str, value: object) -> TextTypes:
    """The default text types and the given ones; of `TextTypes`, which are complete, a copy."""
    if isinstance(value, TextTypes):
        return TextTypes(value)
    text_types = _strings(name, value)
    for item in text_types:
        if not is_media_range(item):
            raise ConfigurationError(
                f'`{name}` has {item!r}: each entry must be a media type like "application/yaml", '
                'or all of a type like "text/".'
            )
    return TextTypes([*DEFAULT_TEXT_MIME_TYPES, *text_types])


def _handlers(name: str, value: object) -> tuple[type[LambdaHandler], ...]:
    if value is None:
        return ()
    handlers = _items(name, value, "classes")
    for item in handlers:
        if not callable(item) or not callable(getattr(item, "infer", None)):
            raise ConfigurationError(
                f"`{name}` has {item!r}: each entry must be a class with a classmethod "
                "`infer(event, context, config)`; see `mangum.types.LambdaHandler`."
            )
    return handlers


def _hooks(name: str, value: object) -> tuple[Hook, ...]:
    hooks = _items(name, value, "callables")
    for item in hooks:
        if not callable(item):
            raise ConfigurationError(f"`{name}` has {item!r}: each entry must be callable.")
    return hooks


@dataclass(frozen=True, eq=False, repr=False)  # each method that a dataclass generates costs time in a cold start
class Options:
    """The options of `Mangum(app, ...)`: each with its type as users give it, its default and its check.

    The docstring of `Mangum` says what they mean.
    """

    lifespan: LifespanMode = field(default="auto", metadata=_checked(_one_of(LifespanMode)))
    _: KW_ONLY
    lifespan_scope: LifespanScope = field(default="invocation", metadata=_checked(_one_of(LifespanScope)))
    log_level: LogLevel = field(default="info", metadata=_checked(_one_of(LogLevel)))
    api_gateway_base_path: str | None = field(default=None, metadata=_checked(_prefix))
    root_path: str | None = field(default=None, metadata=_checked(_prefix_or_auto))
    text_mime_types: Iterable[str] | None = field(default=None, metadata=_checked(_text_types))
    exclude_headers: Iterable[str] | None = field(default=None, metadata=_checked(_header_names))
    custom_handlers: Iterable[type[LambdaHandler]] | None = field(default=None, metadata=_checked(_handlers))
    event_path: str | None = field(default=None, metadata=_checked(_optional(_event_path)))
    dsn: str | None = field(default=None, repr=False, metadata=_checked(_dsn))  # it can contain a password
    websocket_path: str = field(default="/", metadata=_checked(_path("/ws")))
    api_gateway_endpoint_url: str | None = field(default=None, metadata=_checked(_optional(_url)))
    api_gateway_region_name: str | None = field(default=None, metadata=_checked(_optional(_region)))
    hooks: Iterable[Hook] = field(default=(), metadata=_checked(_hooks))

    def __post_init__(self) -> None:
        values = vars(self)  # the way around the frozen `__setattr__`
        for option in fields(self):
            values[option.name] = option.metadata["check"](option.name, values[option.name])


Options.__init__.__qualname__ = "Mangum.__init__"  # a TypeError about an argument names what the user called


class Config(Options, Mapping[str, Any]):
    """The options after their checks, in the form that the rest of mangum reads.

    It is also a mapping with the three keys of `mangum.types.LambdaConfig`, for custom handlers.

    Raises:
        ConfigurationError: an option is wrong. The message says which, and what is allowed.
    """

    if TYPE_CHECKING:  # narrower after the checks
        text_mime_types: TextTypes
        exclude_headers: frozenset[str]
        custom_handlers: tuple[type[LambdaHandler], ...]
        hooks: tuple[Hook, ...]

    # Derived here, so that no request has to:
    raw_base_path: bytes
    has_mount: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        base_path = self.api_gateway_base_path
        if base_path is not None and self.root_path is not None:
            raise ConfigurationError(
                "`api_gateway_base_path` strips a prefix from the path and `root_path` keeps it: use one of the two."
            )
        if self.dsn is None and (self.api_gateway_endpoint_url is not None or self.websocket_path != "/"):
            raise ConfigurationError("WebSocket connections need a store: give its `dsn` too.")
        vars(self).update(
            raw_base_path=quote(base_path or "").encode(),
            has_mount=base_path is not None or self.root_path is not None,
        )

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name} cannot be changed: build a new Mangum(app, ...).")

    def __repr__(self) -> str:
        shown = ", ".join(f"{option.name}={getattr(self, option.name)!r}" for option in fields(self) if option.repr)
        return f"Config({shown})"

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Config:
        """The configuration for a handler that was built by hand, perhaps with a dict like `LambdaConfig`."""
        if isinstance(config, Config):
            return config
        return cls(
            api_gateway_base_path=config.get("api_gateway_base_path"),
            text_mime_types=TextTypes(config.get("text_mime_types", DEFAULT_TEXT_MIME_TYPES)),
            exclude_headers=config.get("exclude_headers"),
        )

    def __getitem__(self, key: str) -> Any:
        match key:
            case "api_gateway_base_path":
                return self.api_gateway_base_path or "/"
            case "text_mime_types":
                return self.text_mime_types
            case "exclude_headers":
                return sorted(self.exclude_headers)
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(("api_gateway_base_path", "text_mime_types", "exclude_headers"))

    def __len__(self) -> int:
        return 3


# The parameters of `Mangum.__init__`. `Concatenate[ASGI, P]` would forbid `Mangum(app=app)`, so `app` is a field too.
# The fields of a dataclass's last base come first, so `app` comes before the options.
if TYPE_CHECKING:

    @dataclass(frozen=True)
    class _Application:
        app: ASGI

    @dataclass(frozen=True)
    class AppAndOptions(Options, _Application): ...

else:
    AppAndOptions = Options

P = ParamSpec("P")


def takes(arguments: Callable[P, object]) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, P], None]]:
    """Declare the parameters of a class as those of an `__init__(self, app, *arguments, **options)`, to type checkers
    and to `inspect`."""

    def decorate(init: Callable[..., None]) -> Callable[Concatenate[Any, P], None]:
        own = signature(init)
        this, app, *_ = own.parameters.values()
        parameters = [this, app, *signature(arguments).parameters.values()]
        init.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        return init

    return decorate
