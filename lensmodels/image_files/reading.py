"""The images of a file, as a model takes them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lensmodels.data.contract import ImageContract, without_pixel
from lensmodels.errors import DataError, UsageError
from lensmodels.image_files.inputs import Input, InputKind, classify_input, read_bytes
from lenssim import errors
from lenssim.cutouts.content import read_array
from lenssim.cutouts.settings import CutoutSettings, Target

if TYPE_CHECKING:
    from lenssim.cutouts.reading import Cutout


@dataclass(frozen=True)
class ImageFile:
    """The images of a file.

    Attributes:
        images: float32, shape (n, num_pix, num_pix), e-/s per pixel.
        notes: what was converted or assumed, for the user, each a clause.
        stated: FWHM of the PSF and pixel scale of each image, arcsec, by name, each (n,); NaN where
            they are not known, nothing of arrays.
    """

    images: NDArray[np.float32]
    notes: tuple[str, ...] = ()
    stated: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


def read_images(
    file: Input | str | os.PathLike[str],
    num_pix: int,
    contract: ImageContract | None = None,
    *,
    settings: CutoutSettings | None = None,
) -> ImageFile:
    """Images of a .npy, .npz or FITS file, local or remote.

    FITS images, and arrays if there are settings, become what `lenssim import-cutouts` makes of
    them: cutouts in the unit, the pixels and the orientation of the training images.

    Args:
        file: path or URL.
        num_pix: side of the images that the model takes, pixels.
        contract: of the run, which images are converted to; None if the run keeps none.
        settings: how images are found in files, and what headers do not say.

    Returns:
        Images in e-/s per pixel, shape (n, y, x), with what was converted or assumed.

    Raises:
        DataError: naming the file, what is wrong with it, and what to do.
        UsageError: if the file's format is not read, or the settings name nothing that is in it.
    """
    source = file if isinstance(file, Input) else classify_input(file)
    own = settings or CutoutSettings()
    with _own_errors():
        if source.kind is InputKind.FITS or _describes_pixels(own):
            return _converted(source, num_pix, contract, own)
        return _as_stored(source, num_pix, contract)


@contextmanager
def _own_errors() -> Iterator[None]:
    """Turns errors of the conversion into those of this package."""
    try:
        yield
    except errors.ImportFileError as error:
        raise DataError(str(error)) from None
    except UsageError:
        raise
    except errors.UsageError as error:
        raise UsageError(str(error)) from None


def _describes_pixels(settings: CutoutSettings) -> bool:
    """Whether settings say more of an image than which extension of a FITS file it is."""
    return replace(settings, band=None, hdu=None) != CutoutSettings()


def _converted(
    source: Input, num_pix: int, contract: ImageContract | None, settings: CutoutSettings
) -> ImageFile:
    from lenssim.cutouts.reading import Request, planes_of, read_cutouts

    target = Target(
        num_pix,
        None if contract is None else contract.pixel_scale,
        None if contract is None else contract.zero_point,
    )
    assuming = replace(settings, assumed=True)
    cutouts: list[Cutout] = []
    for request in planes_of(Request(source.name)):
        cutouts += read_cutouts(request, assuming, target, stacks=True)
    notes = _notes(cutouts, settings, contract)
    scale = np.array([each.placement.pixel_scale for each in cutouts])
    fwhm = np.array([each.psf_fwhm for each in cutouts])
    stated = {"psf_fwhm": without_pixel(fwhm, scale), "pixel_scale": scale}
    return ImageFile(np.stack([each.image for each in cutouts]), tuple(notes), stated)


def _notes(
    cutouts: Sequence[Cutout], settings: CutoutSettings, contract: ImageContract | None
) -> Iterator[str]:
    """What was chosen, assumed and converted, each a clause."""
    first = cutouts[0]
    if first.others and settings.hdu is None and settings.band is None:
        chosen = f"extension {first.extension} is read"
        yield f"{chosen}, of {first.others + 1} that hold images"
    if first.assumed and contract is not None:
        values = {"unit": str(contract.unit), "pixel scale": f"{contract.pixel_scale:.4g} arcsec"}
        taken = " and ".join(values[name] for name in first.assumed)
        yield f"the header has no {' and no '.join(first.assumed)}: taken as {taken}"
    if contract is not None and contract.unit is None and first.flux.unit:
        yield (
            f"the unit {first.flux.unit} is not checked: that of the training images is not known"
        )
    num_pix = len(first.image)
    height, width = first.file_shape
    if (height, width) != (num_pix, num_pix):
        place = "the middle" if settings.centre.kind == "image" else str(settings.centre)
        yield f"{num_pix} x {num_pix} pixels are cut out about {place} of {width} x {height}"
    if first.flux.factor != 1:
        yield f"pixels are multiplied by {first.flux.factor:.4g} ({first.flux.how})"
    if first.placement.flip > 0:
        yield "the image is flipped or turned so that north is up and east left"
    if first.placement.resampled:
        yield (
            f"pixels of {first.placement.file_pixel_scale:.4g} arcsec are resampled to "
            f"{first.placement.pixel_scale:.4g}, which correlates their noise"
        )
    share = max(each.masked_share for each in cutouts)
    if share > 0:
        yield f"pixels without data ({share:.1%}) are filled in from those around them"


def _as_stored(source: Input, num_pix: int, contract: ImageContract | None) -> ImageFile:
    """The images of an array that is already what the model takes."""
    name = source.name
    array = read_array(name, read_bytes(source))
    if array.dtype.kind not in "iuf" or array.ndim not in (2, 3) or array.size == 0:
        raise DataError(
            f"{name} holds {array.dtype} of shape {array.shape}; the model takes real numbers of "
            f"shape ({num_pix}, {num_pix}) or (n, {num_pix}, {num_pix})."
        )
    height, width = array.shape[-2:]
    if (height, width) != (num_pix, num_pix):
        scale = None if contract is None else contract.pixel_scale
        wanted = "" if scale is None else f" of {scale:.4g} arcsec"
        raise DataError(
            f"{name}: it has {width} x {height} pixels where the model takes {num_pix} x {num_pix}"
            f"{wanted}: give its --pixel-scale, so that a cutout is made of it."
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold is found to be infinite
        images = np.asarray(array, dtype=np.float32).reshape(-1, height, width)
    _check_finite(name, images)
    return ImageFile(images)


def _check_finite(name: str, images: NDArray[Any]) -> None:
    is_finite = np.isfinite(images)
    bad: Iterable[int] = np.flatnonzero(~is_finite.all(axis=(1, 2)))
    for image in bad:
        raise DataError(
            f"{name}: image {image} has {int((~is_finite[image]).sum())} pixels that are NaN or "
            "infinite; fill them in (with their neighbours' median, say) or leave that image out."
        )
