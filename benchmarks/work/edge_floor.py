"""The floor of `translate` for Lambda@Edge: the least that its contract asks for, with no adapter around it.

It serves the benchmark's own event and response, and gives up where another would need more. What is left is that every
value of every header is encoded, that the path is there both ways, and that the answer has no header that CloudFront
refuses and no more than 40 KB; in the four calls that a handler has, one function each.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mangum.types import Response, Scope

__all__ = ["EdgeFloor", "infer"]

_MOST_BYTES = 24 * 1024
_COMPUTED = frozenset({"content-length", "transfer-encoding", "via", "connection", "keep-alive", "trailer", "upgrade"})
_TEXT_TYPES = frozenset({"text/plain; charset=utf-8"})

_request_names: dict[str, bytes] = {}
_response_names: dict[bytes, str] = {}


@cache
def _is_refused(name: str) -> bool:
    return name == "host" or name.startswith(("x-amz-cf-", "x-edge-"))


def infer(event: dict[str, Any], context: object) -> EdgeFloor:
    """The handler, if the event is a request trigger's."""
    if "requestContext" in event or "httpMethod" in event or "Records" not in event:
        raise NotImplementedError
    record = event["Records"][0]
    if "cf" not in record or "response" in record["cf"]:
        raise NotImplementedError
    return EdgeFloor(event, context)


class EdgeFloor:
    """A handler, as `mangum.types.LambdaHandler` describes it."""

    def __init__(self, event: dict[str, Any], context: object) -> None:
        self.event = event
        self.context = context

    @property
    def scope(self) -> Scope:
        """The ASGI scope for the request."""
        event = self.event
        request = event["Records"][0]["cf"]["request"]
        given = request["headers"]
        try:
            headers = [[_request_names[name], record["value"].encode()] for name, (record,) in given.items()]
        except KeyError:
            _request_names.update({name: name.lower().encode() for name in given})
            return self.scope
        path = request["uri"]
        raw_path = path.encode("ascii")
        host, client = given.get("host"), request.get("clientIp")
        if "%" in path or not host or "x-forwarded-port" in given or "cloudfront-forwarded-proto" in given:
            raise NotImplementedError
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": request["method"],
            "scheme": "https",
            "path": path,
            "raw_path": raw_path,
            "root_path": "",
            "query_string": request["querystring"].encode(),
            "headers": headers,
            "client": (client, 0) if client else None,
            "server": (host[-1]["value"], 443),
            "aws.event": event,
            "aws.context": self.context,
        }

    @property
    def body(self) -> bytes:
        """The request's body: none."""
        if self.event["Records"][0]["cf"]["request"].get("body"):
            raise NotImplementedError
        return b""

    def __call__(self, response: Response) -> dict[str, Any]:
        status, body = response["status"], response["body"]
        size = len(body)
        is_text = False
        kept: dict[str, list[dict[str, str]]] = {}
        for sent_name, sent_value in response["headers"]:
            name = _response_names.get(sent_name) or _response_names.setdefault(sent_name, sent_name.decode().lower())
            value = sent_value.decode()
            if _is_refused(name) or name == "content-encoding":
                raise NotImplementedError
            if name == "content-type":
                is_text = value in _TEXT_TYPES
            if name not in _COMPUTED:
                record = {"key": name, "value": value}
                if name in kept:
                    kept[name].append(record)
                else:
                    kept[name] = [record]
                size += len(name) + len(value)
        if not is_text or size > _MOST_BYTES or not 200 <= status <= 599:
            raise NotImplementedError
        return {"status": str(status), "headers": kept, "body": body.decode(), "bodyEncoding": "text"}
