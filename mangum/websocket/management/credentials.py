"""The AWS credentials that requests are signed with.

Lambda puts them into the environment, and there they are read from without any AWS library: to import aiobotocore takes
0.4 s. Every other source (SnapStart's container credentials, a profile, SSO, an assumed role, instance metadata) is
aiobotocore's business, which is imported then.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from mangum.exceptions import ConnectionsError
from mangum.websocket.management.sigv4 import Credentials

__all__ = ["CredentialsSource"]

# A search that failed may have taken seconds: others do not repeat it at once.
_FAILURE_S = 5.0

_HOW = (
    "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, where there is one, AWS_SESSION_TOKEN, as Lambda does, "
    "or provide a profile or a role"
)


class CredentialsSource:
    """The credentials of this process, fresh whenever they are asked for. Belongs to the running event loop."""

    def __init__(self) -> None:
        self._second = -1
        self._environment: Credentials | None = None
        self._found: Credentials | None = None
        self._lock = asyncio.Lock()
        self._chain: Any = None  # what aiobotocore's chain of providers came to; it has no types
        self._failure: tuple[float, str] | None = None  # when, in Unix seconds

    def in_environment(self, now: float) -> Credentials | None:
        """What the environment has at `now`, in Unix seconds. It is looked at once a second.

        Raises:
            ConnectionsError: it has credentials that cannot be used.
        """
        second = int(now)
        if second != self._second:
            self._environment = _environment()
            self._found = None
            self._second = second  # not before: what cannot be used is refused every time
        return self._environment

    async def current(self, now: float, due: float) -> Credentials:
        """What to sign with at `now`, in Unix seconds; by `due`, in the loop's time. aiobotocore is asked once a
        second, and renews credentials before they expire.

        Raises:
            ConnectionsError: there are none; the text says which are missing.
        """
        found = self.in_environment(now) or self._found
        if found is None:
            try:
                async with asyncio.timeout_at(due):
                    found = self._found = await self._from_chain(now)
            except TimeoutError as error:
                raise ConnectionsError("The AWS credentials were not there in time.") from error
        return found

    async def _from_chain(self, now: float) -> Credentials:
        async with self._lock:
            if self._failure is not None and 0 <= now - self._failure[0] < _FAILURE_S:
                raise ConnectionsError(self._failure[1])
            try:
                return await self._ask_chain()
            except ConnectionsError as error:
                self._failure = (now, str(error))
                raise

    async def _ask_chain(self) -> Credentials:
        try:
            from aiobotocore.session import get_session
        except ImportError as error:
            raise ConnectionsError(
                "There are no AWS credentials in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), and other "
                'sources need a library that is not installed: pip install "mangum[aws]".'
            ) from error
        try:
            if self._chain is None:
                self._chain = await get_session().get_credentials()
            found = await self._chain.get_frozen_credentials() if self._chain is not None else None
        except Exception as error:  # of botocore, of its HTTP client, or of a file that it reads
            raise ConnectionsError(f"The AWS credentials cannot be loaded: {type(error).__name__}: {error}") from error
        if found is None:
            raise ConnectionsError(f"There are no AWS credentials to post to WebSocket connections with: {_HOW}.")
        return _checked("the credentials that aiobotocore found", found.access_key, found.secret_key, found.token)


def _environment() -> Credentials | None:
    """The credentials in the environment variables, as Lambda sets them."""
    access_key, secret_key = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not access_key or not secret_key:
        return None
    token = os.environ.get("AWS_SESSION_TOKEN") or None
    return _checked("the credentials in the environment (AWS_ACCESS_KEY_ID and others)", access_key, secret_key, token)


def _checked(whose: str, access_key: str, secret_key: str, token: str | None) -> Credentials:
    """Credentials that can stand in a header. A line break in one would begin a header of its own.

    Raises:
        ConnectionsError: one has another character than AWS's have; the text does not show it.
    """
    named = {"access key id": access_key, "secret access key": secret_key, "session token": token or ""}
    wrong = [name for name, value in named.items() if not (value.isascii() and value.isprintable())]
    if wrong:
        raise ConnectionsError(
            f"Invalid {' and '.join(wrong)} in {whose}: it has a control character, such as a line break, or one that "
            "is not ASCII. Remove it."
        )
    return Credentials(access_key, secret_key, token)
