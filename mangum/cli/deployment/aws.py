"""Calls to AWS, and one clear sentence for whatever they say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import botocore.exceptions
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from mangum.cli.deployment.errors import CommandError

__all__ = ["AWS", "account_of", "code_of", "explained", "message_of", "status_of"]

_CONNECT_S = 10.0
_READ_S = 60.0
_ATTEMPTS = 4

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_UNKNOWN = frozenset(
    {
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "AuthFailure",
    }
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"})


@dataclass(frozen=True, kw_only=True)
class AWS:
    """Where and as whom: what is `None` comes from AWS's usual variables and files."""

    region: str
    profile: str | None = None
    endpoint_url: str | None = None

    @asynccontextmanager
    async def client(self, service: str) -> AsyncIterator[Any]:
        """A client of a service.

        Raises:
            CommandError: whatever goes wrong inside with AWS.
        """
        with explained(self):
            session = AioSession(profile=self.profile)
            config = AioConfig(
                connect_timeout=_CONNECT_S,
                read_timeout=_READ_S,
                retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
                s3={"addressing_style": "path"} if self.endpoint_url else None,
            )
            async with session.create_client(
                service, region_name=self.region, endpoint_url=self.endpoint_url, config=config
            ) as client:
                yield client


async def account_of(aws: AWS) -> str:
    """The number of the account that the credentials belong to.

    Raises:
        CommandError: AWS does not tell.
    """
    async with aws.client("sts") as sts:
        identity = await sts.get_caller_identity()
    return str(identity["Account"])


@contextmanager
def explained(aws: AWS) -> Iterator[None]:
    """Have what AWS's library raises end as a `CommandError`."""
    try:
        yield
    except ClientError as error:
        raise CommandError(_explain(error, aws)) from None
    except (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError):
        raise CommandError(
            "There are no credentials for AWS: `aws configure` or `aws sso login` makes them, --profile names them, or "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY hold them."
        ) from None
    except botocore.exceptions.ProfileNotFound:
        raise CommandError(f"There is no profile {aws.profile or 'of AWS_PROFILE'} in AWS's configuration.") from None
    except (
        botocore.exceptions.TokenRetrievalError,
        botocore.exceptions.UnauthorizedSSOTokenError,
        botocore.exceptions.CredentialRetrievalError,
    ) as error:
        raise CommandError(f"The credentials could not be had, perhaps they have expired: {error}") from None
    except (BotoCoreError, ResponseParserError) as error:
        raise CommandError(f"AWS cannot be reached: {error}") from None


def _explain(error: ClientError, aws: AWS) -> str:
    code, operation = code_of(error), error.operation_name
    if code in _EXPIRED:
        return "The credentials for AWS have expired: get new ones, for example with `aws sso login`."
    if code in _UNKNOWN:
        return f"AWS does not know the credentials ({code}): look at --profile, AWS_PROFILE and AWS_ACCESS_KEY_ID."
    if code in _DENIED:
        return f"AWS denies {operation} in {aws.region}: the credentials lack that right. {message_of(error)}"
    return f"AWS refuses {operation}: {message_of(error)} ({code})"


def code_of(error: ClientError) -> str:
    """AWS's name of an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def message_of(error: ClientError) -> str:
    """What AWS says of an error."""
    return str(error.response.get("Error", {}).get("Message") or error)


def status_of(error: ClientError) -> int:
    """Its HTTP status."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
