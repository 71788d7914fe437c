"""Which names the gateway answers to.

A web page can have a name of its own resolved to this machine (DNS rebinding), and its requests then carry that name as
their Host. So a server on a developer's machine answers to known names only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mangum.exceptions import ConfigurationError

__all__ = ["AllowedHosts", "is_from_page", "is_loopback"]

_LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE)
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^:\[\]/@]+)(:\d{1,5})?", re.IGNORECASE)
_PATTERN = re.compile(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:.]*:[0-9a-f:.]*")
_OF_LOOPBACK = ("localhost", ".localhost", "127.0.0.1", "::1")


def is_loopback(host: str) -> bool:
    """Whether a Host field names this machine itself."""
    return _LOOPBACK.fullmatch(host) is not None


def is_from_page(names: Iterable[str]) -> bool:
    """Whether a request with header fields of these names, in lower case, was sent by a web page, and not by a
    program."""
    return not {"origin", "sec-fetch-site"}.isdisjoint(names)


class AllowedHosts:
    """The names of this machine, and those that the developer allows."""

    def __init__(self, allowed: Iterable[str] = (), own: str = "") -> None:
        """Each of `allowed` is a name, an IP address, or, with a dot in front, a domain with its subdomains. `own` is
        the address that the server was told to listen on.

        Raises:
            ConfigurationError: one of `allowed` is none of these.
        """
        names = {_checked(name) for name in allowed}.union(_OF_LOOPBACK, [own.lower()] if own else [])
        self._names = frozenset(name.removeprefix(".") for name in names)
        self._domains = tuple(name for name in names if name.startswith("."))

    def include(self, host: str, address: str) -> bool:
        """Whether a Host field, with or without a port, is one of them, or the address that the request came to."""
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found["name"].strip("[]").rstrip(".").lower()
        return name in self._names or name.endswith(self._domains) or name == address.removeprefix("::ffff:")


def _checked(name: str) -> str:
    pattern = name.strip("[]").rstrip(".").lower()
    if not _PATTERN.fullmatch(pattern):
        raise ConfigurationError(
            f"invalid host {name!r} in --allowed-host: expected a name such as app.example.com, .example.com for a "
            "domain and its subdomains, or an IP address, without scheme and port"
        )
    return pattern
