"""How `mangum dev` imports the function's own code: from the source as it is now, however little of it has changed."""

from __future__ import annotations

import importlib
import os
import py_compile
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from mangum.local import own_code
from mangum.local.own_code import fresh_imports, is_own_code

NAME = "module_of_the_function"
# Two versions of a module have the same size and the same time of change: bytecode with these two seems up to date.
CHANGED_AT = (1_700_000_000, 1_700_000_000)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / f"{NAME}.py"
    sys.modules.pop(NAME, None)


def write(module: Path, value: int) -> None:
    module.write_text(f"VALUE = {value}\n")
    os.utime(module, CHANGED_AT)


def find_spec_anew(name: str) -> ModuleSpec | None:
    """Where a module would be imported from, by the first finder that knows."""
    return next(filter(None, (finder.find_spec(name, None) for finder in sys.meta_path)), None)


def imported() -> int:
    """What the module says, imported again."""
    sys.modules.pop(NAME, None)
    value: int = importlib.import_module(NAME).VALUE
    return value


def test_every_version_is_imported(module: Path) -> None:
    with fresh_imports(module.parent):
        for value in range(10):
            write(module, value)
            assert imported() == value


def test_bytecode_that_seems_up_to_date_is_not_imported(module: Path) -> None:
    write(module, 1)
    assert imported() == 1
    write(module, 2)
    assert imported() == 1  # as Python does by default
    with fresh_imports(module.parent):
        assert imported() == 2
    assert imported() == 2  # and bytecode of the old version is gone
    write(module, 3)
    assert imported() == 3  # any other process of this Python is right too from then on


def test_bytecode_of_the_same_source_is_used(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fresh_imports(module.parent):
        write(module, 1)
        assert imported() == 1
        os.utime(module)
        monkeypatch.setattr(own_code._Loader, "source_to_code", None)  # compiling it fails
        assert imported() == 1
        write(module, 2)
        with pytest.raises(TypeError):
            imported()


def test_bytecode_that_python_would_not_check_is_checked(module: Path) -> None:
    write(module, 1)
    py_compile.compile(str(module), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    before = Path(cache_from_source(str(module))).read_bytes()
    with fresh_imports(module.parent):
        assert imported() == 1
        assert Path(cache_from_source(str(module))).read_bytes() == before
        write(module, 2)
        assert imported() == 2


def test_no_bytecode_is_written_where_python_is_told_so(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    with fresh_imports(module.parent):
        for value in range(2):
            write(module, value)
            assert imported() == value
    assert not Path(cache_from_source(str(module))).exists()


def test_code_elsewhere_is_imported_as_ever(module: Path, tmp_path: Path) -> None:
    write(module, 1)
    py_compile.compile(str(module))
    write(module, 2)
    with fresh_imports(tmp_path / "other"):
        assert imported() == 1
    assert all(type(finder).__module__ != own_code.__name__ for finder in sys.meta_path)


@pytest.mark.parametrize(
    ("file", "is_own"),
    [
        ("app.py", True),
        ("src/app/models.py", True),
        ("../elsewhere/app.py", False),
        (".venv/lib/python3.13/site-packages/httpx/__init__.py", False),
        ("usr/lib/python3/dist-packages/httpx/__init__.py", False),
    ],
)
def test_own_code_is_in_the_folder_and_not_installed(tmp_path: Path, file: str, is_own: bool) -> None:
    assert is_own_code(Path(os.path.normpath(tmp_path / file)), tmp_path) is is_own


@pytest.mark.parametrize("module", [own_code, os, pytest], ids=lambda module: module.__name__)
def test_mangum_and_python_are_not_own_code_of_a_folder_above(module: object) -> None:
    assert not is_own_code(Path(module.__file__), Path("/"))  # type: ignore[attr-defined]


def test_a_module_of_the_standard_library_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    names = "colorsys", "winreg" if sys.platform != "win32" else "fcntl"  # the other is in no library of this platform
    for name in names:
        (tmp_path / f"{name}.py").write_text("VALUE = 1\n")
        monkeypatch.delitem(sys.modules, name, raising=False)
    with fresh_imports(tmp_path):
        assert [hasattr(importlib.import_module(name), "VALUE") for name in names] == [False, True]
    for name in names:
        del sys.modules[name]


def test_a_module_that_is_compiled_into_python_is_found(tmp_path: Path) -> None:
    with fresh_imports(tmp_path):
        spec = find_spec_anew("_sre")
    assert spec is not None
    assert spec.origin == "built-in"
