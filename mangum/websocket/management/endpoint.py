"""Where an API's `@connections` are reached, and what its URL tells: host, region, ARN."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias
from urllib.parse import quote, unquote_to_bytes, urlsplit

from mangum.config import shown_url
from mangum.exceptions import ConfigurationError, ConnectionsError

__all__ = ["MOST_BYTES", "AWSHost", "Endpoint", "Server", "aws_host", "environment_region"]

# Of a message.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
MOST_BYTES = 128 * 1024

Server: TypeAlias = tuple[str, str, int]  # scheme, host and port

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?|[0-9a-f:.]*:[0-9a-f:.]*")  # a name or IPv4, or IPv6
# abc123.execute-api.eu-west-1.amazonaws.com; through a VPC endpoint abc123-vpce-0123.execute-api... or
# vpce-0123.execute-api.eu-west-1.vpce.amazonaws.com. China has ends of its own, and dual-stack has another:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-private-api-test-invoke-url.html
_AWS_HOST = re.compile(
    r"(?:(?P<api>[a-z0-9]+)(?:-vpce-[a-z0-9]+)?|vpce-[a-z0-9-]+)\.execute-api"
    r"\.(?P<region>[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2})\.(?P<end>[a-z.]+)"
)
_ENDS = ("amazonaws.com", "api.aws")
_ENDS_IN_CHINA = ("amazonaws.com.cn", "api.amazonwebservices.com.cn")
_PARTITIONS = {"cn": "aws-cn", "us-gov": "aws-us-gov"}


class AWSHost(NamedTuple):
    """What the name of a host of API Gateway tells."""

    api: str | None  # the id of the API; a VPC endpoint may serve several
    region: str


def aws_host(host: str) -> AWSHost | None:
    """What a host name in lower case tells, if it has exactly the form of API Gateway's hosts."""
    match = _AWS_HOST.fullmatch(host)
    if match is None:
        return None
    api, region = match["api"], match["region"]
    ends = _ENDS_IN_CHINA if region.startswith("cn-") else _ENDS
    return AWSHost(api, region) if match["end"] in (ends if api else (f"vpce.{ends[0]}",)) else None


def environment_region() -> str | None:
    """The region that the environment names: in Lambda, the function's."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None


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
            text.encode()
        except ValueError:  # also of a lone surrogate, which no URL can have
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
    def server(self) -> Server:
        """What connections go to."""
        return self.scheme, self.host, self.port

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
    def is_aws(self) -> bool:
        """Whether the host can only be API Gateway's, and nobody can read along."""
        return self.scheme == "https" and self.port == _PORTS["https"] and aws_host(self.host) is not None

    @property
    def region(self) -> str | None:
        """The region, where the host tells it: a custom domain does not."""
        found = aws_host(self.host)
        return found.region if found else None

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
        found = aws_host(self.host)
        api = found.api if found and found.api else "*"
        stage = self.path.strip("/") if found and self.path else "*"
        partition = next((name for prefix, name in _PARTITIONS.items() if region.startswith(f"{prefix}-")), "aws")
        return f"arn:{partition}:execute-api:{region}:*:{api}/{stage}/{method}/@connections/*"


def _misfit(text: str) -> ConfigurationError:
    return ConfigurationError(
        f"{shown_url(text)!r} is no endpoint of a WebSocket API: `api_gateway_endpoint_url` must look like "
        "https://abc.execute-api.eu-west-1.amazonaws.com/stage, or https://domain/mapping-key for a custom domain."
    )
