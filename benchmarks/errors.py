"""What can go wrong in a run."""

from __future__ import annotations

__all__ = ["BenchmarkError"]


class BenchmarkError(Exception):
    """A side could not be installed, started or measured. The message is for the one who ran the benchmarks."""

    @property
    def in_short(self) -> str:
        """Its last line, which says the most where something of another's failed."""
        return str(self).strip().splitlines()[-1][:120]
