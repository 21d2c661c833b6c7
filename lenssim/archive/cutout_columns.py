"""Columns of imported cutouts: their noise, masks and PSF, and where each image comes from.

What is text (files, extensions, conversions) is in the archive's sources.csv, a row an image.
"""

from __future__ import annotations

from lenssim.archive.column import Column, Dimension
from lenssim.spec import UNLABELLED

PIXELS: tuple[Dimension, ...] = ("sample", "y", "x")


def _column(
    name: str,
    dtype: str,
    long_name: str,
    units: str = "1",
    dimensions: tuple[Dimension, ...] = ("sample",),
    *,
    least: float = -float("inf"),
    flags: str = "",
) -> Column:
    extra = {"flag_values": list(range(len(flags.split()))), "flag_meanings": flags}
    return Column(
        name,
        dtype,
        long_name,
        units,
        dimensions,
        classes=(UNLABELLED,),
        extra=extra if flags else {},
        least=least,
        may_be_unknown=True,
    )


CUTOUT_COLUMNS: tuple[Column, ...] = (
    _column(
        "noise", "float32", "standard deviation of the noise (NaN if not known)", "e-/s", PIXELS
    ),
    _column(
        "mask",
        "int8",
        "whether the pixel has no data and is filled in",
        dimensions=PIXELS,
        flags="data filled",
    ),
    _column(
        "psf",
        "float32",
        "point-spread function, centred, its sum 1 (NaN if not known)",
        dimensions=("sample", "psf_y", "psf_x"),
    ),
    _column("file", "int64", "row of the file in sources.csv, from 0", least=0),
    _column("file_hdu", "int32", "number of the extension of the file", least=0),
    _column("file_x", "float64", "centre of the image in the file, x from 0", "pixel"),
    _column("file_y", "float64", "centre of the image in the file, y from 0", "pixel"),
    _column("ra", "float64", "right ascension of the centre (NaN if not known)", "degree"),
    _column("dec", "float64", "declination of the centre (NaN if not known)", "degree"),
    _column("pixel_scale", "float64", "pixel scale of the image", "arcsec", least=0),
    _column("file_pixel_scale", "float64", "pixel scale of the file", "arcsec", least=0),
    _column(
        "north_angle",
        "float64",
        "angle of north from up, towards the left (NaN if not known)",
        "degree",
    ),
    _column(
        "flip",
        "int8",
        "k % 4 quarter turns as in numpy.rot90, after a transpose if k >= 4, that brought north "
        "up; -1 if the orientation is not known",
        least=-1,
    ),
    _column("resampled", "int8", "whether pixels were resampled", flags="kept resampled"),
    _column("flux_factor", "float64", "that pixels of the file were multiplied by", "various"),
    _column("zero_point", "float64", "of the file's unit (NaN if not known)", "mag"),
    _column("masked_share", "float64", "share of the pixels that are filled in", least=0),
)
"""Every column; `psf` and `psf_fwhm`, an optional column of simulated images, where PSFs are."""
