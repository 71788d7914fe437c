"""Run any ASGI application on AWS Lambda: ``handler = Mangum(app)``."""

import sys

# `python -m mangum` and `python -m mangum.runtime` put the current folder first on the import path. A queue.py beside
# the user's code would then run in place of the standard library's. sys.argv is ["-m", *arguments] until the module is
# found, whose name comes before the arguments.
if (
    sys.argv[:1] == ["-m"]
    and sys.orig_argv[-len(sys.argv) :][:1] in (["mangum"], ["-mmangum"], ["mangum.runtime"], ["-mmangum.runtime"])
    and not sys.flags.safe_path
):
    sys.path.append(sys.path.pop(0))

from mangum.adapter import Mangum

__all__ = ["Mangum", "__version__"]

__version__ = "1.0.0.dev0"
