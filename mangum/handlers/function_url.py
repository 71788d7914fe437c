"""Lambda Function URLs: payload format 2.0, with the path as it was sent.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

from __future__ import annotations

from typing import ClassVar

from mangum.handlers.paths import decode_sent_path, quote_decoded_path
from mangum.handlers.payload_v2 import PayloadV2
from mangum.handlers.sources import Source

__all__ = ["FunctionURL"]


class FunctionURL(PayloadV2):
    """A Function URL."""

    sources: ClassVar[frozenset[Source]] = frozenset({Source.FUNCTION_URL})
    streams = True

    def _read_path(self, host: str | None) -> tuple[str, bytes]:
        sent = self.event.get("rawPath")
        if sent:
            return decode_sent_path(sent)
        return quote_decoded_path(self.event["requestContext"]["http"].get("path") or "/")
