"""`mangum.yml`, and `mangum init`, which writes one."""

from __future__ import annotations

from pathlib import Path

import pytest

import mangum
from mangum.cli.deployment.config import Domain, ProjectConfig, config_file, read_config
from mangum.cli.deployment.errors import CommandError
from tests.command_line import run

MINIMAL = "name: hello\nbucket_name: hello-code\nregion_name: eu-west-1\n"
CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/a"


def config_of(folder: Path, text: str) -> ProjectConfig:
    path = folder / "mangum.yml"
    path.write_text(text, encoding="utf-8")
    return read_config(path)


def test_the_least_that_it_says(tmp_path: Path) -> None:
    config = config_of(tmp_path, MINIMAL)
    assert (config.name, config.bucket_name, config.region_name) == ("hello", "hello-code", "eu-west-1")
    assert (config.code_dir, config.handler, config.api, config.websockets) == ("app", "asgi.handler", "http", False)
    assert config.code == tmp_path / "app"


def test_all_that_it_says(tmp_path: Path) -> None:
    config = config_of(
        tmp_path,
        MINIMAL
        + """
code_dir: src/code
handler: package.asgi.handler
runtime: python3.12
architecture: arm64
memory: 2048
timeout: 900
api: rest
websockets: yes
streaming: true
dsn: redis://cache:6379/0
lifespan_scope: process
environment: {COLOUR: blue, NUMBER: 5}
s3_access: [one-bucket, two.bucket]
dynamodb_access:
  - a-table
log_retention: 90
domain:
  name: api.example.com
  certificate: arn:aws:acm:eu-west-1:123456789012:certificate/a
""",
    )
    assert (config.memory, config.timeout, config.websockets, config.streaming) == (2048, 900, True, True)
    assert config.environment == {"COLOUR": "blue", "NUMBER": "5"}
    assert (config.s3_access, config.dynamodb_access) == (("one-bucket", "two.bucket"), ("a-table",))
    assert config.domain == Domain(name="api.example.com", certificate=CERTIFICATE)
    assert config_of(tmp_path, MINIMAL + "s3_access: false\n").s3_access == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "mangum.yml: the configuration is no mapping of keys to values."),
        ("- a\n", "mangum.yml:1: the configuration is no mapping"),
        ("name: [\n", "mangum.yml:2: this is no YAML: "),
        ("name: hello\n", "mangum.yml: bucket_name and region_name are missing."),
        ("name: hello\nbucket_name: hello-code\n", "mangum.yml: region_name is missing."),
        (MINIMAL + "timout: 5\n", "mangum.yml:4: timout is no key of the configuration: did you mean timeout?"),
        (MINIMAL + "xyz: 5\n", "mangum.yml:4: xyz is no key of the configuration: there are api, architecture, "),
        (MINIMAL + "name: again\n", "mangum.yml:4: name is there twice."),
        (MINIMAL + "timeout: abc\n", "mangum.yml:4: timeout: 'abc' is not a whole number from 1 to 900."),
        (MINIMAL + "timeout: 901\n", "mangum.yml:4: timeout: '901' is not a whole number from 1 to 900."),
        (MINIMAL + "timeout:\n", "mangum.yml:4: timeout has no value."),
        (MINIMAL + "timeout: [1]\n", "mangum.yml:4: timeout has no value."),
        (MINIMAL + "log_retention: 2\n", "mangum.yml:4: log_retention: '2' is not one of 1, 3, 5, 7, "),
        (MINIMAL + "runtime: python3.9\n", "'python3.9' is none of python3.11, python3.12, "),
        (MINIMAL + "websockets: maybe\n", "mangum.yml:4: websockets: 'maybe' is neither true nor false."),
        (MINIMAL + "code_dir: ../x\n", "mangum.yml:4: code_dir: '../x' is none: it is a folder beside this file"),
        (MINIMAL + "code_dir: /x\n", "mangum.yml:4: code_dir: '/x' is none"),
        (MINIMAL + "code_dir: build\n", "mangum.yml:4: code_dir: 'build' is none"),
        (MINIMAL + "code_dir: .\n", "mangum.yml:4: code_dir: '.' is none"),
        (MINIMAL + "handler: asgi\n", "mangum.yml:4: handler: 'asgi' is none: it is module.attribute"),
        (MINIMAL + "s3_access: true\n", "mangum.yml:4: s3_access: true would be access to all of them: list the names"),
        (MINIMAL + "s3_access: x\n", "mangum.yml:4: s3_access: this is a list of buckets."),
        (MINIMAL + "dynamodb_access: ['*']\n", "mangum.yml:4: dynamodb_access: '*' is none: this is a list of tables."),
        (MINIMAL + "environment: {A-B: 1}\n", "mangum.yml:4: A-B is no name of a variable"),
        (MINIMAL + "environment:\n  AB: [1]\n", "mangum.yml:5: environment.AB is no text."),
        (MINIMAL + "domain: x\n", "mangum.yml:4: domain is no mapping"),
        (MINIMAL + "domain: {name: api.example.com}\n", "mangum.yml:4: domain has a name and a certificate."),
        (
            MINIMAL + "streaming: true\n",
            "mangum.yml:4: streaming: responses stream from `api: rest` and `api: url`",
        ),
        (MINIMAL + "api: none\n", "mangum.yml:4: api: none leaves nothing to ask the function"),
        (MINIMAL + "dsn: redis://x\n", "mangum.yml:4: dsn: it is where WebSocket connections are stored"),
        (
            MINIMAL + f"api: url\ndomain: {{name: a.example.com, certificate: '{CERTIFICATE}'}}\n",
            "mangum.yml:5: domain: a custom domain is for `api: http` and `api: rest`.",
        ),
    ],
)
def test_what_it_cannot_say(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CommandError) as caught:
        config_of(tmp_path, text)
    assert message in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"There is no mangum\.yml here: `mangum init NAME` writes one"):
        config_file(tmp_path)
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        read_config(tmp_path / "missing.yml")
    (tmp_path / "bytes.yml").write_bytes(b"name: \xff")
    with pytest.raises(CommandError, match="is no UTF-8"):
        read_config(tmp_path / "bytes.yml")
    (tmp_path / "mangum.yaml").write_text(MINIMAL)
    assert config_file(tmp_path).name == "mangum.yaml"


class TestInit:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("AWS_REGION", raising=False)
        monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
        return tmp_path

    def test_a_new_project(self, folder: Path) -> None:
        result = run("init", "hello", "hello-code", "eu-central-1", "python3.12", "--websockets", "--api", "url")
        assert result.exit_code == 0, result.stderr
        assert result.stdout.splitlines()[:3] == ["Wrote mangum.yml", "Wrote app/asgi.py", "Wrote requirements.txt"]
        config = read_config(folder / "mangum.yml")
        assert (config.name, config.bucket_name, config.region_name) == ("hello", "hello-code", "eu-central-1")
        assert (config.runtime, config.websockets, config.api) == ("python3.12", True, "url")
        assert "mangum[aws]>=" in (folder / "requirements.txt").read_text()
        compile((folder / "app" / "asgi.py").read_text(), "asgi.py", "exec")

    def test_what_is_not_said(self, folder: Path) -> None:
        assert run("init", "hello", "--architecture", "arm64").exit_code == 0
        config = read_config(folder / "mangum.yml")
        assert config.bucket_name.startswith("hello-code-")
        assert (config.region_name, config.architecture, config.websockets) == ("us-east-1", "arm64", False)
        assert (folder / "requirements.txt").read_text() == f"fastapi\nmangum>={mangum.__version__}\n"

    def test_what_is_there_stays(self, folder: Path) -> None:
        (folder / "app").mkdir()
        (folder / "requirements.txt").write_text("starlette\n")
        assert run("init", "hello").stdout.splitlines()[0] == "Wrote mangum.yml"
        before = (folder / "mangum.yml").read_text()
        again = run("init", "other")
        assert (again.exit_code, again.stderr) == (
            1,
            "mangum init: mangum.yml is there already: --force writes it anew.\n",
        )
        assert (folder / "mangum.yml").read_text() == before
        assert run("init", "other", "--force").exit_code == 0
        assert read_config(folder / "mangum.yml").name == "other"
        assert (folder / "requirements.txt").read_text() == "starlette\n"
        assert list((folder / "app").iterdir()) == []

    def test_what_cannot_be(self, folder: Path) -> None:
        result = run("init", "1hello")
        assert result.exit_code == 1
        assert "mangum init: mangum.yml:3: name: '1hello' is none: it has letters" in result.stderr
        assert list(folder.iterdir()) == []
        assert "NAME is missing" in run("init").stderr

    def test_a_folder_that_cannot_be_written_to(self, folder: Path) -> None:
        (folder / ".mangum.yml.draft").mkdir()
        result = run("init", "hello")
        assert result.exit_code == 1
        assert "cannot be written: Is a directory" in result.stderr

    def test_questions(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mangum.cli.init.asks_questions", lambda: True)
        result = run("init", stdin=b"asked\nasked-code\neu-west-3\npython3.14\n")
        assert result.exit_code == 0, result.stderr
        config = read_config(folder / "mangum.yml")
        assert (config.name, config.bucket_name) == ("asked", "asked-code")
        assert (config.region_name, config.runtime) == ("eu-west-3", "python3.14")
