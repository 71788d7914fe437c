"""The adapter's arguments: what they become, and what is said about wrong ones."""

from __future__ import annotations

import inspect
import logging
import re
import traceback
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import fields
from typing import Any, assert_type

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mangum
from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES
from mangum.config import Config, Options, shown_url
from mangum.exceptions import ConfigurationError, MangumError
from mangum.handlers import ALB, APIGateway, HTTPGateway, LambdaAtEdge
from mangum.local.events.requests import HTTPRequest
from mangum.media_types import TextTypes
from mangum.types import LambdaConfig, LambdaContext, LambdaEvent, LifespanMode, Response, Scope
from tests.apps import Recorder, hello
from tests.sources import BY_NAME


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lifespan": "maybe"}, "Invalid argument supplied for `lifespan`. Choices are: auto|on|off"),
        (
            {"lifespan_scope": "sandbox"},
            "Invalid argument supplied for `lifespan_scope`. Choices are: invocation|process",
        ),
        (
            {"log_level": "loud"},
            "Invalid argument supplied for `log_level`. Choices are: critical|error|warning|info|debug",
        ),
        ({"api_gateway_base_path": 5}, '`api_gateway_base_path` must be a path prefix like "/api", not 5.'),
        ({"root_path": b"/x"}, "`root_path` must be a path prefix like \"/api\", not b'/x'."),
        (
            {"root_path": "auto", "api_gateway_base_path": "/x"},
            "`api_gateway_base_path` strips a prefix from the path and `root_path` keeps it: use one of the two.",
        ),
        ({"event_path": "events"}, "`event_path` must be a path like \"/_aws/events\", not 'events'."),
        (
            {"event_path": "//"},
            '`event_path` must be a path of its own like "/_aws/events": "/" is a route of most applications.',
        ),
        ({"event_path": 5}, '`event_path` must be a path like "/_aws/events", not 5.'),
        ({"text_mime_types": "text/x"}, "`text_mime_types` must be a list of strings, not 'text/x'."),
        (
            {"text_mime_types": ["yaml"]},
            (
                "`text_mime_types` has 'yaml': each entry must be a media type like \"application/yaml\", "
                'or all of a type like "text/".'
            ),
        ),
        ({"exclude_headers": [5]}, "`exclude_headers` must be a list of strings, not [5]."),
        ({"custom_handlers": ALB}, f"`custom_handlers` must be a list of classes, not {ALB!r}."),
        (
            {"custom_handlers": [str]},
            (
                "`custom_handlers` has <class 'str'>: each entry must be a class with a classmethod "
                "`infer(event, context, config)`; see `mangum.types.LambdaHandler`."
            ),
        ),
        ({"hooks": print}, f"`hooks` must be a list of callables, not {print!r}."),
        ({"hooks": "print"}, "`hooks` must be a list of callables, not 'print'."),
        ({"hooks": [print, 5]}, "`hooks` has 5: each entry must be callable."),
        ({"websocket_path": None}, '`websocket_path` must be a path like "/ws", not None.'),
        ({"websocket_path": "/ws"}, "WebSocket connections need a store: give its `dsn` too."),
    ],
)
def test_a_wrong_argument_says_what_is_allowed(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Mangum(hello, **arguments)
    assert str(caught.value) == message
    assert isinstance(caught.value, MangumError)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ftp://u:p4ss@h/x", "'ftp://***@h/x'"),
        ("https://u:p4ss@h:8443/x", "'https://***@h:8443/x'"),
        ("https://p4ss@[::1]:8443/x", "'https://***@[::1]:8443/x'"),
        ("https://h/x?y=p4ss", "'https://h/x?***'"),
        ("https://h/x?y=p4@ss", "'https://***@ss'"),
        ("https://h/x#p4ss", "'https://h/x#***'"),
        ("https://h?p4ss", "'https://h?***'"),
        ("https://u:p4ss", "'https://u:***'"),
        ("https://u:p4?ss@h", "'https://***@h'"),
        ("https://u:p4/ss@h", "'https://***@h'"),
        ("https://u:p4ss@", "'https://***@'"),
        ("https:/u:p4ss@h/x", "'***@h/x'"),
        ("u:p4ss@h://x", "'***@h:***//x'"),
        ("u:p4ss", "'u:***'"),
        ("", "''"),
        (b"https://u:p4ss@h", "a bytes"),
    ],
)
def test_an_error_about_a_url_shows_no_secret(url: Any, shown: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Mangum(hello, dsn="sqlite://:memory:", api_gateway_endpoint_url=url)
    assert f"{shown}" in str(caught.value)
    told = "".join(traceback.format_exception(caught.value))
    assert "p4ss" not in told


@given(st.text(), st.text(st.characters(categories=["L", "N"]), min_size=1))
def test_no_form_of_a_url_shows_userinfo_or_query(text: str, scheme: str) -> None:
    for url in (f"{text}s3cr3t@h", f"{scheme}://{text}:s3cr3t@h/{text}", f"{text}?s3cr3t", f"{scheme}://h/#s3cr3t"):
        assert "s3cr3t" not in shown_url(url)


def test_a_wrong_choice_is_noted() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Mangum(hello, "maybe")  # type: ignore[arg-type]
    assert caught.value.__notes__ == ["It was 'maybe'."]


def test_the_application_must_be_callable() -> None:
    with pytest.raises(ConfigurationError, match="`app` must be an ASGI 3 application, a callable, not 'app'"):
        Mangum("app")  # type: ignore[arg-type]


def test_only_app_and_lifespan_are_positional() -> None:
    assert Mangum(hello, "off").lifespan == "off"
    with pytest.raises(TypeError):
        Mangum(hello, "off", "/api")  # type: ignore[call-arg,arg-type]


def test_an_unknown_argument_is_a_type_error_of_mangum() -> None:
    with pytest.raises(TypeError, match=r"^Mangum\.__init__\(\) got an unexpected keyword argument 'base_path'"):
        Mangum(hello, base_path="/api")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^Mangum\.__init__\(\) missing 1 required positional argument: 'app'"):
        Mangum()  # type: ignore[call-arg]


def test_the_signature_shows_the_application_and_every_option() -> None:
    parameters = inspect.signature(Mangum).parameters
    assert list(parameters) == ["app", *(option.name for option in fields(Options))]
    assert [name for name, parameter in parameters.items() if parameter.kind is parameter.KEYWORD_ONLY] == [
        option.name for option in fields(Options)[1:]
    ]
    assert parameters["app"].default is inspect.Parameter.empty
    assert all(parameters[option.name].default == option.default for option in fields(Options))
    assert parameters["exclude_headers"].annotation == "Iterable[str] | None"


def test_the_docstring_has_every_argument_in_order() -> None:
    documented = re.findall(r"^ {4}(\w+): ", inspect.getdoc(Mangum) or "", re.MULTILINE)
    assert documented == [*inspect.signature(Mangum).parameters, "ConfigurationError"]


def test_type_checkers_see_every_argument() -> None:
    mangum = assert_type(Mangum(app=hello, lifespan="off", hooks=[nullcontext]), Mangum)
    assert_type(mangum.lifespan, LifespanMode)
    assert_type(mangum.config.text_mime_types, TextTypes)
    assert_type(mangum.config.exclude_headers, frozenset[str])
    with pytest.raises(ConfigurationError):
        Mangum(hello, root_path=5)  # type: ignore[arg-type]


def test_a_subclass_can_pass_options_on() -> None:
    class Posting(Mangum):
        def __init__(self, app: Any, **options: Any) -> None:
            super().__init__(app, **{"event_path": "/events", **options})

    handler = Posting(hello, lifespan="off", hooks=iter([nullcontext]))
    assert (handler.lifespan, handler.config.event_path, handler.config.hooks) == ("off", "/events", (nullcontext,))
    assert list(inspect.signature(Posting).parameters) == ["app", "options"]


def test_what_mangum_0_22_read_of_the_configuration() -> None:
    handler = Mangum(hello)
    assert handler.app is hello
    assert handler.lifespan == "auto"
    assert handler.custom_handlers == []
    assert handler.config["api_gateway_base_path"] == "/"
    assert handler.config["text_mime_types"] == DEFAULT_TEXT_MIME_TYPES
    assert handler.config["exclude_headers"] == []
    assert dict(handler.config) == {
        "api_gateway_base_path": "/",
        "text_mime_types": DEFAULT_TEXT_MIME_TYPES,
        "exclude_headers": [],
    }
    assert len(handler.config) == 3
    with pytest.raises(KeyError):
        handler.config["dsn"]


def test_arguments_are_normalised_and_text_types_added() -> None:
    handler = Mangum(
        hello,
        api_gateway_base_path="api/",
        text_mime_types=["application/yaml", "model/*", "text/x; charset=utf-8"],
        exclude_headers=("X-B", "x-A"),
    )
    assert handler.config["api_gateway_base_path"] == "/api"
    assert handler.config["exclude_headers"] == ["x-a", "x-b"]
    assert handler.config["text_mime_types"] == [
        *DEFAULT_TEXT_MIME_TYPES,
        "application/yaml",
        "model/*",
        "text/x; charset=utf-8",
    ]


def test_text_types_can_be_appended_as_with_mangum_0_22() -> None:
    event = BY_NAME["rest-api"].event(HTTPRequest(method="GET", path="/"))
    app = Recorder(headers=[[b"content-type", b"application/x-yaml"]], body=b"a: 1")
    with Mangum(app) as handler:
        assert handler(event, None)["isBase64Encoded"] is True
        handler.config["text_mime_types"].append("application/x-yaml")
        assert handler(event, None)["isBase64Encoded"] is False
    assert "application/x-yaml" not in DEFAULT_TEXT_MIME_TYPES


@pytest.fixture
def mangum_logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("mangum")
    yield logger
    logger.setLevel(logging.NOTSET)


def test_log_level(mangum_logger: logging.Logger) -> None:
    Mangum(hello)
    assert mangum_logger.level == logging.NOTSET
    Mangum(hello, log_level="error")
    assert mangum_logger.level == logging.ERROR
    assert logging.getLogger("mangum.http").getEffectiveLevel() == logging.ERROR


class Custom:
    """As mangum 0.22 documents a custom handler."""

    @classmethod
    def infer(cls, event: LambdaEvent, context: LambdaContext, config: LambdaConfig) -> bool:
        return "my-custom-key" in event

    def __init__(self, event: LambdaEvent, context: LambdaContext, config: LambdaConfig) -> None:
        self.event = event
        self.config = config

    @property
    def body(self) -> bytes:
        return b"My request body"

    @property
    def scope(self) -> Scope:
        return {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "headers": [],
            "path": "/",
            "raw_path": None,
            "root_path": "",
            "scheme": "https",
            "query_string": b"",
            "server": ("mangum", 8080),
            "client": ("127.0.0.1", 0),
            "asgi": {"version": "3.0"},
        }

    def __call__(self, response: Response) -> dict[str, Any]:
        return {"custom": response["status"], "types": self.config["text_mime_types"]}


@pytest.mark.parametrize("lifespan", ["auto", "off"])
def test_a_custom_handler_comes_first(lifespan: Any) -> None:
    request = BY_NAME["rest-api"].event(HTTPRequest(method="GET", path="/"))
    app = Recorder()
    with Mangum(app, lifespan, custom_handlers=[Custom], event_path="/_aws/events") as handler:
        assert handler({**request, "my-custom-key": 1}, None) == {"custom": 200, "types": DEFAULT_TEXT_MIME_TYPES}
        assert app.body == b"My request body"
        assert handler.infer(request, None).__class__ is APIGateway


@pytest.mark.parametrize(
    ("base", "name"),
    [
        (APIGateway, "rest-api"),
        (HTTPGateway, "http-api-1.0"),
        (HTTPGateway, "http-api-2.0"),
        (ALB, "alb"),
        (LambdaAtEdge, "lambda-at-edge"),
    ],
)
def test_a_handler_of_ones_own_can_extend_a_built_in_one(base: Any, name: str) -> None:
    class Prefixed(base):  # type: ignore[misc] # whichever it is
        @property
        def scope(self) -> Scope:
            return {**super().scope, "path": "/prefixed"}

        def __call__(self, response: Response) -> dict[str, Any]:
            return {**super().__call__(response), "extended": type(self).__name__}

    app = Recorder()
    event = BY_NAME[name].event(HTTPRequest(method="GET", path="/x"))
    with Mangum(app, custom_handlers=[Prefixed]) as handler:
        assert handler(event, None)["extended"] == "Prefixed"
        assert isinstance(handler.infer(event, None), Prefixed)
    assert app.scope["path"] == "/prefixed"


def test_a_custom_handler_without_a_body() -> None:
    class Empty(Custom):
        @property
        def body(self) -> Any:
            return None

    app = Recorder()
    with Mangum(app, custom_handlers=iter([Empty])) as handler:
        assert handler({"my-custom-key": 1}, None)["custom"] == 200
    assert app.body == b""


def test_places_of_mangum_0_22() -> None:
    from mangum.handlers.alb import ALB as alb_place
    from mangum.handlers.api_gateway import APIGateway as rest_place
    from mangum.handlers.api_gateway import HTTPGateway as http_place
    from mangum.handlers.lambda_at_edge import LambdaAtEdge as edge_place

    assert (alb_place, rest_place, http_place, edge_place) == (ALB, APIGateway, HTTPGateway, LambdaAtEdge)
    assert not hasattr(mangum.handlers, "SomethingElse")
    for name in ("ASGI", "Scope", "Receive", "Send", "Message", "LambdaEvent", "LambdaContext", "LambdaConfig"):
        assert hasattr(mangum.types, name)
    for name in ("LambdaHandler", "Response", "LifespanMode", "QueryParams", "Headers"):
        assert hasattr(mangum.types, name)
    for name in ("ConfigurationError", "LifespanFailure", "LifespanUnsupported", "UnexpectedMessage"):
        assert issubclass(getattr(mangum.exceptions, name), Exception)


def test_a_configuration_made_by_hand() -> None:
    assert Config.of({})["text_mime_types"] == DEFAULT_TEXT_MIME_TYPES
    config = Config()
    assert Config.of(config) is config


def test_a_configuration_made_of_a_dict_keeps_its_text_types() -> None:
    text_types = ["application/json"]
    given = {"api_gateway_base_path": "/api/", "text_mime_types": text_types, "exclude_headers": ["X-A"]}
    config = Config.of(given)
    assert dict(config) == {
        "api_gateway_base_path": "/api",
        "text_mime_types": ["application/json"],
        "exclude_headers": ["x-a"],
    }
    assert (config.raw_base_path, config.has_mount) == (b"/api", True)
    config.text_mime_types.append("application/yaml")
    assert text_types == ["application/json"]


def test_the_dsn_comes_from_the_environment_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANGUM_DSN", "memory://environment")
    assert Config().dsn == "memory://environment"
    assert Config(dsn="memory://argument").dsn == "memory://argument"
    monkeypatch.setenv("MANGUM_DSN", "")
    assert Config().dsn is None


def test_what_it_says_stays_and_has_no_secrets() -> None:
    with Mangum(hello, dsn="redis://user:secret@host", root_path="/api") as handler:
        with pytest.raises(AttributeError, match=r"^root_path cannot be changed: build a new Mangum\(app, \.\.\.\)\.$"):
            handler.config.root_path = "/other"  # type: ignore[misc]
        assert repr(handler.config).startswith("Config(lifespan='auto', lifespan_scope='invocation', ")
        assert "root_path='/api'" in repr(handler.config)
        assert "secret" not in repr(handler.config)
