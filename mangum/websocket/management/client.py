"""One endpoint: signs what it is to get, sends it, and reads what it says, without the secrets that it may repeat."""

from __future__ import annotations

import json
import ssl
import time
from typing import NamedTuple

from mangum.exceptions import ConnectionsError
from mangum.websocket.management.credentials import CredentialsSource
from mangum.websocket.management.endpoint import Endpoint, environment_region
from mangum.websocket.management.masking import repeats
from mangum.websocket.management.pool import Pool, Unreached
from mangum.websocket.management.sigv4 import Credentials, Signer

__all__ = ["Attempt", "EndpointClient"]

_ATTEMPT_S = 2.5
_LOCAL_REGION = "us-east-1"  # an emulator may want one, and takes any

_BAD_REQUEST = 400
_WRONG_ENDPOINT = (403, 404)
_PASSING = (408, 429)  # and all from 500 on
_SHOWN = 300


class Attempt(NamedTuple):
    """What came of one attempt."""

    status: int  # 0 for no answer
    message: str
    cause: OSError | None = None
    is_sent: bool = True  # whether the server may have got the request

    @property
    def is_timeout(self) -> bool:
        """Whether nothing came in time."""
        return isinstance(self.cause, TimeoutError)

    @property
    def may_pass(self) -> bool:
        """Whether the next attempt may succeed."""
        return self.status == 0 or self.status in _PASSING or self.status >= 500

    @property
    def may_have_worked(self) -> bool:
        """Whether the server may have taken the request before it failed. It has not if it asks for patience."""
        return self.is_sent and (self.status == 0 or self.status >= 500)

    def __str__(self) -> str:
        if self.cause is not None:
            return self.message
        return f"it answered {self.status} ({self.message})" if self.message else f"it answered {self.status}"


class EndpointClient:
    """An endpoint with the connections to its server and the identity that it is to see."""

    def __init__(
        self, endpoint: Endpoint, pool: Pool, credentials: CredentialsSource | None, region_name: str | None
    ) -> None:
        """`region_name` is the region to sign for; `None` takes it from the endpoint's host, or else from `AWS_REGION`.
        Without `credentials`, requests are not signed.

        Raises:
            ConnectionsError: no region is known.
        """
        region = region_name or endpoint.region or environment_region()
        if not region and not endpoint.is_local:
            raise ConnectionsError(
                f"The region of {endpoint} is not known: set `api_gateway_region_name` or the variable AWS_REGION."
            )
        self.endpoint = endpoint
        self.calls = 0  # under way
        self._is_local = endpoint.is_local
        self._region = region or _LOCAL_REGION
        self._pool = pool
        self._credentials = credentials
        self._signer = Signer(endpoint.authority, self._region)
        self._head = f" HTTP/1.1\r\nhost: {endpoint.authority}\r\nuser-agent: mangum\r\n"

    async def attempt(self, method: str, path: str, body: bytes, due: float, *, on_new: bool = False) -> Attempt:
        """Send a request once, and wait for the answer until `due`, in the loop's time, and 2.5 s at the most. If a
        kept connection turns out to be dead, it is sent again on a new one. `on_new` uses no kept connection.

        Raises:
            ConnectionsError: there are no credentials, or the server is not who it says.
        """
        now = time.time()
        credentials: Credentials | None = None
        if self._credentials is not None:
            if self._is_local:  # an emulator, which needs no AWS account
                credentials = self._credentials.in_environment(now)
            else:
                credentials = await self._credentials.current(now, due)
        signature = self._signer.headers(method, path, body, credentials, now) if credentials is not None else ""
        head = f"{method} {path}{self._head}{signature}content-length: {len(body)}\r\n\r\n"
        try:
            response = await self._pool.request(head.encode() + body, due=due, limit_s=_ATTEMPT_S, on_new=on_new)
        except Unreached as error:
            self._insist_on_trust(error.cause)
            return Attempt(0, str(error) or "it did not answer", error.cause, is_sent=False)
        except OSError as error:
            self._insist_on_trust(error)
            return Attempt(0, str(error) or "it did not answer", error)
        if response.status < 300:
            return Attempt(response.status, "")
        secrets = [] if credentials is None else [*credentials.secrets, signature.rstrip().rpartition("=")[2]]
        return Attempt(response.status, _message(response.body, secrets))

    def _insist_on_trust(self, error: OSError) -> None:
        if isinstance(error, ssl.SSLCertVerificationError):
            raise ConnectionsError(
                f"{self.endpoint} is not trusted: {error.verify_message}. If an authority of your own issued its "
                "certificate, AWS_CA_BUNDLE has to name that authority's file."
            ) from error

    def refusal(self, method: str, answer: Attempt) -> ConnectionsError:
        """What to say of an answer that no other attempt will change."""
        if answer.status == _BAD_REQUEST:
            return ConnectionsError(f"API Gateway does not know such a connection id: {answer}.")
        if answer.status not in _WRONG_ENDPOINT:
            return ConnectionsError(f"{self.endpoint} does not answer as API Gateway does: {answer}.")
        return ConnectionsError(
            f"API Gateway refused a {method} to {self.endpoint}: {answer}. Either the function's role does not allow "
            f"execute-api:ManageConnections on {self.endpoint.arn(method, self._region)}, or this is not the endpoint "
            "and stage that the client connected to: behind a custom domain, set `api_gateway_endpoint_url` to "
            "https://domain/mapping-key, without the stage."
        )


def _message(body: bytes, secrets: list[str]) -> str:
    """The first line of what the server says to a request that was sent with `secrets`. If there are any, only the
    `message` of API Gateway's JSON is shown, and not if it repeats a part of one: API Gateway answers a wrong signature
    with all that it should have signed, session token included."""
    text = body.decode(errors="replace")
    try:
        said = json.loads(text)
        text = str(said.get("message") or said.get("Message") or "")
    except (ValueError, AttributeError, RecursionError):  # no JSON, or no object: something between says it
        text = "" if secrets else text
    line = "".join(filter(str.isprintable, next(iter(text.splitlines()), "")))
    if repeats(line[: 2 * _SHOWN], secrets):  # more than is shown, so that the cut hides none
        return "its message is not shown, because it repeats a part of the credentials"
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."
