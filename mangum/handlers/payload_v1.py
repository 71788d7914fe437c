"""Payload format 1.0: REST APIs, and HTTP APIs whose integration asks for it.

https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import unquote

from mangum.handlers.base import HTTPHandler
from mangum.handlers.fields import FieldList, flag, list_of, optional, present, table_of, text
from mangum.handlers.headers import HeaderPairs, encode_multi_value_headers, single_and_repeated
from mangum.handlers.origin import CAPITALISED, origin_of
from mangum.handlers.paths import trailing_match
from mangum.handlers.queries import QUERY_MAP, quote_query
from mangum.types import Scope

__all__ = ["PayloadV1"]

_TEXT_OR_LIST = table_of(optional(text), list_of(optional(text)))


class PayloadV1(HTTPHandler):
    """A source that speaks payload format 1.0; how its path is encoded is the source's own."""

    speaks_api_gateway = True
    fields: ClassVar[FieldList] = (
        ("httpMethod", text),
        ("path", optional(text)),
        ("headers", _TEXT_OR_LIST),
        ("multiValueHeaders", _TEXT_OR_LIST),
        ("queryStringParameters", QUERY_MAP),
        ("multiValueQueryStringParameters", QUERY_MAP),
        ("requestContext", optional(present)),
        ("requestContext.identity", optional(present)),
        ("requestContext.identity.sourceIp", optional(text)),
        ("requestContext.protocol", optional(text)),
        ("requestContext.domainName", optional(text)),
        ("requestContext.path", optional(text)),
        ("resource", optional(text)),
        ("pathParameters", table_of(text)),
        ("body", optional(text)),
        ("isBase64Encoded", flag),
    )

    @abstractmethod
    def _read_path(self, path: str, host: str | None) -> tuple[str, bytes]:
        """`path` and `raw_path` from the event's field."""

    def _scope(self) -> Scope:
        event = self.event
        context = event.get("requestContext") or {}
        identity = context.get("identity") or {}
        given = event.get("headers")
        headers = encode_multi_value_headers(given, event.get("multiValueHeaders"))
        origin = origin_of(headers, given, CAPITALISED)
        path, raw_path = self._read_path(event.get("path") or "/", origin[0])
        query = event.get("multiValueQueryStringParameters") or event.get("queryStringParameters")
        return self._http_scope(
            event["httpMethod"],
            path,
            raw_path,
            quote_query(query) if query else b"",
            headers,
            identity.get("sourceIp"),
            context.get("protocol"),
            origin,
        )

    def _mount_from_event(self, path: str, raw_path: bytes) -> tuple[str, bytes, str]:
        """The client's URL has the stage, or the mapping of a custom domain, in front of what the API's resources know.

        `requestContext.path` is the whole path. Behind a custom domain `path` is the same, and only the resource,
        filled in with the path parameters, lacks the mapping.
        """
        event = self.event
        own_path = event.get("path") or "/"
        full_path = (event.get("requestContext") or {}).get("path") or ""
        resource = _filled_resource(event)
        root = trailing_match(full_path, resource) if resource else None
        if root is None:
            root = trailing_match(full_path, own_path) or ""
        root_path = unquote(root)
        if full_path.rstrip("/") == own_path.rstrip("/"):
            return path, raw_path, root_path
        return root_path + path, root.encode() + raw_path, root_path

    def _answer(
        self, status: int, last: dict[str, str], pairs: HeaderPairs, body: str, is_base64: bool
    ) -> dict[str, Any]:
        single, repeated = (last, {}) if len(last) == len(pairs) else single_and_repeated(last, pairs)
        return {
            "statusCode": status,
            "headers": single,
            "multiValueHeaders": repeated,
            "body": body,
            "isBase64Encoded": is_base64,
        }


def _filled_resource(event: Mapping[str, Any]) -> str:
    """ "/items/{id}" as "/items/1"."""
    resource: str = event.get("resource") or ""
    for name, value in (event.get("pathParameters") or {}).items():
        resource = resource.replace(f"{{{name}}}", value).replace(f"{{{name}+}}", value)
    return resource
