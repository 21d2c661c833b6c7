"""One file to its cutouts: images in e-/s with noise, mask, PSF, and where they come from."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.nddata import Cutout2D, NoOverlapError
from numpy.typing import NDArray

from lenssim.cutouts.content import read_array, read_content
from lenssim.cutouts.fits_file import Companion, Extension, image_extensions, opened_fits
from lenssim.cutouts.grid import Placement, Planes, place, window_size
from lenssim.cutouts.header import FluxScale, flux_scale
from lenssim.cutouts.pixels import check_masked, filled, noise_variance, without_data
from lenssim.cutouts.psf import full_width, prepare_psf
from lenssim.cutouts.selection import (
    choose_image,
    companion_extension,
    named_extension,
    noise_kind,
)
from lenssim.cutouts.settings import Centre, CutoutSettings, Target
from lenssim.cutouts.sky import Matrix, Sky, check_jacobian
from lenssim.errors import ImportFileError, UsageError

LARGE = 64_000_000
"""Bytes from which on a FITS file is mapped into memory, and not read whole for each cutout."""

MAX_FIELDS = 8
"""Sides of a cutout that an image may have, for its middle to be the lens without being asked."""


@dataclass(frozen=True)
class Request:
    """A cutout that is asked for.

    Attributes:
        file: path or URL.
        centre: of the cutout; that of the settings if not given.
        plane: of a stack of images in a .npy file; None for a single image.
        noise, mask, psf: files or extensions of these, as a table names them.
    """

    file: str
    centre: Centre | None = None
    plane: int | None = None
    noise: str | None = None
    mask: str | None = None
    psf: str | None = None

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
    settings = request.settings(settings)
    name = request.file
    if is_large(name):
        status = Path(name).stat()
        digest = _digest(name, status.st_size, status.st_mtime_ns)
        source: bytes | Path = Path(name)
    else:
        source = read_content(name)
        digest = hashlib.sha256(source).hexdigest()
    if isinstance(source, bytes) and is_array_file(name):
        found = _of_array(name, source, request.plane)
        return [_cutout(found, digest, settings, target)]
    with opened_fits(name, source) as file:
        found = _of_fits(name, file, settings, target.num_pix)
        return [_cutout(plane, digest, settings, target) for plane in _planes(found, stacks=stacks)]


def is_large(name: str) -> bool:
    """Whether a file is a local FITS mosaic of which only the cutouts are read."""
    path = Path(name)
    is_plain = path.suffix.lower() in (".fits", ".fit", ".fts")
    return is_plain and "://" not in name and path.is_file() and path.stat().st_size >= LARGE


@lru_cache(maxsize=64)
def _digest(name: str, size: int, changed: int) -> str:
    """SHA-256 of a file of a size and time of change, read once for all of its cutouts."""
    with Path(name).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_array_file(name: str) -> bool:
    """Whether a file is in NumPy's format, by its name."""
    return bool(PurePosixPath(name.partition("?")[0]).name.lower().partition(".np")[1])


def _planes(found: _Found, *, stacks: bool) -> Iterator[_Found]:
    """The images of an extension: it, or those of a stack.

    Raises:
        ImportFileError: if it has more axes than that.
    """
    data = found.data
    while data.ndim > 2 and data.shape[0] == 1:
        data = data[0]
    if data.ndim == 2:
        yield replace(found, data=data)
    elif stacks and data.ndim == 3 and "CTYPE3" not in found.header:
        for number, plane in enumerate(data):
            yield replace(found, data=plane, place=f"{found.place}, image {number}")
    else:
        axes = " x ".join(map(str, reversed(data.shape)))
        raise ImportFileError(
            f"{found.place} has {data.ndim} axes ({axes}): write one image an extension or file."
        )


@dataclass(frozen=True)
class _Found:
    """The image of a file, with what goes with it, as stored."""

    name: str
    place: str
    extension: Extension
    data: NDArray[Any]
    header: Any
    primary: Any
    file: fits.HDUList | None
    extensions: Sequence[Extension] = ()


def _of_array(name: str, content: bytes, plane: int | None) -> _Found:
    array = read_array(name, content)
    if array.dtype.kind not in "iuf":
        raise ImportFileError(f"{name} holds {array.dtype}, not real numbers.")
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if plane is not None and array.ndim == 3:
        array = array[plane]
    if array.ndim != 2 or array.size == 0:
        raise ImportFileError(f"{name} has the shape {array.shape}, not that of an image.")
    at = name if plane is None else f"{name}[{plane}]"
    return _Found(name, at, Extension(plane or 0, "", 1, array.shape), array, {}, {}, None)


def _of_fits(name: str, file: fits.HDUList, settings: CutoutSettings, num_pix: int) -> _Found:
    extensions = image_extensions(file)
    filters = {}
    if settings.band is not None:
        filters = {
            each.number: str(file[each.number].header.get("FILTER", "")).strip()
            for each in extensions
            if each.companion is None
        }
    chosen = choose_image(
        name,
        extensions,
        band=settings.band,
        hdu=settings.hdu,
        filters=filters,
        num_pix=num_pix,
    )
    at = f"{name}[{chosen.label}]" if len(file) > 1 else name
    data = file[chosen.number].data
    header, primary = file[chosen.number].header, file[0].header
    return _Found(name, at, chosen, data, header, primary, file, extensions)


def _cutout(found: _Found, digest: str, settings: CutoutSettings, target: Target) -> Cutout:
    sky = Sky.of(found.header) if found.file is not None else None
    position = _centre(found, sky, settings.centre, target)
    jacobian, has_scale = _jacobian(found, sky, position, settings, target)
    side = window_size(target.num_pix, jacobian, target)
    image, centre = _window(found.place, found.data, position, side)
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
    check_masked(found.place, _middle(masked, centre, target, jacobian))
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


def _centre(found: _Found, sky: Sky | None, centre: Centre, target: Target) -> tuple[float, float]:
    """Pixel (x, y) of the centre of the cutout in the file."""
    height, width = found.data.shape
    if centre.kind == "pixel":
        x, y = centre.x, centre.y
    elif centre.kind == "sky":
        if sky is None:
            raise ImportFileError(
                f"{found.place} has no WCS to find {centre} by: give pixel:X,Y as --centre."
            )
        x, y = sky.pixel_of(centre)
    elif centre.kind == "brightest":
        return _brightest(found)
    else:
        if max(height, width) > MAX_FIELDS * target.num_pix:
            raise ImportFileError(
                f"{found.place} has {width} x {height} pixels: say where the lens is by --centre "
                "RA,DEC or pixel:X,Y, brightest, or a table of --positions."
            )
        return 0.5 * (width - 1), 0.5 * (height - 1)
    if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
        raise ImportFileError(
            f"{centre} is outside of {found.place}, which has {width} x {height} pixels."
        )
    return x, y


def _brightest(found: _Found) -> tuple[float, float]:
    """The brightest pixel of the image, smoothed so that it is not a hot one."""
    from scipy.ndimage import gaussian_filter

    image = found.data.astype(np.float64)
    bad = without_data(image)
    check_any(found.place, bad)
    smooth = gaussian_filter(np.where(bad, 0.0, image), 2.0, mode="constant")
    y, x = np.unravel_index(int(np.argmax(np.where(bad, -np.inf, smooth))), image.shape)
    return float(x), float(y)


def check_any(place: str, bad: NDArray[np.bool_]) -> None:
    """Refuse an image of which every pixel is bad.

    Raises:
        ImportFileError: naming the place.
    """
    if bad.all():
        raise ImportFileError(f"{place} has no data: every pixel is NaN, a sentinel or masked.")


def _jacobian(
    found: _Found,
    sky: Sky | None,
    position: tuple[float, float],
    settings: CutoutSettings,
    target: Target,
) -> tuple[Matrix | None, bool]:
    """Arcsec on the sky of steps along x and y, and whether they are known rather than assumed.

    Up is taken as north if the file does not tell.
    """
    given, place = settings.pixel_scale, found.place
    if sky is not None:
        jacobian = check_jacobian(place, sky.jacobian(*position))
        scale = math.sqrt(abs(float(np.linalg.det(jacobian))))
        if given is not None and abs(given - scale) > 0.03 * scale:
            raise UsageError(
                f"{place} has pixels of {scale:.4g} arcsec by its WCS, not of --pixel-scale "
                f"{given:g}: leave it out."
            )
        return jacobian, True
    is_known = given is not None
    if given is None:
        if target.pixel_scale is None:
            return None, True
        if not settings.assumed or found.data.shape != (target.num_pix, target.num_pix):
            raise ImportFileError(
                f"{place} does not state its pixel scale (no celestial WCS): give the "
                "--pixel-scale in arcsec."
            )
        given = target.pixel_scale
    return given * np.array([[-1.0, 0.0], [0.0, 1.0]]), is_known


def _window(
    place: str, data: NDArray[Any], position: tuple[float, float], side: int
) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """The pixels about a position that the image has, and where it is among them."""
    try:
        cut = Cutout2D(data, position, side, mode="trim")
    except NoOverlapError:
        raise ImportFileError(f"{place} does not reach to where the lens is.") from None
    x, y = cut.to_cutout_position(position)
    return np.asarray(cut.data, dtype=np.float64), (float(x), float(y))


def _middle(
    masked: NDArray[np.bool_],
    centre: tuple[float, float],
    target: Target,
    jacobian: Matrix | None,
) -> NDArray[np.bool_]:
    """The pixels of a window that the cutout will cover, about."""
    ratio = 1.0
    if jacobian is not None and target.pixel_scale is not None:
        ratio = target.pixel_scale / float(np.hypot(*jacobian).max())
    half = max(0.5 * target.num_pix * ratio, 2)
    rows, columns = (
        slice(max(math.floor(middle - half), 0), math.ceil(middle + half))
        for middle in (centre[1], centre[0])
    )
    return masked[rows, columns] if masked[rows, columns].size else masked


def _companion(
    found: _Found, named: str | None, kind: Companion, position: tuple[float, float], side: int
) -> tuple[NDArray[np.float64] | None, str]:
    """The window of a noise map or mask, and where it comes from; None if there is none."""
    loaded, source = _load(found, named, kind)
    if loaded is None:
        return None, ""
    if loaded.shape != found.data.shape:
        raise ImportFileError(
            f"{source} has {loaded.shape[-1]} x {loaded.shape[0]} pixels where {found.place} has "
            f"{found.data.shape[1]} x {found.data.shape[0]}."
        )
    window, _ = _window(source, loaded, position, side)
    return window, source


def _load(found: _Found, named: str | None, kind: Companion) -> tuple[NDArray[Any] | None, str]:
    """Array of a companion of an image, and its name; None if there is none."""
    if named == "none":
        return None, ""
    if named is not None and (Path(named).is_file() or "://" in named):
        return _read_file(named), named
    if found.file is None:
        if named is not None:
            raise UsageError(f"--{kind} {named} is no file.")
        return None, ""
    if named is not None:
        extension: Extension | None = named_extension(found.name, found.extensions, named)
    else:
        extension = companion_extension(found.extension, found.extensions, kind)
    if extension is None:
        return None, ""
    return np.squeeze(found.file[extension.number].data), f"{found.name}[{extension.label}]"


@lru_cache(maxsize=8)
def _read_file(name: str) -> NDArray[Any]:
    """The only image of a file of its own, as a noise map or a PSF is; the last ones are kept."""
    content = read_content(name)
    if is_array_file(name):
        return read_array(name, content)
    with opened_fits(name, content) as file:
        extensions = image_extensions(file)
        if len(extensions) != 1:
            raise ImportFileError(f"{name} holds {len(extensions)} images where one is read.")
        return np.squeeze(file[extensions[0].number].data)


def _psf(
    found: _Found, settings: CutoutSettings, placement: Placement
) -> tuple[NDArray[np.float64] | None, str]:
    loaded, source = _load(found, settings.psf, "psf")
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
