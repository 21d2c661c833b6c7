"""Pages made from the code: commands, specification, settings, columns, and the examples."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from lenssim.configuration.setting_table import Setting, settings_of

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
    rows = _rows(settings_of(Specification))
    return f"{about}\n\n{_table(['key', 'value', 'default', 'meaning'], rows)}\n"


def settings() -> str:
    """Every setting of a run."""
    from lensmodels.settings import setting_table

    about = (
        "# Settings of a run\n\nWhat a run's `config.yaml` holds, what `--config FILE.yaml` of"
        " `lensmodels train`, `pretrain` and `finetune` reads, and what `--set KEY=VALUE` changes"
        " ([repeat or vary a run](../how-to/repeat-a-run.md))."
    )
    rows = _rows(setting_table())
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


def _rows(settings: Iterable[Setting]) -> list[tuple[str, ...]]:
    """Rows of a table of settings."""
    return [
        (
            f"`{setting.key}`",
            setting.allowed,
            f"`{setting.default}`" if setting.default not in ("", "required") else setting.default,
            setting.meaning,
        )
        for setting in settings
    ]


def _table(headings: list[str], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)
