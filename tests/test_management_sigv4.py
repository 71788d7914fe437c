"""Signature Version 4, held against botocore's."""

from __future__ import annotations

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from mangum.exceptions import ConfigurationError, ConnectionsError
from mangum.websocket.management.endpoint import Endpoint
from mangum.websocket.management.sigv4 import Credentials, Signer

DAY = 24 * 60 * 60
NOW = 1_795_564_800  # 2026-11-25, 00:00:00 UTC

secrets = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
credentials = st.builds(Credentials, secrets, secrets, st.none() | secrets)
segments = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/?#%"), max_size=8).filter(
    lambda segment: segment not in (".", "..") and segment == segment.strip()
)
hosts = st.from_regex(r"[a-z0-9]{1,10}(\.[a-z0-9-]{1,10}){1,3}", fullmatch=True) | st.just("[::1]")
endpoints = st.builds(
    lambda scheme, host, port, path: f"{scheme}://{host}{port}/{'/'.join(path)}",
    st.sampled_from(["http", "https"]),
    hosts,
    st.sampled_from(["", ":80", ":443", ":3001"]),
    st.lists(segments, max_size=3),
)
connection_ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda connection_id: connection_id not in (".", "..")
) | st.from_regex(r"[A-Za-z0-9_-]{11,14}=", fullmatch=True)


def as_botocore(method: str, url: str, body: bytes, identity: Credentials, stamp: str) -> dict[str, str]:
    """The headers with which botocore signs a request at a time."""
    request = AWSRequest(method, url, data=body, headers={"x-amz-date": stamp})
    if identity.token:
        request.headers["x-amz-security-token"] = identity.token
    request.context["timestamp"] = stamp
    signer = SigV4Auth(BotoCredentials(identity.access_key, identity.secret_key), "execute-api", "eu-west-1")
    signed = signer.string_to_sign(request, signer.canonical_request(request))
    signer._inject_signature_to_request(request, signer.signature(signed, request))
    return {name.lower(): value for name, value in request.headers.items()}


@given(
    st.sampled_from(["POST", "DELETE"]),
    endpoints,
    connection_ids,
    st.binary(max_size=100),
    st.lists(st.tuples(credentials, st.sampled_from([NOW, NOW + 0.9, NOW + 1, NOW + DAY])), min_size=1, max_size=4),
)
def test_botocore_comes_to_the_same_signature(
    method: str, url: str, connection_id: str, body: bytes, times: list[tuple[Credentials, float]]
) -> None:
    endpoint = Endpoint.parse(url)
    signer = Signer(endpoint.authority, "eu-west-1")
    target = endpoint.target(connection_id)
    for identity, now in times:
        lines = signer.headers(method, target, body, identity, now).split("\r\n")
        assert lines.pop() == ""
        headers = dict(line.split(": ", 1) for line in lines)
        days, second = divmod(int(now) - NOW, DAY)
        stamp = f"202611{25 + days}T00000{second}Z"
        # What the bytes on the wire say, down to the Host header
        sent = f"{endpoint.scheme}://{endpoint.authority}{target}"
        assert headers == as_botocore(method, sent, body, identity, stamp)


def test_credentials_show_nothing() -> None:
    assert repr(Credentials("AKID", "secret", "token")) == "Credentials()"


@pytest.mark.parametrize(
    ("url", "text", "authority", "target"),
    [
        (
            "https://abc.execute-api.eu-west-1.amazonaws.com/prod",
            "https://abc.execute-api.eu-west-1.amazonaws.com/prod",
            "abc.execute-api.eu-west-1.amazonaws.com",
            "/prod/%40connections/R0oXAdfD0kwCH6w%3D",
        ),
        (
            "https://WS.example.com:443/",
            "https://ws.example.com",
            "ws.example.com",
            "/%40connections/R0oXAdfD0kwCH6w%3D",
        ),
        ("http://[::1]:3001", "http://[::1]:3001", "[::1]:3001", "/%40connections/R0oXAdfD0kwCH6w%3D"),
        (
            "http://localhost:80//a%20b/@ü/%2F/",
            "http://localhost/a%20b/%40%C3%BC/%2F",
            "localhost",
            "/a%20b/%40%C3%BC/%2F/%40connections/R0oXAdfD0kwCH6w%3D",
        ),
    ],
)
def test_an_endpoint_is_brought_into_a_normal_form(url: str, text: str, authority: str, target: str) -> None:
    endpoint = Endpoint.parse(url)
    assert (str(endpoint), endpoint.authority) == (text, authority)
    assert endpoint.target("R0oXAdfD0kwCH6w=") == target
    assert Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    "url",
    [
        "",
        "abc.execute-api.eu-west-1.amazonaws.com/prod",
        "wss://abc.execute-api.eu-west-1.amazonaws.com/prod",
        "https://",
        "https://user:password@example.com",
        "https://example.com/?a=b",
        "https://example.com/#a",
        "https://example.com/a/../b",
        "https://example.com/./b",
        "https://exam ple.com",
        "https://exämple.com",
        "https://example.com:port",
        "https://example.com:99999",
        "https://[::1",
    ],
)
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="must look like https://abc") as caught:
        Endpoint.parse(url)
    assert "user:password" not in str(caught.value)


@pytest.mark.parametrize("connection_id", ["", ".", "..", "\ud800"])
def test_an_id_that_would_be_another_path_is_refused(connection_id: str) -> None:
    with pytest.raises(ConnectionsError, match="no connection id like"):
        Endpoint.parse("https://example.com").target(connection_id)


@pytest.mark.parametrize(
    ("host", "region", "arn"),
    [
        (
            "abc.execute-api.eu-west-1.amazonaws.com",
            "eu-west-1",
            "arn:aws:execute-api:eu-west-1:*:abc/prod/POST/@connections/*",
        ),
        (
            "abc.execute-api.cn-north-1.amazonaws.com.cn",
            "cn-north-1",
            "arn:aws-cn:execute-api:cn-north-1:*:abc/prod/POST/@connections/*",
        ),
        (
            "abc-vpce-012.execute-api.us-gov-west-1.amazonaws.com",
            "us-gov-west-1",
            "arn:aws-us-gov:execute-api:us-gov-west-1:*:abc/prod/POST/@connections/*",
        ),
        (
            "abc.execute-api.eu-west-1.api.aws",
            "eu-west-1",
            "arn:aws:execute-api:eu-west-1:*:abc/prod/POST/@connections/*",
        ),
        (
            "vpce-0123-ab12-us-east-1a.execute-api.us-east-1.vpce.amazonaws.com",
            "us-east-1",
            "arn:aws:execute-api:us-east-1:*:*/prod/POST/@connections/*",
        ),
        ("ws.example.com", None, "arn:aws:execute-api:eu-west-1:*:*/*/POST/@connections/*"),
        (
            "abc.execute-api.eu-west-1.amazonaws.com.example.com",
            None,
            "arn:aws:execute-api:eu-west-1:*:*/*/POST/@connections/*",
        ),
    ],
)
def test_an_endpoint_tells_its_region_and_what_to_allow(host: str, region: str | None, arn: str) -> None:
    endpoint = Endpoint.parse(f"https://{host}/prod")
    assert endpoint.region == region
    assert endpoint.arn("POST", region or "eu-west-1") == arn


@pytest.mark.parametrize(
    ("url", "is_local"),
    [
        ("http://127.0.0.1:3001", True),
        ("http://127.8.8.8", True),
        ("http://[::1]:3001", True),
        ("http://localhost:3001", True),
        ("https://localhost:3001", False),
        ("http://192.168.0.1", False),
        ("http://localstack:4566", False),
    ],
)
def test_plain_http_to_this_machine_is_an_emulator(url: str, is_local: bool) -> None:
    assert Endpoint.parse(url).is_local is is_local
