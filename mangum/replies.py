"""The former place of `mangum.core.reply`."""

from __future__ import annotations

import warnings

from mangum.core.reply import Reply, Stream

__all__ = ["Reply", "Stream"]

warnings.warn("mangum.replies has moved: import from mangum.core.reply instead.", DeprecationWarning, stacklevel=2)
