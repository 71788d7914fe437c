"""`mangum build`: what it leaves out of packages, which is what nothing refers to."""

from __future__ import annotations

from pathlib import Path

import pytest

from mangum.cli.deployment import build as build_module
from mangum.cli.deployment.build import build
from mangum.cli.deployment.platform import Platform
from mangum.cli.deployment.pruning import prune, remove_records
from mangum.cli.deployment.pruning import test_packages as packages_of_tests
from tests.projects import config, folder, names, tree

__all__ = ["folder"]  # a fixture

PACKAGE = {"package/__init__.py": "", "package/tests/__init__.py": "", "package/tests/test/__init__.py": ""}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("main.py", "import package.tests.cases"),
        ("main.py", "from package import tests"),
        ("main.py", "from package.tests import x as y"),
        ("main.py", "import importlib; importlib.import_module('package.tests')"),
        ("main.py", "RUNNER = 'package.tests.runner:Runner'"),
        ("main.py", "def f():\n    from package.tests import x"),
        ("package/__init__.py", "from . import tests"),
        ("package/__init__.py", "from . import (\n    other,\n    tests,\n)"),
        ("package/__init__.py", "from . import (other,\n    more, tests)"),
        ("package/__init__.py", "from . import \\\n    tests as x"),
        ("package/__init__.py", "from . import (\n    tests  # as ever\n)"),
        ("package/__init__.py", "__all__ = ['tests']"),
        ("package/__init__.py", "import_module(f'{__name__}.tests')"),
        ("package/sub/module.py", "from ..tests.cases import x"),
        ("package/sub/__init__.py", "import_module('..tests', __package__)"),
        ("package/testing.py", "from .tests import x"),
        ("other-1.0.dist-info/entry_points.txt", "[x]\na = package.tests.plugin:Plugin\n"),
        ("package/native.so", "\0.tests\0package.tests.cases\0"),
        ("settings.toml", "runner = 'package.tests.runner'"),
        ("template.py", "{% this %}\nimport package.tests\n"),
        ("other/tests/__init__.py", "import package.tests"),  # which `other_main.py` imports
    ],
)
def test_a_package_of_tests_that_is_referred_to_stays(tmp_path: Path, name: str, text: str) -> None:
    tree(tmp_path, PACKAGE | {"other_main.py": "import other.tests"} | {name: text})
    assert prune(tmp_path, packages_of_tests(tmp_path)) == []
    assert (tmp_path / "package" / "tests" / "test" / "__init__.py").is_file()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("main.py", '"""As package.tests does."""\ndef f():\n    "package.tests"\n'),
        ("main.py", "import package.testing\nx = 'run the tests'\n"),
        ("main.py", "from tests import package"),
        ("main.py", "x = 'tests'"),
        ("package/tests/__init__.py", "import package.tests.cases"),
        ("package/sub/module.py", "from .tests import x"),
        ("package-1.0.dist-info/METADATA", "package.tests"),
    ],
)
def test_a_package_of_tests_that_is_not_referred_to_is_left_out(tmp_path: Path, name: str, text: str) -> None:
    tree(tmp_path, PACKAGE | {name: text})
    assert prune(tmp_path, packages_of_tests(tmp_path)) == ["package.tests"]
    assert not (tmp_path / "package" / "tests").exists()


def test_only_packages_inside_of_packages_are_packages_of_tests(tmp_path: Path) -> None:
    tree(tmp_path, {"tests/__init__.py": "", "package/data/tests/x.txt": "", "package/sub/test/__init__.py": ""})
    assert packages_of_tests(tmp_path) == [tmp_path / "package" / "sub" / "test"]


def test_the_applications_own_tests_stay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def install(requirements: Path, target: Path, platform: Platform) -> str:
        for name in ("own", "other"):
            tree(target, {f"{name}/__init__.py": "", f"{name}/tests/__init__.py": ""})
        return "pip"

    monkeypatch.setattr(build_module, "install_requirements", install)
    tree(folder, {"requirements.txt": "", "app/own/tests/x.py": "", "app/more/tests/__init__.py": ""})
    built = build(config(folder))
    assert built.unused_tests == ["other.tests"]
    assert {"own/tests/x.py", "own/tests/__init__.py", "more/tests/__init__.py"} <= names(built.folder)


def test_programs_stay_and_scripts_of_this_machines_python_do_not(tmp_path: Path) -> None:
    quotes = "'" * 3
    tree(
        tmp_path,
        {
            "bin/script": "#!/home/me/.venv/bin/python\n",
            "bin/long": f'#!/bin/sh\n{quotes}exec\' \'/a/long/path/python3\' "$0" "$@"\n',
            "bin/shell": "#!/bin/sh\nexec true\n",
            "bin/program": "\x7fELF",
            "x-1.0.dist-info/INSTALLER": "pip",
        },
    )
    remove_records(tmp_path)
    assert names(tmp_path) == {"bin/shell", "bin/program"}
    for name in ("shell", "program"):
        (tmp_path / "bin" / name).write_text("#!/usr/bin/env python3\n")
    remove_records(tmp_path)
    assert not (tmp_path / "bin").exists()


def test_records_name_what_is_there(tmp_path: Path) -> None:
    record = 'package/__init__.py,sha256=x,0\npackage/tests/__init__.py,sha256=y,0\n../../bin/x,,\n"a,b.py",,\n'
    tree(tmp_path, PACKAGE | {"a,b.py": "", "package-1.0.dist-info/RECORD": record})
    prune(tmp_path, packages_of_tests(tmp_path))
    assert (tmp_path / "package-1.0.dist-info" / "RECORD").read_text() == (
        'package/__init__.py,sha256=x,0\n"a,b.py",,\n'
    )
