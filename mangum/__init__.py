"""Run any ASGI application on AWS Lambda: ``handler = Mangum(app)``."""

import sys

# `python -m mangum` puts the current folder first on the import path, and sys.argv is ["-m", ...] until the module is
# found. A queue.py beside the user's code would then run in place of the standard library's.
if sys.argv[:1] == ["-m"] and "mangum" in sys.orig_argv and not sys.flags.safe_path:
    sys.path.append(sys.path.pop(0))

from mangum.adapter import Mangum

__all__ = ["Mangum", "__version__"]

__version__ = "1.0.0.dev0"
