"""Payload format 2.0: HTTP APIs and Function URLs.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from mangum.handlers.base import HTTPHandler
from mangum.handlers.fields import FieldList, flag, list_of, optional, present, table_of, text
from mangum.handlers.headers import HeaderPairs, encode_headers, joined_and_cookies
from mangum.handlers.origin import origin_of
from mangum.types import Scope

__all__ = ["PayloadV2"]


class PayloadV2(HTTPHandler):
    """A source that speaks payload format 2.0; how its path is encoded is the source's own."""

    speaks_api_gateway = True
    fields: ClassVar[FieldList] = (
        ("requestContext", present),
        ("requestContext.http", present),
        ("requestContext.http.method", text),
        ("rawPath", optional(text)),
        ("requestContext.http.path", optional(text)),
        ("rawQueryString", optional(text)),
        ("headers", table_of(optional(text), list_of(optional(text)))),
        ("cookies", optional(list_of(text))),
        ("requestContext.http.sourceIp", optional(text)),
        ("requestContext.http.protocol", optional(text)),
        ("requestContext.domainName", optional(text)),
        ("requestContext.stage", optional(text)),
        ("body", optional(text)),
        ("isBase64Encoded", flag),
    )
    default_content_type = "application/json"  # as mangum 0.22 says, and as AWS infers for an answer without one

    @abstractmethod
    def _read_path(self, host: str | None) -> tuple[str, bytes]:
        """`path` and `raw_path` from the event's fields."""

    def _scope(self) -> Scope:
        event = self.event
        http = event["requestContext"]["http"]
        given = event.get("headers")
        headers = encode_headers(given)
        cookies = event.get("cookies")
        if cookies.__class__ is not list and cookies:
            raise TypeError("not a list")
        if cookies:  # an HTTP API takes the Cookie header out, a Function URL leaves it in
            headers = [pair for pair in headers if pair[0] != b"cookie"]
            headers.append([b"cookie", "; ".join(cookies).encode()])
        origin = origin_of(headers, given)
        path, raw_path = self._read_path(origin[0])
        query_string = event.get("rawQueryString")
        return self._http_scope(
            http["method"],
            path,
            raw_path,
            query_string.encode() if query_string else b"",
            headers,
            http.get("sourceIp"),
            http.get("protocol"),
            origin,
        )

    def _answer(
        self, status: int, last: dict[str, str], pairs: HeaderPairs, body: str, is_base64: bool
    ) -> dict[str, Any]:
        joined, cookies = joined_and_cookies(last, pairs, ",")
        answer: dict[str, Any] = {"statusCode": status, "body": body}
        if joined:
            answer["headers"] = joined
        if cookies:
            answer["cookies"] = cookies
        answer["isBase64Encoded"] = is_base64
        return answer
