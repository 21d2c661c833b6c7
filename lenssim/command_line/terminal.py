"""Printing any text on any terminal: what its encoding lacks is escaped, and never an error."""

from __future__ import annotations

import codecs
import io
import sys

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
