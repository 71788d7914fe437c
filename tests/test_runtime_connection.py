"""The address of the Runtime API."""

from __future__ import annotations

import pytest

from mangum.runtime.api import host_and_port


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1:9001", ("127.0.0.1", 9001)), ("[::1]:80", ("::1", 80)), (":9001", ("127.0.0.1", 9001))],
)
def test_an_address_has_a_host_and_a_port(address: str, expected: tuple[str, int]) -> None:
    assert host_and_port(address) == expected
