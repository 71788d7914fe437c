"""The function's own code, which may change at any time: what belongs to it, and how it is imported."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path
from types import ModuleType

import mangum

__all__ = ["fresh_imports", "is_own_code"]

logger: logging.Logger = logging.getLogger("mangum.local")

# `test` is for Python's own developers, and often a package of an application's.
_STANDARD_LIBRARY = sys.stdlib_module_names - {"test"}
_MANGUM = Path(mangum.__file__).parent
# The beginning of bytecode with the hash of its source: one that Python checks, and one that it believes, as in what
# `mangum build` makes. https://docs.python.org/3/reference/import.html#cached-bytecode-invalidation
_CHECKED = MAGIC_NUMBER + (0b11).to_bytes(4, "little")
_UNCHECKED = MAGIC_NUMBER + (0b01).to_bytes(4, "little")
_NO_HASH = bytes(8)


def is_own_code(file: Path, folder: Path) -> bool:
    """Whether a module's file is code of the function in `folder`: not what is installed, and not mangum, though they
    may lie in the folder."""
    return (
        file.is_relative_to(folder)
        and not any(file.is_relative_to(other) for other in (_MANGUM, sys.prefix, sys.base_prefix))
        and not {"site-packages", "dist-packages"} & set(file.parts)
    )


@contextmanager
def fresh_imports(folder: Path) -> Iterator[None]:
    """Import the function's own code from its source as it is now. By default, Python takes bytecode for up to date if
    the source has the same size and was changed in the same second. Nothing of the folder is imported in place of a
    module of the standard library, which the gateway itself may need."""
    finder = _Finder(folder)
    sys.meta_path.insert(0, finder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder:
    """Lets the finders after it find a module, and changes how its source is loaded."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._warned: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None and name in _STANDARD_LIBRARY:
            standard = PathFinder.find_spec(
                name, [entry for entry in sys.path if Path(entry).absolute() != self._folder]
            )
            if standard is not None:
                self._warn_of(name)
                return standard
        finders = sys.meta_path[sys.meta_path.index(self) + 1 :]
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in finders)), None)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            file = spec.loader.path
            if is_own_code(Path(file), self._folder):
                spec.loader = _Loader(spec.loader.name, file)
        return spec

    def _warn_of(self, name: str) -> None:
        for file in (f"{name}.py", os.path.join(name, "__init__.py")):
            if (self._folder / file).is_file() and name not in self._warned:
                self._warned.add(name)
                logger.warning(
                    "%s has the name of a module of the standard library, which is imported in its place: rename it.",
                    file,
                )


class _Loader(SourceFileLoader):
    """Takes only bytecode with the hash of the source, and writes bytecode of that kind."""

    def get_data(self, path: str) -> bytes:
        if path != cache_from_source(self.path):
            return super().get_data(path)
        try:
            bytecode = super().get_data(path)
        except OSError:
            bytecode = b""
        # Any other bytecode is presented as that of another source: Python then replaces it, by bytecode with a hash.
        return _CHECKED + (bytecode[8:] if bytecode.startswith((_CHECKED, _UNCHECKED)) else _NO_HASH)
