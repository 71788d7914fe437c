"""From the name of a handler to the handler."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any, TypeGuard

from mangum.adapter import Mangum
from mangum.core.error_text import text_of
from mangum.runtime.errors import Fault

__all__ = [
    "Handler",
    "adapter_of",
    "extend_path",
    "is_adapter",
    "is_application",
    "is_asynchronous",
    "load_handler",
    "takes",
]

Handler = Callable[[Any, Any], Any]

# Where layers bring packages: https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html
_LAYERS = (f"/opt/python/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages", "/opt/python")


def extend_path(task_root: str | None, runtime_dir: str | None) -> None:
    """Find modules where AWS's runtime finds them: in the function's folder, in layers, and last in the runtime's own.
    https://docs.aws.amazon.com/lambda/latest/dg/python-package.html#python-package-searchpath"""
    first = [task_root or os.getcwd(), *(folder for folder in _LAYERS if os.path.isdir(folder))]
    # One of them may be there already, at the end: mangum was found by it.
    sys.path[:] = [*first, *(folder for folder in sys.path if folder not in first)]
    if runtime_dir and runtime_dir not in sys.path:
        sys.path.append(runtime_dir)


def load_handler(target: str) -> Handler:
    """The handler that `target` names ("module:attribute", "module.attribute", "folder/module.attribute"): a `Mangum`,
    a function of event and context, or an ASGI application, which gets an adapter of its own.

    Raises:
        Fault: there is none.
    """
    module_name, separator, attributes = target.partition(":")
    if not separator:
        module_name, separator, attributes = target.rpartition(".")
    if not module_name or not attributes:
        raise Fault("Runtime.MalformedHandlerName", f"Bad handler '{target}': name it as module:attribute.")
    if module_name.partition(".")[0] in sys.builtin_module_names:
        raise Fault("Runtime.BuiltInModuleConflict", f"Cannot use built-in module {module_name} as a handler module")
    found: Any = _import(module_name)
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise Fault(
                "Runtime.HandlerNotFound", f"Handler '{attributes}' missing on module '{module_name}'"
            ) from None
    if not callable(found):
        raise Fault("Runtime.HandlerNotFound", f"{target} is a {type(found).__name__}, which cannot be called")
    return Mangum(found) if is_application(found) else found


def is_adapter(handler: Handler) -> TypeGuard[Mangum]:
    """Whether it is a `Mangum` and nothing around one: not a subclass with its own `__call__`, and no wrapper that
    passes for a `Mangum`, such as wrapt's. Those run as any other function of event and context."""
    return isinstance(handler, Mangum) and type(handler).__call__ is Mangum.__call__


def adapter_of(handler: Handler) -> Mangum | None:
    """The `Mangum` that a handler is, or that a decorator (by `functools.wraps`) or wrapt has put something around."""
    try:
        found = inspect.unwrap(handler, stop=lambda inner: isinstance(inner, Mangum))
    except ValueError:  # it wraps itself
        return None
    return found if isinstance(found, Mangum) else None


def is_application(found: Callable[..., Any]) -> bool:
    """Whether it is an ASGI application, of three arguments, and not a handler, of two."""
    return not isinstance(found, Mangum) and takes(found, 3) and not takes(found, 2)


def is_asynchronous(function: Callable[..., Any]) -> bool:
    """Whether a call of it has to be awaited."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def takes(function: Callable[..., Any], number: int) -> bool:
    """Whether it can be called with so many arguments."""
    try:
        inspect.signature(function).bind(*range(number))
    except (TypeError, ValueError):  # the latter where it does not tell, as built-in ones
        return False
    return True


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name.replace("/", "."))
    except ImportError as error:
        raise Fault("Runtime.ImportModuleError", f"Unable to import module '{name}': {text_of(error)}") from error
    except SyntaxError as error:
        place = [f'  File "{error.filename}" Line {error.lineno}\n    {error.text}']
        raise Fault(
            "Runtime.UserCodeSyntaxError", f"Syntax error in module '{name}': {text_of(error)}", place
        ) from error
