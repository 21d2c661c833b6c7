"""What every command line here does with an error.

Exit codes: 0 done, 1 the work failed, 2 the words were wrong. An error is one sentence on stderr;
`--debug` shows the traceback.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from lenssim.errors import LenssimError, UsageError

FAILED = 1
WRONG_WORDS = 2


class CommandGroup(click.Group):
    """A group, named as its program, whose commands fail with one sentence.

    Its function has the option `--debug`.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
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
