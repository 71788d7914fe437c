"""A store without a server."""

from __future__ import annotations

from uuid import uuid4

import pytest

from mangum.backends import store
from tests.memory_backend import Memory


@pytest.fixture
def memory_dsn(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(store._CLASSES, "memory", (f"{Memory.__module__}:{Memory.__name__}", None))
    return f"memory://{uuid4().hex}"
