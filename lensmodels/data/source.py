"""What a stream reads from: the groups of an archive, as images and the columns of each image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lensmodels.data.settings import LABELS
from lensmodels.errors import DataError
from lenssim.archive import ServerError

Images = NDArray[np.float32]
Columns = dict[str, NDArray[np.generic]]

COLUMN_TYPES: dict[str, type[np.generic]] = {
    "label": np.int64,
    "axion_mass": np.float64,
    "substructure_snr": np.float32,
    "substructure_snr_refit": np.float32,
    "vortex_length": np.float32,
    "vortex_angle": np.float32,
}
"""Scalar columns of a batch that are stored, and their types in it."""

OPTIONAL_COLUMNS = ("substructure_snr_refit", "vortex_length", "vortex_angle")
"""Those that a group may lack; NaN in a batch where it does."""

EXTRA_TYPE = np.float32
"""Type in a batch of further columns that are asked for; NaN where a group has no such column."""

_ADVICE = "find what is damaged with `lenssim verify` and fetch or generate it again."


class Source(ABC):
    """Groups of an archive that can be read by ranges of images, from several threads at once.

    Args:
        counts: images of each group.
        num_pix: pixels a side.
        columns: names of scalar columns that are read besides those of `COLUMN_TYPES`.
        channels: of an image.
    """

    def __init__(
        self,
        counts: Mapping[str, int],
        num_pix: int,
        columns: Sequence[str] = (),
        channels: int = 1,
    ) -> None:
        self.counts = dict(counts)
        self.num_pix = num_pix
        self.channels = channels
        self.column_types = COLUMN_TYPES | dict.fromkeys(columns, EXTRA_TYPE)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of an image that is read: (num_pix, num_pix), after the channels if there are several."""
        size = (self.num_pix, self.num_pix)
        return size if self.channels == 1 else (self.channels, *size)

    def may_lack(self, column: str) -> bool:
        """Whether a group may have no such column, whose values are NaN then."""
        return column in OPTIONAL_COLUMNS or column not in COLUMN_TYPES

    @abstractmethod
    def edges(self, group: str) -> NDArray[np.int64]:
        """Where the chunks of a group begin, and its end."""

    @abstractmethod
    def _read(self, group: str, start: int, stop: int, images: Images) -> Columns:
        """Reads a range of images into `images`; returns its stored columns."""

    @abstractmethod
    def _place(self, group: str, start: int) -> str:
        """File that holds an image, as its name in the archive."""

    def read(self, group: str, start: int, stop: int, images: Images) -> Columns:
        """Reads a range of images, which lies in one chunk, and checks it.

        Args:
            group: as in "train/cdm".
            start: first image.
            stop: where the range ends, excluded.
            images: (stop - start, *image_shape), filled with e-/s, or residuals in units of the
                noise.

        Returns:
            The columns of `column_types`, each (stop - start,).

        Raises:
            DataError: if the file is damaged or missing, or a value cannot be.
        """
        where = f"images {start} to {stop - 1} of {group} ({self._place(group, start)})"
        try:
            columns = self._read(group, start, stop, images)
        except DataError:
            raise
        except ServerError as error:
            raise DataError(str(error)) from error
        except Exception as error:  # a damaged file can fail anywhere in the decoding
            reason = str(error).rstrip(".") or type(error).__name__
            raise DataError(f"{where} cannot be read: {reason}; {_ADVICE}") from error
        _check(where, group, images, columns)
        return columns


def _check(where: str, group: str, images: Images, columns: Columns) -> None:
    if not np.isfinite(images).all():
        problem = "pixels that are not finite (NaN if a file is missing)"
    elif np.any(columns["label"] != LABELS[group.split("/")[1]]):
        problem = "labels of another class"
    else:
        return
    raise DataError(f"{where} hold {problem}; {_ADVICE}")
