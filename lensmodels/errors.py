"""Errors whose message is one sentence for the user, saying what to do."""

from __future__ import annotations

from lenssim import errors as archive_errors


class LensmodelsError(archive_errors.LenssimError):
    """Something failed that the user can act on."""


class UsageError(LensmodelsError, archive_errors.UsageError):
    """What was asked for is not possible as asked; nothing was done."""


class DataError(LensmodelsError):
    """An archive cannot be streamed: something in it is missing, damaged or of another shape."""
