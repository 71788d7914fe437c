"""A handler that is more than a `Mangum`: the outermost callable is what runs, everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from mangum.adapter import Mangum
from mangum.runtime.documents import Documents, documents_for
from mangum.runtime.loading import adapter_of
from tests.apps import hello
from tests.command_line import run
from tests.dev_server import serving
from tests.lambda_runtime import function_url, running

pytestmark = pytest.mark.anyio

APP = """
import asyncio, functools
from mangum import Mangum

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        print("started up")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shut down")
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [[b"content-type", b"text/plain"]]})
    await send({"type": "http.response.body", "body": b"hello"})

def marked(answer):
    answer["headers"]["x-outermost"] = "yes"
    return answer

class Extended(Mangum):
    def __call__(self, event, context):
        if "action" in event:
            return {"done": event["action"]}
        return marked(super().__call__(event, context))

class Asynchronous(Mangum):
    async def __call__(self, event, context):
        if "action" in event:
            return {"done": event["action"]}
        return marked(await self.invoke(event, context))

class Proxy:  # passes for what is inside, as wrapt's do
    def __init__(self, inside):
        object.__setattr__(self, "_inside", inside)

    __class__ = property(lambda self: type(self._inside))

    def __getattr__(self, name):
        return getattr(self._inside, name)

    def __call__(self, event, context):
        if "action" in event:
            return {"done": event["action"]}
        return marked(self._inside(event, context))

def decorated(inside):
    @functools.wraps(inside)
    def wrapper(event, context):
        if "action" in event:
            return {"done": event["action"]}
        return marked(inside(event, context))
    return wrapper

def decorated_loosely(inside):
    def wrapper(*arguments, **options):
        return decorated(inside)(*arguments, **options)
    return wrapper

def awaiting(inside):
    @functools.wraps(inside)
    async def wrapper(event, context):
        if "action" in event:
            return {"done": event["action"]}
        return marked(await inside.invoke(event, context))
    return wrapper

subclass = Extended(app, lifespan_scope="process")
asynchronous_subclass = Asynchronous(app, lifespan_scope="process")
proxy = Proxy(Mangum(app, lifespan_scope="process"))
decorator = decorated(Mangum(app, lifespan_scope="process"))
loose_decorator = decorated_loosely(Mangum(app, lifespan_scope="process"))
two_decorators = decorated_loosely(decorated(Mangum(app, lifespan_scope="process")))
asynchronous_decorator = awaiting(Mangum(app, lifespan_scope="process"))
"""
HANDLERS = [
    "subclass",
    "asynchronous_subclass",
    "proxy",
    "decorator",
    "loose_decorator",
    "two_decorators",
    "asynchronous_decorator",
]
# What can be seen from outside: the adapter in them is started in the init phase.
TRANSPARENT = {*HANDLERS} - {"loose_decorator", "two_decorators"}


@pytest.fixture(params=HANDLERS)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


async def test_under_the_runtime(tmp_path: Path, name: str) -> None:
    async with running(tmp_path, APP, environment={"_HANDLER": f"function.{name}"}) as runtime:
        await runtime.server.ready()
        assert ("started up" in runtime.output.decode()) is (name in TRANSPARENT)
        answer = await runtime.server.put(function_url()).answer()
        assert (answer["body"], answer["headers"]["x-outermost"]) == ("hello", "yes")
        assert await runtime.server.put({"action": "CHECK"}).answer() == {"done": "CHECK"}
        await runtime.server.ready()
        assert await runtime.terminate() == 0
    assert runtime.lines == ["started up", "shut down"]


async def test_a_wrapper_that_cannot_stream_says_so_once(tmp_path: Path) -> None:
    environment = {"_HANDLER": "function.decorator", "MANGUM_RESPONSE_MODE": "stream"}
    async with running(tmp_path, APP, environment=environment) as runtime:
        for _ in range(2):
            delivered = runtime.server.put(function_url())
            assert (await delivered.answer())["body"] == "hello"
            assert not delivered.is_streamed
        await runtime.server.ready()
    (line,) = [line for line in runtime.lines if "WARNING" in line]
    assert "function.decorator is not a Mangum itself" in line
    assert "sent whole and not as streams" in line


@pytest.mark.parametrize("options", [[], ["--workers", "1"]], ids=["in process", "workers"])
def test_in_mangum_dev(tmp_path: Path, name: str, options: list[str]) -> None:
    (tmp_path / "function.py").write_text(APP)
    with serving(tmp_path, f"function:{name}", "--no-reload", *options) as server:
        response = httpx.get(server.url, timeout=30)
        assert (response.text, response.headers.get("x-outermost")) == ("hello", "yes")


def test_in_mangum_invoke(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = f"function_{name}"
    (tmp_path / f"{module}.py").write_text(APP)
    (tmp_path / "event.json").write_text(json.dumps({"action": "CHECK"}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    result = run("invoke", f"{module}:{name}", "event.json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == {"done": "CHECK"}
    assert ("started up" in result.stderr) is (name in TRANSPARENT)
    assert ("shut down" in result.stderr) is (name in TRANSPARENT)


def test_an_adapter_that_is_found() -> None:
    class Subclass(Mangum):
        def __call__(self, event: Any, context: Any) -> Any:
            raise NotImplementedError

    def function(event: Any, context: Any) -> Any:
        raise NotImplementedError

    with Mangum(hello, lifespan="off") as handler:
        function.__wrapped__ = handler  # type: ignore[attr-defined]
        assert adapter_of(handler) is adapter_of(function) is handler
        assert type(documents_for(function)) is Documents
    with Subclass(hello, lifespan="off") as subclass:
        assert adapter_of(subclass) is subclass
        assert type(documents_for(subclass)) is Documents  # it may get other events than requests
    function.__wrapped__ = function  # type: ignore[attr-defined]
    assert adapter_of(function) is None
    del function.__wrapped__  # type: ignore[attr-defined]
    assert adapter_of(function) is None
