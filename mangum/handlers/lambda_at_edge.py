"""Lambda@Edge, viewer and origin requests: the function answers in place of the cache or the origin.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-event-structure.html
"""

from __future__ import annotations

import logging
from typing import Any

from mangum.exceptions import InvalidResponse, RequestRefused
from mangum.handlers.base import HTTPHandler
from mangum.handlers.bodies import decode_body
from mangum.handlers.fields import list_of, optional, present, record_of, table_of, text
from mangum.handlers.headers import HeaderPairs, header_names
from mangum.handlers.paths import decode_sent_path
from mangum.handlers.sources import Source
from mangum.types import Scope

__all__ = ["LambdaAtEdge"]

logger = logging.getLogger("mangum.http")

# CloudFront computes these itself.
_COMPUTED = frozenset({"content-length", "transfer-encoding", "via", "connection", "keep-alive", "trailer", "upgrade"})

# CloudFront answers 502 to a response that has one of these:
# https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/edge-function-restrictions-all.html
_FORBIDDEN = frozenset(
    {
        "cdn-loop",
        "client-cert",
        "client-cert-chain",
        "cloudfront-viewer-cert-pem",
        "expect",
        "host",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "x-accel-buffering",
        "x-accel-charset",
        "x-accel-limit-rate",
        "x-accel-redirect",
        "x-amzn-auth",
        "x-amzn-cf-billing",
        "x-amzn-cf-id",
        "x-amzn-cf-xff",
        "x-amzn-errortype",
        "x-amzn-fle-profile",
        "x-amzn-header-count",
        "x-amzn-header-order",
        "x-amzn-lambda-integration-tag",
        "x-amzn-requestid",
        "x-cache",
        "x-forwarded-proto",
        "x-real-ip",
    }
)
_FORBIDDEN_PREFIXES = ("x-amz-cf-", "x-edge-")

_LIMITS = {"viewer-request": 40 * 1024, "origin-request": 1024 * 1024}
_REQUEST = "Records[0].cf.request"


class LambdaAtEdge(HTTPHandler):
    """A viewer-request or origin-request trigger. The URI arrives as it was sent."""

    sources = frozenset({Source.LAMBDA_AT_EDGE})
    measures_always = True
    way_out = "Send less at once, or let CloudFront fetch the content from an origin."
    fields = (
        (_REQUEST, present),
        (f"{_REQUEST}.method", text),
        (f"{_REQUEST}.uri", optional(text)),
        (f"{_REQUEST}.querystring", optional(text)),
        (f"{_REQUEST}.clientIp", optional(text)),
        (f"{_REQUEST}.headers", table_of(list_of(record_of(value=text)))),
        (f"{_REQUEST}.body", optional(present)),
        (f"{_REQUEST}.body.encoding", optional(text)),
        (f"{_REQUEST}.body.data", optional(text)),
    )

    @property
    def _cf(self) -> dict[str, Any]:
        cf: dict[str, Any] = self.event["Records"][0]["cf"]
        return cf

    @property
    def response_limit(self) -> int:  # type: ignore[override] # headers and body; it depends on the trigger
        config = self._cf.get("config")
        trigger = config.get("eventType") if isinstance(config, dict) else None
        return _LIMITS.get(str(trigger), _LIMITS["origin-request"])

    def _scope(self) -> Scope:
        request = self._cf["request"]
        given: dict[str, list[dict[str, str]]] = request.get("headers") or {}
        query_string = request.get("querystring")
        path, raw_path = decode_sent_path(request.get("uri") or "/")
        return self._http_scope(
            request["method"],
            path,
            raw_path,
            query_string.encode() if query_string else b"",
            [[header_names[name], entry["value"].encode()] for name, entries in given.items() for entry in entries],
            request.get("clientIp"),
            None,
            (_last(given, "host"), _last(given, "x-forwarded-port"), _last(given, "cloudfront-forwarded-proto")),
        )

    def _body(self) -> bytes:
        body = self._cf["request"].get("body") or {}
        if body.get("inputTruncated"):
            raise RequestRefused(
                "CloudFront cut the request's body off (40 KB for a viewer request, 1 MB for an origin request), "
                "and a function cannot fetch the rest.",
                413,
            )
        return decode_body(body.get("data"), body.get("encoding") == "base64")

    def _answer(self, status: int, pairs: HeaderPairs, body: str, is_base64: bool) -> dict[str, Any]:
        if not 200 <= status <= 599:
            raise InvalidResponse(f"CloudFront takes a status from 200 to 599 from a function, not {status}.")
        kept: dict[str, list[dict[str, str]]] = {}
        for name, value in pairs:
            if name in _FORBIDDEN or name.startswith(_FORBIDDEN_PREFIXES):
                logger.warning("CloudFront refuses the response header %r from a function: it is left out.", name)
            elif name not in _COMPUTED:
                kept.setdefault(name, []).append({"key": name, "value": value})
        return {
            "status": str(int(status)),
            "headers": kept,
            "body": "" if status == 204 else body,  # CloudFront answers 502 to a 204 with a body
            "bodyEncoding": "base64" if is_base64 else "text",
        }


def _last(headers: dict[str, list[dict[str, str]]], name: str) -> str | None:
    entries = headers.get(name)
    return entries[-1]["value"] if entries else None
