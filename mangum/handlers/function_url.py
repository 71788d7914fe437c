"""Lambda Function URLs: payload format 2.0, with the path as it was sent.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

from __future__ import annotations

from typing import ClassVar

from mangum.handlers.paths import decode_sent_path, is_path_as_sent, quote_decoded_path
from mangum.handlers.payload_v2 import PayloadV2
from mangum.handlers.sources import Source

__all__ = ["FunctionURL"]


class FunctionURL(PayloadV2):
    """A Function URL."""

    sources: ClassVar[frozenset[Source]] = frozenset({Source.FUNCTION_URL})
    streams = True

    def _read_path(self, host: str | None) -> tuple[str, bytes]:
        """The path as sent, unless the one in the request context is another: a wrapper or a test has changed it."""
        path, sent = self.event["requestContext"]["http"].get("path"), self.event.get("rawPath")
        if sent:
            decoded, raw_path = decode_sent_path(sent)
            if not path or path == decoded or is_path_as_sent(sent, path):
                return decoded, raw_path
        return quote_decoded_path(path or "/")
