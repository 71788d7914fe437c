"""HTTP APIs of API Gateway with payload format 2.0, which is the default, and what both formats share."""

from __future__ import annotations

from typing import ClassVar

from mangum.handlers.base import HTTPHandler
from mangum.handlers.paths import decode_sent_path, is_below, is_path_as_sent, is_same_path, quote_decoded_path
from mangum.handlers.payload_v2 import PayloadV2
from mangum.handlers.sources import Source

__all__ = ["HTTPAPI", "HTTPGatewayV2"]


class HTTPAPI(HTTPHandler):
    """What both payload formats of an HTTP API share. The path arrives decoded, and what was sent is lost; only
    emulators hand it over as it was sent."""

    def _read_decoded_path(self, path: str, host: str | None) -> tuple[str, bytes]:
        return decode_sent_path(path) if self._comes_from_emulator(host) else quote_decoded_path(path)

    def _mount_from_event(self, path: str, raw_path: bytes) -> tuple[str, bytes, str]:
        """A named stage is the first segment of the path."""
        stage = (self.event.get("requestContext") or {}).get("stage")
        root_path = f"/{stage}"
        return path, raw_path, root_path if stage and is_below(path, root_path) else ""


class HTTPGatewayV2(PayloadV2, HTTPAPI):
    """An HTTP API with payload format 2.0."""

    sources: ClassVar[frozenset[Source]] = frozenset({Source.HTTP_API_V2})

    def _read_path(self, host: str | None) -> tuple[str, bytes]:
        """The path in the request context, where it is another than `rawPath`: AWS has the same in both, and wrappers
        and tests change the one that mangum 0.22 reads."""
        path, raw_path = self.event["requestContext"]["http"].get("path"), self.event.get("rawPath")
        if not path or (path != raw_path and raw_path and self._tells_same_path(path, raw_path, host)):
            path = raw_path or "/"
        return self._read_decoded_path(path, host)

    def _tells_same_path(self, path: str, raw_path: str, host: str | None) -> bool:
        if is_same_path(path, raw_path):
            return True
        return self._comes_from_emulator(host) and is_path_as_sent(raw_path, path)
