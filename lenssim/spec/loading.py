"""Reading specifications: shipped ones by name, a user's own from YAML.

`SpecError` says in one sentence which key is wrong, its value and what is allowed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lenssim.configuration.key_values import alternatives, parse_key_value, schema_at, set_key
from lenssim.configuration.yaml_reading import parse_yaml, read_yaml
from lenssim.errors import SpecError
from lenssim.spec.schema import Specification


def shipped_specs() -> list[str]:
    """Names of the specifications that come with the package, sorted."""
    folder = resources.files("lenssim.spec") / "shipped"
    return sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".yaml"))


def load_spec(name_or_path: str | Path, overrides: Iterable[str] = ()) -> Specification:
    """Reads a specification and validates it.

    Args:
        name_or_path: name of a shipped specification, or path of a YAML file.
        overrides: `KEY=VALUE` strings; KEY is dotted ("substructure.f_sub"), VALUE is YAML.

    Returns:
        The validated specification.

    Raises:
        SpecError: with one sentence that names the key, the value and what is allowed.
    """
    origin = str(name_or_path)
    if origin in shipped_specs():
        text = (resources.files("lenssim.spec") / "shipped" / f"{origin}.yaml").read_text("utf-8")
        values = parse_yaml(text, origin, SpecError)
    else:
        values = _read_user_file(Path(origin))
    if not isinstance(values, dict):
        raise SpecError(f"{origin} must be a mapping of keys to values, not {_kind(values)}.")
    for override in overrides:
        key, value = parse_key_value(override, "substructure.f_sub=0.02", SpecError)
        set_key(values, key, value, SpecError)
    return spec_from_mapping(values, origin)


def spec_from_mapping(values: dict[str, Any], origin: str = "specification") -> Specification:
    """Validates a mapping with the keys of `Specification`; raises `SpecError` as `load_spec`."""
    try:
        return Specification.model_validate(values)
    except ValidationError as error:
        raise SpecError(_one_sentence(error, origin)) from None


def _read_user_file(path: Path) -> Any:
    if path.suffix not in {".yaml", ".yml"}:
        try:
            path.stat()
        except FileNotFoundError:
            raise SpecError(
                f"There is no specification '{path}': use one of {', '.join(shipped_specs())}, "
                "or the path of a YAML file."
            ) from None
        except OSError:
            pass  # the attempt to read it says why it cannot be read
    return read_yaml(path, SpecError)


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", type(None): "empty"}
    return names.get(type(value), f"a {type(value).__name__}")


def _one_sentence(error: ValidationError, origin: str) -> str:
    """The first thing wrong; a misspelt key comes before the one that is then missing."""
    unknown = ("extra_forbidden", "invalid_key")  # the second: a number as a key
    errors = error.errors()
    first = next((error for error in errors if error["type"] in unknown), errors[0])
    path = [str(part) for part in first["loc"]]
    key = ".".join(path) or "the whole"
    if first["type"] in unknown:
        return f"{origin}: unknown key '{key}'{alternatives(path, Specification)}."
    if first["type"] == "missing":
        return f"{origin}: key '{key}' is missing."
    value = first["input"]
    if first["type"] == "value_error":
        message = first["msg"].removeprefix("Value error, ")
        if isinstance(value, dict) and len(value) != 1:  # of a section, whose keys it names
            return f"{origin}: {f'{key}: ' if path else ''}{message}."
    else:
        message = _allowed(first["type"], path, first.get("ctx", {})) or first["msg"]
    shown = f"{value:g}" if isinstance(value, float) else json.dumps(value, default=str)
    if isinstance(value, dict):
        shown = shown.replace('"', "")
    link = " " if message.startswith("must be") else ": "
    return f"{origin}: {key} = {shown}{link}{message}."


def _allowed(kind: str, path: list[str], context: dict[str, Any]) -> str | None:
    """What a value of the wrong type must be instead, by pydantic's name for the error."""
    if kind == "model_type":
        section = schema_at(Specification, path) or Specification
        return f"must be a section with the keys {', '.join(section.model_fields)}"
    if kind == "literal_error":
        return f"must be {context['expected']}"
    for beginning, words in _TYPES.items():
        if kind.startswith(beginning):
            return f"must be {words}"
    return None


_TYPES = {
    "finite_number": "a finite number",
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "string": "a text, in quotes",
}
"""What a value must be, by what the name of pydantic's error begins with."""
