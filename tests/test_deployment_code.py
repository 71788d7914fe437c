"""`mangum build`: the application's own code in it, and whether that can be imported."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mangum.cli.deployment import import_check
from mangum.cli.deployment.build import build, digest
from mangum.cli.deployment.errors import CommandError
from mangum.cli.deployment.import_check import runs_here
from mangum.cli.deployment.platform import Platform
from tests.projects import HANDLER, OWN, config, folder, names, tree

__all__ = ["folder"]  # a fixture


class TestLinks:
    def test_a_link_in_the_project_is_followed(self, folder: Path) -> None:
        (folder / "shared").mkdir()
        (folder / "shared" / "x.py").write_text("")
        (folder / "app" / "shared").symlink_to("../shared")
        (folder / "app" / "y.py").symlink_to("../shared/x.py")
        built = build(config(folder))
        assert {"shared/x.py", "y.py"} <= names(built.folder)
        assert not [path for path in built.folder.rglob("*") if path.is_symlink()]

    @pytest.mark.parametrize(
        ("link", "target", "message"),
        [
            ("app/secret", "/etc/passwd", "The link app/secret leads out of the project, to /etc/passwd"),
            ("app/up", "../..", "The link app/up leads out of the project"),
            ("shared/out", "/etc", "The link app/shared/out leads out of the project, to /etc"),
            ("app/self", ".", "The link app/self leads to "),
            ("shared/back", "../app", "a folder that contains the link"),
            ("app/gone", "missing", "The link app/gone leads to missing, which is not there"),
            ("app/loop", "loop", "The link app/loop leads to loop, which is not there"),
            ("app/conf", "../.env", "The link app/conf leads to ../.env, and .env is left out of builds"),
            ("app/awsd", "../other/.aws", "The link app/awsd leads to ../other/.aws, and .aws is left out of builds"),
            ("app/key", "../other/.aws/credentials", "and .aws is left out of builds"),
            ("app/by_way", "../way", "The link app/by_way leads to ../way, and .env is left out of builds"),
            ("app/other", "../.netrc", "and .netrc is left out of builds"),
            ("shared/conf", "../.env", "The link app/shared/conf leads to ../.env, and .env is left out of builds"),
        ],
    )
    def test_a_link_that_cannot_be_followed_is_named(self, folder: Path, link: str, target: str, message: str) -> None:
        (folder / "shared").mkdir()
        (folder / "app" / "shared").symlink_to("../shared")
        tree(folder, {".env": "KEY=1", "other/.aws/credentials": "", "other/x": ""})
        (folder / ".netrc").symlink_to("other/x")
        (folder / "way").symlink_to(".env")
        (folder / link).symlink_to(target)
        with pytest.raises(CommandError) as caught:
            build(config(folder))
        assert message in str(caught.value)
        assert not (folder / "build").exists()

    def test_the_folder_of_the_code_is_no_link_to_elsewhere(
        self, folder: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        elsewhere = tmp_path_factory.mktemp("elsewhere") / "app"
        (folder / "app").rename(elsewhere)
        (folder / "app").symlink_to(elsewhere)
        with pytest.raises(CommandError, match="The link app leads out of the project"):
            build(config(folder))

    def test_a_project_below_a_folder_with_such_a_name(self, tmp_path: Path) -> None:
        """Nor is a link to it an obstacle: only what lies in the project counts."""
        project = tmp_path / ".aws-sam" / "project"
        tree(project, {"app/asgi.py": HANDLER, "shared/x.py": ""})
        (tmp_path / "link").symlink_to(project)
        (project / "app" / "x.py").symlink_to(project / "shared" / "x.py")
        for place in (project, tmp_path / "link"):
            assert "x.py" in names(build(config(place)).folder)

    @pytest.mark.parametrize("name", ["requirements.txt", "app/requirements.txt"])
    @pytest.mark.parametrize("target", ["elsewhere", "missing"])
    def test_requirements_are_no_link_to_elsewhere(
        self, folder: Path, tmp_path_factory: pytest.TempPathFactory, name: str, target: str
    ) -> None:
        elsewhere = tmp_path_factory.mktemp("other")
        (elsewhere / "elsewhere").write_text("")
        (folder / name).symlink_to(elsewhere / target)
        with pytest.raises(CommandError, match=f"The link {name} leads "):
            build(config(folder))

    def test_a_folder_on_the_way_to_the_code_is_no_link_to_elsewhere(
        self, folder: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        (folder / "app").rename(elsewhere / "app")
        (folder / "src").symlink_to(elsewhere)
        with pytest.raises(CommandError, match="The link src leads out of the project"):
            build(config(folder, code_dir="src/app"))

    def test_a_link_in_what_was_built(self, folder: Path) -> None:
        (build(config(folder)).folder / "passwd").symlink_to("/etc/passwd")
        with pytest.raises(CommandError, match="build/passwd is a link: run `mangum build` again"):
            digest(folder / "build")

    def test_what_cannot_be_read(self, folder: Path) -> None:
        os.mkfifo(folder / "app" / "pipe")
        with pytest.raises(CommandError, match=r"The code cannot be copied: .*pipe"):
            build(config(folder))


@pytest.mark.skipif(not runs_here(Platform(OWN, "x86_64")), reason="Lambda's platform does not run here.")
class TestImport:
    """Python, and nothing else but the built folder."""

    def test_a_module_that_is_missing(self, folder: Path) -> None:
        (folder / "app" / "asgi.py").write_text("import json\nimport pytest\nhandler = None\n")
        with pytest.raises(CommandError) as caught:
            build(config(folder))
        assert str(caught.value) == (
            "The handler asgi.handler cannot be imported from the built folder alone: ModuleNotFoundError: No module "
            "named 'pytest' (asgi.py:2). Put what is missing into the requirements. If a layer brings it, pass "
            "--no-check."
        )
        assert not (folder / "build").exists()
        assert build(config(folder), checks=False).unchecked is None
        assert build(config(folder), installs=False).unchecked is None

    def test_a_handler_that_is_only_named(self, folder: Path) -> None:
        (folder / "app" / "asgi.py").write_text("def make():\n    handler = 1\n")
        with pytest.raises(CommandError, match="ImportError: module 'asgi' has no handler"):
            build(config(folder))

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            ("import boto3", "boto3 is not in the build, and Lambda brings its own"),
            ("1 / 0", "ZeroDivisionError: division by zero (asgi.py:1)"),
            ("import sys; sys.exit(3)", "SystemExit: 3 (asgi.py:1)"),
            ("import os; os._exit(3)", "the import ended the process with status 3"),
        ],
    )
    def test_what_is_not_known(self, folder: Path, code: str, reason: str) -> None:
        (folder / "app" / "asgi.py").write_text(f"{code}\nhandler = None\n")
        assert build(config(folder)).unchecked == reason

    def test_an_import_that_does_not_end(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(import_check, "_IMPORT_S", 0.0)
        assert build(config(folder)).unchecked == "the import had not ended after 0 s"

    def test_variables_as_in_lambda_and_no_credentials(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "own")
        (folder / "app" / "asgi.py").write_text(
            "import os\n"
            "names = ('OWN', 'AWS_REGION', 'MANGUM_DSN', 'MANGUM_LIFESPAN_SCOPE', 'AWS_SECRET_ACCESS_KEY', 'SECRET')\n"
            "raise ValueError([os.environ.get(name) for name in names])\n"
            "handler = None\n"
        )
        environment = {"OWN": "1", "SECRET": "{{resolve:secretsmanager:x}}"}
        unchecked = build(config(folder, environment=environment, websockets=True)).unchecked
        assert unchecked is not None
        assert "['1', 'eu-west-1', 'dynamodb://connections', 'invocation', None, None]" in unchecked

    def test_what_the_code_writes_is_not_built(self, folder: Path) -> None:
        (folder / "app" / "asgi.py").write_text(
            "import pathlib\npathlib.Path('cache').mkdir()\npathlib.Path('cache/x').write_text('')\nhandler = None\n"
        )
        built = build(config(folder))
        assert built.unchecked is None
        assert "cache" not in built.sizes


@pytest.mark.parametrize(
    ("system", "architecture", "library", "expected"),
    [
        ("linux", "x86_64", ("glibc", "2.34"), True),
        ("linux", "x86_64", ("glibc", "2.33"), False),
        ("linux", "x86_64", ("", ""), False),
        ("linux", "aarch64", ("glibc", "2.40"), False),
        ("darwin", "x86_64", ("", ""), False),
    ],
)
def test_where_the_handler_can_be_imported(
    monkeypatch: pytest.MonkeyPatch, system: str, architecture: str, library: tuple[str, str], expected: bool
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr("platform.machine", lambda: architecture)
    monkeypatch.setattr("platform.libc_ver", lambda: library)
    assert runs_here(Platform("python3.13", "x86_64")) is expected
