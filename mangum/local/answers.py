"""What a function answered, as the HTTP response that the client of a front door gets."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

__all__ = ["ANSWER_READERS", "HTTPResponse", "MalformedAnswer"]

# Status, header fields, body.
HTTPResponse = tuple[int, list[tuple[str, str]], bytes]

_REST_KEYS = frozenset({"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"})


class MalformedAnswer(Exception):
    """The front door cannot read the answer: its client gets a 502."""


def read_payload_v1(answer: Any) -> HTTPResponse:
    """A REST API: no other keys than its own; multi-value headers first."""
    fields = _object(answer)
    unknown = sorted(set(fields) - _REST_KEYS)
    if unknown:
        raise MalformedAnswer(f"a REST API does not take the keys {', '.join(map(repr, unknown))}")
    multi = _pairs(fields, "multiValueHeaders")
    seen = set(multi)
    pairs = multi + [pair for pair in _pairs(fields, "headers") if pair not in seen]
    return _status(fields.get("statusCode", 200)), pairs, _body(fields)


def read_payload_v2(answer: Any) -> HTTPResponse:
    """An HTTP API or a Function URL: an answer without `statusCode` is the body itself."""
    if not isinstance(answer, dict) or "statusCode" not in answer:
        body = answer if isinstance(answer, str) else json.dumps(answer)
        return 200, [("content-type", "application/json")], body.encode()
    cookies = answer.get("cookies") or []
    if not isinstance(cookies, list) or not all(isinstance(cookie, str) for cookie in cookies):
        raise MalformedAnswer("`cookies` is not a list of strings")
    pairs = _pairs(answer, "headers") + [("set-cookie", cookie) for cookie in cookies]
    return _status(answer["statusCode"]), pairs, _body(answer)


def read_alb(answer: Any) -> HTTPResponse:
    """A load balancer without multi-value headers: names that differ in case are fields of their own."""
    fields = _object(answer)
    return _status(fields.get("statusCode")), _pairs(fields, "headers"), _body(fields)


ANSWER_READERS: dict[str, Callable[[Any], HTTPResponse]] = {
    "http-api": read_payload_v2,
    "rest-api": read_payload_v1,
    "function-url": read_payload_v2,
    "alb": read_alb,
}


def _object(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise MalformedAnswer(f"it is {json.dumps(answer)[:80]}, not an object")
    return answer


def _status(value: Any) -> int:
    try:
        status = int(value)
    except (TypeError, ValueError):
        raise MalformedAnswer(f"`statusCode` is {value!r}") from None
    if not 100 <= status <= 599:
        raise MalformedAnswer(f"`statusCode` is {status}")
    return status


def _pairs(fields: dict[str, Any], key: str) -> list[tuple[str, str]]:
    headers = fields.get(key) or {}
    if not isinstance(headers, dict):
        raise MalformedAnswer(f"`{key}` is not an object")
    pairs = []
    for name, values in headers.items():
        if (key == "multiValueHeaders") is not isinstance(values, list):
            raise MalformedAnswer(f"`{key}.{name}` is {'not a' if key == 'multiValueHeaders' else 'a'} list")
        for value in values if isinstance(values, list) else [values]:
            pairs.append((name.lower(), value if isinstance(value, str) else json.dumps(value)))
    return pairs


def _body(fields: dict[str, Any]) -> bytes:
    body = fields.get("body") or ""
    if not isinstance(body, str):
        raise MalformedAnswer("`body` is not a string")
    if not fields.get("isBase64Encoded"):
        return body.encode()
    try:
        return base64.b64decode(body, validate=True)
    except ValueError:
        raise MalformedAnswer("`body` is not base64, as `isBase64Encoded` says") from None
