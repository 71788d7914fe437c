"""An HTTP request as a front door of AWS sees it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["HTTPRequest"]


@dataclass(frozen=True, kw_only=True)
class HTTPRequest:
    """A request as it was sent: path and query still quoted, header names in the client's spelling."""

    method: str
    path: str
    query_string: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    client: str = "127.0.0.1"
    scheme: str = "http"
    port: int = 80

    def values(self, name: str) -> list[str]:
        """All values of a header, in their order."""
        return [value for key, value in self.headers if key.lower() == name]
