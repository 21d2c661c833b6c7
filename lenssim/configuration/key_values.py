"""`KEY=VALUE` changes to settings, and suggestions for keys that do not exist.

KEY is dotted ("lens.gamma2", "views.0.noise"); VALUE is YAML.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lenssim.configuration.yaml_reading import parse_yaml
from lenssim.errors import UsageError

Schema = type[BaseModel]


def parse_key_value(
    text: str, example: str, error: type[UsageError] = UsageError
) -> tuple[str, Any]:
    """Key and value of one `--set KEY=VALUE`.

    Args:
        text: as the user wrote it.
        example: a change that is possible, for the error message.
        error: class of what is raised.

    Raises:
        UsageError: if it is not KEY=VALUE, or the value is not YAML.
    """
    key, value = split_key_value(text, "--set", "KEY=VALUE", example, error)
    if not all(key.split(".")):
        raise error(f"--set {text}: write it as KEY=VALUE, as in {example}.")
    return key, parse_yaml(value, f"--set {key}", error)


def split_key_value(
    text: str, option: str, form: str, example: str, error: type[UsageError] = UsageError
) -> tuple[str, str]:
    """The two texts of an option such as `--data MODEL=DIR`, split at the first equals sign.

    Args:
        text: as the user wrote it.
        option: that it belongs to.
        form: what it looks like, as in "KEY=VALUE".
        example: one that is possible.
        error: class of what is raised.

    Raises:
        UsageError: if the equals sign, or the text before it, is missing.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise error(f"{option} {text}: write it as {form}, as in {example}.")
    return key.strip(), value


def set_key(values: Any, key: str, value: Any, error: type[UsageError] = UsageError) -> None:
    """Changes one value in nested mappings and lists, in place.

    Sections that are missing are added; whether they may exist is for the schema to say.

    Args:
        values: mapping of all settings.
        key: dotted; the entries of a list are numbered from 0.
        value: to put there.
        error: class of what is raised.

    Raises:
        UsageError: if the key leads into a plain value, or to an entry that a list lacks.
    """
    path = key.split(".")
    target = values
    for depth, part in enumerate(path):
        above = ".".join(path[:depth])
        is_last = depth == len(path) - 1
        if isinstance(target, dict):
            place: Any = part
            if not is_last:
                target.setdefault(part, {})
        elif isinstance(target, list):
            if not (part.isascii() and part.isdigit() and int(part) < len(target)):
                raise error(
                    f"--set {key}: there is no {above}.{part}; {above} is a list of "
                    f"{len(target)}, numbered from 0."
                )
            place = int(part)
        else:
            raise error(f"--set {key}: '{above}' is a value, not a section with keys.")
        if is_last:
            target[place] = value
        else:
            target = target[place]


def alternatives(path: Sequence[str], schema: Schema) -> str:
    """What to write in place of an unknown key, to end a sentence that names the key.

    Args:
        path: parts of the key, of which all but the last exist.
        schema: of all settings.

    Returns:
        For example " (did you mean lens.gamma2?); lens has the keys e1, e2, gamma1, gamma2".
    """
    *above, last = path
    section = schema_at(schema, above)
    known = list(section.model_fields) if section is not None else []
    every = list(_keys(schema))
    near = [key for key in every if key.rpartition(".")[2] == last]
    near += [".".join([*above, name]) for name in get_close_matches(last, known, cutoff=0.7)]
    near += get_close_matches(".".join(path), every, cutoff=0.75)
    hint = f" (did you mean {near[0]}?)" if near else ""
    where = f"{'.'.join(above)} has the keys" if above else "the keys are"
    return f"{hint}; {where} {', '.join(known)}" if known else hint


def schema_at(schema: Schema, path: Sequence[str]) -> Schema | None:
    """Schema of the section at a path, or of an entry of a list; None if it has no keys."""
    section: Schema | None = schema
    for part in path:
        if section is not None and not part.isdigit():  # a list's schema is that of its entries
            field = section.model_fields.get(part)
            section = section_in(field.annotation) if field is not None else None
    return section


def field_at(schema: Schema, key: str) -> FieldInfo:
    """The field of a dotted key that exists."""
    *above, last = key.split(".")
    section = schema_at(schema, above)
    assert section is not None, key
    return section.model_fields[last]


def _keys(schema: Schema, prefix: str = "") -> Iterator[str]:
    """Every dotted key of a schema, without those inside lists."""
    for name, field in schema.model_fields.items():
        yield f"{prefix}{name}"
        inner = section_in(field.annotation)
        if inner is not None and get_origin(field.annotation) not in (list, tuple):
            yield from _keys(inner, f"{prefix}{name}.")


def section_in(annotation: Any) -> Schema | None:
    """The model with keys in an annotation, which may be optional or a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        # a model that is not written key by key is a value: a prior may be a number
        serializers = annotation.__pydantic_decorators__.model_serializers.values()
        is_value = any(serializer.info.mode == "plain" for serializer in serializers)
        return None if is_value else annotation
    sections = (section_in(argument) for argument in get_args(annotation))
    return next((inner for inner in sections if inner is not None), None)


def differences(first: Any, second: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted keys at which two nested mappings or lists differ, with both values, in order.

    Args:
        first, second: mappings and lists of any depth; a key that one side lacks is None there.
        prefix: of every key.

    Returns:
        An iterator of key, first value and second value; a missing one is None.
    """
    first, second = (
        dict(enumerate(value)) if isinstance(value, list) else value for value in (first, second)
    )
    if not (isinstance(first, dict) and isinstance(second, dict)):
        if first != second:
            yield prefix, first, second
        return
    for key in first | second:
        name = f"{prefix}.{key}" if prefix else str(key)
        yield from differences(first.get(key), second.get(key), name)


def merged(values: Any, changes: Any) -> Any:
    """Nested mappings with the values of others put over theirs; lists are replaced whole.

    Args:
        values: mapping; unchanged.
        changes: mapping of any depth.

    Returns:
        A new mapping; the arguments stay as they are.
    """
    if not (isinstance(values, dict) and isinstance(changes, dict)):
        return changes
    both = {key: merged(values[key], changes[key]) for key in values if key in changes}
    return values | changes | both
