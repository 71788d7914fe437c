"""An HTTP request as a front door of AWS sees it, and what all events make of it alike."""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from mangum.media_types import media_type

__all__ = [
    "ACCOUNT_ID",
    "API_DOMAIN",
    "API_ID",
    "DEFAULT",
    "HOP_BY_HOP",
    "REGION",
    "EventSettings",
    "HTTPRequest",
    "body_by_type",
    "body_by_type_and_encoding",
    "body_field",
    "decoded_query",
    "forwarded_headers",
    "lists",
    "now_ms",
    "request_id",
    "request_time",
]

ACCOUNT_ID = "123456789012"
API_ID = "mangumdev0"
REGION = "us-east-1"
API_DOMAIN = f"{API_ID}.execute-api.{REGION}.amazonaws.com"

# Headers that end at the front door (RFC 9110, section 7.6.1), and those that it keeps to itself.
HOP_BY_HOP = frozenset(
    {"connection", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)

_TEXT_TYPES = ("application/json", "application/xml", "application/javascript")


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

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.query_string}" if self.query_string else self.path


@dataclass(frozen=True, kw_only=True)
class EventSettings:
    """How an API or a target group is set up."""

    # Of an API; `None` is `$default` at an HTTP API, and what a domain is mapped to at a REST API.
    stage: str | None = None
    base_path: str = ""  # "/prefix": the mapping of a custom domain to the API
    multi_value_headers: bool = False  # the attribute of a load balancer's target group

    def staged(self, path: str) -> str:
        """A path of the API as it is on the API's default host: below the stage, if that has a name."""
        return path if self.stage is None else f"/{self.stage}{path}"


DEFAULT = EventSettings()


def forwarded_headers(request: HTTPRequest, spell: Callable[[str], str] = str) -> list[tuple[str, str]]:
    """The request's headers, and those that AWS adds; a client's X-Forwarded-For is continued."""
    added = {
        "X-Forwarded-For": ", ".join([*request.values("x-forwarded-for"), request.client]),
        "X-Forwarded-Port": str(request.port),
        "X-Forwarded-Proto": request.scheme,
        "X-Amzn-Trace-Id": f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}",
    }
    replaced = HOP_BY_HOP.union(name.lower() for name in added)
    kept = [(spell(name), value) for name, value in request.headers if name.lower() not in replaced]
    return [*kept, *((spell(name), value) for name, value in added.items())]


def lists(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """All values by their name."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def decoded_query(query_string: str) -> dict[str, list[str]]:
    """The query as API Gateway decodes it."""
    return lists(parse_qsl(query_string, keep_blank_values=True))


def body_by_type(request: HTTPRequest) -> tuple[str, bool]:
    """The body as an event has it, and whether that is base64: whatever has another type than text, or none."""
    return body_field(request.body, text=_is_text(request.values("content-type")))


def body_by_type_and_encoding(request: HTTPRequest) -> tuple[str, bool]:
    """Likewise; whatever has a Content-Encoding is base64 too."""
    text = not request.values("content-encoding") and _is_text(request.values("content-type"))
    return body_field(request.body, text=text)


def _is_text(content_types: list[str]) -> bool:
    if not content_types:
        return False
    name = media_type(content_types[0])
    return name.startswith("text/") or name in _TEXT_TYPES


def body_field(body: bytes, *, text: bool) -> tuple[str, bool]:
    """The body as an event has it, and whether that is base64: whatever is not to be text, or is no UTF-8."""
    if text:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return (base64.b64encode(body).decode("ascii"), True) if body else ("", False)


def request_id() -> str:
    """A new one."""
    return str(uuid.uuid4())


def request_time() -> str:
    """Now, as the access logs of servers write it."""
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())


def now_ms() -> int:
    """Now, in Unix milliseconds."""
    return int(time.time() * 1000)
