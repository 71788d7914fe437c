"""All of AWS that a deployment talks to, as moto has it."""

from __future__ import annotations

from typing import Any

import boto3

from tests.servers import HOST
from tests.servers.moto import Moto

__all__ = ["Cloud"]


class Cloud(Moto):
    """S3, CloudFormation, IAM, Lambda, API Gateway, DynamoDB and CloudWatch Logs, on one port."""

    def __init__(self) -> None:
        super().__init__("cloud")

    @property
    def url(self) -> str:
        """For `--endpoint-url`."""
        return f"http://{HOST}:{self.port}"

    def boto3(self, service: str, region: str) -> Any:
        """A client that looks from the outside."""
        return boto3.client(service, region_name=region, endpoint_url=self.url)

    def reset(self) -> None:
        """Forget everything."""
        self._ask("POST", "/moto-api/reset", "")
