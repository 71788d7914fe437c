"""VPC Lattice target groups, event structure versions 1 and 2.

https://docs.aws.amazon.com/vpc-lattice/latest/ug/lambda-functions.html
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from mangum.handlers.base import HTTPHandler
from mangum.handlers.bodies import decode_body
from mangum.handlers.fields import FieldList, flag, list_of, optional, table_of, text
from mangum.handlers.headers import HeaderPairs, encode_headers, encode_multi_value_headers, one_value_each
from mangum.handlers.origin import last_forwarded_for, origin_of
from mangum.handlers.paths import decode_sent_path
from mangum.handlers.queries import QUERY_MAP, quote_unknown_query
from mangum.handlers.sources import Source
from mangum.types import Headers, Scope

__all__ = ["VPCLattice", "VPCLatticeV1", "VPCLatticeV2"]

_TEXT_OR_LIST = table_of(optional(text), list_of(optional(text)))


class VPCLattice(HTTPHandler):
    """A service's Lambda target. The path holds the query string, as it was sent."""

    way_out = "Send less at once, or put the content into S3."

    @property
    @abstractmethod
    def _target(self) -> str:
        """Path and query as the event has them."""

    @property
    @abstractmethod
    def _query(self) -> Mapping[str, Any] | None:
        """The query as the event has it beside the path."""

    @abstractmethod
    def _headers(self) -> Headers: ...

    def _scope(self) -> Scope:
        event = self.event
        headers = self._headers()
        sent_path, _, query = self._target.partition("?")
        host, _, scheme = origin_of(headers, None)  # Lattice adds no X-Forwarded-Port: it would be the client's
        return self._http_scope(
            event["method"],
            *decode_sent_path(sent_path or "/"),
            query.encode() if query else quote_unknown_query(self._query),
            headers,
            last_forwarded_for(headers),
            None,
            (host, None, scheme),
        )

    def _answer(
        self, status: int, last: dict[str, str], pairs: HeaderPairs, body: str, is_base64: bool
    ) -> dict[str, Any]:
        return {
            "statusCode": status,
            "headers": one_value_each(last, pairs),
            "body": body,
            "isBase64Encoded": is_base64,
        }


class VPCLatticeV1(VPCLattice):
    """Event structure version 1: names in snake case, no request context."""

    sources: ClassVar[frozenset[Source]] = frozenset({Source.VPC_LATTICE_V1})
    fields: ClassVar[FieldList] = (
        ("method", text),
        ("raw_path", optional(text)),
        ("headers", _TEXT_OR_LIST),
        ("query_string_parameters", QUERY_MAP),
        ("body", optional(text)),
        ("is_base64_encoded", flag),
    )

    @property
    def _target(self) -> str:
        return self.event.get("raw_path") or "/"

    @property
    def _query(self) -> Mapping[str, Any] | None:
        return self.event.get("query_string_parameters")

    def _headers(self) -> Headers:
        return encode_headers(self.event.get("headers"))

    def _body(self) -> bytes:
        return decode_body(self.event.get("body"), self.event.get("is_base64_encoded"))


class VPCLatticeV2(VPCLattice):
    """Event structure version 2."""

    sources: ClassVar[frozenset[Source]] = frozenset({Source.VPC_LATTICE_V2})
    fields: ClassVar[FieldList] = (
        ("method", text),
        ("path", optional(text)),
        ("headers", _TEXT_OR_LIST),
        ("queryStringParameters", QUERY_MAP),
        ("body", optional(text)),
        ("isBase64Encoded", flag),
    )

    @property
    def _target(self) -> str:
        return self.event.get("path") or "/"

    @property
    def _query(self) -> Mapping[str, Any] | None:
        return self.event.get("queryStringParameters")

    def _headers(self) -> Headers:
        return encode_multi_value_headers(None, self.event.get("headers"))
