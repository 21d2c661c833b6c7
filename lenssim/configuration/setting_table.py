"""Tables of the keys of a schema: value, default and meaning of each, for --help and the docs."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from lenssim.configuration.key_values import Schema, section_in

_TYPE_NAMES = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "true or false",
    type(None): "null",
}

_BOUNDS = {"ge": "at least", "gt": "greater than", "le": "at most", "lt": "less than"}


@dataclass(frozen=True)
class Setting:
    """A key of a schema.

    Attributes:
        key: dotted, as in "data.batch_size".
        allowed: type and range of its value; "section" if keys follow.
        default: as YAML writes it, or "required"; empty for a section.
        meaning: its description in the schema.
    """

    key: str
    allowed: str
    default: str
    meaning: str


def settings_of(schema: Schema, prefix: str = "") -> Iterator[Setting]:
    """Every key of a schema in its order, also those of the entries of lists."""
    for name, field in schema.model_fields.items():
        key, meaning = f"{prefix}{name}", " ".join((field.description or "").split())
        section = section_in(field.annotation)
        if section is None:
            yield Setting(key, _allowed(field), default_text(field), meaning)
            continue
        if meaning:
            yield Setting(key, "section", "", meaning)
        is_list = get_origin(field.annotation) in (list, tuple)
        yield from settings_of(section, f"{key}.N." if is_list else f"{key}.")


def _allowed(field: FieldInfo) -> str:
    """Type and range of a value."""
    limits = [
        allowed
        for item in field.metadata
        if (allowed := getattr(getattr(item, "func", None), "allowed", ""))
    ]
    limits += [
        f"{sign} {bound:g}"
        for item in field.metadata
        for name, sign in _BOUNDS.items()
        if (bound := getattr(item, name, None)) is not None
    ]
    return ", ".join([_type_name(field.annotation), *limits])


def _type_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _TYPE_NAMES:
        return _TYPE_NAMES[annotation]
    if origin in (types.UnionType, Union):
        return " or ".join(_type_name(kind) for kind in arguments)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if hasattr(annotation, "__metadata__"):
        return _type_name(arguments[0])
    if origin is not None:
        return "list" if origin in (list, tuple) else "mapping"
    values = {
        "Prior": "prior",
        "Path": "path",
        "Radius": "number or {theta_0: number}",
        "SourcePosition": "`x_y` or {disc: number}",
    }
    return values.get(annotation.__name__, annotation.__name__)


def default_text(field: FieldInfo) -> str:
    """The default of a field; "required" if it has none."""
    if field.is_required():
        return "required"
    return _as_yaml(field.get_default(call_default_factory=True))


def _as_yaml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_as_yaml, value))}]"
    return (
        str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
    )
