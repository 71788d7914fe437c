"""Post to WebSocket connections and close them: what API Gateway answers, what is tried again, and what is an error.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import ssl
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from mangum.exceptions import ConfigurationError, ConnectionGone, ConnectionsError, MessageTooLarge
from mangum.websocket.management.client import EndpointClient
from mangum.websocket.management.credentials import CredentialsSource
from mangum.websocket.management.endpoint import MOST_BYTES, Endpoint, Server
from mangum.websocket.management.pool import Pool

__all__ = ["ManagementAPI"]

logger: logging.Logger = logging.getLogger("mangum.websocket.connections")

_MOST_CONNECTIONS = 64  # HTTP connections to one server
# Endpoints that are kept open. Clients can choose among many names of one API, such as a wildcard domain's.
_MOST_ENDPOINTS = 16
_LONGEST_S = 10.0  # of a call without a deadline
# A gateway may take a message and fail before it says so. Each further attempt may deliver it again, so there are few.
_MOST_UNCERTAIN = 4
# A connection is open a moment after its CONNECT was answered; until then API Gateway says 410.
_OPENING_S = 5.0
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0

_SUCCESS = (200, 204)  # AWS says 200 to a POST and 204 to a DELETE, and emulators what they like
_NOT_FOUND = 404
_GONE = 410
_TOO_LARGE = 413


class ManagementAPI:
    """The management APIs of any number of endpoints. Opened by the first call, on the running event loop, and warm
    until `close`; a call on another loop opens it anew."""

    def __init__(self, region_name: str | None, endpoint_url: str | None = None) -> None:
        """`region_name` is what requests are signed for; `None` takes it from the endpoint's host, or else from
        `AWS_REGION`. `endpoint_url` is the endpoint that the user has configured. No other gets the credentials but
        hosts of API Gateway.

        Raises:
            ConfigurationError: `endpoint_url` is no URL of a management API, or plain HTTP to another machine.
        """
        self._region_name = region_name
        self._configured_url = endpoint_url
        self._configured = None if endpoint_url is None else Endpoint.parse(endpoint_url)
        if self._configured is not None and self._configured.scheme == "http" and not self._configured.is_local:
            raise ConfigurationError(
                f"`api_gateway_endpoint_url` is plain HTTP to another machine ({self._configured}), which would get "
                "the credentials in clear: write https://. Only an emulator at localhost or 127.0.0.1 may have http://."
            )
        self._session: _Session | None = None

    async def post(
        self, endpoint: str | None, connection_id: str, data: bytes, *, opened_at: float, due: float | None
    ) -> None:
        """Send a message to a connection that was opened at `opened_at`, in Unix seconds. `None` for the endpoint means
        the configured one.

        By `due`, in the loop's time, it is taken or this fails; without one in 10 s. If the gateway gets the message
        and then fails or falls silent, there are 4 attempts at the most, each of which may have delivered it. A
        cancelled call may have had its effect.

        Raises:
            ConnectionGone: the connection is closed.
            MessageTooLarge: the message has more than 128 KB.
            ConnectionsError: API Gateway refused it, or did not take it in time, or `endpoint` is not API Gateway, or
                no endpoint is known.
        """
        if len(data) > MOST_BYTES:
            raise _too_large(data)
        gone_from = min(opened_at, time.time()) + _OPENING_S
        status = await self._call("POST", endpoint, connection_id, data, due, (*_SUCCESS, _GONE, _TOO_LARGE), gone_from)
        if status == _GONE:
            raise ConnectionGone(f"The WebSocket connection {connection_id!r} is closed.")
        if status == _TOO_LARGE:
            raise _too_large(data)

    async def delete(self, endpoint: str | None, connection_id: str, *, due: float | None) -> None:
        """Close a connection. One that is not there is no error. `None` for the endpoint means the configured one.

        Raises:
            ConnectionsError: API Gateway refused, or did not answer in time, or `endpoint` is not API Gateway, or no
                endpoint is known.
        """
        await self._call("DELETE", endpoint, connection_id, b"", due, (*_SUCCESS, _GONE, _NOT_FOUND), gone_from=0)

    async def close(self) -> None:
        """Close the HTTP connections. Calls under way fail; later ones open them again."""
        session, self._session = self._session, None
        if session is not None and session.loop is asyncio.get_running_loop():
            await session.close()

    async def _call(
        self,
        method: str,
        endpoint: str | None,
        connection_id: str,
        data: bytes,
        due: float | None,
        settled: tuple[int, ...],
        gone_from: float,
    ) -> int:
        """The status that API Gateway settles on: one of `settled`, and 410 not before `gone_from`, in Unix seconds."""
        url = endpoint or self._configured_url
        if url is None:
            raise ConnectionsError(
                f"The CONNECT event of the connection {connection_id!r} did not tell where messages to it are posted: "
                'set it with Mangum(app, api_gateway_endpoint_url="https://...").'
            )
        session = self._open()
        with session.use(url, self._region_name, self._configured) as target:
            path = target.endpoint.target(connection_id)
            now = session.loop.time
            if due is None:
                due = now() + _LONGEST_S
            longest_pause = _FIRST_PAUSE_S
            reason = None
            is_uncertain = False
            uncertain = 0
            while True:
                answer = await target.attempt(method, path, data, due, on_new=is_uncertain)
                if answer.status in settled and (answer.status != _GONE or time.time() >= gone_from):
                    return answer.status
                if answer.status != _GONE and not answer.may_pass:
                    raise target.refusal(method, answer)
                is_uncertain = answer.may_have_worked
                uncertain += is_uncertain
                if uncertain == _MOST_UNCERTAIN:
                    raise ConnectionsError(
                        f"API Gateway did not take a {method} for the connection {connection_id!r} in {uncertain} "
                        f"attempts, though it may have: {answer}."
                    ) from answer.cause
                pause = random.uniform(longest_pause / 2, longest_pause)
                if answer.status == _GONE:
                    pause = min(pause, max(gone_from - time.time(), 0))
                # The last attempt may have had next to no time: that it came to nothing is not why the call failed.
                reason = reason if reason is not None and answer.is_timeout else answer
                if session.is_closed or now() + pause >= due:
                    raise ConnectionsError(
                        f"API Gateway did not take a {method} for the connection {connection_id!r} in time: {reason}."
                    ) from reason.cause
                logger.debug("%s %r: %s, again in %.2f s.", method, connection_id, answer, pause)
                await asyncio.sleep(pause)
                longest_pause = min(longest_pause * 2, _LONGEST_PAUSE_S)

    def _open(self) -> _Session:
        session = self._session
        if session is None or session.loop is not asyncio.get_running_loop():
            session = self._session = _Session()
        return session


class _Session:
    """What is open on one event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.is_closed = False
        self._targets: OrderedDict[str, EndpointClient] = OrderedDict()  # the last one used comes last
        self._pools: dict[Server, Pool] = {}  # of the targets' servers
        self._credentials = CredentialsSource()

    @contextmanager
    def use(self, url: str, region_name: str | None, configured: Endpoint | None) -> Iterator[EndpointClient]:
        """The client of an endpoint, which is not dropped meanwhile.

        Raises:
            ConnectionsError: the endpoint is not API Gateway, or its region is not known.
        """
        target = self._targets.get(url)
        if target is None:
            target = self._targets[url] = self._connected(url, region_name, configured)
            self._drop_unused()
        else:
            self._targets.move_to_end(url)
        target.calls += 1
        try:
            yield target
        finally:
            target.calls -= 1

    def _connected(self, url: str, region_name: str | None, configured: Endpoint | None) -> EndpointClient:
        try:
            endpoint = Endpoint.parse(url)
        except ConfigurationError as error:
            raise ConnectionsError(str(error)) from None
        is_trusted = endpoint == configured or endpoint.is_aws
        if not is_trusted and not endpoint.is_local:
            raise ConnectionsError(
                f"{endpoint} is neither a host of API Gateway nor the `api_gateway_endpoint_url` of this adapter, so "
                "it does not get the credentials. If it is a custom domain, set `api_gateway_endpoint_url`."
            )
        pool = self._pools.get(endpoint.server)
        if pool is None:
            tls = self._tls if endpoint.scheme == "https" else None
            pool = Pool(endpoint.host, endpoint.port, tls, most=_MOST_CONNECTIONS)
        target = EndpointClient(endpoint, pool, self._credentials if is_trusted else None, region_name)
        self._pools[endpoint.server] = pool
        return target

    def _drop_unused(self) -> None:
        """Drop the endpoints that were used longest ago, and close what only they need. One with calls under way stays,
        so that no call fails."""
        *others, _newest = self._targets.items()
        unused = [url for url, target in others if not target.calls]
        for url in unused[: max(len(self._targets) - _MOST_ENDPOINTS, 0)]:
            dropped = self._targets.pop(url).endpoint.server
            if all(target.endpoint.server != dropped for target in self._targets.values()):
                self._pools.pop(dropped).abort()

    async def close(self) -> None:
        self.is_closed = True
        for pool in self._pools.values():
            await pool.close()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        path = os.environ.get("AWS_CA_BUNDLE") or None
        try:
            context = ssl.create_default_context(cafile=path)
        except OSError as error:
            raise ConfigurationError(f"AWS_CA_BUNDLE names a file that holds no certificates: {path}.") from error
        context.set_alpn_protocols(["http/1.1"])
        return context


def _too_large(data: bytes) -> MessageTooLarge:
    return MessageTooLarge(
        f"The message has {len(data):,} bytes, and API Gateway carries {MOST_BYTES:,} at the most: send it in parts."
    )
