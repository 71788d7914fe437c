"""Lambda's platform: which wheels run there, and what a function may weigh.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MOST_UNZIPPED_BYTES", "MOST_ZIPPED_BYTES", "Platform"]

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MOST_UNZIPPED_BYTES = 250 * 1024 * 1024
MOST_ZIPPED_BYTES = 50 * 1024 * 1024  # of an upload without a bucket

_GLIBC = {"python3.11": 26}  # Amazon Linux 2; all later ones are on Amazon Linux 2023
_GLIBC_2023 = 34
_OLDEST_GLIBC = 17
_MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True)
class Platform:
    """A runtime on an architecture."""

    runtime: str  # "python3.13"
    architecture: str  # "x86_64", "arm64"

    @property
    def python_version(self) -> str:
        """Such as "3.13"."""
        return self.runtime.removeprefix("python")

    @property
    def machine(self) -> str:
        """The architecture, as Linux names it."""
        return _MACHINES[self.architecture]

    @property
    def newest(self) -> str:
        """The newest of `tags`."""
        return self.tags[0]

    @property
    def glibc_minor(self) -> int:
        """The minor version of the C library there, which is glibc 2."""
        return _GLIBC.get(self.runtime, _GLIBC_2023)

    @property
    def name_for_uv(self) -> str:
        """The newest that runs there of those that uv knows, which are few."""
        return "manylinux2014" if self.runtime in _GLIBC else f"manylinux_2_{_GLIBC_2023}"

    @property
    def tags(self) -> list[str]:
        """Platform tags of the wheels that run there, best first: PEP 600."""
        minors = range(self.glibc_minor, _OLDEST_GLIBC - 1, -1)
        tags = [f"manylinux_2_{minor}_{self.machine}" for minor in minors]
        return [*tags, f"manylinux2014_{self.machine}"]
