"""DSNs are taken apart, and tell no secret."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mangum.backends.dsn import DSN
from mangum.backends.store import Store
from mangum.exceptions import ConfigurationError

PASSWORD = "p@ss/w:rd?#%&=+ é"
QUOTED = quote(PASSWORD, safe="")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sqlite:///tmp/a.db", ("sqlite", None, None, "", "tmp/a.db", {})),
        ("sqlite://a.db", ("sqlite", None, None, "a.db", "", {})),
        ("sqlite://:memory:", ("sqlite", None, None, ":memory:", "", {})),
        ("PostgreSQL://Host/DB", ("postgresql", None, None, "Host", "DB", {})),
        ("postgresql://", ("postgresql", None, None, "", "", {})),
        ("postgresql://ann@/db?host=/run/pg", ("postgresql", "ann", None, "", "db", {"host": "/run/pg"})),
        ("postgresql://a,b:1/db", ("postgresql", None, None, "a,b:1", "db", {})),
        (f"postgresql://a%40b:{QUOTED}@h:5432/d%2Fb", ("postgresql", "a@b", PASSWORD, "h:5432", "d/b", {})),
        ("redis://:secret@h", ("redis", "", "secret", "h", "", {})),
        ("redis://ann:@h/0", ("redis", "ann", "", "h", "0", {})),
        ("redis://raw@sign:p@h", ("redis", "raw@sign", "p", "h", "", {})),
        ("redis+cluster://[::1]:7000?a=1&b=", ("redis+cluster", None, None, "[::1]:7000", "", {"a": "1", "b": ""})),
        ("s3://Bucket/a/b?region=eu%2Dwest+1", ("s3", None, None, "Bucket", "a/b", {"region": "eu-west 1"})),
        ("dynamodb://Table?", ("dynamodb", None, None, "Table", "", {})),
        ("x://a?twice=1&twice=2", ("x", None, None, "a", "", {"twice": "2"})),
        ("x://a?url=http://b/c?d", ("x", None, None, "a", "", {"url": "http://b/c?d"})),
        ("s3://bucket/a@b", ("s3", None, None, "bucket", "a@b", {})),
    ],
)
def test_a_dsn_is_taken_apart(text: str, expected: tuple[Any, ...]) -> None:
    assert DSN.parse(text) == DSN(text, *expected)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "must be a string like sqlite:///path/to.db, .*, not a NoneType"),
        (b"redis://secret", "must be a string like .*, not a bytes"),
        ("", "has no scheme: it must look like sqlite:///path/to.db"),
        ("secret", "has no scheme"),
        ("secret.db", "has no scheme"),
        ("/tmp/secret", "has no scheme"),
        ("://secret", "has no scheme"),
        ("redis:secret", "has no scheme"),
        ("redis:secret@host://", "has no scheme"),
        ("redis://ann:sec/secret@host", "has an @ behind a / or .* written %40, %2F and %3F"),
        ("redis://ann:sec?secret@host", "has an @ behind a / or ?"),
        ("redis://:secret/x@host/0", "has an @ behind a / or ?"),
        ("postgresql://ann:sec@ret/secret@host/db", "has an @ behind a / or ?"),
        ("redis://host?secret", "has a query that is not made of name=value pairs"),
        ("redis://host?a=1&secret", "has a query that is not made of name=value pairs"),
    ],
)
def test_what_is_no_dsn_is_not_repeated(text: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        DSN.parse(text)
    assert "secret" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sqlite:///tmp/a.db", "sqlite:///tmp/a.db"),
        ("postgresql://ann@host/db", "postgresql://***@host/db"),
        ("postgresql://ann:secret@Host:1/db?password=secret&b=2", "postgresql://***@Host:1/db?password=***&b=***"),
        ("redis://:secret@host", "redis://***@host"),
        ("redis://ann:@host", "redis://***@host"),
    ],
)
def test_it_is_shown_without_its_secrets(text: str, shown: str) -> None:
    dsn = DSN.parse(text)
    assert str(dsn) == shown
    assert repr(dsn) == f"DSN({shown!r})"


@pytest.mark.parametrize(
    ("location", "found"),
    [
        ("host", [("host", None)]),
        ("host:1", [("host", 1)]),
        ("one:65535,two,[::1]:3,[::1]", [("one", 65535), ("two", None), ("[::1]", 3), ("[::1]", None)]),
        (":6379", [("", 6379)]),
        ("", [("", None)]),
        ("[::1", [("", None)]),
        ("[::1]x", [("", None)]),
    ],
)
def test_hosts_and_ports(location: str, found: list[tuple[str, int | None]]) -> None:
    assert DSN.parse(f"redis://{location}").addresses(location) == found


BAD_PORTS = ["7x", "hush", "0", "65536", "99999", "-1", "+1", "1_0", "٣", "1.5", "6379:6379", ":1", " 1", "9" * 5000]


@pytest.mark.parametrize("port", BAD_PORTS)
@pytest.mark.parametrize(
    "form",
    [
        "postgresql://user:pw@host:{}/db",
        "postgres://user:pw@one:5432,two:{}/db",
        "postgresql://user:pw@[::1]:{}/db",
        "postgresql://host:{}",
        "postgresql://?host=/run/pg,host:{}&password=pw",
        "redis://user:pw@host:{}/0",
        "rediss://:pw@host:{}",
        "valkey://host:{}",
        "redis+cluster://user:pw@one,two:{}",
        "dynamodb://table?region=eu-west-1&endpoint_url=http://host:{}",
        "s3://bucket/prefix?region=eu-west-1&endpoint_url=https://host:{}/path",
    ],
)
def test_a_port_that_is_wrong_is_named_when_the_adapter_is_built(form: str, port: str) -> None:
    with pytest.raises(ConfigurationError, match=r"nvalid port in .*DSN .*a number from 1 to 65535") as caught:
        Store.of(form.format(port))
    assert "names no host" not in str(caught.value)
    for secret in ("pw", "hush"):
        assert secret not in f"{caught.value!r}{caught.value.__cause__!r}"


@pytest.mark.parametrize("dsn", ["postgresql://host:/db", "redis://host:"])
def test_a_port_that_is_empty(dsn: str) -> None:
    """As a variable that is not set leaves it."""
    with pytest.raises(ConfigurationError, match="Invalid port"):
        Store.of(dsn)


@pytest.mark.parametrize("port", ["7x", "5432,7x", "0", "5432,,"])
def test_a_port_in_the_query_that_is_wrong(port: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"^Invalid port in the DSN postgresql://\?host=\*\*\*&port=\*\*\*: a port"
    ):
        Store.of(f"postgresql://?host=one,two&port={port}")


def test_a_password_without_its_at_is_not_shown() -> None:
    assert str(DSN.parse("redis://ann:hush,bob:hush:1,host:5/0")) == "redis://ann:***,bob:***,host:5/0"
    assert str(DSN.parse("sqlite://:memory:")) == "sqlite://:memory:"


def test_it_can_be_a_key() -> None:
    assert {DSN.parse("redis://a?b=1"), DSN.parse("redis://a?b=1")} == {DSN.parse("redis://a?b=1")}


@given(st.text(st.characters(codec="utf-8", exclude_characters="<*>"), min_size=1))
def test_no_password_is_told(password: str) -> None:
    """In whatever form a library tells it."""
    quoted = quote(password, safe="")
    for text in (f"redis://ann:{quoted}@host", f"redis://host?access_token={quoted}"):
        dsn = DSN.parse(text)
        for told in (password, quoted, quote(password), quote_plus(password), repr(password)[1:-1], text):
            assert dsn.redact(f"<{told}>") == "<***>"
            assert not dsn.is_clean(ValueError(f"<{told}>"))


@pytest.mark.parametrize(
    "told",
    [PASSWORD, QUOTED, quote(PASSWORD), f"redis://ann:{QUOTED}@host?api_key=k%20e%79", "k ey", "k+ey", "k%20e%79"],
)
def test_a_librarys_text_is_redacted(told: str) -> None:
    dsn = DSN.parse(f"redis://ann:{QUOTED}@host?api_key=k%20e%79")
    assert dsn.redact(f"cannot connect to {told}!") == "cannot connect to ***!"
    assert not dsn.is_clean(ValueError(told))
    assert not dsn.is_clean(KeyError(f"{told}!"))


def test_a_text_without_secrets_stays() -> None:
    dsn = DSN.parse("redis://ann@host?db=1")
    assert dsn.redact("ann cannot connect to host, db=1") == "ann cannot connect to host, db=1"
    assert dsn.is_clean(ValueError("ann cannot connect to host"))


def test_a_cause_that_tells_a_secret_is_noticed() -> None:
    dsn = DSN.parse("redis://ann:secret@host")
    outer, cause, context = ValueError("outer"), ValueError("cause"), ValueError("the secret")
    assert dsn.is_clean(outer)
    outer.__cause__ = cause
    assert dsn.is_clean(outer)
    cause.__context__ = context
    assert not dsn.is_clean(outer)


def test_parameters_that_are_not_known() -> None:
    dsn = DSN.parse("redis://host?db=1&ssl=secret&tls=secret")
    assert dsn.parameters("db", "ssl", "tls", "more") == {"db": "1", "ssl": "secret", "tls": "secret"}
    with pytest.raises(ConfigurationError) as caught:
        dsn.parameters("db", "more")
    assert str(caught.value) == (
        "The DSN redis://host?db=***&ssl=***&tls=*** has a parameter that is not known: ssl, tls. "
        "redis:// takes db, more."
    )
    with pytest.raises(ConfigurationError, match=r"not known: db, ssl, tls\. redis:// takes none\."):
        dsn.parameters()
    assert DSN.parse("redis://host").parameters() == {}
