"""Reading and writing YAML by the rules of YAML 1.2, for specifications, settings and `--set`.

PyYAML follows YAML 1.1, where 1e12 and -.2 are texts, `no` is false, 010 is eight and 12:30 is
750. Here plain values mean what the core schema of YAML 1.2.2 (section 10.3.2) says: 1e12, -.2
and .5 are numbers, `no` and `on` are texts, 010 is ten. Only null, booleans, numbers, texts, lists
and mappings can be written, so that reading executes nothing. Aliases, which can expand without
bound, and repeated keys are refused.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, ClassVar

import yaml

from lenssim.errors import UsageError

MAX_FILE_SIZE = 1_000_000
"""Bytes; every YAML file here is a few pages, and a larger one is something else."""

_PLAIN_VALUES = (
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
)
"""Tag, pattern and first characters of what is not a text; the first pattern that fits decides."""


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with the values of YAML 1.2, without aliases and repeated keys."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 - as PyYAML declares it
    yaml_constructors: ClassVar[dict[Any, Any]] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()
            raise _error(f"aliases are not allowed, and *{event.anchor} is one", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str | float, int] = {}
        for key_node, _ in node.value:
            key, mark = self.construct_object(key_node, deep=True), key_node.start_mark
            if isinstance(key, bool) or not isinstance(key, str | int | float):
                raise _error(f"a key must be a text or a number, not {key!r}", mark)
            if key in lines:
                raise _error(f"key '{key}' is given twice, first in line {lines[key]}", mark)
            lines[key] = mark.line + 1
        return yaml.constructor.BaseConstructor.construct_mapping(self, node, deep)

    def construct_integer(self, node: Any) -> int:
        text = self.construct_scalar(node)
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text, base)

    def construct_number(self, node: Any) -> float:
        text = self.construct_scalar(node).lower()
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))


class _Dumper(yaml.SafeDumper):
    """Writes every value so that readers of YAML 1.1 and of 1.2 understand the same."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _error(problem: str, mark: Any) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


for _name, _pattern, _first in _PLAIN_VALUES:
    for _side in (_Loader, _Dumper):
        _side.add_implicit_resolver(
            f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), _first
        )
_Loader.yaml_constructors = {
    "tag:yaml.org,2002:null": yaml.SafeLoader.construct_yaml_null,
    "tag:yaml.org,2002:bool": yaml.SafeLoader.construct_yaml_bool,
    "tag:yaml.org,2002:int": _Loader.construct_integer,
    "tag:yaml.org,2002:float": _Loader.construct_number,
    "tag:yaml.org,2002:str": yaml.SafeLoader.construct_yaml_str,
    "tag:yaml.org,2002:seq": yaml.SafeLoader.construct_yaml_seq,
    "tag:yaml.org,2002:map": yaml.SafeLoader.construct_yaml_map,
    None: yaml.SafeLoader.construct_undefined,
}


def parse_yaml(text: str, origin: str, error: type[UsageError] = UsageError) -> Any:
    """The value of a YAML document.

    Args:
        text: the document.
        origin: what an error message calls it: a file or an option.
        error: class of what is raised.

    Raises:
        UsageError: in one sentence with the line, where it is not valid YAML, has an alias, a
            repeated key or a key that is neither text nor number, or is nested too deeply.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - constructs plain values only
    except RecursionError:
        raise error(f"{origin} is nested too deeply.") from None
    except yaml.MarkedYAMLError as refused:
        mark = refused.problem_mark
        where = f", line {mark.line + 1}" if mark is not None and "\n" in text.strip() else ""
        is_ours = type(refused) is yaml.MarkedYAMLError
        problem = " ".join(str(refused.problem or refused.context).split())
        link = ": " if is_ours else " is not valid YAML: "
        raise error(f"{origin}{where}{link}{problem}.") from None
    except (yaml.YAMLError, ValueError) as refused:
        problem = getattr(refused, "reason", None) or " ".join(str(refused).split())
        raise error(f"{origin} is not valid YAML: {problem}.") from None


def read_yaml(path: str | os.PathLike[str], error: type[UsageError] = UsageError) -> Any:
    """The value of a YAML file, as `parse_yaml`.

    Raises:
        UsageError: also where the file cannot be read, is not text, or is larger than
            `MAX_FILE_SIZE`.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE_SIZE + 1)
    except (OSError, ValueError) as refused:  # a ValueError for a path with a null character
        reason = getattr(refused, "strerror", None) or str(refused)
        raise error(f"{path} cannot be read: {reason}.") from None
    if len(content) > MAX_FILE_SIZE:
        raise error(f"{path} is larger than {MAX_FILE_SIZE} bytes.")
    try:
        return parse_yaml(content.decode("utf-8-sig"), str(path), error)
    except UnicodeDecodeError:
        raise error(f"{path} is not a text file in UTF-8.") from None


def format_yaml(values: Any, *, ascii_only: bool = True) -> str:
    """Plain values as YAML in block style, keys in their order; `parse_yaml` gives them back.

    Args:
        values: null, booleans, numbers, texts, lists and mappings.
        ascii_only: whether other characters are written as escapes, as a file needs that is read
            under any locale; False for a page that a person reads.

    Returns:
        Text that ends with a line break.
    """
    return yaml.dump(
        values, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=not ascii_only
    )
