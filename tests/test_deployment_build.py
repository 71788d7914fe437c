"""`mangum build`: what ends up in the function's folder."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mangum.cli.deployment import build as build_module
from mangum.cli.deployment import requirements as requirements_module
from mangum.cli.deployment.archive import write_archive
from mangum.cli.deployment.build import WRAPPER, build, digest
from mangum.cli.deployment.errors import CommandError
from mangum.cli.deployment.import_check import runs_here
from mangum.cli.deployment.platform import Platform
from mangum.cli.deployment.requirements import install_requirements
from tests.command_line import run
from tests.projects import HANDLER, OWN, config, folder, names, tree

__all__ = ["folder"]  # a fixture


class TestCode:
    def test_code_alone(self, folder: Path) -> None:
        for name in (".well-known", "__pycache__", "venv", ".git", "templates"):
            (folder / "app" / name).mkdir()
            (folder / "app" / name / "x.html").write_text("x")
        (folder / "app" / "venv" / "pyvenv.cfg").write_text("")
        for name in (".env", ".chainlit", "compiled.pyc", "templates/.DS_Store"):
            (folder / "app" / name).write_text("x")
        built = build(config(folder))
        cached = f"__pycache__/asgi.{sys.implementation.cache_tag}.pyc"
        copied = {"asgi.py", "compiled.pyc", "templates/x.html", ".well-known/x.html", ".chainlit"}
        assert names(built.folder) == {*copied, cached}
        assert built.left_out == [".env", ".git", "venv", "templates/.DS_Store"]
        assert (built.installer, built.is_compiled) == (None, True)
        assert built.size == sum((built.folder / name).stat().st_size for name in names(built.folder))
        assert list(folder.glob(".build*")) == []

    def test_bytecode_is_taken_without_a_look_at_the_source(self, folder: Path) -> None:
        built = build(config(folder))
        (bytecode,) = built.folder.rglob("*.pyc")
        assert int.from_bytes(bytecode.read_bytes()[4:8], "little") == 0b01  # PEP 552: a hash that is not checked
        assert b"/var/task/asgi.py" in bytecode.read_bytes()
        (built.folder / "asgi.py").write_text("raise AssertionError")
        spec = importlib.util.spec_from_file_location("built", built.folder / "asgi.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.handler({}, None)["body"] == "fine"

    def test_the_same_twice(self, folder: Path) -> None:
        (folder / "app" / "sets.py").write_text(
            "A = {'a', 'b', 'c', 'd', 'e'}\ndef f(x):\n    return x in {'a', 'b', 'c'}\n"
        )
        first = build(config(folder))
        write_archive(first.folder, folder / "first.zip")
        for path in (folder / "app").iterdir():
            os.utime(path, (1, 1))
        second = build(config(folder))
        write_archive(second.folder, folder / "second.zip")
        assert first.digest == second.digest
        assert (folder / "first.zip").read_bytes() == (folder / "second.zip").read_bytes()
        (folder / "app" / "sets.py").write_text("A = 1\n")
        assert build(config(folder)).digest != first.digest

    def test_another_version_of_python(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        other = "python3.14" if OWN != "python3.14" else "python3.13"
        monkeypatch.setattr(shutil, "which", lambda name: None)
        built = build(config(folder, runtime=other))
        assert (built.is_compiled, names(built.folder)) == (False, {"asgi.py"})
        monkeypatch.setattr(shutil, "which", lambda name: sys.executable)
        assert build(config(folder, runtime=other)).is_compiled

    def test_what_cannot_be_compiled_is_left(self, folder: Path) -> None:
        (folder / "app" / "template.py").write_text("{{ this is none }}")
        assert build(config(folder)).is_compiled

    def test_a_compiler_that_does_not_end(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(build_module, "_COMPILE_S", 0.0)
        with pytest.raises(CommandError, match="Compiling had not ended"):
            build(config(folder))
        assert not (folder / "build").exists()

    @pytest.mark.parametrize(
        ("settings", "code", "message"),
        [
            ({"code_dir": "missing"}, HANDLER, "The folder missing is not there"),
            ({"handler": "other.handler"}, HANDLER, "The handler other.handler is not there: app/other.py is missing."),
            ({"handler": "asgi.other"}, HANDLER, "The handler asgi.other is not there: asgi.py has no other."),
            ({}, "def handler(:\n", "app/asgi.py:1: invalid syntax."),
        ],
    )
    def test_a_handler_that_is_not_there(self, folder: Path, settings: dict[str, str], code: str, message: str) -> None:
        build(config(folder))
        before = digest(folder / "build")
        (folder / "app" / "asgi.py").write_text(code)
        with pytest.raises(CommandError) as caught:
            build(config(folder, **settings))
        assert message in str(caught.value)
        assert digest(folder / "build") == before  # what was there stays

    @pytest.mark.parametrize("kind", ["folder", "file", "link"])
    def test_what_another_has_made_is_not_replaced(self, folder: Path, kind: str) -> None:
        """Nor is what an earlier version of mangum has made: that looks the same."""
        own = folder / "build"
        if kind == "folder":
            tree(folder, {"build/asgi.py": HANDLER, "build/notes.txt": "of mine"})
        elif kind == "file":
            own.write_text("of mine")
        else:
            own.symlink_to("missing")
        with pytest.raises(CommandError) as caught:
            build(config(folder))
        assert str(caught.value) == (
            f"{own} is there, and `mangum build` would replace it, but did not make it: move it elsewhere. If an "
            "earlier version of mangum made it, delete it."
        )
        assert os.path.lexists(own)
        assert kind != "folder" or names(own) == {"asgi.py", "notes.txt"}

    def test_what_a_build_has_made_and_an_empty_folder_are_replaced(self, folder: Path) -> None:
        (folder / "build").mkdir()
        first = build(config(folder))
        assert build(config(folder)).digest == first.digest
        assert ".mangum-build" not in first.sizes

    @pytest.mark.parametrize(
        "code", ["handler = 1", "class handler: ...", "from x import handler", "import x as handler", HANDLER]
    )
    def test_a_handler_of_any_kind(self, folder: Path, code: str) -> None:
        package = folder / "app" / "package"
        package.mkdir()
        (package / "__init__.py").write_text(code)
        (folder / "app" / "x.py").write_text(HANDLER)
        assert "package/__init__.py" in names(build(config(folder, handler="package.handler")).folder)

    def test_streaming_needs_the_runtime(self, folder: Path) -> None:
        with pytest.raises(CommandError, match="needs mangum's own runtime"):
            build(config(folder, api="url", streaming=True))
        (folder / "app" / "mangum" / "runtime").mkdir(parents=True)
        (folder / "app" / "mangum" / "runtime" / "wrapper").write_text("")
        with pytest.raises(CommandError, match=r"put mangum\[runtime\] into the requirements"):
            build(config(folder, api="url", streaming=True))
        (folder / "app" / "httptools").mkdir()
        built = build(config(folder, api="url", streaming=True))
        assert stat.S_IMODE((built.folder / WRAPPER).stat().st_mode) == 0o755
        write_archive(built.folder, folder / "code.zip")
        with zipfile.ZipFile(folder / "code.zip") as archive:
            assert archive.getinfo(WRAPPER).external_attr >> 16 == 0o755
            assert archive.getinfo("asgi.py").external_attr >> 16 == 0o644


class TestRequirements:
    def test_they_are_installed_and_pruned(self, folder: Path) -> None:
        (folder / "requirements.txt").write_text("idna==3.10\nboto3==1.35.0\n")
        built = build(config(folder))
        found = names(built.folder)
        assert "idna/core.py" in found
        assert "idna-3.10.dist-info/METADATA" in found
        assert {"boto3/session.py", "botocore/session.py", "s3transfer/manager.py"} <= found
        assert not [name for name in found if name.startswith("bin/") or name.endswith("/INSTALLER")]
        record = (built.folder / "idna-3.10.dist-info" / "RECORD").read_text().splitlines()
        assert all((built.folder / line.split(",")[0]).is_file() for line in record)
        assert any(line.startswith("idna/core.py,sha256=") for line in record)
        assert built.installer in ("pip", "uv")
        assert build(config(folder), installs=False).folder.joinpath("idna").exists() is False

    def test_both_architectures_of_the_example(self, folder: Path) -> None:
        (folder / "requirements.txt").write_text("fastapi\n")
        digests = []
        for architecture, machine in (("x86_64", "x86_64"), ("arm64", "aarch64")):
            built = build(config(folder, architecture=architecture))
            (compiled,) = built.folder.glob("pydantic_core/*.so")
            assert machine in compiled.name
            digests.append(built.digest)
        assert len(set(digests)) == 2
        assert build(config(folder, architecture="arm64")).digest == digests[1]

    def test_uv(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("UV_CACHE_DIR", str(folder / "cache"))  # nothing may be written to the home folder
        (folder / "requirements.txt").write_text("idna==3.10\n")
        assert build(config(folder)).installer == "uv"

    @pytest.mark.parametrize(
        ("requirement", "message"),
        [
            ("no-such-package-of-anybody", "no-such-package-of-anybody of requirements.txt has no wheel for Lambda's"),
            ("idna @@", "could not install requirements.txt for manylinux_2"),
        ],
    )
    def test_what_cannot_be_installed(self, folder: Path, requirement: str, message: str) -> None:
        (folder / "app" / "requirements.txt").write_text(f"{requirement}\n")
        with pytest.raises(CommandError) as caught:
            build(config(folder))
        assert message in str(caught.value)
        assert not (folder / "build").exists()

    @pytest.mark.parametrize("has_uv", [False, True], ids=["pip", "uv"])
    def test_a_local_package_is_copied_and_not_pointed_at(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, has_uv: bool
    ) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}" if has_uv else "/usr/bin:/bin"
        monkeypatch.setenv("PATH", path)
        monkeypatch.setenv("UV_CACHE_DIR", str(folder / "cache"))
        monkeypatch.setenv("PYTHONWARNINGS", "error")  # which would fail the build tools of other projects
        monkeypatch.chdir(folder)
        (folder / "shared" / "shared").mkdir(parents=True)
        (folder / "shared" / "shared" / "__init__.py").write_text("")
        (folder / "shared" / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
            '[project]\nname = "shared"\nversion = "1.0"\n'
        )
        (folder / "requirements.txt").write_text("-e ./shared\n")
        with pytest.raises(CommandError, match=r"^shared: requirements\.txt asks for this with -e"):
            build(config(folder))
        subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "./shared"], check=True)
        (folder / "requirements.txt").write_text("./shared-1.0-py3-none-any.whl\n")
        built = build(config(folder))
        assert built.installer == ("uv" if has_uv else "pip")
        assert "shared/__init__.py" in names(built.folder)

    def test_an_old_kind_of_editable_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "easy-install.pth").write_text("/home/me/shared\n")
        (tmp_path / "package.pth").write_text("import package\n./relative\n")
        done = subprocess.CompletedProcess([], 0, "", "")
        monkeypatch.setattr(subprocess, "run", lambda command, **options: done)
        with pytest.raises(CommandError, match=r"^/home/me/shared: r\.txt asks for this with -e"):
            install_requirements(Path("r.txt"), tmp_path, Platform("python3.12", "arm64"))

    @pytest.mark.parametrize(
        ("name", "text", "remedy"),
        [
            ("uv.lock", "", "uv export "),
            ("poetry.lock", "", "poetry export "),
            ("app/pdm.lock", "", "pdm export "),
            ("Pipfile", "", "pipenv requirements"),
            ("pyproject.toml", '[project]\ndependencies = ["idna"]\n', "uv pip compile pyproject.toml"),
            ("pyproject.toml", '[project]\ndynamic = ["dependencies"]\n', "uv pip compile pyproject.toml"),
            ("pyproject.toml", '[tool.poetry.dependencies]\npython = "*"\nidna = "*"\n', "uv pip compile"),
            ("pyproject.toml", "[", "pyproject.toml is invalid"),
        ],
    )
    def test_requirements_elsewhere_are_not_passed_over(self, folder: Path, name: str, text: str, remedy: str) -> None:
        (folder / name).write_text(text)
        with pytest.raises(CommandError) as caught:
            build(config(folder))
        assert remedy in str(caught.value)
        build(config(folder), installs=False)
        (folder / "requirements.txt").write_text("")
        build(config(folder))

    def test_a_project_without_requirements(self, folder: Path) -> None:
        (folder / "pyproject.toml").write_text(
            '[tool.poetry.dependencies]\npython = "^3.11"\n[project]\nname = "x"\ndependencies = []\n'
        )
        assert build(config(folder)).installer is None

    def test_an_installer_that_does_not_end(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "requirements.txt").write_text("idna\n")
        monkeypatch.setattr(requirements_module, "_INSTALL_S", 0.0)
        with pytest.raises(CommandError, match="had not ended after 0 minutes"):
            build(config(folder))

    @pytest.mark.parametrize("has_uv", [True, False])
    def test_the_command(self, folder: Path, monkeypatch: pytest.MonkeyPatch, has_uv: bool) -> None:
        """Either installer, whichever this machine has."""
        asked: list[list[str]] = []

        def note(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
            asked.append(command)
            return subprocess.CompletedProcess(command, 0, "", "")

        monkeypatch.setattr(shutil, "which", lambda name: "/bin/uv" if has_uv else None)
        monkeypatch.setattr(subprocess, "run", note)
        platform = Platform("python3.12", "arm64")
        assert install_requirements(Path("r.txt"), Path("t"), platform) == ("uv" if has_uv else "pip")
        (command,) = asked
        if has_uv:
            assert command[:3] == ["/bin/uv", "pip", "install"]
            assert "aarch64-manylinux_2_34" in command
        else:
            assert command[:5] == [sys.executable, "-P", "-m", "pip", "install"]
            assert command[command.index("--platform") + 1] == "manylinux_2_34_aarch64"
        assert ("3.12" in command, ":all:" in command) == (True, True)


def test_platforms() -> None:
    assert Platform("python3.11", "x86_64").tags[0] == "manylinux_2_26_x86_64"
    assert Platform("python3.13", "arm64").tags[0] == "manylinux_2_34_aarch64"
    assert Platform("python3.13", "arm64").tags[-1] == "manylinux2014_aarch64"


class TestCommand:
    @pytest.fixture(autouse=True)
    def project(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder)
        (folder / "mangum.yml").write_text(
            f"name: hello\nbucket_name: hello-code\nregion_name: eu-west-1\nruntime: {OWN}\n"
        )

    def test_what_it_says(self, folder: Path) -> None:
        for number in range(10):
            (folder / "app" / f"module{number}.py").write_text(f"NUMBER = {number}\n")
        result = run("build", "--no-pip")
        assert result.exit_code == 0, result.stderr
        assert f"Building for {OWN} on x86_64 ..." in result.stdout
        assert "  4 more\n" in result.stdout
        assert "of 250.0 MB that Lambda takes" in result.stdout
        assert "Left out" not in result.stdout

    def test_what_was_left_out_is_named(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def install(requirements: Path, target: Path, platform: Platform) -> str:
            for number in range(10):
                tree(target, {f"package{number}/tests/__init__.py": ""})
            tree(target, {"boto3/__init__.py": "", "botocore/data.json": "x" * 2048})
            return "pip"

        monkeypatch.setattr(build_module, "install_requirements", install)
        tree(folder, {"requirements.txt": "", "app/.env": "", "app/asgi.py": "1 / 0\nhandler = None"})
        result = run("build")
        assert "Left out of app/: .env\n" in result.stdout
        assert "Left out, since nothing imports it: package0.tests, package1.tests, " in result.stdout
        assert " and 2 more\n" in result.stdout
        assert "boto3 and botocore are 2 KB of it. Lambda has its own" in result.stderr
        if runs_here(Platform(OWN, "x86_64")):
            assert "is not known: ZeroDivisionError: division by zero (asgi.py:1).\n" in result.stderr

    def test_what_is_too_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mangum.cli.deployment.platform.MOST_UNZIPPED_BYTES", 10)
        result = run("build")
        assert "It is too large for Lambda: leave out requirements" in result.stderr
        result = run("package", "--endpoint-url", "http://127.0.0.1:1")
        assert (result.exit_code, "and Lambda takes 0 KB" in result.stderr) == (1, True)

    def test_without_bytecode(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(build_module, "_interpreter", lambda platform: None)
        assert f"Without bytecode, since there is no {OWN} on this machine" in run("build").stderr

    def test_without_a_configuration(self, folder: Path) -> None:
        (folder / "mangum.yml").rename(folder / "other.yml")
        assert "There is no mangum.yml here" in run("build").stderr
        assert run("build", "--config", "other.yml").exit_code == 0
