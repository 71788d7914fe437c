"""A DSN: the name of a connection store, which may hold a password and therefore never shows itself whole."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, quote_plus, unquote

from mangum.exceptions import ConfigurationError

__all__ = ["DSN"]

_EXAMPLES = "sqlite:///path/to.db, postgresql://user@host/db, redis://host, dynamodb://table or s3://bucket"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9_+.-]*")
_ADDRESS = re.compile(r"(\[[^][]*\]|[^][:]*)(?::(.*))?", re.DOTALL)


@dataclass(frozen=True, repr=False)
class DSN:
    """`scheme://[userinfo@]location[/path][?query]`, taken apart. Names keep their case; what is quoted is decoded,
    except in `text` and `location`."""

    text: str  # as it was given, with its password
    scheme: str  # in lower case
    user: str | None
    password: str | None
    location: str  # what a URL has for host and port; perhaps several, or the name of a table
    path: str  # without the slash in front
    query: dict[str, str] = field(hash=False)

    @classmethod
    def parse(cls, text: object) -> DSN:
        """Take a DSN apart.

        Raises:
            ConfigurationError: it is none. The message does not repeat it, since it may hold a password.
        """
        if not isinstance(text, str):
            raise ConfigurationError(f"`dsn` must be a string like {_EXAMPLES}, not a {type(text).__name__}.")
        scheme, separator, rest = text.partition("://")
        if not separator or not _SCHEME.fullmatch(scheme):
            raise ConfigurationError(f"`dsn` has no scheme: it must look like {_EXAMPLES}.")
        rest, _, query = rest.partition("?")
        authority, _, path = rest.partition("/")
        userinfo, at, location = authority.rpartition("@")
        user, colon, password = userinfo.partition(":")
        if ":" in authority and "@" in path + query:
            raise ConfigurationError(
                "`dsn` has an @ behind a / or ?: in a user or password these are written %40, %2F and %3F."
            )
        try:
            parameters = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
        except ValueError:
            raise ConfigurationError("`dsn` has a query that is not made of name=value pairs joined by &.") from None
        return cls(
            text=text,
            scheme=scheme.lower(),
            user=unquote(user) if at else None,
            password=unquote(password) if colon else None,
            location=location,
            path=unquote(path),
            query=dict(parameters),
        )

    def __str__(self) -> str:
        """The DSN without its secrets: the userinfo and the values of the query are left out."""
        userinfo = "" if self.user is None else "***@"
        path = f"/{self.path}" if self.path else ""
        query = f"?{'&'.join(f'{name}=***' for name in self.query)}" if self.query else ""
        return f"{self.scheme}://{userinfo}{self._shown_location}{path}{query}"

    def __repr__(self) -> str:
        return f"DSN({str(self)!r})"

    @property
    def _shown_location(self) -> str:
        """The location. What is no port may be a password: `redis://user:password` lacks its @."""
        if self.scheme == "sqlite":  # a file, whose name may have colons
            return self.location
        parts = [(text, _ADDRESS.fullmatch(text)) for text in self.location.split(",")]
        return ",".join(
            f"{match[1]}:***" if match and match[2] is not None and _port(match[2]) is None else text
            for text, match in parts
        )

    def addresses(self, text: str) -> list[tuple[str, int | None]]:
        """The hosts and ports in `host[:port][,host[:port]...]`, a part of this DSN. A host may be empty, and is where
        the text is no address; an IPv6 address keeps its brackets.

        Raises:
            ConfigurationError: a port is not a number from 1 to 65535.
        """
        matches = [_ADDRESS.fullmatch(part) for part in text.split(",")]
        return [
            (match[1], None if match[2] is None else self.port(match[2])) if match else ("", None) for match in matches
        ]

    def port(self, text: str) -> int:
        """The number of a port.

        Raises:
            ConfigurationError: it is not a number from 1 to 65535. The message leaves it out: it may be a password.
        """
        port = _port(text)
        if port is None:
            raise ConfigurationError(
                f"Invalid port in the DSN {self}: a port is a number from 1 to 65535, and an IPv6 address is written "
                "in brackets."
            )
        return port

    @property
    def _secrets(self) -> list[str]:
        """Whatever may be one, longest first: as it is, as it stands in the DSN, and as libraries may write it."""
        authority, _, query = self.text.partition("://")[2].partition("?")
        forms = [authority.partition("/")[0].rpartition("@")[0].partition(":")[2]]
        forms += [pair.partition("=")[2] for pair in query.split("&") if _is_secret(pair.partition("=")[0])]
        values = [self.password or "", *(value for name, value in self.query.items() if _is_secret(name))]
        for write in (_quote_all, quote, quote_plus, _escape):
            forms += map(write, values)
        return sorted({self.text, *values, *forms} - {""}, key=len, reverse=True)

    def redact(self, text: str) -> str:
        """A text of a library's, without what the DSN keeps secret."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def is_clean(self, error: BaseException) -> bool:
        """Whether neither an error nor what caused it tells a secret."""
        seen: BaseException | None = error
        while seen is not None:
            if self.redact(f"{seen} {seen!r}") != f"{seen} {seen!r}":
                return False
            seen = seen.__cause__ or seen.__context__
        return True

    def parameters(self, *known: str) -> dict[str, str]:
        """The query, if it has no parameter but those that are `known`.

        Raises:
            ConfigurationError: it has another; the message names both.
        """
        unknown = [name for name in self.query if name not in known]
        if unknown:
            raise ConfigurationError(
                f"The DSN {self} has a parameter that is not known: {', '.join(unknown)}. "
                f"{self.scheme}:// takes {', '.join(known) if known else 'none'}."
            )
        return self.query


def _port(text: str) -> int | None:
    """The number of a port; `None` if the text is none."""
    if not 1 <= len(text) <= 5 or not text.isascii() or not text.isdecimal():
        return None
    port = int(text)
    return port if 1 <= port <= 65535 else None


def _is_secret(parameter: str) -> bool:
    return any(word in parameter.lower() for word in ("pass", "secret", "token", "key"))


def _quote_all(text: str) -> str:
    return quote(text, safe="")


def _escape(text: str) -> str:
    return repr(text)[1:-1]
