"""Where an API's `@connections` are reached, and what its URL tells: host, region, ARN."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes, urlsplit

from mangum.exceptions import ConfigurationError, ConnectionsError

__all__ = ["MOST_BYTES", "Endpoint"]

# Of a message.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
MOST_BYTES = 128 * 1024

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
# abc123.execute-api.eu-west-1.amazonaws.com (and .com.cn); through a VPC endpoint abc123-vpce-0123 or
# vpce-0123.execute-api.eu-west-1.vpce.amazonaws.com; dual-stack ends in .api.aws.
_AWS_HOST = re.compile(
    r"(?P<api>[^.]+)\.execute-api\.(?P<region>[a-z0-9-]+)\.(?:vpce\.)?(?:amazonaws\.com(?:\.cn)?|api\.aws)"
)
_PARTITIONS = {"cn": "aws-cn", "us-gov": "aws-us-gov"}


@dataclass(frozen=True)
class Endpoint:
    """A management API's URL, taken apart: `https://abc.execute-api.eu-west-1.amazonaws.com/stage`, or
    `https://domain/mapping-key`, or an emulator's."""

    scheme: str
    host: str  # in lower case, IPv6 without brackets
    port: int
    path: str  # in front of `/@connections`: each segment percent-encoded, empty for none

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Take a URL apart.

        Raises:
            ConfigurationError: it is none that a management API can have.
        """
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise _misfit(text) from None
        host = parts.hostname or ""
        segments = [segment for segment in parts.path.split("/") if segment]
        if (
            parts.scheme not in _PORTS
            or not _HOST.fullmatch(host)
            or parts.username is not None
            or parts.query
            or parts.fragment
            or not {".", ".."}.isdisjoint(segments)
        ):
            raise _misfit(text)
        path = "".join(f"/{quote(unquote_to_bytes(segment), safe='')}" for segment in segments)
        return cls(parts.scheme, host, port or _PORTS[parts.scheme], path)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """What the `Host` header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether it is plain HTTP on this machine: an emulator, which knows no AWS account."""
        try:
            return self.scheme == "http" and ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.scheme == "http" and self.host == "localhost"

    @property
    def region(self) -> str | None:
        """The region, where the host tells it: a custom domain does not."""
        match = _AWS_HOST.fullmatch(self.host)
        return match["region"] if match else None

    def target(self, connection_id: str) -> str:
        """The path of a connection, percent-encoded.

        Raises:
            ConnectionsError: no connection can have this id.
        """
        try:
            quoted = quote(connection_id, safe="")
        except UnicodeEncodeError:
            quoted = ""
        if quoted in ("", ".", ".."):
            raise ConnectionsError(f"API Gateway gives out no connection id like {connection_id!r}.")
        return f"{self.path}/%40connections/{quoted}"

    def arn(self, method: str, region: str) -> str:
        """The resource that a policy has to name, with `*` for what the URL does not tell."""
        match = _AWS_HOST.fullmatch(self.host)
        api = match["api"].partition("-")[0] if match else "*"
        stage = self.path.strip("/") if match and self.path else "*"
        partition = next((name for prefix, name in _PARTITIONS.items() if region.startswith(f"{prefix}-")), "aws")
        return f"arn:{partition}:execute-api:{region}:*:{api}/{stage}/{method}/@connections/*"


def _misfit(text: str) -> ConfigurationError:
    shown = re.sub(r"//.*@", "//***@", text)
    return ConfigurationError(
        f"{shown!r} is no endpoint of a WebSocket API: `api_gateway_endpoint_url` must look like "
        "https://abc.execute-api.eu-west-1.amazonaws.com/stage, or https://domain/mapping-key for a custom domain."
    )
