"""Where a request comes from and where it was sent, from its headers: ASGI's `client`, `server` and `scheme`.

Clients can send some of these headers, so nothing but what they may hold is taken from them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from mangum.types import Headers

__all__ = ["CAPITALISED", "LOWER_CASE", "SCHEMES", "Origin", "last_forwarded_for", "origin_of", "server"]

# Host, X-Forwarded-Port and X-Forwarded-Proto, as far as the request has them.
Origin: TypeAlias = tuple[str | None, str | None, str | None]

LOWER_CASE = ("host", "x-forwarded-port", "x-forwarded-proto")
CAPITALISED = ("Host", "X-Forwarded-Port", "X-Forwarded-Proto")

SCHEMES = frozenset({"http", "https", "ws", "wss"})
_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_MOST_PORT = 65535

# uri-host [ ":" port ] (RFC 9110, section 7.2; RFC 3986, section 3.2.2), where a name has 255 characters at the most.
_NAME = r"(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+"
_read_host = re.compile(rf"(?:\[([0-9A-Fa-f:.]+)]|({_NAME}))(?::([0-9]*))?", re.ASCII).fullmatch
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_is_ipv4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}").fullmatch
_LONGEST_HOST = 255 + len(":65535")
_LONGEST_PORT = len("65535")


def origin_of(headers: Headers, given: Mapping[str, Any] | None, names: tuple[str, str, str] = LOWER_CASE) -> Origin:
    """The origin, from the event's own map where that has the names as AWS writes them there, else from the pairs."""
    if given:
        host, port, proto = given.get(names[0]), given.get(names[1]), given.get(names[2])
        if host.__class__ is port.__class__ is proto.__class__ is str:
            return host, port, proto
    known = dict(headers)
    host, port, proto = (known.get(name.encode(), b"").decode("latin-1") for name in LOWER_CASE)
    return host, port, proto


def server(host: str | None, port: str | None, scheme: str) -> tuple[str, int] | None:
    """Host and port that the request was sent to, from the Host header ("name", "name:port", "[::1]:port"), or `None`
    if it is none. `port` is for a host without one, and the scheme's own for both."""
    if not host or len(host) > _LONGEST_HOST:
        return None
    return _server(host, port if port and len(port) <= _LONGEST_PORT else None, scheme)


@lru_cache(64)  # an API has few names. What a client has made up is at least short
def _server(host: str, port: str | None, scheme: str) -> tuple[str, int] | None:
    match = _read_host(host)
    if match is None:
        return None
    address, name, own_port = match.groups()
    if address is not None and not _is_ipv6(address):
        return None
    if own_port:
        number = _port_number(own_port)
        return None if number is None else (address or name, number)
    return address or name, _port_number(port) or _DEFAULT_PORTS[scheme]


def _port_number(port: str | None) -> int | None:
    number = int(port) if port and port.isascii() and port.isdecimal() else 0
    return number if 1 <= number <= _MOST_PORT else None


def _is_ipv6(address: str) -> bool:
    from ipaddress import IPv6Address  # few requests have one

    try:
        IPv6Address(address)
    except ValueError:
        return False
    return True


def last_forwarded_for(headers: Headers) -> str | None:
    """The address that the source itself put at the end of X-Forwarded-For; a client can forge those before it, and all
    of it where the source is told to leave the header alone. `None` if it is no address.

    With "client port preservation" a load balancer adds the port ("192.0.2.1:5", "[2001:db8::1]:5"): it is left out.
    """
    forwarded = next((value for name, value in headers if name == b"x-forwarded-for"), None)
    if forwarded is None:
        return None
    address = forwarded.decode("latin-1").rpartition(",")[2].strip()
    if address.startswith("["):
        address = address[1:].partition("]")[0]
    elif address.count(":") == 1:
        address = address.partition(":")[0]
    return address if _is_ipv4(address) or (":" in address and _is_ipv6(address)) else None
