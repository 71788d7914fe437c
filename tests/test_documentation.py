"""The examples of the documentation run unchanged, and the names in it exist."""

from __future__ import annotations

import importlib
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import pytest
from typer.main import get_command

from mangum.cli.app import cli
from mangum.cli.deployment.config import KEYS
from mangum.local.events.requests import HTTPRequest
from mangum.local.samples import SOURCES
from tests.servers.connections import ConnectionsEndpoint
from tests.sources import BY_NAME
from tests.websocket_client import Client

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", "docs/websockets.md"]


def examples(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def run(source: str, **given: Any) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "asgi", **given}
    exec(compile(source, "asgi.py", "exec"), namespace)
    return namespace


@pytest.fixture
def asgi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module that examples import: the one in five lines."""
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.chdir(tmp_path)
    module = ModuleType("asgi")
    monkeypatch.setitem(sys.modules, "asgi", module)
    module.__dict__.update(run(examples("README.md")[0]))
    return module


@pytest.mark.parametrize(
    "source",
    [pytest.param(source, id=f"{page}-{index}") for page in PAGES for index, source in enumerate(examples(page))],
)
def test_an_example_runs(source: str, asgi: ModuleType) -> None:
    namespace = run(source)
    if (handler := namespace.get("handler")) is not None:
        handler.close()


def test_the_chat(asgi: ModuleType) -> None:
    (source,) = [source for source in examples("README.md") if "aws.connections" in source]
    assert len(source.strip().splitlines()) <= 25
    with ConnectionsEndpoint() as endpoint:
        source = source.replace(
            'dsn="dynamodb://chat"', f'dsn="sqlite://chat.db", api_gateway_endpoint_url="{endpoint.url}"'
        )
        with run(source)["handler"] as handler:
            ann, bob = Client(handler, endpoint), Client(handler, endpoint)
            assert ann.connect(query={"name": ["ann"]}) == 200
            assert bob.connect(query={"name": ["bob"]}) == 200
            assert ann.received == ["bob is here"]
            assert ann.send("hello") == 200
            assert bob.received == ["ann: hello"]
            assert bob.send("hi") == 200
            assert bob.received == ["ann: hello", "bob is here", "bob: hi"]
            assert bob.disconnect() == 200
            assert ann.received == ["bob is here", "ann is here", "ann: hello", "bob: hi", "bob has left"]


def example_with(text: str) -> str:
    (source,) = [source for source in examples("README.md") if text in source]
    return source


def test_work_after_the_response_ends_before_the_invocation(asgi: ModuleType) -> None:
    namespace = run(example_with("aws.task_group"))
    sent: list[str] = []

    async def send_mail(address: str) -> None:
        await anyio.sleep(0.01)
        sent.append(address)

    namespace["send_mail"] = send_mail
    event = BY_NAME["http-api-2.0"].event(
        HTTPRequest(method="POST", path="/users", query_string="address=ann%40example.com")
    )
    with namespace["handler"] as handler:
        assert handler(event, None)["body"] == '"welcome"'
    assert sent == ["ann@example.com"]


def test_the_hook_prints_status_and_times(asgi: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    event = BY_NAME["http-api-2.0"].event(HTTPRequest(method="GET", path="/"))
    with run(example_with("hooks="))["handler"] as handler:
        handler(event, None)
    assert capsys.readouterr().out.startswith("200 {'translation': ")


# The page on the architecture: what it names in code spans exists.

ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
CODE = [*re.findall(r"`([^`\n]+)`", ARCHITECTURE), *re.findall(r"^(Mangum\.\w+|\w+\.\w+)", ARCHITECTURE, re.MULTILINE)]
PATHS = sorted(set(re.findall(r"\b(?:mangum|tests|benchmarks)/[\w./]*\w/?", ARCHITECTURE)))
DOTTED = sorted({name for name in CODE if re.fullmatch(r"(?:mangum|anyio|asyncio|gc|threading)(?:\.\w+)+", name)})
NAMES = sorted({name.rstrip("()") for name in CODE if re.fullmatch(r"\w+(?:\.\w+)*(?:\(\))?", name)} - {*DOTTED})


@cache
def words() -> set[str]:
    """All words in mangum's own code."""
    return {word for path in (ROOT / "mangum").rglob("*.py") for word in re.findall(r"\w+", path.read_text())}


@pytest.mark.parametrize("path", PATHS)
def test_a_path_in_the_architecture_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("name", DOTTED)
def test_a_dotted_name_in_the_architecture_can_be_imported(name: str) -> None:
    parts = name.split(".")
    found: Any = importlib.import_module(parts[0])
    for index, part in enumerate(parts[1:], 2):
        if not hasattr(found, part):
            importlib.import_module(".".join(parts[:index]))
        found = getattr(found, part)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_the_architecture_is_in_the_code(name: str) -> None:
    assert set(name.split(".")) <= words()


def test_every_module_of_the_core_is_in_the_architecture() -> None:
    modules = [path.stem for path in (ROOT / "mangum/core").glob("[a-z]*.py")]
    assert [name for name in modules if not re.search(rf"mangum[./]core[./]{name}\b", ARCHITECTURE)] == []


def test_every_option_of_mangum_dev_is_explained() -> None:
    page = (ROOT / "docs/local.md").read_text()
    options = {option for parameter in get_command(cli).commands["dev"].params for option in parameter.opts}  # type: ignore[attr-defined]
    explained = {option for option in options if f"`{option}`" in page or f"`{option.replace('--', '--no-')}`" in page}
    assert options - explained == {"target"}


def test_every_source_of_an_event_is_named() -> None:
    page = (ROOT / "docs/local.md").read_text()
    assert [source for source in SOURCES if f"`{source}`" not in page] == []


def test_every_key_of_the_configuration_is_explained() -> None:
    page = (ROOT / "docs/deployment.md").read_text()
    assert [key for key in KEYS if f"`{key}`" not in page] == []


def test_every_command_of_the_deployment_is_explained() -> None:
    pages = (ROOT / "docs/deployment.md").read_text() + (ROOT / "docs/local.md").read_text()
    assert [name for name in get_command(cli).commands if f"`mangum {name}" not in pages] == []  # type: ignore[attr-defined]
