"""Who posts: signatures as botocore checks them, credentials from wherever they come, TLS, and no secret anywhere."""

from __future__ import annotations

import asyncio
import html
import json
import logging
import re
import ssl
import string
import subprocess
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import quote, quote_plus

import anyio
import boto3
import pytest
import trustme
from anyio.abc import SocketStream
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import assume, given
from hypothesis import strategies as st

from mangum.core.http1 import HTTPResponse
from mangum.exceptions import ConfigurationError, ConnectionsError
from mangum.websocket.management.api import ManagementAPI
from mangum.websocket.management.credentials import CredentialsSource
from mangum.websocket.management.masking import repeats
from mangum.websocket.management.pool import Pool
from mangum.websocket.management.sigv4 import Credentials
from tests.servers import HOST
from tests.servers.connections import Answer, ConnectionsEndpoint
from tests.servers.connections import Credentials as Keys
from tests.servers.tcp import serving

ID = "R0oXAdfD0kwCH6w="
KEYS = Keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "IQoJb3JpZ2luX2VjE/token==")
AWS = "https://abc.execute-api.eu-west-1.amazonaws.com/prod"

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_aws")]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ConnectionsEndpoint]:
    """An endpoint that is no emulator, since it speaks TLS, and wants `KEYS`."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST).configure_cert(tls)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    with ConnectionsEndpoint(credentials=KEYS, tls=tls) as endpoint:
        yield endpoint


@pytest.fixture
async def api() -> AsyncIterator[ManagementAPI]:
    api = ManagementAPI(None)
    yield api
    await api.close()


@pytest.fixture
async def secure_api(secure: ConnectionsEndpoint) -> AsyncIterator[ManagementAPI]:
    """Of an adapter whose `api_gateway_endpoint_url` is the endpoint, as behind a custom domain."""
    api = ManagementAPI(None, secure.url)
    yield api
    await api.close()


def use(monkeypatch: pytest.MonkeyPatch, keys: Keys) -> None:
    """Put credentials into the environment, as Lambda does."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_key)
    if keys.token is not None:
        monkeypatch.setenv("AWS_SESSION_TOKEN", keys.token)


async def post(api: ManagementAPI, url: str, seconds: float = 5) -> None:
    await api.post(url, ID, b"hello", opened_at=0, due=asyncio.get_running_loop().time() + seconds)


# Signatures


@pytest.mark.parametrize("keys", [KEYS, KEYS._replace(token=None)], ids=["token", "no token"])
@pytest.mark.parametrize(
    ("argument", "variables"),
    [
        ("eu-west-1", {"AWS_REGION": "us-west-2"}),
        (None, {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-west-2"}),
        (None, {"AWS_DEFAULT_REGION": "eu-west-1"}),
    ],
    ids=["argument", "AWS_REGION", "AWS_DEFAULT_REGION"],
)
async def test_requests_are_signed_for_the_region(
    monkeypatch: pytest.MonkeyPatch, keys: Keys, argument: str | None, variables: dict[str, str]
) -> None:
    use(monkeypatch, keys)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with ConnectionsEndpoint(credentials=keys, region="eu-west-1", stage="/a stage".replace(" ", "%20")) as endpoint:
        api = ManagementAPI(argument, endpoint.url)
        for connection_id in (ID, "a/b", "ünïcode ✓"):
            await api.post(endpoint.url, connection_id, b"hello", opened_at=0, due=None)
            await api.delete(endpoint.url, connection_id, due=None)
        await api.close()
    assert endpoint.posts == {ID: [b"hello"], "a/b": [b"hello"], "ünïcode ✓": [b"hello"]}
    assert endpoint.deleted == list(endpoint.posts)


@pytest.mark.parametrize("wrong", [{"access_key": "OTHER"}, {"secret_key": "other"}, {"token": "other"}])
async def test_other_credentials_are_refused(monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str]) -> None:
    """So the endpoint does check."""
    use(monkeypatch, KEYS._replace(**wrong))
    with ConnectionsEndpoint(credentials=KEYS, region="us-east-1") as endpoint:
        api = ManagementAPI(None, endpoint.url)
        with pytest.raises(ConnectionsError, match="403"):
            await post(api, endpoint.url)
        await api.close()
        use(monkeypatch, KEYS)
        await post(api, endpoint.url)
        await api.close()


async def test_a_region_that_nobody_tells_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, KEYS)
    api = ManagementAPI(None, "https://ws.example.com")
    with pytest.raises(ConnectionsError, match="`api_gateway_region_name`"):
        await post(api, "https://ws.example.com")


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (410, "GoneException"),
        (413, "PayloadTooLargeException"),
        (429, "LimitExceededException"),
        (403, "ForbiddenException"),
    ],
)
def test_botocore_takes_the_endpoint_for_api_gateway(status: int, name: str) -> None:
    """So what these tests hold is not only true of themselves."""
    with ConnectionsEndpoint(credentials=KEYS) as endpoint:
        session = boto3.Session(KEYS.access_key, KEYS.secret_key, KEYS.token, region_name="eu-west-1")
        config = Config(retries={"total_max_attempts": 1})
        client = session.client("apigatewaymanagementapi", endpoint_url=endpoint.url, config=config)
        client.post_to_connection(ConnectionId=ID, Data=b"hello")
        client.delete_connection(ConnectionId=ID)
        endpoint.script(status)
        with pytest.raises(ClientError) as caught:
            client.post_to_connection(ConnectionId=ID, Data=b"again")
        client.close()
    assert type(caught.value).__name__ == name
    assert endpoint.posts == {ID: [b"hello"]}
    assert endpoint.deleted == [ID]


# Credentials


async def test_an_emulator_gets_unsigned_requests_where_there_are_no_credentials(
    api: ManagementAPI, endpoint: ConnectionsEndpoint
) -> None:
    await post(api, endpoint.url)
    assert "authorization" not in endpoint.requests[0].headers


@pytest.mark.parametrize("signed", [False, True])
def test_an_emulator_and_lambda_need_no_aws_library(
    endpoint: ConnectionsEndpoint, monkeypatch: pytest.MonkeyPatch, signed: bool
) -> None:
    if signed:
        use(monkeypatch, KEYS)
    program = (
        "import asyncio, sys\n"
        "for name in ('aiobotocore', 'botocore', 'aiohttp'):\n"
        "    sys.modules[name] = None\n"
        "from mangum.websocket.management.api import ManagementAPI\n"
        "async def main():\n"
        "    api = ManagementAPI(None, sys.argv[1])\n"
        "    await api.post(sys.argv[1], 'a', b'hello', opened_at=0, due=None)\n"
        "    await api.close()\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", program, endpoint.url], check=True, timeout=60)
    assert endpoint.posts == {"a": [b"hello"]}
    assert ("authorization" in endpoint.requests[0].headers) is signed


async def test_aws_without_credentials_is_an_error_that_says_which(api: ManagementAPI) -> None:
    with pytest.raises(ConnectionsError, match=r"no AWS credentials .* AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"):
        await post(api, AWS)


async def test_a_missing_library_is_named(api: ManagementAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiobotocore.session", None)
    with pytest.raises(ConnectionsError, match=r'pip install "mangum\[aws\]"'):
        await post(api, AWS)


async def test_half_of_the_credentials_is_an_error_that_names_the_rest(
    api: ManagementAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    with pytest.raises(ConnectionsError, match="missing: AWS_SECRET_ACCESS_KEY"):
        await post(api, AWS)


async def test_a_profile_will_do(
    secure_api: ManagementAPI, secure: ConnectionsEndpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "credentials").write_text(
        f"[chat]\naws_access_key_id={KEYS.access_key}\naws_secret_access_key={KEYS.secret_key}\n"
        f"aws_session_token={KEYS.token}\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "chat")
    await post(secure_api, secure.url)
    await post(secure_api, secure.url)
    assert secure.posts == {ID: [b"hello", b"hello"]}
    assert secure.accepted == 1


async def test_a_search_that_failed_is_not_repeated_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    (tmp_path / "config").write_text(f"[default]\ncredential_process=sh -c 'echo x >> {log}; exit 1'\n")
    source = CredentialsSource()
    due = asyncio.get_running_loop().time() + 20
    for now, searches in [(1000, 1), (1000, 1), (1004, 1), (1006, 2), (10, 3), (11, 3)]:
        with pytest.raises(ConnectionsError, match="cannot be loaded: CredentialRetrievalError"):
            await source.current(now, due)
        assert log.read_text() == "x\n" * searches


async def test_a_search_that_takes_too_long_is_an_error_in_time(
    api: ManagementAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def say_nothing(stream: SocketStream) -> None:
        async with stream:
            await anyio.sleep_forever()

    async with serving(say_nothing) as port:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://{HOST}:{port}/credentials")
        with pytest.raises(ConnectionsError, match="were not there in time"):
            await post(api, AWS, seconds=0.3)


class Container(BaseHTTPRequestHandler):
    """Gives out credentials as ECS and SnapStart do, others each time."""

    given = 0

    def do_GET(self) -> None:
        type(self).given += 1
        soon = datetime.now(UTC) + timedelta(minutes=5)  # which is too soon for aiobotocore
        answer = {
            "AccessKeyId": f"AKID{self.given}",
            "SecretAccessKey": "secret",
            "Token": self.headers["Authorization"],
            "Expiration": soon.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Nothing on standard error."""


@contextmanager
def container() -> Iterator[str]:
    with HTTPServer((HOST, 0), Container) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_address[1]}/credentials"
        finally:
            server.shutdown()
            thread.join()


async def test_credentials_that_expire_are_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "let me in")
    source = CredentialsSource()
    due = asyncio.get_running_loop().time() + 20
    with container() as url:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        first = await source.current(1000, due)
        assert (first.secret_key, first.token) == ("secret", "let me in")
        assert await source.current(1000.9, due) is first
        second = await source.current(1001, due)
    assert second.access_key != first.access_key
    use(monkeypatch, KEYS)
    assert await source.current(1002, due) == Credentials(*KEYS)


# TLS


async def test_tls_is_spoken_and_kept(
    secure_api: ManagementAPI, secure: ConnectionsEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, KEYS)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(100):
            tasks.create_task(post(secure_api, secure.url))
    await secure_api.post(secure.url, ID, b"x" * 128 * 1024, opened_at=0, due=None)
    assert len(secure.posts[ID]) == 101
    assert secure.accepted <= 64
    accepted = secure.accepted
    for answer in (Answer(200, b"x" * 60_000), Answer(200, b"x" * 60_000, chunked=True)):
        secure.script(answer)
        await post(secure_api, secure.url)
    assert secure.accepted == accepted
    secure.cut()
    await post(secure_api, secure.url)
    assert len(secure.posts[ID]) == 104


@pytest.mark.parametrize("keeps", [True, False])
async def test_tls_connections_end_as_others_do(
    secure_api: ManagementAPI, secure: ConnectionsEndpoint, monkeypatch: pytest.MonkeyPatch, keeps: bool
) -> None:
    use(monkeypatch, KEYS)
    secure.script(Answer(200, b"bye", closes=True), Answer(200, b"bye", chunked=True, closes=not keeps))
    for _ in range(4):
        await post(secure_api, secure.url)
    assert secure.accepted == (2 if keeps else 3)


async def test_a_server_that_is_not_trusted_gets_nothing(
    secure: ConnectionsEndpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, KEYS)
    for case in ("another authority", "the system's authorities", "another host"):
        url = secure.url
        if case == "another authority":
            trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
            monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "other.pem"))
        elif case == "the system's authorities":
            monkeypatch.delenv("AWS_CA_BUNDLE")
        else:
            monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
            url = url.replace(HOST, "localhost")
        api = ManagementAPI(None, url)
        with pytest.raises(ConnectionsError, match=r"is not trusted: .*AWS_CA_BUNDLE"):
            await post(api, url)
        await api.close()
    assert secure.count == 0


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_bundle_without_certificates_is_a_configuration_error(
    api: ManagementAPI, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(path))
    with pytest.raises(ConfigurationError, match="AWS_CA_BUNDLE names a file that holds no certificates: /"):
        await post(api, AWS)


async def test_a_server_that_never_shakes_hands_is_an_error_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, KEYS)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setattr("mangum.websocket.management.client._ATTEMPT_S", 0.2)
    helloes: list[bytes] = []
    greeted = anyio.Event()

    async def serve(stream: SocketStream) -> None:
        async with stream:
            helloes.append(await stream.receive())
            if len(helloes) > greetings:
                greeted.set()
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()

    async with serving(serve) as port:
        greetings = 1000
        api = ManagementAPI(None, f"https://{HOST}:{port}")
        with pytest.raises(ConnectionsError, match="it did not answer"):
            await post(api, f"https://{HOST}:{port}", seconds=1.5)
        assert len(helloes) > 1
        greetings = len(helloes)
        async with anyio.create_task_group() as tasks:  # nor does it harm to be cancelled there
            tasks.start_soon(post, api, f"https://{HOST}:{port}")
            await greeted.wait()
            tasks.cancel_scope.cancel()


# Secrets


def canonical(endpoint: ConnectionsEndpoint) -> str:
    """What AWS answers to a wrong signature, and more."""
    headers = endpoint.requests[-1].headers
    lines = "\n".join(f"{name}:{value}" for name, value in headers.items())
    return f"The signature does not match. The Canonical String should have been 'POST\n/\n\n{lines}\n'"


def authorization(endpoint: ConnectionsEndpoint) -> str:
    return f"Authorization header requires 'Signature'. Authorization={endpoint.requests[-1].headers['authorization']}"


def in_one_line(endpoint: ConnectionsEndpoint) -> str:
    return canonical(endpoint).replace("\n", " ")


def percent_encoded(endpoint: ConnectionsEndpoint) -> str:
    return quote(in_one_line(endpoint), safe="")


def html_escaped(endpoint: ConnectionsEndpoint) -> str:
    return "".join(f"&#{ord(character)};" for character in endpoint.requests[-1].headers["x-amz-security-token"])


def backslash_escaped(endpoint: ConnectionsEndpoint) -> str:
    return in_one_line(endpoint).replace("/", "\\/").replace("=", "\\u003d")


def cut_short(endpoint: ConnectionsEndpoint) -> str:
    return f"The token began with {endpoint.requests[-1].headers['x-amz-security-token'][:15]}"


@pytest.mark.parametrize(
    ("says", "is_repeated"),
    [
        (canonical, True),
        (authorization, False),
        (in_one_line, False),
        (percent_encoded, False),
        (html_escaped, False),
        (backslash_escaped, False),
        (cut_short, False),
    ],
)
@pytest.mark.parametrize("as_json", [True, False])
async def test_no_secret_is_told(
    endpoint: ConnectionsEndpoint,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    says: Callable[[ConnectionsEndpoint], str],
    is_repeated: bool,
    as_json: bool,
) -> None:
    caplog.set_level(logging.DEBUG)
    use(monkeypatch, KEYS)
    api = ManagementAPI(None, endpoint.url)
    await post(api, endpoint.url)
    signature = endpoint.requests[-1].headers["authorization"].rpartition("=")[2]
    text = says(endpoint)
    for status in (403, 500):
        endpoint.script(
            Answer(status, json.dumps({"message": text}).encode() if as_json else text.encode()), always=True
        )
        shown = " (its message is not shown, because it repeats a part of the credentials)" if as_json else ""
        shown = " (The signature does not match." if as_json and is_repeated else shown
        with pytest.raises(ConnectionsError, match=re.escape(f"it answered {status}{shown}")) as caught:
            await post(api, endpoint.url, seconds=0.1)
        told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(api) + caplog.text
        for secret in (*KEYS, signature):
            assert str(secret) not in told
            assert str(secret)[:11] not in told
    await api.close()


SECRET = st.text(string.ascii_letters + string.digits + "/+=", min_size=24, max_size=60)


@given(
    SECRET,
    st.lists(st.sampled_from([quote, quote_plus, html.escape, json.dumps, str.upper, repr]), max_size=3),
    st.text(),
    st.sampled_from(["", "\u2028", " "]),
)
def test_a_secret_is_found_however_it_is_written(
    secret: str, writers: list[Callable[[str], str]], around: str, separator: str
) -> None:
    assume(sum(map(str.isalnum, secret)) >= 12)
    text = separator.join(secret)
    for write in writers:
        text = write(text)
    assert repeats(f"{around} {text} {around}", [secret])


def test_a_part_of_a_secret_is_found() -> None:
    assert repeats(f"<{KEYS.secret_key[7:22]}>", [KEYS.secret_key])
    assert repeats("shh", ["shh"])
    assert not repeats("User: arn:aws:sts::123456789012:assumed-role/x is not authorized", [*map(str, KEYS), "", "=/+"])


# Who gets the credentials


@pytest.mark.parametrize(
    "url",
    [
        "https://ws.example.com/chat",
        "https://abc.execute-api.eu-west-1.amazonaws.com.example.com/prod",
        "https://abc.execute-api.eu-west-1.amazonaws.com:8443/prod",
        "https://a.b.execute-api.eu-west-1.amazonaws.com/prod",
        "https://abc.execute-api.evil.amazonaws.com/prod",
        "https://abc.execute-api.cn-north-1.amazonaws.com/prod",
        "https://abc.execute-api.eu-west-1.amazonaws.com.cn/prod",
        "https://abc.execute-api.eu-west-1.vpce.amazonaws.com/prod",
        "http://abc.execute-api.eu-west-1.amazonaws.com/prod",
        "http://localstack:4566/prod",
        "https://localhost:3001",
    ],
)
async def test_an_endpoint_of_somebody_else_gets_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as one that a record of the store names."""
    use(monkeypatch, KEYS)
    for api in (ManagementAPI("eu-west-1"), ManagementAPI("eu-west-1", "https://ws.example.com/other")):
        for call in (
            api.post(url, ID, b"hello", opened_at=0, due=None),
            api.delete(url, ID, due=None),
        ):
            with pytest.raises(
                ConnectionsError, match="neither a host of API Gateway nor the `api_gateway_endpoint_url`"
            ):
                await call


@pytest.mark.parametrize(
    "url", ["http://ws.example.com/chat", "http://192.168.0.1:3001", "http://localstack:4566/prod"]
)
def test_plain_http_to_another_machine_is_a_configuration_error(url: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"`api_gateway_endpoint_url` is plain HTTP to another machine .*https://"
    ):
        ManagementAPI(None, url)


async def test_an_emulator_that_is_not_configured_gets_no_credentials(
    api: ManagementAPI, endpoint: ConnectionsEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, KEYS)
    await post(api, endpoint.url)
    assert {"authorization", "x-amz-security-token"}.isdisjoint(endpoint.requests[0].headers)


async def test_each_endpoint_is_signed_for_its_own_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broadcast reaches connections in other regions too. What the user says goes before it."""
    use(monkeypatch, KEYS)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    requests: list[bytes] = []

    async def request(self: Pool, request: bytes, **options: object) -> HTTPResponse:
        requests.append(request)
        return HTTPResponse(200, {}, b"")

    monkeypatch.setattr(Pool, "request", request)
    for argument, signed_for in ((None, "eu-west-1"), ("ap-south-1", "ap-south-1")):
        await post(ManagementAPI(argument), AWS)
        assert f"/{signed_for}/execute-api/aws4_request".encode() in requests[-1]


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
@pytest.mark.parametrize("end", ["\n", "\r\nx-evil: 1", "\t", "\x7f", "\x85", "é"])
async def test_a_credential_with_a_control_character_is_refused(
    name: str, end: str, api: ManagementAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, KEYS)
    monkeypatch.setenv(name, f"hush{end}")
    what = {"AWS_ACCESS_KEY_ID": "access key id", "AWS_SECRET_ACCESS_KEY": "secret access key"}.get(
        name, "session token"
    )
    for _ in range(2):
        with pytest.raises(ConnectionsError, match=f"Invalid {what} in the credentials in the environment") as caught:
            await post(api, AWS)
        assert "hush" not in "".join(traceback.format_exception(caught.value))


async def test_a_credential_of_a_profile_is_checked_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id=hush\naws_secret_access_key=secret\naws_session_token=hush\x7f\n"
    )
    with pytest.raises(
        ConnectionsError, match="Invalid session token in the credentials that aiobotocore found"
    ) as caught:
        await CredentialsSource().current(1000, asyncio.get_running_loop().time() + 20)
    assert "hush" not in "".join(traceback.format_exception(caught.value))
