"""Which modules the code of a folder refers to: by imports, and by strings that name them."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["unreferenced"]

# Which source has to be parsed: one where such a word is part of a dotted name, begins a string, or where an
# import may have it. Parsing all would take minutes for large packages.
_CANDIDATE = re.compile(
    rb"[.'\"]tests?\b|\bimport\b[^\n]*\btests?\b|^[\w, \t]*\btests?[ \t]*([,)\\#\n]|as\b)", re.MULTILINE
)
# Extension modules have hundreds of megabytes: this expression begins with what can be searched for fast.
_LAST_PART = re.compile(rb"\.tests?\b")
_PARTS_BEFORE = re.compile(rb"[A-Za-z_][\w.]*\Z")
_MOST_BEFORE = 200
_NAME = re.compile(r"(?P<dots>\.*)(?P<name>[A-Za-z_][\w.]*)(?::[\w.]+)?")
# Files beside Python's that may name a module: extension modules, entry points, configuration.
_TEXTS = frozenset({".so", ".toml", ".yml", ".yaml", ".json", ".ini", ".cfg"})
_ENTRY_POINTS = "entry_points.txt"


def unreferenced(folder: Path, packages: Iterable[Path]) -> list[Path]:
    """Of these packages below `folder`, each named `test` or `tests`, those that no other code in the folder refers to.
    A package that is referred to counts as code in turn.

    An import whose name is only put together while the code runs cannot be seen.
    """
    unused = {".".join(package.relative_to(folder).parts): package for package in packages}
    named: set[str] = set()
    for path in _files(folder, set(unused.values())):
        named |= _references(path, folder)
    while used := [name for name in unused if name in named]:
        packages = [unused.pop(name) for name in used]
        if not unused:
            break
        for path in (path for package in packages for path in _files(package, set())):
            named |= _references(path, folder)
    return sorted(unused.values())


def _files(folder: Path, without: set[Path]) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir():
            if path not in without:
                yield from _files(path, without)
        elif path.suffix == ".py" or path.suffix in _TEXTS or path.name == _ENTRY_POINTS:
            yield path


def _references(path: Path, folder: Path) -> set[str]:
    """The names of modules in a file, with the names of the packages that they are in."""
    source = path.read_bytes()
    names = _names_in_code(source, path, folder) if path.suffix == ".py" else _names_in_text(source)
    return {
        ".".join(parts[:count]) for parts in (name.split(".") for name in names) for count in range(1, len(parts) + 1)
    }


def _names_in_text(source: bytes) -> Iterable[str]:
    names = []
    for last in _LAST_PART.finditer(source):
        before = _PARTS_BEFORE.search(source, max(0, last.start() - _MOST_BEFORE), last.start())
        if before is not None:
            names.append((before[0] + last[0]).decode("ascii"))
    return names


def _names_in_code(source: bytes, path: Path, folder: Path) -> Iterable[str]:
    if b"test" not in source or not _CANDIDATE.search(source):
        return []
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # of another version of Python, or a template
        return _names_in_text(source)
    package = path.parent.relative_to(folder).parts
    return list(_names_in_tree(tree, package, is_package=path.name == "__init__.py"))


def _names_in_tree(tree: ast.Module, package: tuple[str, ...], *, is_package: bool) -> Iterator[str]:
    nodes = list(ast.walk(tree))
    prose = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}  # docstrings
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node.level, node.module or "", package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            found = _NAME.fullmatch(node.value)
            if found is not None:
                yield _absolute(len(found["dots"]), found["name"], package)
                if is_package and not found["dots"]:  # in `__all__`, or among submodules that are loaded when asked for
                    yield _absolute(1, found["name"], package)


def _absolute(level: int, name: str, package: tuple[str, ...]) -> str:
    """The name of a module that is imported in `package`, from `level` packages up."""
    if level == 0:
        return name
    return ".".join(part for part in (*package[: len(package) - level + 1], name) if part)
