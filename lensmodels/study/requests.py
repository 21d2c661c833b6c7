"""What `study` and its commands are asked for, checked before torch is imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lensmodels.data import CLASSES
from lensmodels.data.archives import read_archive
from lensmodels.data.live_archive import is_live
from lensmodels.errors import DataError, UsageError
from lensmodels.study.grid import Cell, Grid
from lenssim.storage.output_paths import check_output

RESULTS = "results"
"""Folder in the folder of a grid."""


def tables_of(folder: Path) -> Path:
    """Where the results of a grid's folder are: its sub-folder of results, if it has one."""
    return folder / RESULTS if (folder / RESULTS).is_dir() else folder


def check_archives(
    grid: Grid, cells: Iterable[Cell], data: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Refuse archives that are not of their model, or too small for a grid.

    Args:
        grid: that is run.
        cells: of it; those of models without an archive are left out.
        data: archive of each model, as {"B": "archives/B"}.

    Returns:
        For each model, what identifies its archive.

    Raises:
        DataError: naming the archive and what it lacks.
    """
    models = dict.fromkeys(cell.model for cell in cells if cell.model in data)
    return {model: _check_archive(grid, model, data[model]) for model in models}


def _check_archive(grid: Grid, model: str, url: str) -> dict[str, Any]:
    if is_live(url):
        raise DataError(
            f"{url} is no archive, and a grid compares methods on the same images: make one with "
            f"`lenssim generate --model {model}`."
        )
    manifest = read_archive(url).manifest
    if manifest.name != model:
        raise DataError(
            f"{url} is of model {manifest.name}, not {model}; give the archive of each model as "
            f"--data {model}=DIR_OR_URL."
        )
    for name in CLASSES:
        for split, needed in (("train", grid.train), ("test", grid.test)):
            group = manifest.group(f"{split}/{name}")
            held = group.count if group else 0
            if held < needed:
                raise DataError(
                    f"{url} holds {held:,} images of {split}/{name}, and the grid takes "
                    f"{needed:,}; make them with `lenssim generate --model {model} --train "
                    f"{grid.train} --test {grid.test}`."
                )
    # the first images of a group are the same however many there are
    return {"spec_sha256": manifest.spec_sha256, "seed": manifest.seed}


def check_results(folder: Path) -> None:
    """Refuse a path without results of a grid.

    Args:
        folder: of a grid, or one that holds tables of its results, or such a table.

    Raises:
        UsageError: saying how to make them.
    """
    place = tables_of(folder)
    if not (place.is_file() or any(place.glob("*.parquet"))):
        raise UsageError(f"{folder} holds no results; make them with `lensmodels study`.")


def check_collection(folders: Iterable[Path], out: Path) -> None:
    """Refuse a collection of results that cannot be made.

    Raises:
        UsageError: if a folder holds no results, or `out` is not a Parquet table of cells.
    """
    check_output(out, (".parquet",), is_table, overwrite=True)  # its cells are kept
    for folder in folders:
        check_results(folder)


def is_table(path: Path) -> bool:
    """Whether a file is a table of results, by its columns."""
    from pyarrow import parquet

    own = {"name", "model", "method", "encoder", "task", "record"}
    return path.is_file() and own <= set(parquet.read_schema(path).names)
