"""Reduced chi-square of the smooth fits of an archive, where `lenssim fit` made them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lensmodels.errors import DataError

if TYPE_CHECKING:
    from lensmodels.evaluation.image_scores import Scores
    from lenssim.archive import Archive


class FitScores:
    """Looks up how well the smooth model fits images of an archive.

    Args:
        archive: that holds them.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._columns: dict[str, NDArray[np.float64] | None] = {}

    def of(self, groups: Sequence[str], samples: Sequence[int]) -> Scores:
        """The score "fit_chi_square" of images.

        Args:
            groups: of each, as in "train/cdm", (n,).
            samples: number of each in its group, (n,).

        Returns:
            The score by its name, (n,), NaN where an image was not fitted.

        Raises:
            DataError: if the fits cannot be read.
        """
        columns = [self._of_group(name) for name in groups]
        values = [
            np.nan if column is None else column[sample]
            for column, sample in zip(columns, samples, strict=True)
        ]
        return {"fit_chi_square": np.array(values, np.float64)}

    def _of_group(self, name: str) -> NDArray[np.float64] | None:
        if name not in self._columns:
            self._columns[name] = self._read(name)
        return self._columns[name]

    def _read(self, name: str) -> NDArray[np.float64] | None:
        if not self._archive.manifest.has_fits(name):
            return None
        from lenssim.archive import ArchiveError

        split, class_name = name.split("/")
        try:
            fits = self._archive.fits(split, class_name)  # type: ignore[arg-type]
            found = self._archive.load(fits[["reduced_chi_square"]])
        except ArchiveError as error:
            raise DataError(str(error)) from None
        return found["reduced_chi_square"].values.astype(np.float64)
