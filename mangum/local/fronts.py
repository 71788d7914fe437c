"""The front doors that `mangum dev` stands in for: what each makes of a request and of an answer, what it does not
take, and what its clients get where there is no answer.

Limits: https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html,
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from mangum.exceptions import ConfigurationError
from mangum.local.answers import (
    AnswerReader,
    HTTPResponse,
    read_alb,
    read_alb_multi_value,
    read_payload_v1,
    read_payload_v2,
    refuse_envelope,
    show_envelope,
)
from mangum.local.events import EVENT_BUILDERS
from mangum.local.events.requests import DEFAULT, EventSettings, HTTPRequest

__all__ = ["FrontDoor", "checked", "front_door"]

_APIS = ("http-api", "http-api-v1", "rest-api")
_KB = 1024
_MB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class FrontDoor:
    """One front door, set up. Sizes are in bytes, times in seconds."""

    source: str
    read: AnswerReader
    error: Callable[[int, str], HTTPResponse]  # of the front door's own, from a status and a text
    most_body: int  # of a request
    most_head: int  # of a request: its line and its headers
    most_answer: int | None = None  # as JSON, where it is less than Lambda's own limit
    timeout_s: float | None = None  # how long it waits for the function
    not_found: tuple[int, str] = (404, "Not Found")  # for a path that is none of the API's
    too_large: tuple[int, str] = (413, "Request Entity Too Large")
    failed: tuple[int, str] = (502, "Internal server error")  # the function, or its answer
    refused_methods: frozenset[str] = frozenset()
    read_prelude: AnswerReader | None = None  # where it takes streams
    settings: EventSettings = DEFAULT

    def event(self, request: HTTPRequest, body: bytes) -> dict[str, Any]:
        """The event of a request that is not refused. Its path in the API is without stage and base path."""
        placed = replace(request, path=request.path[len(self.prefix) :] or "/", body=body)
        return EVENT_BUILDERS[self.source](placed, self.settings)

    @property
    def prefix(self) -> str:
        """What is in front of the API's paths: the mapping of a custom domain, or on the default host the stage."""
        return self.settings.base_path or (f"/{self.settings.stage}" if self.settings.stage else "")

    def refusal(self, request: HTTPRequest) -> HTTPResponse | None:
        """The answer to a request that it does not take, whatever its body."""
        if request.method in self.refused_methods:
            return self.error(405, "Method Not Allowed")
        head = (
            len(request.method) + len(request.target) + sum(len(name) + len(value) for name, value in request.headers)
        )
        if head > self.most_head:
            return self.error(431, "Request Header Fields Too Large")
        if request.path != self.prefix and not request.path.startswith(f"{self.prefix}/"):
            return self.error(*self.not_found)
        return None


def front_door(
    source: str, settings: EventSettings, timeout_s: float | None = None, *, streams: bool = False
) -> FrontDoor:
    """A front door by its name. `timeout_s` is for an API whose integration timeout is not AWS's greatest. `streams`
    sets it up for responses that come bit by bit.

    Raises:
        ConfigurationError: it has no such setting.
    """
    door = replace(_FRONT_DOORS[source], settings=checked(source, settings))
    if settings.multi_value_headers:
        door = replace(door, read=read_alb_multi_value)
    if settings.base_path:
        door = replace(door, not_found=(403, "Forbidden"))
    if timeout_s is not None:
        if door.timeout_s is None:
            raise ConfigurationError(f"{source} has no timeout of its own: --integration-timeout is an API's.")
        door = replace(door, timeout_s=timeout_s)
    if streams:
        if source not in _READ_UNSTREAMED:
            raise ConfigurationError(f"{source} takes no streams: --stream is for rest-api and function-url.")
        door = replace(door, read_prelude=door.read, read=_READ_UNSTREAMED[source])
    return door


def checked(source: str, settings: EventSettings) -> EventSettings:
    """The settings, with a base path that begins with a slash and does not end with one.

    Raises:
        ConfigurationError: the source has no such setting.
    """
    if settings.multi_value_headers and source != "alb":
        raise ConfigurationError("--multi-value-headers is an attribute of a load balancer's target group.")
    if (settings.stage or settings.base_path) and source not in _APIS:
        raise ConfigurationError(f"{source} has neither a stage nor a base path: these are an API's.")
    if settings.stage is not None and (not settings.stage or "/" in settings.stage):
        raise ConfigurationError(f'--stage is a name like "prod", not {settings.stage!r}.')
    base_path = settings.base_path.strip("/")
    return replace(settings, base_path=f"/{base_path}" if base_path else "")


def _json(status: int, text: str) -> HTTPResponse:
    return status, [("content-type", "application/json")], json.dumps({"message": text}).encode()


def _text(status: int, text: str) -> HTTPResponse:
    return status, [("content-type", "application/json")], text.encode()


def _page(status: int, text: str) -> HTTPResponse:
    title = f"{status} {text}"
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<h1>{title}</h1>\r\n</body>\r\n</html>\r\n"
    return status, [("content-type", "text/html")], page.encode()


# What those that take streams make of other answers.
_READ_UNSTREAMED: dict[str, AnswerReader] = {"rest-api": refuse_envelope, "function-url": show_envelope}

_FRONT_DOORS = {
    door.source: door
    for door in (
        FrontDoor(
            source="http-api",
            read=read_payload_v2,
            error=_json,
            most_body=10 * _MB,
            most_head=10 * _KB,
            timeout_s=30.0,
            failed=(500, "Internal Server Error"),
        ),
        FrontDoor(
            source="rest-api",
            read=read_payload_v1,
            error=_json,
            most_body=10 * _MB,
            most_head=20 * _KB,
            timeout_s=29.0,
            not_found=(403, "Missing Authentication Token"),
            too_large=(413, "Request Too Long"),
        ),
        FrontDoor(
            source="function-url",
            read=read_payload_v2,
            error=_text,
            most_body=6 * _MB,
            most_head=_MB,
            failed=(502, "Internal Server Error"),
        ),
        FrontDoor(
            source="alb",
            read=read_alb,
            error=_page,
            most_body=_MB,
            most_head=64 * _KB,
            most_answer=_MB,
            failed=(502, "Bad Gateway"),
            refused_methods=frozenset({"TRACE"}),
        ),
    )
}
