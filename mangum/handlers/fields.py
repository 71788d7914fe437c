"""Which field of a malformed event is wrong?

Translation reads an event without looking twice, because nearly every event is well-formed. Only when that fails is
the event held against its handler's list of fields, and the first that does not fit is named. Types are named, values
never: a header may be a token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from mangum.exceptions import InvalidEvent

__all__ = [
    "MISSING",
    "Check",
    "Field",
    "FieldList",
    "flag",
    "invalid_event",
    "list_of",
    "optional",
    "present",
    "record_of",
    "table_of",
    "text",
    "text_or_number",
]

Check: TypeAlias = Callable[[str, object], str | None]
Field: TypeAlias = tuple[str, Check]
FieldList: TypeAlias = Sequence[Field]

MISSING = object()
_JSON_TYPES = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


def invalid_event(source: str, event: object, fields: FieldList, error: Exception) -> InvalidEvent:
    """The error for an event whose translation failed with `error`."""
    fault = next(filter(None, (_check_field(event, path, check) for path, check in fields)), None)
    if fault is None:
        fault = f"it could not be read ({type(error).__name__})"
    return InvalidEvent(f"The event looks like {source}, but {fault}.")


def _check_field(event: object, path: str, check: Check) -> str | None:
    """What is wrong with the field at `path` ("requestContext.http.method", "Records[0].cf"), if anything is."""
    value: Any = event
    seen = "the event"
    for key in path.split("."):
        if not isinstance(value, dict):
            if value is None or value is MISSING:
                return check(path, MISSING)
            return f"{seen} is {_type_name(value)}, not an object"
        name, bracket, _ = key.partition("[")
        value = value.get(name, MISSING)
        seen = f"`{path[: path.index(key) + len(key)]}`"
        if bracket:
            value = value[0] if isinstance(value, list) and value else MISSING
    return check(path, value)


def _type_name(value: object) -> str:
    if value is None:
        return "null"
    return _JSON_TYPES.get(type(value), type(value).__name__)


def _unexpected(path: str, value: object, expected: str) -> str:
    if value is MISSING:
        return f"`{path}` is missing"
    return f"`{path}` is {_type_name(value)}, not {expected}"


def present(path: str, value: object) -> str | None:
    """An object that has to be there."""
    return None if isinstance(value, dict) else _unexpected(path, value, "an object")


def text(path: str, value: object) -> str | None:
    """A string that can be written as UTF-8."""
    if not isinstance(value, str):
        return _unexpected(path, value, "a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        return f"`{path}` has characters that are no Unicode text (a lone surrogate)"
    return None


def text_or_number(path: str, value: object) -> str | None:
    """A string, or what an event that was made by hand may have in its place: a number, true or false."""
    return None if isinstance(value, int | float) else text(path, value)


def flag(path: str, value: object) -> str | None:
    """True or false; absent and null count as false."""
    if value is MISSING or value is None or isinstance(value, bool):
        return None
    return _unexpected(path, value, "a boolean")


def optional(check: Check) -> Check:
    """What `check` asks for, or absent, or null."""

    def check_if_given(path: str, value: object) -> str | None:
        return None if value is MISSING or value is None else check(path, value)

    return check_if_given


def table_of(*checks: Check) -> Check:
    """An object whose values pass one of `checks`; absent and null count as empty."""

    def check_table(path: str, value: object) -> str | None:
        if not isinstance(value, dict):
            return _unexpected(path, value, "an object")
        for key, item in value.items():
            if not isinstance(key, str):
                return f"`{path}` has a key that is {_type_name(key)}, not a string"
            if (fault := text(path, key)) is not None:
                return fault
            faults = [check(f"{path}.{key}", item) for check in checks]
            if all(faults):
                return faults[0]
        return None

    return optional(check_table)


def record_of(**checks: Check) -> Check:
    """An object with the given fields, and perhaps others."""

    def check_record(path: str, value: object) -> str | None:
        if not isinstance(value, dict):
            return _unexpected(path, value, "an object")
        faults = (check(f"{path}.{key}", value.get(key, MISSING)) for key, check in checks.items())
        return next(filter(None, faults), None)

    return check_record


def list_of(check: Check) -> Check:
    """A list whose entries pass `check`."""

    def check_list(path: str, value: object) -> str | None:
        if not isinstance(value, list):
            return _unexpected(path, value, "a list")
        faults = (check(f"{path}[{index}]", item) for index, item in enumerate(value))
        return next(filter(None, faults), None)

    return check_list
