"""An HTTP request as a front door of AWS sees it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["HOP_BY_HOP", "HTTPRequest"]

# Headers that end at the front door (RFC 9110, section 7.6.1), and those that API Gateway keeps to itself.
HOP_BY_HOP = frozenset(
    {"connection", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)


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
