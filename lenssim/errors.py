"""Errors whose message is one sentence for the user, saying what to do."""

from __future__ import annotations

KEPT = "what is done is kept: the same command continues from there."
"""End of the message of a command that was cut short."""


class LenssimError(Exception):
    """Something failed that the user can act on."""


class UsageError(LenssimError):
    """What was asked for is not possible as asked; nothing was done."""


class SpecError(UsageError):
    """A specification is wrong; the message names the key, the value and what is allowed."""


class ArchiveError(LenssimError):
    """An archive cannot be written, read or trusted."""


class ServerError(ArchiveError):
    """A server fails or refuses a request, which says nothing about the archive behind it."""


class ImportFileError(LenssimError):
    """A file that was to be imported is not what it should be; the message names it."""


class LenssimWarning(UserWarning):
    """Something works less well than it could; the message is one sentence that says what to do."""
