"""Pages made from the code: commands, specification, settings, columns, and the examples."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def pages() -> dict[str, str]:
    """Markdown of each generated page by its place in the site."""
    return {
        "reference/commands.md": commands(),
        "reference/specification.md": specification(),
        "reference/settings.md": settings(),
        "reference/columns.md": columns(),
        **{f"examples/{script.stem}.md": example(script) for script in EXAMPLES.glob("*.py")},
    }


def example(script: Path) -> str:
    """A script in percent format as a page: its cells of text, and its code in blocks."""
    parts = []
    for cell in re.split(r"^# %%", script.read_text(), flags=re.M)[1:]:
        kind, _, content = cell.partition("\n")
        if kind.strip() == "[markdown]":
            parts.append(re.sub(r"^# ?", "", content, flags=re.M).replace("](../docs/", "](../"))
        else:
            parts.append(f"```python\n{content.strip()}\n```")
    parts.append(f"Run it with `python examples/{script.name}`, or open it as a notebook.")
    return "\n\n".join(part.strip() for part in parts) + "\n"


def commands() -> str:
    """Help of every command of both programs."""
    from lensmodels.cli import main as lensmodels
    from lenssim.cli import main as lenssim

    parts = [
        "# Commands\n\nExit codes: 0 done, 1 the work failed, 2 usage error. An error is one"
        " sentence; `--debug`, before the command, shows the traceback."
    ]
    for group in (lenssim, lensmodels):
        parts += _command(group, click.Context(group, info_name=group.name), level=2)
    return "\n\n".join(parts) + "\n"


def _command(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    with click.Context(command, parent=context.parent, info_name=context.info_name) as here:
        yield f"{'#' * level} `{here.command_path}`"
        yield f"```text\n{command.get_help(here)}\n```"
        if isinstance(command, click.Group):
            for name in command.list_commands(here):
                below = command.get_command(here, name)
                if below is not None and below.name in {name, None}:  # an alias is its command
                    yield from _command(below, click.Context(below, here, name), level + 1)


def specification() -> str:
    """Every key of a specification, with its unit and range."""
    from lenssim.spec import Specification

    about = (
        "# Specification\n\nEvery key of a specification file, as `lenssim specs NAME` prints it"
        " and as `--set KEY=VALUE` changes it. *Prior* is a number or a"
        " [distribution](../how-to/priors.md)."
    )
    rows = list(_keys(Specification))
    return f"{about}\n\n{_table(['key', 'value', 'default', 'meaning'], rows)}\n"


def settings() -> str:
    """Every setting of a run."""
    from lensmodels.runs import RunConfig

    about = (
        "# Settings of a run\n\nWhat a run's `config.yaml` holds, and what `--set KEY=VALUE` of"
        " `lensmodels train`, `pretrain` and `finetune` changes."
    )
    rows = list(_keys(RunConfig))
    return f"{about}\n\n{_table(['key', 'value', 'default', 'meaning'], rows)}\n"


def columns() -> str:
    """Every column of an archive."""
    from lenssim.archive.schema import COLUMNS
    from lenssim.spec import CLASSES

    rows = [
        (
            f"`{column.name}`",
            ", ".join(column.dimensions),
            column.dtype,
            column.units,
            "all" if tuple(column.classes) == CLASSES else ", ".join(column.classes),
            column.long_name,
        )
        for column in COLUMNS
    ]
    headings = ["column", "dimensions", "type", "unit", "classes", "meaning"]
    about = (
        "# Columns\n\nThe variables of every group of an archive (`images.zarr/SPLIT/CLASS`). A"
        " WebDataset sample has the same values in its JSON member."
    )
    return f"{about}\n\n{_table(headings, rows)}\n"


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, ...]]:
    """Rows of a model's fields: key, allowed values, default, meaning."""
    described = _documented_attributes(model)
    for name, field in model.model_fields.items():
        section = _section(field.annotation)
        key = f"{prefix}{name}"
        meaning = field.description or described.get(name, "")
        if section is not None:
            if meaning:
                yield f"`{key}`", "section", _default(field), " ".join(meaning.split())
            yield from _keys(section, f"{key}.")
            continue
        yield f"`{key}`", _allowed(field), _default(field), " ".join(meaning.split())


def _section(annotation: Any) -> type[BaseModel] | None:
    """The model of a section; None for a value."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind.__name__ != "Prior":
            return kind
    return None


def _allowed(field: FieldInfo) -> str:
    """Type and range of a value."""
    limits = [
        words
        for item in field.metadata
        if (words := getattr(getattr(item, "func", None), "allowed", ""))
    ]
    limits += [
        f"{sign} {getattr(item, name):g}"
        for item in field.metadata
        for name, sign in (
            ("ge", "at least"),
            ("gt", "greater than"),
            ("le", "at most"),
            ("lt", "less than"),
        )
        if getattr(item, name, None) is not None
    ]
    return ", ".join([_type_name(field.annotation), *limits])


def _type_name(annotation: Any) -> str:
    names = {
        int: "whole number",
        float: "number",
        str: "text",
        bool: "true or false",
        type(None): "null",
    }
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in names:
        return names[annotation]
    if origin in (types.UnionType, Union):
        return " or ".join(_type_name(kind) for kind in arguments)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if hasattr(annotation, "__metadata__"):
        return _type_name(arguments[0])
    if origin is not None:
        return "list" if origin in (list, tuple) else "mapping"
    return {"Prior": "prior", "Path": "path"}.get(annotation.__name__, annotation.__name__)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return ""
    return f"`{'null' if value is None else value}`"


def _documented_attributes(model: type[BaseModel]) -> dict[str, str]:
    """What the docstring of a class says of its attributes."""
    text = (model.__doc__ or "").partition("Attributes:")[2]
    items = re.findall(r"^ {8}(\w[\w, ]*): (.*(?:\n {12,}.*)*)", text, re.M)
    return {name.strip(): words for names, words in items for name in names.split(",")}


def _table(headings: list[str], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)
