"""`mangum build`: the function's folder, as Lambda will have it."""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mangum.cli.deployment.application_code import copy_code
from mangum.cli.deployment.config import ProjectConfig
from mangum.cli.deployment.errors import CommandError
from mangum.cli.deployment.import_check import check_import, runs_here
from mangum.cli.deployment.platform import Platform
from mangum.cli.deployment.pruning import prune, remove_records, test_packages
from mangum.cli.deployment.requirements import check_requirements, install_requirements

__all__ = ["WRAPPER", "Build", "build", "digest", "files_of"]

WRAPPER = "mangum/runtime/wrapper"  # for AWS_LAMBDA_EXEC_WRAPPER
_COMPILE_S = 600.0
# In the folder that a build makes, and only there: so a folder of somebody else's is not replaced.
_MARKER = ".mangum-build"
_MARKED = "`mangum build` has made this folder, and replaces it.\n"


@dataclass(frozen=True, kw_only=True)
class Build:
    """What was built."""

    folder: Path
    digest: str  # of all names and contents: what is the same has the same
    installer: str | None  # "uv", "pip"
    is_compiled: bool
    sizes: dict[str, int]  # bytes, of what lies at the top, largest first
    left_out: list[str]  # of the code's folder: names of files and folders
    unused_tests: list[str]  # of the requirements: packages that were left out, since nothing imports them
    unchecked: str | None  # why it is not known whether the handler can be imported; `None` if it is or was not asked

    @property
    def size(self) -> int:
        """Bytes, unzipped."""
        return sum(self.sizes.values())


def build(config: ProjectConfig, *, installs: bool = True, checks: bool = True) -> Build:
    """Put code and requirements together in `build`, which is replaced when all is well.

    Args:
        config: The project.
        installs: Whether requirements are installed.
        checks: Whether the handler is imported from what was built, where Lambda's platform can run on this machine.
            Without requirements it is not.

    Raises:
        CommandError: the handler is not there or cannot be imported, requirements cannot be installed, a link leads out
            of the project or to what is left out, or `build` is there and was not made by a build.
    """
    _check_handler(config)
    platform = Platform(config.runtime, config.architecture)
    python = _interpreter(platform)
    with _draft(config.build_dir) as draft:
        installer, tests = None, []
        if installs and check_requirements(config):
            installer = install_requirements(config.requirements, draft, platform)
            remove_records(draft)
            tests = [path for path in test_packages(draft) if not (config.code / path.relative_to(draft)).exists()]
        left_out = copy_code(config, draft)
        unused_tests = prune(draft, tests)
        if config.streaming:
            _check_runtime(draft)
        unchecked = None
        if installs and checks and python is not None and runs_here(platform):
            unchecked = check_import(config, draft, python)
        is_compiled = _compile(draft, python)
        return Build(
            folder=config.build_dir,
            digest=digest(draft),
            installer=installer,
            is_compiled=is_compiled,
            sizes=_sizes(draft),
            left_out=left_out,
            unused_tests=unused_tests,
            unchecked=unchecked,
        )


def digest(folder: Path) -> str:
    """Of all names, modes and contents below a folder."""
    whole = hashlib.sha256()
    for path, name in files_of(folder):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{name} {os.access(path, os.X_OK):d} {content}\n".encode())
    return whole.hexdigest()


def files_of(folder: Path) -> list[tuple[Path, str]]:
    """The files below a folder that a build has made, with their names in it, in the order of the names.

    Raises:
        CommandError: there is a symbolic link, which no build makes.
    """
    found = []
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise CommandError(f"{folder.name}/{path.relative_to(folder)} is a link: run `mangum build` again.")
        if path.is_file() and path != folder / _MARKER:
            found.append((path, path.relative_to(folder).as_posix()))
    return sorted(found, key=lambda item: item[1])


def _check_handler(config: ProjectConfig) -> None:
    """Whether the code has what Lambda is to call, as far as that shows without running it."""
    if not config.code.is_dir():
        raise CommandError(f"The folder {config.code_dir} is not there: `code_dir` names the application's code.")
    *modules, attribute = config.handler.split(".")
    path = config.code.joinpath(*modules)
    file = path.with_suffix(".py")
    if not file.is_file():
        file = path / "__init__.py"
    if not file.is_file():
        name = f"{config.code_dir}/{'/'.join(modules)}.py"
        raise CommandError(f"The handler {config.handler} is not there: {name} is missing.")
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError as error:
        raise CommandError(f"{file.relative_to(config.folder)}:{error.lineno}: {error.msg}.") from None
    if attribute not in _names_of(tree):
        raise CommandError(f"The handler {config.handler} is not there: {file.name} has no {attribute}.")


def _names_of(tree: ast.Module) -> set[str]:
    """What a module may define: `from x import *` may define anything, which is left to Lambda."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
    return names


@contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """A folder that takes the place of another if nothing is raised, so that nothing is there by half.

    Raises:
        CommandError: the other is no build.
    """
    if os.path.lexists(folder) and not _is_replaceable(folder):
        raise CommandError(
            f"{folder} is there, and `mangum build` would replace it, but did not make it: move it elsewhere. If an "
            "earlier version of mangum made it, delete it."
        )
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as parent:
        draft = Path(parent) / "new"
        draft.mkdir()
        yield draft
        (draft / _MARKER).write_text(_MARKED)
        if folder.exists():
            folder.rename(Path(parent) / "old")
        draft.rename(folder)


def _is_replaceable(folder: Path) -> bool:
    return (folder / _MARKER).is_file() or (folder.is_dir() and not any(folder.iterdir()))


def _check_runtime(folder: Path) -> None:
    if not (folder / WRAPPER).is_file() or not (folder / "httptools").is_dir():
        raise CommandError("`streaming: true` needs mangum's own runtime: put mangum[runtime] into the requirements.")
    (folder / WRAPPER).chmod(0o755)


def _compile(folder: Path, python: str | None) -> bool:
    """Bytecode beside the sources, for a folder that cannot be written to: Lambda's Python then takes it without a look
    at the source. It has to be of the same version of Python."""
    if python is None:
        return False
    command = [python, "-P", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    command += ["-s", str(folder), "-p", "/var/task", str(folder)]
    # Sets in bytecode have the order of their hashes: the same seed, the same bytes.
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    # A package may have a file for another version of Python, which is none for this one: that is no failure.
    try:
        subprocess.run(command, env=environment, capture_output=True, timeout=_COMPILE_S)
    except subprocess.TimeoutExpired:
        raise CommandError(f"Compiling had not ended after {_COMPILE_S / 60:.0f} minutes.") from None
    return True


def _interpreter(platform: Platform) -> str | None:
    if platform.python_version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    return shutil.which(platform.runtime)


def _sizes(folder: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for path, name in files_of(folder):
        top = name.partition("/")[0]
        sizes[top] = sizes.get(top, 0) + path.stat().st_size
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))
