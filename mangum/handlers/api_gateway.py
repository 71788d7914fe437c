"""API Gateway's HTTP front doors: REST APIs, and HTTP APIs with either payload format."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from mangum.handlers.base import HTTPHandler
from mangum.handlers.headers import HeaderPairs
from mangum.handlers.http_api import HTTPAPI, HTTPGatewayV2
from mangum.handlers.paths import decode_sent_path
from mangum.handlers.payload_v1 import PayloadV1
from mangum.handlers.sources import Source, source_of
from mangum.types import LambdaEvent, Scope

__all__ = ["APIGateway", "HTTPGateway", "HTTPGatewayV1", "HTTPGatewayV2"]


class APIGateway(PayloadV1):
    """A REST API. The path arrives as it was sent."""

    sources: ClassVar[frozenset[Source]] = frozenset({Source.REST_API})
    streams = True
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html
    prelude_limit: ClassVar[int | None] = 16 * 1024

    def _read_path(self, path: str, host: str | None) -> tuple[str, bytes]:
        return decode_sent_path(path)


class HTTPGatewayV1(PayloadV1, HTTPAPI):
    """An HTTP API with payload format 1.0."""

    sources: ClassVar[frozenset[Source]] = frozenset({Source.HTTP_API_V1})

    def _read_path(self, path: str, host: str | None) -> tuple[str, bytes]:
        return self._read_decoded_path(path, host)

    def _mount_from_event(self, path: str, raw_path: bytes) -> tuple[str, bytes, str]:
        mounted = PayloadV1._mount_from_event(self, path, raw_path)
        return mounted if mounted[2] else HTTPAPI._mount_from_event(self, path, raw_path)


class HTTPGateway(HTTPAPI):
    """An HTTP API or a Function URL, in the place where mangum 0.22 has both: a `HTTPGatewayV1`, `HTTPGatewayV2` or
    `FunctionURL` besides, by the event. So is a subclass."""

    sources: ClassVar[frozenset[Source]] = frozenset({Source.HTTP_API_V1, Source.HTTP_API_V2, Source.FUNCTION_URL})

    def __new__(cls, event: LambdaEvent, context: Any, config: Mapping[str, Any]) -> HTTPGateway:
        payload: type[HTTPHandler] = HTTPGatewayV1 if event.get("version") == "1.0" else HTTPGatewayV2
        if source_of(event) is Source.FUNCTION_URL:
            from mangum.handlers.function_url import FunctionURL  # no other class here needs it

            payload = FunctionURL
        return object.__new__(_with_payload(cls, payload))

    if TYPE_CHECKING:  # the payload's class has them

        def _scope(self) -> Scope: ...
        def _answer(
            self, status: int, last: dict[str, str], pairs: HeaderPairs, body: str, is_base64: bool
        ) -> dict[str, Any]: ...


@cache
def _with_payload(cls: type[HTTPGateway], payload: type[HTTPHandler]) -> type[HTTPGateway]:
    return type(cls.__name__, (cls, payload), {"sources": cls.sources})
