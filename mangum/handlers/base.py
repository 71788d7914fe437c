"""What all HTTP handlers share: event in, scope and body out; response in, Lambda's answer out. No I/O."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from mangum.config import AUTO, Config
from mangum.exceptions import InvalidResponse, ResponseTooLarge
from mangum.handlers.bodies import LAMBDA_RESPONSE_LIMIT, decode_body, encode_body, may_be_too_large
from mangum.handlers.fields import FieldList, invalid_event
from mangum.handlers.headers import HeaderPairs, decode_headers
from mangum.handlers.origin import SCHEMES, Origin, server
from mangum.handlers.paths import place_under, strip_prefix
from mangum.handlers.sources import Source, source_of
from mangum.types import Headers, LambdaEvent, Response, Scope

__all__ = ["HTTPHandler"]

# As in requestContext.protocol; "1.1" where it is absent, since no source passes on what it spoke with the client.
_HTTP_VERSIONS = {"HTTP/1.0": "1.0", "HTTP/2": "2", "HTTP/2.0": "2"}

_DELIMITER = bytes(8)  # between the prelude of a stream and its body
_SURELY_SMALL = 512  # bytes of a body that every source carries
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
_LOCAL_PREFIXES = (*(f"{host}:" for host in _LOCAL_HOSTS), "offlineContext_")

_UNREADABLE = (AttributeError, IndexError, KeyError, TypeError, ValueError)


class HTTPHandler(ABC):
    """A handler for the requests of one front door, as `mangum.types.LambdaHandler` describes it.

    Reading `scope` or `body` of a malformed event raises `InvalidEvent`, which names the field. Calling the handler
    raises `ResponseTooLarge` or `InvalidResponse` where the source cannot carry the response.
    """

    sources: ClassVar[frozenset[Source]]
    fields: ClassVar[FieldList]
    speaks_api_gateway: ClassVar[bool] = False  # whether it has API Gateway's payload formats, base paths, emulators
    default_content_type: ClassVar[str] = ""  # what AWS is told where the application says nothing
    response_limit: ClassVar[int] = LAMBDA_RESPONSE_LIMIT
    streams: ClassVar[bool] = False  # whether a response can go out as it is made
    prelude_limit: ClassVar[int | None] = None  # bytes of its status and headers then
    way_out: ClassVar[str] = "Send less at once, or put the content into S3 and redirect to a presigned URL."

    def __init__(self, event: LambdaEvent, context: Any, config: Mapping[str, Any]) -> None:
        self.event = event
        self.context = context
        self.config: Config = config if type(config) is Config else Config.of(config)

    @classmethod
    def infer(cls, event: LambdaEvent, context: Any, config: Mapping[str, Any]) -> bool:
        return source_of(event) in cls.sources

    @property
    def scope(self) -> Scope:
        """A new ASGI scope for the request.

        Raises:
            InvalidEvent: a field is missing or of the wrong type.
            RequestRefused: the event does not hold the whole request.
        """
        try:
            return self._scope()
        except _UNREADABLE as error:
            raise invalid_event(source_of(self.event).value, self.event, self.fields, error) from error

    @property
    def body(self) -> bytes:
        """The request's body.

        Raises:
            InvalidEvent: it is no text, or no base64 where the event says so.
        """
        try:
            return self._body()
        except _UNREADABLE as error:
            raise invalid_event(source_of(self.event).value, self.event, self.fields, error) from error

    def __call__(self, response: Response) -> dict[str, Any]:
        config = self.config
        status = response["status"]
        if not 200 <= status <= 599:
            raise InvalidResponse(f"The response has the status {status}, which is not one from 200 to 599.")
        sent = response["body"]
        last, pairs = decode_headers(response["headers"])
        content_type = last.get("content-type")
        if content_type is None and self.default_content_type:
            content_type = self.default_content_type
            pairs = [*pairs, ("content-type", content_type)]
            last["content-type"] = content_type
        body, is_base64 = encode_body(sent, content_type, last.get("content-encoding"), config.text_mime_types.match)
        if config.exclude_headers:
            pairs = [pair for pair in pairs if pair[0] not in config.exclude_headers]
            last = dict(pairs)
        if len(sent) > _SURELY_SMALL and may_be_too_large(sent, self.response_limit):
            from mangum.handlers.answer_size import check_size  # few answers are that large

            check_size(sent, body, is_base64, pairs, self.response_limit, self.way_out)
        return self._answer(status, last, pairs, body, is_base64)

    def prelude(self, status: int, headers: Headers) -> bytes:
        """What goes ahead of the body of a streamed response: status and headers as JSON, and eight NUL bytes.
        https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming

        Raises:
            ResponseTooLarge: the source does not take that many headers.
            InvalidResponse: they, or the status, cannot be sent.
        """
        answer = self({"status": status, "headers": headers, "body": b""})
        del answer["body"], answer["isBase64Encoded"]
        prelude = json.dumps(answer).encode() + _DELIMITER
        if self.prelude_limit is not None and len(prelude) > self.prelude_limit:
            raise ResponseTooLarge(
                f"The headers of the response are too large to be streamed: {len(prelude):,} bytes with the status, "
                f"and {self.prelude_limit:,} is the most."
            )
        return prelude

    @abstractmethod
    def _scope(self) -> Scope: ...

    @abstractmethod
    def _answer(
        self, status: int, last: dict[str, str], pairs: HeaderPairs, body: str, is_base64: bool
    ) -> dict[str, Any]:
        """Lambda's answer. `last` has the last value of each header, which is all of them in most responses."""

    def _body(self) -> bytes:
        body = self.event.get("body")
        return decode_body(body, self.event.get("isBase64Encoded")) if body else b""

    def _mount_from_event(self, path: str, raw_path: bytes) -> tuple[str, bytes, str]:
        """`path`, `raw_path` and `root_path` as the event tells where the application is mounted."""
        return path, raw_path, ""

    def _mount(self, path: str, raw_path: bytes) -> tuple[str, bytes, str]:
        config = self.config
        if config.api_gateway_base_path is not None:
            if self.speaks_api_gateway:
                path, raw_path = strip_prefix(path, raw_path, config.api_gateway_base_path, config.raw_base_path)
            return path, raw_path, ""
        if config.root_path == AUTO:
            return self._mount_from_event(path, raw_path)
        return *place_under(path, raw_path, config.root_path or ""), config.root_path or ""

    def _http_scope(
        self,
        method: str,
        path: str,
        raw_path: bytes,
        query_string: bytes,
        headers: Headers,
        client: str | None,
        protocol: str | None,
        origin: Origin,
    ) -> Scope:
        host, port, scheme = origin
        if scheme not in SCHEMES:
            scheme = "http" if self.speaks_api_gateway and self._comes_from_emulator(host) else "https"
        root_path = ""
        if self.config.has_mount:
            path, raw_path, root_path = self._mount(path, raw_path)
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": _HTTP_VERSIONS.get(protocol or "", "1.1"),
            "method": method.upper(),
            "scheme": scheme,
            "path": path,
            "raw_path": raw_path,
            "root_path": root_path,
            "query_string": query_string,
            "headers": headers,
            "client": (client or "", 0),  # a pair always, since applications ask for its host without a look
            "server": server(host, port, scheme) or server(self._domain_name(), port, scheme),
            "aws.event": self.event,
            "aws.context": self.context,
        }

    def _domain_name(self) -> str | None:
        """The name that the request was sent to, as the event has it beside the Host header."""
        if not self.speaks_api_gateway:
            return None
        domain: str | None = (self.event.get("requestContext") or {}).get("domainName")
        return domain

    def _comes_from_emulator(self, host: str | None) -> bool:
        """Whether a tool on somebody's machine made this event: its domain, or its host if it has none, is local."""
        name = self._domain_name() or host or ""
        return name in _LOCAL_HOSTS or name.startswith(_LOCAL_PREFIXES)
