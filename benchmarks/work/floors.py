"""The floors of `translate` and `bodies`: what no adapter can leave out, with no adapter around it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.work import edge_floor

if TYPE_CHECKING:
    from mangum.types import Response, Scope

__all__ = ["body_in", "body_out", "infer_of"]

# Where an event has its path and its headers, and whether these are lists.
_PLACES = {
    "HTTP API 2.0": ("rawPath", "headers", False),
    "HTTP API 1.0": ("path", "headers", False),
    "REST API": ("path", "headers", False),
    "Function URL": ("rawPath", "headers", False),
    "ALB": ("path", "headers", False),
    "ALB multi-value": ("path", "multiValueHeaders", True),
    "VPC Lattice v1": ("raw_path", "headers", False),
    "VPC Lattice v2": ("path", "headers", True),
}
_request_names: dict[str, bytes] = {}
_response_names: dict[bytes, str] = {}


def infer_of(source: str) -> Callable[[Any, Any], Any]:
    """A handler class for the benchmark's own event from `source`: every header is encoded, every header of the
    response decoded, and the scope and the answer are made. It looks at nothing else."""
    if source == "Lambda@Edge":
        return edge_floor.infer
    return partial(_Floor, *_PLACES[source])


class _Floor:
    body = b""

    def __init__(self, path: str, headers: str, has_lists: bool, event: dict[str, Any], context: object) -> None:
        self._path = path
        self._headers = headers
        self._has_lists = has_lists
        self.event = event
        self.context = context

    @property
    def scope(self) -> Scope:
        event = self.event
        given = event[self._headers]
        try:
            if self._has_lists:
                headers = [[_request_names[name], value.encode()] for name, (value,) in given.items()]
            else:
                headers = [[_request_names[name], value.encode()] for name, value in given.items()]
        except KeyError:
            _request_names.update({name: name.lower().encode() for name in given})
            return self.scope
        path = event[self._path]
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            "client": ("203.0.113.17", 0),
            "server": ("example.com", 443),
            "aws.event": event,
            "aws.context": self.context,
        }

    def __call__(self, response: Response) -> dict[str, Any]:
        headers = {}
        for sent, value in response["headers"]:
            name = _response_names.get(sent) or _response_names.setdefault(sent, sent.decode().lower())
            headers[name] = value.decode()
        return {
            "statusCode": response["status"],
            "headers": headers,
            "body": response["body"].decode(),
            "isBase64Encoded": False,
        }


def body_in(kind: str, body: bytes) -> Callable[[bytes], bytes]:
    """What makes bytes of a request's body, which does not change."""
    if kind == "binary":
        sent = base64.b64encode(body).decode()
        decode = _pybase64("b64decode")
        return (lambda _: decode(sent, validate=True)) if decode else (lambda _: binascii.a2b_base64(sent))
    text = body.decode()
    return lambda _: text.encode()


def body_out(kind: str) -> Callable[[bytes], str]:
    """What makes text of a response's body."""
    if kind == "binary":
        return _pybase64("b64encode_as_string") or (
            lambda body: binascii.b2a_base64(body, newline=False).decode("ascii")
        )
    return bytes.decode


def _pybase64(name: str) -> Callable[..., Any] | None:
    try:
        import pybase64
    except ImportError:
        return None
    function: Callable[..., Any] = getattr(pybase64, name)
    return function
