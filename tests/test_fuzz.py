"""A small run of `python -m tests.fuzz`."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.fuzz import Fuzzer
from tests.servers.connections import endpoint_process


@pytest.fixture(autouse=True)
def _without_logs() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_events_of_every_source(seed: int) -> None:
    with endpoint_process() as url:
        fuzzer = Fuzzer(seed, url)
        for _ in range(2):  # the second run may leave nothing behind that the first did not
            fuzzer.run(2_000)
    assert fuzzer.outcomes["answered"] > 500
    assert fuzzer.outcomes["InvalidEvent"] > 50
    assert fuzzer.outcomes["UnsupportedEvent"] > 50
