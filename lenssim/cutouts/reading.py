"""One file to its cutouts: images in e-/s with noise, mask, PSF, and where they come from."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenssim.cutouts.content import read_array, read_content
from lenssim.cutouts.fits_file import Companion, opened_fits
from lenssim.cutouts.grid import Placement, Planes, place, window_size
from lenssim.cutouts.header import FluxScale, flux_scale
from lenssim.cutouts.pixels import check_masked, filled, noise_variance, without_data
from lenssim.cutouts.position import centre_of, jacobian_at, middle_of, window_about
from lenssim.cutouts.psf import full_width, prepare_psf
from lenssim.cutouts.selection import noise_kind
from lenssim.cutouts.settings import Centre, CutoutSettings, Target
from lenssim.cutouts.sky import Sky
from lenssim.cutouts.stored_image import (
    StoredImage,
    image_of_array,
    image_of_fits,
    images_of,
    is_array_file,
    is_large,
    load_companion,
)
from lenssim.errors import ImportFileError


@dataclass(frozen=True)
class Request:
    """A cutout that is asked for.

    Attributes:
        file: path or URL.
        centre: of the cutout; that of the settings if not given.
        plane: of a stack of images in a .npy file; None for a single image.
        noise, mask, psf: files or extensions of these, as a table names them.
        problem: why there is no such cutout, if that is known without reading a file.
    """

    file: str
    centre: Centre | None = None
    plane: int | None = None
    noise: str | None = None
    mask: str | None = None
    psf: str | None = None
    problem: str | None = field(default=None, repr=False)

    def settings(self, settings: CutoutSettings) -> CutoutSettings:
        """Settings with what the request says for itself."""
        own = {
            name: value
            for name in ("centre", "noise", "mask", "psf")
            if (value := getattr(self, name)) is not None
        }
        return replace(settings, **own) if own else settings


@dataclass(frozen=True)
class Cutout:
    """An image as it goes into an archive.

    Attributes:
        image: e-/s, float32, shape (num_pix, num_pix), finite.
        noise: standard deviation of each pixel, e-/s, same shape; NaN where it is not known.
        masked: pixels without data, whose image is filled in; same shape.
        psf: odd side, sum 1; None if it is not known.
        psf_fwhm: arcsec; NaN if it is not known.
        file: that it comes from, and the SHA-256 of its content.
        extension: of the file, as `--hdu` takes it.
        extension_number: from 0.
        x, y: centre in the file, pixels from 0.
        ra, dec: of the centre, degrees; NaN if not known.
        flux: from the values of the file to e-/s.
        placement: how it lies.
        masked_share: of the pixels.
        parts: where noise, mask and PSF come from.
        file_shape: of the image in the file, (height, width).
        assumed: what was taken to be that of the target: "unit", "pixel scale".
        others: images that the file holds beside this one.
    """

    image: NDArray[np.float32]
    noise: NDArray[np.float32]
    masked: NDArray[np.bool_]
    psf: NDArray[np.float64] | None
    psf_fwhm: float
    file: tuple[str, str]
    extension: str
    extension_number: int
    x: float
    y: float
    ra: float
    dec: float
    flux: FluxScale
    placement: Placement
    masked_share: float
    parts: dict[str, str] = field(default_factory=dict)
    file_shape: tuple[int, int] = (0, 0)
    assumed: tuple[str, ...] = ()
    others: int = 0

    @property
    def is_blank(self) -> bool:
        """Whether every pixel has the same value."""
        return bool(self.image.min() == self.image.max())

    @property
    def conversions(self) -> str:
        """What was done to the pixels, in words."""
        done = [f"x {self.flux.factor:.6g} ({self.flux.how})"]
        if self.placement.flip > 0:
            done.append(f"flip {self.placement.flip}")
        if self.placement.resampled:
            scales = f"{self.placement.file_pixel_scale:.4g} to {self.placement.pixel_scale:.4g}"
            done.append(f"drizzled {scales} arcsec")
        return "; ".join(done)


def read_cutout(request: Request, settings: CutoutSettings, target: Target) -> Cutout:
    """The cutout that a request asks for.

    Args:
        request: file and position.
        settings: how images are found and what headers do not say.
        target: pixels and zero point of the cutout.

    Raises:
        ImportFileError: if the file is not what it should be, or does not say enough.
        UsageError: if the settings name nothing that is in it.
    """
    [cutout] = read_cutouts(request, settings, target)
    return cutout


def read_cutouts(
    request: Request, settings: CutoutSettings, target: Target, *, stacks: bool = False
) -> list[Cutout]:
    """The cutouts of a file.

    Args:
        request: file and position; without a plane.
        settings: how images are found and what headers do not say.
        target: pixels and zero point of the cutouts.
        stacks: whether a FITS image of three axes is a stack of images, and not refused.

    Returns:
        One cutout, or one of each image of a stack.

    Raises:
        ImportFileError: if the file is not what it should be, or does not say enough.
        UsageError: if the settings name nothing that is in it.
    """
    if request.problem is not None:
        raise ImportFileError(request.problem)
    settings = request.settings(settings)
    name = request.file
    source, digest = _source_of(name)
    if isinstance(source, bytes) and is_array_file(name):
        found = image_of_array(name, source, request.plane)
        return [_cutout(found, digest, settings, target)]
    with opened_fits(name, source) as file:
        found = image_of_fits(name, file, settings, target.num_pix)
        return [
            _cutout(plane, digest, settings, target) for plane in images_of(found, stacks=stacks)
        ]


def _source_of(name: str) -> tuple[bytes | Path, str]:
    """Content of a file, or the file itself if it is large, and the SHA-256 of it."""
    if "://" in name or not Path(name).is_file():
        content = read_content(name)
        return content, hashlib.sha256(content).hexdigest()
    status = Path(name).stat()
    if is_large(name):
        return Path(name), _digest(name, status.st_size, status.st_mtime_ns)
    return _local_content(name, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(name: str, size: int, changed: int) -> str:
    """SHA-256 of a file of a size and time of change, read once for all of its cutouts."""
    with Path(name).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=1)
def _local_content(name: str, size: int, changed: int) -> tuple[bytes, str]:
    """Content and SHA-256 of a file of a size and time of change: that of the last is kept."""
    content = read_content(name)
    return content, hashlib.sha256(content).hexdigest()


def _cutout(found: StoredImage, digest: str, settings: CutoutSettings, target: Target) -> Cutout:
    sky = Sky.of(found.header) if found.file is not None else None
    position = centre_of(found, sky, settings.centre, target)
    jacobian, has_scale = jacobian_at(found, sky, position, settings, target)
    side = window_size(target.num_pix, jacobian, target)
    image, centre = window_about(found.place, found.data, position, side)
    masked = without_data(image)
    mask, mask_from = _companion(found, settings.mask, "mask", position, side)
    if mask is not None:
        masked |= ~(mask == 0)
    noise, noise_from = _companion(found, settings.noise, "noise", position, side)
    variance = None
    if noise is not None:
        kind = settings.noise_kind or noise_kind(noise_from.rpartition("[")[2] or noise_from)
        variance = noise_variance(noise, kind, image, masked)
        masked |= ~np.isfinite(variance)
    check_masked(found.place, middle_of(masked, centre, target, jacobian))
    pixel_area = None if jacobian is None else abs(float(np.linalg.det(jacobian)))
    flux = flux_scale(
        found.place, found.header, found.primary, settings, target.zero_point, pixel_area
    )
    planes, placement = place(
        found.place,
        Planes(image, variance, masked),
        centre,
        jacobian,
        target,
        settings.resampling,
        is_oriented=sky is not None,
    )
    share = check_masked(found.place, planes.masked)
    with np.errstate(over="ignore"):  # what float32 cannot hold is found to be infinite
        pixels = (flux.factor * filled(planes.image, planes.masked)).astype(np.float32)
    if not np.isfinite(pixels).all():
        raise ImportFileError(f"{found.place} has pixels that are too bright to be stored.")
    psf, psf_from = _psf(found, settings, placement)
    ra, dec = (math.nan, math.nan) if sky is None else sky.position_of(*position)
    parts = {"noise": noise_from, "mask": mask_from, "psf": psf_from}
    return Cutout(
        image=pixels,
        noise=_noise(planes, flux.factor),
        masked=planes.masked,
        psf=psf,
        psf_fwhm=math.nan if psf is None else full_width(psf) * placement.pixel_scale,
        file=(found.name, digest),
        extension=found.extension.label,
        extension_number=found.extension.number,
        x=position[0],
        y=position[1],
        ra=ra,
        dec=dec,
        flux=flux,
        placement=placement,
        masked_share=share,
        parts={key: value for key, value in parts.items() if value},
        file_shape=(found.data.shape[0], found.data.shape[1]),
        assumed=(
            *(("unit",) if flux.assumed else ()),
            *(() if has_scale else ("pixel scale",)),
        ),
        others=max(len(found.extensions) - 1, 0),
    )


def _noise(planes: Planes, factor: float) -> NDArray[np.float32]:
    if planes.variance is None:
        return np.full(planes.image.shape, np.nan, np.float32)
    sigma = factor * np.sqrt(planes.variance)
    return np.where(planes.masked, np.nan, sigma).astype(np.float32)


def _companion(
    found: StoredImage, named: str | None, kind: Companion, position: tuple[float, float], side: int
) -> tuple[NDArray[np.float64] | None, str]:
    """The window of a noise map or mask, and where it comes from; None if there is none."""
    loaded, source = load_companion(found, named, kind)
    if loaded is None:
        return None, ""
    if loaded.shape != found.data.shape:
        raise ImportFileError(
            f"{source} has {loaded.shape[-1]} x {loaded.shape[0]} pixels where {found.place} has "
            f"{found.data.shape[1]} x {found.data.shape[0]}."
        )
    window, _ = window_about(source, loaded, position, side)
    return window, source


def _psf(
    found: StoredImage, settings: CutoutSettings, placement: Placement
) -> tuple[NDArray[np.float64] | None, str]:
    loaded, source = load_companion(found, settings.psf, "psf")
    if loaded is None:
        return None, ""
    step = placement.file_pixel_scale / placement.pixel_scale if placement.resampled else 1.0
    return prepare_psf(source, loaded, placement.flip, step), source


def stack_size(name: str, content: bytes) -> int | None:
    """Images of a .npy file that holds a stack of them; None if it holds one."""
    array = read_array(name, content)
    return len(array) if array.ndim == 3 and len(array) > 1 else None


def planes_of(request: Request) -> Iterator[Request]:
    """A request for each image of a file: those of a stack in a .npy or .npz file."""
    name = request.file
    if not is_array_file(name):
        yield request
        return
    count = stack_size(name, read_content(name))
    if count is None:
        yield request
        return
    for plane in range(count):
        yield replace(request, plane=plane)
