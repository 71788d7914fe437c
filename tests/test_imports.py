"""`import mangum` is light, imports point one way, and private names stay where they are."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import warnings
from collections.abc import Iterator
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
    {"adapter", "connections", "replies"},
    {"runtime"},
    {"local"},
    {"cli"},
    {"__main__"},
]
STRANGERS = {"handlers", "core", "backends"}  # which do not know each other

MODULES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in MODULES}
each_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())

# The only places that use private names of Python and of libraries, each with its reason in the code.
PRIVATE_APIS = {
    "backends/redis.py": ["super()._connect", "self._writer", "self._writer"],
    "core/root.py": ["asyncio.base_events._run_until_complete_cb"],
    "core/signals.py": ["threading._register_atexit"],
    "runtime/tracing.py": ["type(os.environ)"],  # os._Environ
    "websocket/idle.py": ["task._fut_waiter"],
}
DOCUMENTED = {"_asdict", "_replace"}  # of named tuples, public in spite of their names
MOVED = {"connections": "websocket.connections", "replies": "core.reply"}


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
    for node in ast.walk(TREES[path]):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found |= {name.split(".")[1] for name in names if name.startswith("mangum.")}
    return found


def module_name(path: Path) -> str:
    return ".".join(("mangum", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


NAMES = {module_name(path): path for path in MODULES}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@each_module
def test_imports_point_one_way(path: Path) -> None:
    own = room_of(path)
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


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def from_imports(path: Path) -> Iterator[tuple[str, str]]:
    """The module and the name of each `from module import name`."""
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield from ((node.module or "", alias.name) for alias in node.names)


def assigned(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []


def bound(path: Path) -> set[str]:
    """All names and attributes that a module binds anywhere."""
    found = set()
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return found


def listed(path: Path) -> list[str] | None:
    """A module's `__all__`."""
    for node in TREES[path].body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return names
    return None


def inherited(path: Path) -> set[str]:
    """The names that the bases of a module's classes may bind: those of the modules of its room that it imports."""
    found, seen, rest = set(), {path}, [path]
    while rest:
        for name, _ in from_imports(rest.pop()):
            base = NAMES.get(name)
            if base is not None and base not in seen and room_of(base) == room_of(path):
                seen.add(base)
                rest.append(base)
                found |= bound(base)
    return found


def foreign_privates(path: Path) -> Iterator[str]:
    """The private attributes that a module uses and neither it nor a base of its classes defines."""
    own = bound(path)
    bases = {
        ast.unparse(base) for node in ast.walk(TREES[path]) if isinstance(node, ast.ClassDef) for base in node.bases
    }
    of_bases = inherited(path)
    yield from (base for base in bases if base.startswith("type("))  # a class whose name is private
    for node in ast.walk(TREES[path]):
        if not isinstance(node, ast.Attribute) or not is_private(node.attr) or node.attr in DOCUMENTED:
            continue
        base = ast.unparse(node.value)
        known = of_bases if base == "super()" else own
        if base in ("self", "cls") or base in bases:
            known = own | of_bases
        if node.attr not in known or not (isinstance(node.value, ast.Name) or base == "super()"):
            yield ast.unparse(node)


@each_module
def test_no_module_uses_private_names_of_another(path: Path) -> None:
    for module, name in from_imports(path):
        assert not is_private(name), f"{name} of {module}"
        assert not any(map(is_private, module.split("."))), module
    assert sorted(foreign_privates(path)) == sorted(PRIVATE_APIS.get(path.relative_to(PACKAGE).as_posix(), []))


def test_private_apis_are_used_in_five_places_at_most() -> None:
    assert len(PRIVATE_APIS) <= 5


def is_internal(value: ast.expr | None) -> bool:
    """Whether a value is a logger or a type variable, of which each module has its own."""
    return isinstance(value, ast.Call) and ast.unparse(value.func) in (
        "logging.getLogger",
        "ParamSpec",
        "TypeVar",
        "TypeVarTuple",
    )


@each_module
def test_all_has_every_public_name(path: Path) -> None:
    tree = TREES[path]
    defined = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and not is_internal(node.value):
            defined |= {target.id for target in assigned(node) if isinstance(target, ast.Name)}
    public = {name for name in defined if not name.startswith("_")}
    names = listed(path)
    if names is None:
        assert path.name in ("__init__.py", "__main__.py")
        assert not public
        return
    assert len(set(names)) == len(names)
    assert public <= set(names)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of what has moved
        module = importlib.import_module(module_name(path))
    assert [name for name in names if not hasattr(module, name)] == []


@each_module
def test_imported_names_are_public_in_their_module(path: Path) -> None:
    for module, name in from_imports(path):
        if module in NAMES and f"{module}.{name}" not in NAMES:
            assert name in (listed(NAMES[module]) or ()), f"{name} of {module}"


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_moved_names_have_an_alias(old: str, new: str) -> None:
    sys.modules.pop(f"mangum.{old}", None)
    with pytest.warns(DeprecationWarning, match=rf"^mangum\.{old} has moved: .* mangum\.{new} ") as caught:
        module = importlib.import_module(f"mangum.{old}")
    place = importlib.import_module(f"mangum.{new}")
    assert all(getattr(module, name) is getattr(place, name) for name in module.__all__)
    assert len(caught) == 1


def test_the_warning_about_a_moved_name_points_at_its_import(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("\nfrom mangum.connections import Connections\nfrom mangum.replies import Reply\n")
    command = [sys.executable, "-W", "always::DeprecationWarning", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert [line.split(" ")[0] for line in done.stderr.splitlines() if "has moved" in line] == [
        f"{program}:2:",
        f"{program}:3:",
    ]


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
    assert set(mangum.__all__) == {"Mangum", "__version__"}
