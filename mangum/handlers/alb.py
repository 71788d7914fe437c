"""Application Load Balancer, with or without multi-value headers.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
"""

from __future__ import annotations

from typing import Any, ClassVar

from mangum.handlers.base import HTTPHandler
from mangum.handlers.fields import FieldList, flag, list_of, optional, table_of, text
from mangum.handlers.headers import HeaderPairs, encode_headers, encode_multi_value_headers, listed, one_value_each
from mangum.handlers.origin import last_forwarded_for, origin_of
from mangum.handlers.paths import decode_sent_path
from mangum.handlers.queries import QUERY_MAP, join_query
from mangum.handlers.sources import Source
from mangum.types import Scope

__all__ = ["ALB"]

_TEXT_OR_LIST = table_of(optional(text), list_of(optional(text)))


class ALB(HTTPHandler):
    """A target group of type Lambda. Path and query arrive as they were sent."""

    sources: ClassVar[frozenset[Source]] = frozenset({Source.ALB})
    fields: ClassVar[FieldList] = (
        ("httpMethod", text),
        ("path", optional(text)),
        ("headers", _TEXT_OR_LIST),
        ("multiValueHeaders", _TEXT_OR_LIST),
        ("queryStringParameters", QUERY_MAP),
        ("multiValueQueryStringParameters", QUERY_MAP),
        ("body", optional(text)),
        ("isBase64Encoded", flag),
    )
    response_limit = 1024 * 1024
    way_out = "An Application Load Balancer takes 1 MB from Lambda: send less at once, or redirect to an object in S3."

    def _scope(self) -> Scope:
        event = self.event
        lists = event.get("multiValueHeaders")
        headers = encode_multi_value_headers(None, lists) if lists else encode_headers(event.get("headers"))
        return self._http_scope(
            event["httpMethod"],
            *decode_sent_path(event.get("path") or "/"),
            join_query(event.get("multiValueQueryStringParameters") or event.get("queryStringParameters")),
            headers,
            last_forwarded_for(headers),
            None,
            origin_of(headers, None),
        )

    def _answer(
        self, status: int, last: dict[str, str], pairs: HeaderPairs, body: str, is_base64: bool
    ) -> dict[str, Any]:
        answer: dict[str, Any] = {"statusCode": status, "body": body, "isBase64Encoded": is_base64}
        # The load balancer reads the field of its own mode only, and shows the mode in the request.
        if self.event.get("multiValueHeaders") is None:
            answer["headers"] = one_value_each(last, pairs)
        else:
            answer["multiValueHeaders"] = listed(pairs)
        return answer
