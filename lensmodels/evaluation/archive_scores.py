"""Scores of images that an archive holds beside their pixels: fits, and what is stated of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lensmodels.data.contract import InstrumentFacts, without_pixel
from lensmodels.data.live_archive import is_live
from lensmodels.data.settings import InputKind
from lensmodels.errors import DataError

if TYPE_CHECKING:
    from lensmodels.evaluation.image_scores import Scores
    from lenssim.archive import Archive

FIT_CHI_SQUARE, PSF_FWHM, PIXEL_SCALE = "fit_chi_square", "psf_fwhm", "pixel_scale"


class ArchiveScores:
    """Looks up how well the smooth model fits images of an archive, their PSF and their pixels.

    PSF and pixel scale are those of the image's own columns in Zarr, or else what the archive's
    specification says of all images. Residuals are of fits that know them: for these, neither is a
    score.

    Args:
        archive: that holds them.
        pixels: what the model sees of an image.
    """

    def __init__(self, archive: Archive, pixels: InputKind = "image") -> None:
        self._archive = archive
        self._names = [FIT_CHI_SQUARE]
        if pixels == "image":
            self._names += [PSF_FWHM, PIXEL_SCALE]
        self._columns: dict[tuple[str, str], NDArray[np.float64] | float] = {}

    def of(self, groups: Sequence[str], samples: Sequence[int]) -> Scores:
        """The scores of images.

        Args:
            groups: of each, as in "train/cdm", (n,).
            samples: number of each in its group, (n,).

        Returns:
            By name, each (n,): reduced chi-square of the smooth fit, FWHM of the PSF and pixel
            scale in arcsec; NaN where an image was not fitted, or it is not known.

        Raises:
            DataError: if the fits or the columns cannot be read.
        """
        places = list(zip(groups, samples, strict=True))
        found = {}
        for name in self._names:
            values = [self._value(name, group, sample) for group, sample in places]
            found[name] = np.array(values, np.float64)
        return found

    def _value(self, name: str, group: str, sample: int) -> float:
        if (name, group) not in self._columns:
            self._columns[name, group] = self._read(name, group)
        column = self._columns[name, group]
        return float(column) if isinstance(column, float) else float(column[sample])

    def _read(self, name: str, group: str) -> NDArray[np.float64] | float:
        """Values of a group, or the one of all its images."""
        from lenssim.archive import ArchiveError, ServerError

        try:
            return self._fitted(group) if name == FIT_CHI_SQUARE else self._stated(name, group)
        except ServerError as error:
            if name != FIT_CHI_SQUARE:
                return np.nan  # a server that sends whole files only
            raise DataError(str(error)) from None
        except ArchiveError as error:
            raise DataError(str(error)) from None

    def _fitted(self, group: str) -> NDArray[np.float64] | float:
        if not self._archive.manifest.has_fits(group):
            return np.nan
        split, class_name = group.split("/")
        fits = self._archive.fits(split, class_name)  # type: ignore[arg-type]
        found = self._archive.load(fits[["reduced_chi_square"]])
        return found["reduced_chi_square"].values.astype(np.float64)

    def _stated(self, name: str, group: str) -> NDArray[np.float64] | float:
        manifest = self._archive.manifest
        record = manifest.group(group)
        held = None
        is_stored = not is_live(self._archive.location.url)  # a simulator has no columns to read
        if is_stored and record is not None and "zarr" in record.formats:
            held = self._archive.dataset(record.split, record.substructure_class)
        if held is None or name not in held:
            stated = getattr(InstrumentFacts.of_archive(manifest), name)
            return np.nan if stated is None else float(stated)
        is_cutout = manifest.imported is not None and manifest.imported.cutouts is not None
        if not (is_cutout and name == PSF_FWHM):
            return self._archive.load(held[[name]])[name].values.astype(np.float64)
        found = self._archive.load(held[[name, PIXEL_SCALE]]).astype(np.float64)
        return without_pixel(found[name].values, found[PIXEL_SCALE].values)


def without_zero_point(archive: Archive) -> int:
    """How many telescope images of an archive have a flux scale that is not known.

    Args:
        archive: of any kind.

    Raises:
        DataError: if its columns cannot be read.
    """
    from lenssim.archive import ArchiveError

    imported = archive.manifest.imported
    if imported is None or imported.cutouts is None:
        return 0
    try:
        held = [
            archive.dataset(group.split, group.substructure_class)
            for group in archive.manifest.groups
        ]
        found = [archive.load(each[["zero_point"]])["zero_point"].values for each in held]
    except ArchiveError as error:
        raise DataError(str(error)) from None
    return sum(int(np.isnan(values).sum()) for values in found)
