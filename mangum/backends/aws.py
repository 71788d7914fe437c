"""What the stores on AWS have in common: a client as the DSN and the environment say, requests that wait out
throttling, and what AWS's errors mean."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import cache
from typing import Any, TypeVar, overload
from urllib.parse import urlsplit

import aiobotocore
import aiohttp
import botocore.exceptions
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import validate_region_name

from mangum.backends.dsn import DSN
from mangum.exceptions import ConfigurationError

__all__ = ["UNAVAILABLE", "AWSClient", "Missing", "delays", "error_code", "error_message", "gather", "is_denied"]

A = TypeVar("A")
B = TypeVar("B")

# `Store` bounds each call; these are for what goes on without it.
_TIMEOUT_S = 5
# A group's members come and go by the dozen. More connections than that only wait for each other.
_CONNECTIONS = 32

# botocore's own is made anew for each request, which takes a tenth of its time.
_USER_AGENT = f"mangum aiobotocore/{aiobotocore.__version__}"

# Throttled requests are repeated after about 50, 100, 200 and 400 ms: together less than an attempt of `Store`.
_FIRST_DELAY_S = 0.05
_DELAYS = 4
_THROTTLED = {
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TransactionConflictException",
}
_MISSING = {"NoSuchBucket", "ResourceNotFoundException"}
_DENIED = {"403", "AccessDenied", "AccessDeniedException", "AllAccessDisabled"}


class Missing(Exception):
    """The table or bucket is not there. `Store` opens the store again, and that creates it."""


# What is tried again on fresh connections.
UNAVAILABLE: tuple[type[BaseException], ...] = (
    OSError,
    aiohttp.ClientError,
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.IncompleteReadError,
    Missing,
)


class AWSClient:
    """A client of one service, in the region and at the endpoint of a DSN, which is open or not."""

    def __init__(self, service: str, dsn: DSN, **config: Any) -> None:
        """`config` goes to botocore's `Config`.

        Raises:
            ConfigurationError: the DSN has credentials, a parameter that is not known or has no such value, or there is
                no region.
        """
        if dsn.user is not None:
            raise ConfigurationError(
                f"The DSN {dsn} has credentials. They come from where AWS's tools take them: the function's role, the "
                "environment, a profile."
            )
        parameters = dsn.parameters("region", "endpoint_url")
        self._service = service
        self.region: str = _region(dsn)
        self._endpoint_url = parameters.get("endpoint_url")
        if self._endpoint_url is not None and not self._endpoint_url.startswith(("http://", "https://")):
            raise ConfigurationError(f"The `endpoint_url` of the DSN {dsn} must begin with http:// or https://.")
        if self._endpoint_url is not None and not _has_valid_port(self._endpoint_url):
            raise ConfigurationError(
                f"Invalid port in the `endpoint_url` of the DSN {dsn}: a port is a number from 1 to 65535, and an IPv6 "
                "address is written in brackets."
            )
        if not {"@", "?", "#"}.isdisjoint(self._endpoint_url or ""):  # errors of botocore would show it
            raise ConfigurationError(
                f"The `endpoint_url` of the DSN {dsn} has a user, a query or a fragment, which requests to AWS have no "
                "use for: remove it."
            )
        self._config = AioConfig(
            connect_timeout=_TIMEOUT_S,
            read_timeout=_TIMEOUT_S,
            max_pool_connections=_CONNECTIONS,
            retries={"total_max_attempts": 1},
            user_agent=_USER_AGENT,
            **config,
        )
        self._client: Any = None

    async def open(self) -> None:
        """Make the client. No request yet."""
        session = AioSession()
        session.register_component("data_loader", _loader())
        creation = session.create_client(
            self._service, region_name=self.region, endpoint_url=self._endpoint_url, config=self._config
        )
        self._client = await creation.__aenter__()

    async def close(self) -> None:
        """Close all connections, without waiting for the other end."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
            await asyncio.sleep(0)  # in which the loop lets go of the sockets

    def unregister(self, event: str, handler: Callable[..., Any]) -> None:
        """Take one of botocore's own handlers out of the client."""
        self._client.meta.events.unregister(event, handler)

    async def request(self, operation: str, **parameters: Any) -> Any:
        """One request, repeated while AWS asks for patience.

        Raises:
            Missing: the table or bucket is not there.
            ClientError: AWS refuses.
        """
        for delay in delays():
            try:
                return await self.attempt(operation, **parameters)
            except ClientError as error:
                if not _is_transient(error):
                    raise
            await asyncio.sleep(delay)
        return await self.attempt(operation, **parameters)

    async def attempt(self, operation: str, **parameters: Any) -> Any:
        """One request, once.

        Raises:
            Missing: the table or bucket is not there.
            ClientError: AWS refuses, or asks for patience.
        """
        if self._client is None:
            raise ConnectionError("its connections were dropped")
        try:
            return await getattr(self._client, operation)(**parameters)
        except ClientError as error:
            if error_code(error) in _MISSING:
                raise Missing(error_message(error)) from error
            raise


def _has_valid_port(url: str) -> bool:
    """Whether a URL has a port from 1 to 65535, or none."""
    try:
        return urlsplit(url).port != 0
    except ValueError:  # also for an IPv6 address without its end
        return False


@cache
def _loader() -> Any:
    """botocore's descriptions of services, which take 0.1 s to read."""
    return AioSession().get_component("data_loader")


def _region(dsn: DSN) -> str:
    """The region of the DSN, of the environment, or of the profile."""
    region: str | None = dsn.query.get("region") or os.environ.get("AWS_REGION")  # which botocore does not read
    try:
        region = region or AioSession().get_config_variable("region")
        if region is not None:
            validate_region_name(region)
            return region
    except BotoCoreError as error:
        raise ConfigurationError(f"The DSN {dsn} has no region that could be used: {error}") from error
    raise ConfigurationError(
        f"The DSN {dsn} has no region: add ?region=eu-central-1, or set AWS_REGION or AWS_DEFAULT_REGION."
    )


def delays() -> Iterator[float]:
    """How long to wait before each further request, in seconds, with chance in it, so that those who were refused
    together do not come back together: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/"""
    for attempt in range(_DELAYS):
        yield _FIRST_DELAY_S * 2**attempt * random.uniform(0.5, 1)


def error_code(error: ClientError) -> str:
    """AWS's name of an error; for an answer without a body, its status."""
    code: str = error.response["Error"].get("Code", "")
    return code


def error_message(error: ClientError) -> str:
    """AWS's text of an error."""
    return f"{error_code(error)}: {error.response['Error'].get('Message', '')}"


def is_denied(error: ClientError) -> bool:
    """Whether a right is missing."""
    return error_code(error) in _DENIED


def _is_transient(error: ClientError) -> bool:
    status: int = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status >= 500 or status == 429 or error_code(error) in _THROTTLED


@overload
async def gather(first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B], /) -> tuple[A, B]: ...
@overload
async def gather(*work: Coroutine[Any, Any, A]) -> Sequence[A]: ...
async def gather(*work: Coroutine[Any, Any, Any]) -> Sequence[Any]:
    """Do all of it at the same time. The first error ends it, and is raised as itself; nothing is left running."""
    if len(work) == 1:
        return (await work[0],)
    tasks = [asyncio.ensure_future(part) for part in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        running = [task for task in tasks if not task.done()]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
