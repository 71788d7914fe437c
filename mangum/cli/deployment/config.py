"""`mangum.yml`: what is deployed, and how."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mangum.cli.deployment.errors import CommandError

__all__ = [
    "ARCHITECTURES",
    "FILE_NAMES",
    "KEYS",
    "RUNTIMES",
    "Check",
    "Domain",
    "ProjectConfig",
    "config_file",
    "read_config",
]

FILE_NAMES = ("mangum.yml", "mangum.yaml")
RUNTIMES = ("python3.11", "python3.12", "python3.13", "python3.14")
ARCHITECTURES = ("x86_64", "arm64")
_APIS = ("http", "rest", "url", "none")
_SCOPES = ("invocation", "process")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,49}")  # of a stack, with room for what is added to it
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_HANDLER = re.compile(r"([A-Za-z_]\w*)(\.[A-Za-z_]\w*)+")
_VARIABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]+")
_TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_HOST = re.compile(r"(\*\.)?([a-z0-9-]+\.)+[a-z]{2,}")
_CERTIFICATE = re.compile(r"arn:aws[\w-]*:acm:[a-z0-9-]+:\d{12}:certificate/[\w-]+")


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A custom domain of the HTTP or REST API."""

    name: str
    certificate: str  # its ARN in AWS Certificate Manager


@dataclass(frozen=True, kw_only=True)
class ProjectConfig:
    """A project, as its `mangum.yml` says."""

    folder: Path  # of the file
    name: str  # of the stack
    bucket_name: str  # for artefacts
    region_name: str
    code_dir: str = "app"
    handler: str = "asgi.handler"  # in that folder
    runtime: str = "python3.13"
    architecture: str = "x86_64"
    memory: int = 1024  # MB
    timeout: int = 30  # seconds
    api: str = "http"
    websockets: bool = False
    streaming: bool = False
    dsn: str | None = None
    lifespan_scope: str = "invocation"
    environment: Mapping[str, str] = field(default_factory=dict)
    s3_access: tuple[str, ...] = ()  # bucket names
    dynamodb_access: tuple[str, ...] = ()  # table names
    log_retention: int = 30  # days
    domain: Domain | None = None

    @property
    def code(self) -> Path:
        """Where the application's own code is."""
        return self.folder / self.code_dir

    @property
    def requirements(self) -> Path:
        """What it needs, beside the configuration or in the code's folder."""
        own = self.code / "requirements.txt"
        return own if own.is_file() else self.folder / "requirements.txt"

    @property
    def build_dir(self) -> Path:
        """Where `mangum build` puts everything together."""
        return self.folder / "build"

    @property
    def template(self) -> Path:
        """What `mangum package` writes: code in a folder of this machine."""
        return self.folder / "template.yml"

    @property
    def packaged_template(self) -> Path:
        """The same, with the code in the bucket."""
        return self.folder / "packaged.yml"


def config_file(folder: Path) -> Path:
    """The configuration of a folder.

    Raises:
        CommandError: there is none.
    """
    for name in FILE_NAMES:
        if (folder / name).is_file():
            return folder / name
    raise CommandError("There is no mangum.yml here: `mangum init NAME` writes one, --config names another.")


def read_config(path: Path) -> ProjectConfig:
    """Read a configuration.

    Raises:
        CommandError: it cannot be read, or says what cannot be; with the line, the key, and what is allowed.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise CommandError(f"{path} is no UTF-8.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise CommandError(f"{path}{line}: this is no YAML: {getattr(error, 'problem', None) or error}.") from None
    reader = _Reader(path.name)
    values = reader.mapping(root, "the configuration", KEYS)
    missing = [key for key in ("name", "bucket_name", "region_name") if key not in values]
    if missing:
        raise CommandError(f"{path.name}: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing.")
    config = ProjectConfig(folder=path.absolute().parent, **values)
    reader.check_together(config)
    return config


Check = Callable[["_Reader", yaml.Node, str], Any]


class _Reader:
    """Reads nodes of YAML, which know their line."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._lines: dict[str, int] = {}  # of each key

    def refuse(self, node: yaml.Node, text: str) -> CommandError:
        """An error at a node."""
        return CommandError(f"{self._file}:{node.start_mark.line + 1}: {text}")

    def mapping(self, node: yaml.Node | None, name: str, keys: Mapping[str, Check]) -> dict[str, Any]:
        """The values of a mapping whose keys are known."""
        values: dict[str, Any] = {}
        for key_node, value_node in self._pairs(node, name):
            key = str(key_node.value)
            if key not in keys:
                near = difflib.get_close_matches(key, keys, 1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(keys))}."
                raise self.refuse(key_node, f"{key} is no key of {name}: {hint}")
            if key in values:
                raise self.refuse(key_node, f"{key} is there twice.")
            self._lines[key] = key_node.start_mark.line + 1
            values[key] = keys[key](self, value_node, key)
        return values

    def free_mapping(self, node: yaml.Node, name: str) -> dict[str, str]:
        """The values of a mapping whose keys are variables of the environment."""
        values: dict[str, str] = {}
        for key_node, value_node in self._pairs(node, name):
            key = str(key_node.value)
            if not _VARIABLE.fullmatch(key):
                raise self.refuse(key_node, f"{key} is no name of a variable: it has letters, digits and underscores.")
            if not isinstance(value_node, yaml.ScalarNode):
                raise self.refuse(value_node, f"{name}.{key} is no text.")
            values[key] = value_node.value
        return values

    def _pairs(self, node: yaml.Node | None, name: str) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        if node is None or not isinstance(node, yaml.MappingNode):
            where = "" if node is None else f":{node.start_mark.line + 1}"
            raise CommandError(f"{self._file}{where}: {name} is no mapping of keys to values.")
        pairs: list[tuple[yaml.ScalarNode, yaml.Node]] = node.value
        return pairs

    def check_together(self, config: ProjectConfig) -> None:
        """What goes with what."""
        if config.streaming and config.api in ("http", "none"):
            raise self._refuse_key("streaming", "responses stream from `api: rest` and `api: url` only.")
        if config.domain is not None and config.api not in ("http", "rest"):
            raise self._refuse_key("domain", "a custom domain is for `api: http` and `api: rest`.")
        if config.api == "none" and not config.websockets:
            raise self._refuse_key("api", "none leaves nothing to ask the function: set `websockets: true`, or an api.")
        if config.dsn is not None and not config.websockets:
            raise self._refuse_key("dsn", "it is where WebSocket connections are stored: set `websockets: true`.")

    def _refuse_key(self, key: str, text: str) -> CommandError:
        return CommandError(f"{self._file}:{self._lines[key]}: {key}: {text}")


def _scalar(reader: _Reader, node: yaml.Node, key: str) -> str:
    if not isinstance(node, yaml.ScalarNode) or node.tag == "tag:yaml.org,2002:null":
        raise reader.refuse(node, f"{key} has no value.")
    return str(node.value)


def _text(pattern: re.Pattern[str], allowed: str) -> Check:
    def check(reader: _Reader, node: yaml.Node, key: str) -> str:
        value = _scalar(reader, node, key)
        if not pattern.fullmatch(value):
            raise reader.refuse(node, f"{key}: {value!r} is none: {allowed}.")
        return value

    return check


def _choice(*allowed: str) -> Check:
    def check(reader: _Reader, node: yaml.Node, key: str) -> str:
        value = _scalar(reader, node, key)
        if value not in allowed:
            raise reader.refuse(node, f"{key}: {value!r} is none of {', '.join(allowed)}.")
        return value

    return check


def _number(least: int, most: int, *, among: tuple[int, ...] | None = None) -> Check:
    def check(reader: _Reader, node: yaml.Node, key: str) -> int:
        value = _scalar(reader, node, key)
        allowed = f"a whole number from {least} to {most}" if among is None else f"one of {', '.join(map(str, among))}"
        if (
            not re.fullmatch(r"\d{1,9}", value)
            or not least <= int(value) <= most
            or int(value) not in (among or [int(value)])
        ):
            raise reader.refuse(node, f"{key}: {value!r} is not {allowed}.")
        return int(value)

    return check


def _flag(reader: _Reader, node: yaml.Node, key: str) -> bool:
    value = _scalar(reader, node, key)
    if node.tag != "tag:yaml.org,2002:bool":
        raise reader.refuse(node, f"{key}: {value!r} is neither true nor false.")
    return value.lower() in ("true", "yes", "on")


def _folder_name(reader: _Reader, node: yaml.Node, key: str) -> str:
    value = _scalar(reader, node, key)
    path = Path(value)
    if path.is_absolute() or ".." in path.parts or path.parts[:1] in ((), ("build",)):
        raise reader.refuse(node, f"{key}: {value!r} is none: it is a folder beside this file, and not build.")
    return value


def _names(pattern: re.Pattern[str], what: str) -> Check:
    def check(reader: _Reader, node: yaml.Node, key: str) -> tuple[str, ...]:
        if node.tag == "tag:yaml.org,2002:bool":
            if _flag(reader, node, key):
                raise reader.refuse(node, f"{key}: true would be access to all of them: list the names of {what}.")
            return ()
        if not isinstance(node, yaml.SequenceNode):
            raise reader.refuse(node, f"{key}: this is a list of {what}.")
        return tuple(_text(pattern, f"this is a list of {what}")(reader, item, key) for item in node.value)

    return check


def _environment(reader: _Reader, node: yaml.Node, key: str) -> dict[str, str]:
    return reader.free_mapping(node, key)


def _domain(reader: _Reader, node: yaml.Node, key: str) -> Domain:
    keys: dict[str, Check] = {
        "name": _text(_HOST, "it is a host such as api.example.com"),
        "certificate": _text(_CERTIFICATE, "it is the ARN of a certificate in AWS Certificate Manager"),
    }
    values = reader.mapping(node, key, keys)
    if len(values) < len(keys):
        raise reader.refuse(node, f"{key} has a name and a certificate.")
    return Domain(**values)


# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
_RETENTION = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)

KEYS: dict[str, Check] = {
    "name": _text(_NAME, "it has letters, digits and hyphens, begins with a letter, and has 50 characters at the most"),
    "code_dir": _folder_name,
    "handler": _text(_HANDLER, "it is module.attribute, such as asgi.handler"),
    "bucket_name": _text(_BUCKET, "it has 3 to 63 lower-case letters, digits, dots and hyphens"),
    "region_name": _text(_REGION, "it is a region such as eu-central-1"),
    "runtime": _choice(*RUNTIMES),
    "architecture": _choice(*ARCHITECTURES),
    "memory": _number(128, 10_240),
    "timeout": _number(1, 900),
    "api": _choice(*_APIS),
    "websockets": _flag,
    "streaming": _flag,
    "dsn": _text(re.compile(r"\S+"), "it is a DSN such as dynamodb://table"),
    "lifespan_scope": _choice(*_SCOPES),
    "environment": _environment,
    "s3_access": _names(_BUCKET, "buckets"),
    "dynamodb_access": _names(_TABLE, "tables"),
    "log_retention": _number(1, 3653, among=_RETENTION),
    "domain": _domain,
}
