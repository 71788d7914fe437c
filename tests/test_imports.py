"""`import mangum` is light, and imports point one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import mangum

PACKAGE = Path(mangum.__file__).parent
HEAVY = (
    "anyio",
    "starlette",
    "uvicorn",
    "typer",
    "rich",
    "boto3",
    "botocore",
    "aiobotocore",
    "aiohttp",
    "redis",
    "asyncpg",
    "sqlite3",
    "httptools",
    "orjson",
    "pybase64",
)

# What a module may import of its own package: anything further to the left, or in its own layer.
LAYERS = [
    {"exceptions", "types", "media_types"},
    {"config"},
    {"handlers", "core", "backends"},
    {"websocket"},
    {"adapter"},
    {"runtime"},
    {"local"},
    {"cli"},
    {"__main__"},
]
STRANGERS = {"handlers", "core", "backends"}  # which do not know each other


def test_importing_mangum_loads_nothing_heavy() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); import mangum; "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    command = [sys.executable, "-I", "-S", "-c", program]  # without what an environment loads at its start
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


def test_answering_a_request_loads_nothing_for_websockets() -> None:
    program = """
        import sys
        sys.path.insert(0, {path!r})
        from mangum import Mangum

        async def app(scope, receive, send):
            await send({{"type": "http.response.start", "status": 200, "headers": []}})
            await send({{"type": "http.response.body", "body": b"ok"}})

        with Mangum(app, lifespan="off") as handler:
            event = {{"requestContext": {{"elb": {{}}}}, "httpMethod": "GET", "path": "/"}}
            assert handler(event, None)["statusCode"] == 200
        parts = ("backends", "websocket")
        print([name for name in [*{heavy!r}, *(f"mangum.{{part}}" for part in parts)] if name in sys.modules])
    """
    command = [sys.executable, "-I", "-S", "-c", dedent(program.format(path=str(PACKAGE.parent), heavy=HEAVY))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


def imports(path: Path) -> set[str]:
    """The parts of mangum that a module imports, as names of its top level."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found |= {name.split(".")[1] for name in names if name.startswith("mangum.")}
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        assert imports(path) == {"adapter"}
        return
    allowed: set[str] = set()
    for layer in LAYERS:
        allowed |= layer
        if own in layer:
            break
    else:
        raise AssertionError(f"{own} is in no layer")
    assert imports(path) <= allowed
    if own in STRANGERS:
        assert not imports(path) & (STRANGERS - {own})


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
    assert set(mangum.__all__) == {"Mangum", "__version__"}
