"""What every command line here does with an error.

Exit codes: 0 done, 1 the work failed, 2 the words were wrong. An error is one sentence on stderr;
`--debug` shows the traceback. A warning is one sentence on stderr, too.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import click

from lenssim.errors import LenssimError, LenssimWarning, UsageError
from lenssim.output_paths import check_not_empty
from lenssim.terminal import escape_what_cannot_be_encoded

FAILED = 1
WRONG_WORDS = 2


class NonEmptyPath(click.Path):
    """A path that is not empty: `Path("")` would be the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path.

        Raises:
            UsageError: if it is empty or blank.
        """
        if isinstance(value, str | os.PathLike):
            check_not_empty(value)
        return super().convert(value, param, ctx)


class CommandGroup(click.Group):
    """A group, named as its program, whose commands fail with one sentence.

    Its function has the option `--debug`.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        warnings.formatwarning = _format_warning
        escape_what_cannot_be_encoded()
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)
            sys.exit(FAILED)
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            if isinstance(error, LenssimError):
                message = str(error)
            else:
                name = type(error).__name__
                message = (
                    f"Unexpected {name}: {error}. Run again with {self.name} --debug for more."
                )
            click.echo(f"Error: {message}", err=True)
            sys.exit(WRONG_WORDS if isinstance(error, UsageError) else FAILED)


_python_format = warnings.formatwarning


def _format_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """A warning of ours as one line; any other as Python writes it."""
    if issubclass(category, LenssimWarning):
        return f"Warning: {message}\n"
    return _python_format(message, category, filename, lineno, line)
