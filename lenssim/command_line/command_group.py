"""What every command line here does with an error, and with text that a terminal cannot show.

Exit codes: 0 done, 1 the work failed, 2 usage error. An error is one sentence on stderr;
`--debug` shows the traceback. A warning is one sentence on stderr, too.
"""

from __future__ import annotations

import codecs
import io
import sys
import warnings
from typing import Any

import click

from lenssim.errors import LenssimError, LenssimWarning, UsageError

_ESCAPING = "lenssim.escape"


def escape_what_cannot_be_encoded() -> None:
    r"""Makes stdout and stderr escape characters that their encoding lacks, as in "\xe9".

    Bytes of a file name that are not text are written as they are.
    """
    codecs.register_error(_ESCAPING, _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not where it is captured
            stream.reconfigure(errors=_ESCAPING)


def undecoded_arguments() -> list[str]:
    """Arguments of this program that are not text in the locale's encoding."""
    return [text for text in sys.argv[1:] if any(_is_undecoded(character) for character in text)]


def _is_undecoded(character: str) -> bool:
    """Whether a character is how Python keeps a byte of a file name that is not text."""
    return "\udc80" <= character <= "\udcff"


def _escape(error: UnicodeError) -> tuple[bytes, int]:
    """Handler of encoding errors; see `codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    written = b"".join(
        character.encode("utf-8", "surrogateescape")
        if _is_undecoded(character)
        else character.encode("ascii", "backslashreplace")
        for character in characters
    )
    return written, error.end


EXIT_FAILED = 1
EXIT_USAGE = 2


class _NoEmptyValues(click.Command):
    """A command that refuses empty options and arguments.

    An unset variable of the shell gives one, and an empty path would mean the current folder or
    the root of the disk.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Checks the values as they were typed, and then parses them."""
        if not ctx.resilient_parsing:
            given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
            for parameter in self.get_params(ctx):
                value = given.get(parameter.name or "")
                values = value if isinstance(value, list | tuple) else (value,)
                if any(isinstance(text, str) and not text.strip() for text in values):
                    raise click.BadParameter(
                        "it is empty; give a value, or check for an unset variable.",
                        ctx=ctx,
                        param=parameter,
                    )
        return super().parse_args(ctx, args)


class Command(_NoEmptyValues):
    """A command of a `CommandGroup`."""


class Subgroup(_NoEmptyValues, click.Group):
    """A group of commands within a `CommandGroup`."""

    command_class = Command


class CommandGroup(click.Group):
    """A group, named as its program, whose commands fail with one sentence.

    Its function has the option `--debug`.
    """

    command_class = Command
    group_class = Subgroup

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        warnings.formatwarning = _format_warning
        escape_what_cannot_be_encoded()
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError:
            raise  # the reader of a pipe has seen enough, as in `| head`: click ends in silence
        except KeyboardInterrupt as stopped:
            click.echo(str(stopped) or "Stopped.", err=True)
            sys.exit(EXIT_FAILED)
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            click.echo(f"Error: {self._sentence(error)}", err=True)
            sys.exit(EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the program; the text of --help may be what cannot be written."""
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            if "--debug" in sys.argv:
                raise
            click.echo(f"Error: {self._sentence(error)}", err=True)
            sys.exit(EXIT_FAILED)

    def _sentence(self, error: Exception) -> str:
        """What to tell the user about an error."""
        if isinstance(error, LenssimError):
            return str(error)
        advice = f"Run again with {self.name} --debug for more."
        if isinstance(error, UnicodeEncodeError) and (names := undecoded_arguments()):
            return (
                f"{', '.join(names)} cannot be expressed in {sys.getfilesystemencoding()}, the "
                "encoding of this locale; set PYTHONUTF8=1, or choose a path of plain letters."
            )
        if isinstance(error, MemoryError):
            return f"There is not enough memory; use fewer workers or a smaller batch. {advice}"
        if isinstance(error, OSError) and error.strerror:
            place = error.filename if error.filename is not None else "the output of this command"
            return f"The system refuses {place}: {error.strerror}. {advice}"
        return f"Unexpected {type(error).__name__}: {error}. {advice}"


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
