"""Where a request comes from and where it was sent, from its headers: ASGI's `client` and `server`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from mangum.types import Headers

__all__ = ["CAPITALISED", "LOWER_CASE", "Origin", "last_forwarded_for", "origin_of", "server"]

# Host, X-Forwarded-Port and X-Forwarded-Proto, as far as the request has them.
Origin: TypeAlias = tuple[str | None, str | None, str | None]

LOWER_CASE = ("host", "x-forwarded-port", "x-forwarded-proto")
CAPITALISED = ("Host", "X-Forwarded-Port", "X-Forwarded-Proto")

_DEFAULT_PORTS = {"http": 80, "https": 443}


def origin_of(headers: Headers, given: Mapping[str, Any] | None, names: tuple[str, str, str] = LOWER_CASE) -> Origin:
    """The origin, from the event's own map where that has the names as AWS writes them there, else from the pairs."""
    if given:
        host, port, proto = given.get(names[0]), given.get(names[1]), given.get(names[2])
        if host.__class__ is port.__class__ is proto.__class__ is str:
            return host, port, proto
    known = dict(headers)
    host, port, proto = (known.get(name.encode(), b"").decode("latin-1") for name in LOWER_CASE)
    return host, port, proto


@lru_cache(64)  # an API has few names
def server(host: str | None, port: str | None, scheme: str) -> tuple[str, int]:
    """Host and port that the request was sent to, from the Host header ("name", "name:port", "[::1]:port")."""
    name = host or "mangum"
    if ":" in name:
        before, _, after = name.rpartition(":")
        if not after.endswith("]"):
            name, port = before, after or port
        name = name.removeprefix("[").removesuffix("]")
    is_number = port is not None and port.isdecimal() and port.isascii()
    return name, int(port or 0) if is_number else _DEFAULT_PORTS.get(scheme, 443)


def last_forwarded_for(headers: Headers) -> str | None:
    """The address that the source itself put at the end of X-Forwarded-For; a client can forge those before it.

    With "client port preservation" a load balancer adds the port ("192.0.2.1:5", "[2001:db8::1]:5"): it is left out.
    """
    forwarded = [value for name, value in headers if name == b"x-forwarded-for"]
    if not forwarded:
        return None
    address = forwarded[-1].decode("latin-1").rpartition(",")[2].strip()
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address
