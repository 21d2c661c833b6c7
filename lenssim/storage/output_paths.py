"""Whether a command may write to an output path: the one rule for files that a user names."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

from lenssim.errors import UsageError


def check_output(
    path: str | os.PathLike[str],
    suffixes: tuple[str, ...],
    is_earlier_output: Callable[[Path], bool],
    overwrite: bool,
) -> Path:
    """Check that an output path is new, or an earlier output that may be replaced.

    Reads at most the existing output and changes nothing. Call it before the work begins, and
    write the output so that it appears complete (to a scratch file, then renamed).

    Args:
        path: file, or folder of a directory format such as Zarr, that is to be written.
        suffixes: allowed endings, lower case with their dot, such as (".csv", ".parquet"); the
            case of the path's own suffix is ignored.
        is_earlier_output: whether an existing path is an output of the same command, judged by its
            content. An OSError or ValueError that it raises counts as no.
        overwrite: whether an earlier output may be replaced.

    Returns:
        The path.

    Raises:
        UsageError: if the path is empty, has another suffix, cannot be looked at, lies below a
            file or a broken link, or exists and may not be replaced.
    """
    check_not_empty(path)
    checked = Path(path)
    if checked.suffix.lower() not in suffixes:
        raise UsageError(
            f"{checked} has the suffix {checked.suffix or '(none)'}: end the output path in "
            f"{_either(suffixes)}."
        )
    try:
        check_no_broken_link(checked)
        _check_no_file_above(checked)
    except OSError as error:
        raise UsageError(f"{checked} cannot be written: {error.strerror}.") from None
    if not checked.exists():
        return checked
    if not _recognises(is_earlier_output, checked):
        raise UsageError(
            f"{checked} exists and is not an earlier output of this command: choose another --out."
        )
    if not overwrite:
        raise UsageError(
            f"{checked} exists: choose another --out, or add --overwrite to replace it."
        )
    return checked


def check_not_empty(path: str | os.PathLike[str]) -> None:
    """Refuse an empty path, which a file system would take for its root or current folder.

    Note that `Path("")` is ".": check a path before it becomes a `Path`.

    Raises:
        UsageError: if the path is empty or blank.
    """
    if not os.fspath(path).strip():
        raise UsageError("The path is empty: name a file or folder, or check an unset variable.")


def check_output_folder(
    path: Path,
    names: Collection[str] = (),
    is_earlier_output: Callable[[Path], bool] | None = None,
) -> None:
    """Refuse an output folder that cannot be one, or where files of another origin are in the way.

    Args:
        path: folder that is to be written into; other files may be in it.
        names: files and folders in it that are to be written.
        is_earlier_output: whether an existing folder with some of these names is an earlier output
            of the same command, judged by its content. An OSError or ValueError counts as no.

    Raises:
        UsageError: if the path is a file or a broken link, lies below one, or cannot be looked at,
            or if the folder holds one of the names and is not an earlier output.
    """
    try:
        check_no_broken_link(path)
        _check_no_file_above(path)
        check_no_file(path)
        in_the_way = [name for name in names if os.path.lexists(path / name)]
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from None
    if in_the_way and not (is_earlier_output and _recognises(is_earlier_output, path)):
        raise UsageError(
            f"{path} holds {' and '.join(in_the_way)} of another origin, which would be replaced: "
            "choose another --out."
        )


def check_no_broken_link(path: Path) -> None:
    """Refuse a path that is a broken link, or lies below one.

    Raises:
        UsageError: naming the link.
    """
    for place in (path, *path.parents):
        if place.is_symlink() and not place.exists():
            raise UsageError(
                f"{place} is a link to {place.readlink()}, which does not exist: create that, or "
                "choose another path."
            )


def check_no_file(path: Path) -> None:
    """Refuse a path that is a file where a folder is to be.

    Raises:
        UsageError: naming it.
    """
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file: name a folder.")


def _check_no_file_above(path: Path) -> None:
    for place in path.parents:
        if place.exists() and not place.is_dir():
            raise UsageError(
                f"{place} is a file, so {path} cannot be written: choose another path."
            )


def _recognises(is_earlier_output: Callable[[Path], bool], path: Path) -> bool:
    try:
        return is_earlier_output(path)
    except (OSError, ValueError):
        return False


def _either(suffixes: tuple[str, ...]) -> str:
    *others, last = suffixes
    return f"{', '.join(others)} or {last}" if others else last
