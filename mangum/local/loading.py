"""From "module:attribute" to a Lambda handler."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from uvicorn.importer import ImportFromStringError, import_from_string

from mangum.adapter import Mangum
from mangum.exceptions import ConfigurationError
from mangum.runtime.loading import is_asynchronous, takes

__all__ = ["load_function"]


def load_function(target: str) -> Callable[[Any, Any], Any]:
    """The handler that `target` names: a `Mangum`, an ASGI application, which is wrapped in one, or a function of two
    arguments. Modules are found from the current folder.

    Raises:
        ConfigurationError: nothing can be found there, or it is none of the three.
    """
    folder = os.getcwd()
    sys.path[:] = [folder, *(other for other in sys.path if other != folder)]
    try:
        found = import_from_string(target)
    except ImportFromStringError as error:
        raise ConfigurationError(f"{error} Name what to run as module:attribute.") from None
    if isinstance(found, Mangum):
        return found
    if not callable(found):
        raise ConfigurationError(f"{target} is {type(found).__name__}: no ASGI application and no Lambda handler.")
    # What is asynchronous and takes any number of arguments is more often an application.
    is_handler = takes(found, 2) and not (is_asynchronous(found) and takes(found, 3))
    return found if is_handler else Mangum(found)
