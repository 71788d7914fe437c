"""Which modules the code of a folder refers to: by imports, and by strings that name them."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["unreferenced"]

# The names of modules that are looked for end in these, so that only files with such a word have to be read closely.
_WORD = re.compile(rb"\btests?\b")
_DOTTED = re.compile(rb"(?:[A-Za-z_]\w*\.)+tests?\b")
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
        for name in used:
            for path in _files(unused.pop(name), set()):
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
    if not _WORD.search(source):
        return set()
    names = _names_in_text(source) if path.suffix != ".py" else _names_in_code(source, path, folder)
    return {
        ".".join(parts[:count]) for parts in (name.split(".") for name in names) for count in range(1, len(parts) + 1)
    }


def _names_in_text(source: bytes) -> Iterable[str]:
    return [found.decode("ascii", "replace") for found in _DOTTED.findall(source)]


def _names_in_code(source: bytes, path: Path, folder: Path) -> Iterable[str]:
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # of another version of Python, or a template
        return _names_in_text(source)
    package = path.parent.relative_to(folder).parts
    return list(_names_in_tree(tree, package, is_package=path.name == "__init__.py"))


def _names_in_tree(tree: ast.Module, package: tuple[str, ...], *, is_package: bool) -> Iterator[str]:
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    for node in ast.walk(tree):
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
