"""Who may see the page: a browser on this machine that was sent there by nobody else."""

from __future__ import annotations

import ipaddress

from starlette.requests import Request
from starlette.responses import PlainTextResponse

from mangum.local.hosts import is_loopback
from mangum.types import ASGI, Message, Receive, Scope, Send

__all__ = ["LoopbackOnly", "refusal_of_others"]

# A proxy on this machine, such as a tunnel, may have its client anywhere.
_OF_PROXIES = ("forwarded", "x-forwarded-for", "x-forwarded-host")

_HEADERS = [
    (b"content-security-policy", b"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"referrer-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


class LoopbackOnly:
    """An application for this machine's own browsers: others get a 403. A request that changes something has to come
    from a page of its own."""

    def __init__(self, app: ASGI) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        refusal = _refusal(Request(scope))
        app = self._app if refusal is None else PlainTextResponse(f"{refusal}\n", 403)
        await app(scope, receive, send_guarded)


def _refusal(request: Request) -> str | None:
    refusal = refusal_of_others(request)
    if refusal is not None:
        return refusal
    if request.method not in ("GET", "HEAD") and not _is_own(request):
        return "This has to come from the page itself."
    return None


def refusal_of_others(request: Request) -> str | None:
    """Why a client is not answered that is on another machine, or was led here under another name."""
    if request.client is None or not _is_loopback(request.client.host):
        return "This is for this machine only."
    if any(name in request.headers for name in _OF_PROXIES):
        return "This is for this machine only, and not for clients of a proxy."
    hosts = request.headers.getlist("host")
    if len(hosts) != 1 or not is_loopback(hosts[0]):
        return "This answers to localhost, 127.0.0.1 and [::1] only."
    return None


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def _is_own(request: Request) -> bool:
    origin = request.headers.get("origin")
    if origin is not None:
        return origin.lower() == f"{request.url.scheme}://{request.headers['host']}".lower()
    return request.headers.get("sec-fetch-site") == "same-origin"
