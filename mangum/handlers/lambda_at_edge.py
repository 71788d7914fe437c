"""Lambda@Edge, viewer and origin requests: the function answers in place of the cache or the origin.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-event-structure.html
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar, TypeAlias

from mangum.exceptions import RequestRefused
from mangum.handlers.answer_size import check_size
from mangum.handlers.base import HTTPHandler
from mangum.handlers.bodies import decode_body
from mangum.handlers.fields import FieldList, list_of, optional, present, record_of, table_of, text
from mangum.handlers.headers import HeaderPairs, encode_header_records
from mangum.handlers.origin import Origin
from mangum.handlers.paths import decode_sent_path
from mangum.handlers.sources import Source
from mangum.types import Scope

__all__ = ["LambdaAtEdge"]

logger: logging.Logger = logging.getLogger("mangum.http")

_COMPUTED = frozenset({"content-length", "via"})  # by CloudFront itself

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

# A body that is not measured leaves headers the room of 32 KB.
_LARGE_HEADERS = 24 * 1024
_LIMITS = {"viewer-request": 40 * 1024, "origin-request": 1024 * 1024}

_REQUEST = "Records[0].cf.request"

_Records: TypeAlias = dict[str, list[dict[str, str]]]


class LambdaAtEdge(HTTPHandler):
    """A viewer-request or origin-request trigger. The URI arrives as it was sent."""

    sources: ClassVar[frozenset[Source]] = frozenset({Source.LAMBDA_AT_EDGE})
    way_out = "Send less at once, or let CloudFront fetch the content from an origin."
    fields: ClassVar[FieldList] = (
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
    def response_limit(self) -> int:  # type: ignore[override] # headers and body; it depends on the trigger
        config = self.event["Records"][0]["cf"].get("config")
        trigger = config.get("eventType") if isinstance(config, dict) else None
        return _LIMITS.get(str(trigger), _LIMITS["origin-request"])

    def _scope(self) -> Scope:
        request = self.event["Records"][0]["cf"]["request"]
        given: _Records = request.get("headers") or {}
        query_string = request.get("querystring")
        path, raw_path = decode_sent_path(request.get("uri") or "/")
        return self._http_scope(
            request["method"],
            path,
            raw_path,
            query_string.encode() if query_string else b"",
            encode_header_records(given),
            request.get("clientIp"),
            None,
            _origin(given),
        )

    def _domain_name(self) -> str | None:
        config = self.event["Records"][0]["cf"].get("config")
        domain = config.get("distributionDomainName") if isinstance(config, dict) else None
        return domain if isinstance(domain, str) else None

    def _body(self) -> bytes:
        body = self.event["Records"][0]["cf"]["request"].get("body")
        if not body:
            return b""
        if body.get("inputTruncated"):
            raise RequestRefused(
                "CloudFront cut the request's body off (40 KB for a viewer request, 1 MB for an origin request), "
                "and a function cannot fetch the rest.",
                413,
            )
        return decode_body(body.get("data"), body.get("encoding") == "base64")

    def _answer(
        self, status: int, last: dict[str, str], pairs: HeaderPairs, body: str, is_base64: bool
    ) -> dict[str, Any]:
        kept: _Records = {}
        size = 0
        for name, value in pairs:
            if name in _FORBIDDEN or name.startswith(_FORBIDDEN_PREFIXES):
                logger.warning("CloudFront refuses the response header %r from a function: it is left out.", name)
            elif name not in _COMPUTED:
                record = {"key": name, "value": value}
                if name in kept:
                    kept[name].append(record)
                else:
                    kept[name] = [record]
                size += len(name) + len(value) + 6
        if size > _LARGE_HEADERS:
            check_size(body.encode(), body, is_base64, pairs, self.response_limit, self.way_out)
        return {
            "status": str(int(status)),
            "headers": kept,
            "body": "" if status == 204 else body,  # CloudFront answers 502 to a 204 with a body
            "bodyEncoding": "base64" if is_base64 else "text",
        }


def _origin(headers: _Records) -> Origin:
    """Without X-Forwarded-Port, which CloudFront passes on from the viewer."""
    host, scheme = headers.get("host"), headers.get("cloudfront-forwarded-proto")
    return host[-1]["value"] if host else None, None, scheme[-1]["value"] if scheme else None
