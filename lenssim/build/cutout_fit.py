"""What a fit takes from a telescope image beside its pixels: instrument, noise, mask and PSF."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lenssim.errors import UsageError
from lenssim.spec import Specification, load_spec, shipped_specs

if TYPE_CHECKING:
    import xarray as xr

    from lenssim.archive.reader import Archive

OWN_COLUMNS = ("noise", "mask", "psf", "pixel_scale")
"""Columns of telescope images that say what the instrument of a simulated image says."""

_DIGITS = 5
"""Of a pixel scale in arcsec: a survey has one, to rounding, which tables are made for once."""


def has_own_pixels(archive: Archive) -> bool:
    """Whether an archive holds telescope images."""
    imported = archive.manifest.imported
    return imported is not None and imported.cutouts is not None


def instrument_of_cutouts(url: str, named: str) -> Specification:
    """The shipped specification that telescope images were brought to.

    Args:
        url: of their archive, for the message.
        named: its name and version, as in "B 2.0.0".

    Raises:
        UsageError: if it is none of those, or has changed since.
    """
    name, _, version = named.rpartition(" ")
    if name in shipped_specs():
        spec = load_spec(name)
        if spec.version == version:
            return spec
    raise UsageError(
        f"{url} holds images in the pixels of {named}, which does not come with this version: give "
        "that specification as --instrument."
    )


def pixels_of(row: xr.Dataset, spec: Specification) -> tuple[Specification, dict[str, Any]]:
    """What `fit_image` takes of a telescope image.

    Args:
        row: the image's sample, with `OWN_COLUMNS`, of which psf may be missing.
        spec: whose instrument has the image's pixels, to the tolerance of the import.

    Returns:
        The specification with the pixel scale of the image, and the arguments psf, noise and mask.
    """
    from lenssim.lens_fit.measured_psf import pixel_psf

    scale = round(float(row["pixel_scale"]), _DIGITS)
    if scale > 0:  # NaN where it is not known
        instrument = spec.instrument.model_copy(update={"pixel_scale": scale})
        spec = spec.model_copy(update={"instrument": instrument})
    psf = pixel_psf(row["psf"].values if "psf" in row else None, spec.instrument.pixel_scale)
    return spec, {"psf": psf, "noise": row["noise"].values, "mask": row["mask"].values != 0}
