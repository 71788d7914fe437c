"""A folder as a zip file: the same folder, the same bytes."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from mangum.cli.deployment.build import files_of

__all__ = ["write_archive"]

_TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can say


def write_archive(folder: Path, archive: Path) -> int:
    """Write it, and return its size in bytes. Times and owners of files are left out."""
    draft = archive.with_name(f"{archive.name}.draft")
    try:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as opened:
            for path, name in files_of(folder):
                entry = zipfile.ZipInfo(name, _TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.create_system = 3  # Unix, which modes belong to
                entry.external_attr = (0o755 if os.access(path, os.X_OK) else 0o644) << 16
                opened.writestr(entry, path.read_bytes())
        draft.replace(archive)
    finally:
        draft.unlink(missing_ok=True)
    return archive.stat().st_size
