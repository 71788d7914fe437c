"""What a function answered, as the HTTP response that the client of a front door gets."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any, TypeAlias

from mangum.local.events.requests import HOP_BY_HOP

__all__ = [
    "AnswerReader",
    "HTTPHead",
    "HTTPResponse",
    "MalformedAnswer",
    "read_alb",
    "read_alb_multi_value",
    "read_payload_v1",
    "read_payload_v2",
    "read_prelude",
    "read_websocket",
    "refuse_envelope",
    "show_envelope",
]

# Status, header fields, body.
HTTPResponse: TypeAlias = tuple[int, list[tuple[str, str]], bytes]
AnswerReader: TypeAlias = Callable[[Any], HTTPResponse]
# What is known of a response whose body comes bit by bit.
HTTPHead: TypeAlias = tuple[int, list[tuple[str, str]]]

_REST_KEYS = frozenset({"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"})
_MOST_ALB_HEADER_BYTES = 32 * 1024

# What a REST API renames, and what it leaves out:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html
_REMAPPED = frozenset(
    {"authorization", "connection", "content-md5", "date", "max-forwards", "server", "user-agent", "www-authenticate"}
)
_DROPPED = frozenset({"expect", "host", "proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade", "via"})

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN = re.compile(r"[\0\r\n]")


class MalformedAnswer(Exception):
    """The front door cannot read the answer: its client gets an error."""


def read_payload_v1(answer: Any) -> HTTPResponse:
    """A REST API: no other keys than its own; multi-value headers first."""
    fields = _object(answer)
    unknown = sorted(set(fields) - _REST_KEYS)
    if unknown:
        raise MalformedAnswer(f"a REST API does not take the keys {', '.join(map(repr, unknown))}")
    multi = _pairs(fields, "multiValueHeaders")
    seen = set(multi)
    pairs = multi + [pair for pair in _pairs(fields, "headers") if pair not in seen]
    pairs = [
        (f"x-amzn-remapped-{name}" if name in _REMAPPED else name, value)
        for name, value in pairs
        if name not in _DROPPED
    ]
    if not any(name == "content-type" for name, _ in pairs):
        pairs.append(("content-type", "application/json"))
    return _status(fields.get("statusCode", 200)), pairs, _body(fields)


def read_payload_v2(answer: Any) -> HTTPResponse:
    """An HTTP API or a Function URL: an answer without `statusCode` is the body itself."""
    if not isinstance(answer, dict) or "statusCode" not in answer:
        body = answer if isinstance(answer, str) else json.dumps(answer)
        return 200, [("content-type", "application/json")], body.encode()
    cookies = answer.get("cookies") or []
    if not isinstance(cookies, list) or not all(isinstance(cookie, str) for cookie in cookies):
        raise MalformedAnswer("`cookies` is not a list of strings")
    pairs = _pairs(answer, "headers") + [_checked("cookies", "set-cookie", cookie) for cookie in cookies]
    return _status(answer["statusCode"]), _without_hop_by_hop(pairs), _body(answer)


def read_prelude(prelude: Any, read: AnswerReader) -> HTTPHead:
    """Of a stream, whose front door reads other answers with `read`: for these two, cookies are apart."""
    fields = dict(_object(prelude))
    cookies = fields.pop("cookies", None) or []
    status, pairs, _ = read({"statusCode": 200, **fields, "body": ""})
    return status, pairs + [_checked("cookies", "set-cookie", cookie) for cookie in cookies]


def refuse_envelope(answer: Any) -> HTTPResponse:
    """A REST API with `responseTransferMode: STREAM`, and an answer that is none:
    https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html"""
    raise MalformedAnswer("it is not streamed, and the API's integration has the response transfer mode STREAM")


def show_envelope(answer: Any) -> HTTPResponse:
    """A Function URL with `RESPONSE_STREAM`, and an answer that is none: the client gets it as it is."""
    return 200, [("content-type", "application/json")], json.dumps(answer).encode()


def read_alb(answer: Any) -> HTTPResponse:
    """A load balancer without multi-value headers: names that differ in case are fields of their own."""
    return _read_alb(answer, "headers")


def read_alb_multi_value(answer: Any) -> HTTPResponse:
    """A load balancer with multi-value headers. It does not look at `headers`."""
    return _read_alb(answer, "multiValueHeaders")


def read_websocket(answer: Any) -> HTTPResponse:
    """A WebSocket API. Of the header fields, only Sec-WebSocket-Protocol is looked at by anything."""
    fields = _object(answer)
    return _status(fields.get("statusCode")), _pairs(fields, "headers"), _body(fields)


def _read_alb(answer: Any, key: str) -> HTTPResponse:
    fields = _object(answer)
    pairs = _without_hop_by_hop(_pairs(fields, key))
    if sum(len(name) + len(value) for name, value in pairs) > _MOST_ALB_HEADER_BYTES:
        raise MalformedAnswer("its headers have more than 32 K")
    status = fields.get("statusCode")
    if not isinstance(status, int):
        raise MalformedAnswer(f"`statusCode` is {status!r}, and a load balancer wants a number")
    return _status(status), pairs, _body(fields)


def _object(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise MalformedAnswer(f"it is {json.dumps(answer)[:80]}, not an object")
    return answer


def _status(value: Any) -> int:
    try:
        status = int(value)
    except (TypeError, ValueError):
        raise MalformedAnswer(f"`statusCode` is {value!r}") from None
    if not 200 <= status <= 599:
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
            pairs.append(_checked(f"{key}.{name}", name, value if isinstance(value, str) else json.dumps(value)))
    return pairs


def _checked(path: str, name: str, value: str) -> tuple[str, str]:
    """A header field that may stand in a response."""
    if not _NAME.fullmatch(name):
        raise MalformedAnswer(f"`{path}` is no name of a header")
    if _FORBIDDEN.search(value):
        raise MalformedAnswer(f"`{path}` has a line break or NUL")
    return name.lower(), value


def _without_hop_by_hop(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in pairs if name not in HOP_BY_HOP]


def _body(fields: dict[str, Any]) -> bytes:
    body = fields.get("body") or ""
    if not isinstance(body, str):
        raise MalformedAnswer("`body` is not a string")
    if not fields.get("isBase64Encoded"):
        return body.encode(errors="replace")
    try:
        return base64.b64decode(body, validate=True)
    except ValueError:
        raise MalformedAnswer("`body` is not base64, as `isBase64Encoded` says") from None
