"""Run any ASGI application on AWS Lambda: ``handler = Mangum(app)``."""

from mangum.adapter import Mangum

__all__ = ["Mangum", "__version__"]

__version__ = "1.0.0.dev0"
