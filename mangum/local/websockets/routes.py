"""Which route a message takes.

https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-routes.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection

from mangum.exceptions import ConfigurationError
from mangum.local.events.websocket import CONNECT_ROUTE, DEFAULT_ROUTE, DISCONNECT_ROUTE

__all__ = ["DEFAULT_EXPRESSION", "Routes"]

DEFAULT_EXPRESSION = "$request.body.action"

_EXPRESSION = re.compile(r"\$request\.body((?:\.[\w-]+)+)|\$\{request\.body((?:\.[\w-]+)+)\}")


class Routes:
    """The routes of an API for messages, and the expression that selects one."""

    def __init__(
        self, names: Collection[str] = (), *, expression: str = DEFAULT_EXPRESSION, default: bool = True
    ) -> None:
        """`default` is whether there is a `$default` route.

        Raises:
            ConfigurationError: the expression selects nothing of a message, or a name is none of a custom route's.
        """
        found = _EXPRESSION.fullmatch(expression)
        if found is None:
            raise ConfigurationError(
                f"The route selection expression {expression!r} cannot be used: name a field of the message, as in "
                "$request.body.action."
            )
        for name in names:
            if not name or name in (CONNECT_ROUTE, DEFAULT_ROUTE, DISCONNECT_ROUTE):
                raise ConfigurationError(
                    f"{name!r} is no custom route: $connect, $default and $disconnect are there by themselves."
                )
        self._names = frozenset(names)
        self._path = (found[1] or found[2]).lstrip(".").split(".")
        self._default = DEFAULT_ROUTE if default else None

    def select(self, data: str | bytes) -> str | None:
        """The route of a message; `None` where there is none for it."""
        name = self._value(data) if self._names else None
        return name if name in self._names else self._default

    def _value(self, data: str | bytes) -> str | None:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):  # no JSON, or bytes of no text at all
            return None
        for key in self._path:
            if not isinstance(value, dict):
                return None
            value = value.get(key)
        return value if isinstance(value, str) else None
