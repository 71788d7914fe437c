"""Nothing of the current folder is imported in place of the standard library, by no command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

import mangum
from tests.dev_server import serving
from tests.lambda_runtime import OWN as RUNTIME
from tests.lambda_runtime import running
from tests.projects import OWN

PROJECT = Path(mangum.__file__).parent.parent
HANDLER = """
import queue, tabnanny, own

def handler(event, context):
    return {"statusCode": 200, "body": f"{hasattr(queue, 'SimpleQueue')} {hasattr(tabnanny, 'NannyNag')} {own.NAME}"}
"""
# `queue`, `json` and `socket` are imported at once, `tabnanny` by nothing but the function, `plistlib` by pip.
NAMES = ("queue", "json", "socket", "tabnanny", "plistlib")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"print('{name} of the folder runs')\n")
    (tmp_path / "own.py").write_text("NAME = 'own'\n")
    (tmp_path / "served.py").write_text(HANDLER)
    (tmp_path / "event.json").write_text('{"x": 1}')
    return tmp_path


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mangum", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "arguments", [["--version"], ["events", "http-api"], ["dev", "--help"]], ids=lambda item: item[0]
)
def test_commands(folder: Path, arguments: list[str]) -> None:
    done = command(folder, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "of the folder runs" not in done.stdout


def test_invoke(folder: Path) -> None:
    done = command(folder, "invoke", "served:handler", "event.json")
    assert done.returncode == 0, done.stderr
    assert '"body": "True True own"' in done.stdout
    assert "of the folder runs" not in done.stderr
    assert "tabnanny.py has the name of a module of the standard library, which is imported in its place" in done.stderr


def test_build(folder: Path) -> None:
    (folder / "mangum.yml").write_text(
        f"name: hello\nbucket_name: hello-code\nregion_name: eu-west-1\nruntime: {OWN}\n"
    )
    (folder / "app").mkdir()
    (folder / "app" / "asgi.py").write_text("handler = None\n")
    (folder / "requirements.txt").write_text("idna==3.10\n")
    done = command(folder, "build")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "build" / "idna").is_dir()
    assert "of the folder runs" not in done.stdout + done.stderr


@pytest.mark.parametrize("options", [[], ["--workers", "1"], ["--workers", "1", "--runtime", "awslambdaric"]], ids=str)
def test_dev(folder: Path, options: list[str]) -> None:
    with serving(folder, "served:handler", "--no-reload", *options) as server:
        assert httpx.get(server.url, timeout=30).text == "True True own"
        assert "of the folder runs" not in server.output


def test_an_own_package_named_test_is_the_functions(folder: Path) -> None:
    (folder / "test").mkdir()
    (folder / "test" / "__init__.py").write_text("NAME = 'own test'\n")
    (folder / "served.py").write_text("import test\ndef handler(event, context):\n    return test.NAME\n")
    done = command(folder, "invoke", "served:handler", "event.json")
    assert (done.returncode, done.stdout) == (0, '"own test"\n')


WRAPPER = (str(PROJECT / "mangum" / "runtime" / "wrapper"), sys.executable, "/var/runtime/bootstrap.py")
# AWS's runtime has loaded these before it looks into the function's folder.
LOADED = ("json", "logging", "typing", "asyncio", "ssl", "socket")
OWN_MODULES = """
import idna, own, sys

def handler(event, context):
    return [idna.NAME, own.NAME, sys.path[0]]
"""


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("program", "path"), [(RUNTIME, str(PROJECT)), (WRAPPER, "")], ids=["python -m mangum.runtime", "wrapper"]
)
async def test_the_runtime(tmp_path: Path, program: Sequence[str], path: str) -> None:
    """The function's own modules come before those that are installed, as on AWS's runtime."""
    for name in LOADED:
        (tmp_path / f"{name}.py").write_text("raise ImportError('this is the function's')\n")
    (tmp_path / "own.py").write_text("NAME = 'own'\n")
    (tmp_path / "idna.py").write_text("NAME = 'own idna'\n")
    async with running(tmp_path, OWN_MODULES, program, environment={"PYTHONPATH": path}) as runtime:
        assert await runtime.server.put({}).answer() == ["own idna", "own", str(tmp_path)]


@pytest.mark.anyio
async def test_the_wrapper_of_a_copy_in_the_functions_folder(tmp_path: Path) -> None:
    """mangum is found by that folder, which is at the end of the path first and at its beginning then."""
    (tmp_path / "mangum").symlink_to(PROJECT / "mangum")
    (tmp_path / "typing.py").write_text("raise ImportError('this is the function's')\n")
    (tmp_path / "idna.py").write_text("NAME = 'own idna'\n")
    (tmp_path / "own.py").write_text("NAME = 'own'\n")
    program = (str(tmp_path / "mangum" / "runtime" / "wrapper"), *WRAPPER[1:])
    async with running(tmp_path, OWN_MODULES, program, environment={"PYTHONPATH": ""}) as runtime:
        assert await runtime.server.put({}).answer() == ["own idna", "own", str(tmp_path)]


def python(folder: Path, *arguments: str) -> str:
    environment = {"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


@pytest.mark.parametrize("arguments", [["-mmangum", "--version"], ["-m", "mangum.runtime", "--help"]], ids=" ".join)
def test_other_ways_to_name_a_program_of_mangum(folder: Path, arguments: list[str]) -> None:
    assert "of the folder runs" not in python(folder, *arguments)


@pytest.mark.parametrize("arguments", [["-m", "myapp", "mangum"], ["-mmyapp", "-m", "mangum.runtime"]], ids=" ".join)
def test_the_current_folder_of_other_programs_stays_first(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "myapp").mkdir()
    (tmp_path / "myapp" / "__init__.py").write_text("import mangum\n")
    (tmp_path / "myapp" / "__main__.py").write_text("import sys\nprint(sys.path[0])\n")
    assert python(tmp_path, *arguments) == f"{tmp_path}\n"
