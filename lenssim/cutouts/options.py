"""The options of every command that reads telescope images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import click

from lenssim.cutouts.settings import CutoutSettings, NoiseKind, Resampling, parse_centre

_OPTIONS = [
    click.option("--band", metavar="NAME", help="Filter of the image, as in VIS."),
    click.option("--hdu", metavar="NAME|N", help="Extension of the image, by EXTNAME or number."),
    click.option(
        "--centre",
        metavar="RA,DEC|pixel:X,Y",
        help="Centre of the cutout: degrees, pixels from 0, brightest or image.  [default: image]",
    ),
    click.option("--pixel-scale", type=float, metavar="ARCSEC", help="If there is no WCS."),
    click.option("--unit", metavar="UNIT", help="Of the pixels, if BUNIT is missing: e-/s, nJy."),
    click.option(
        "--zero-point", type=float, metavar="MAG", help="AB magnitude of one unit of a pixel."
    ),
    click.option("--noise", metavar="HDU|FILE|none", help="Noise map.  [default: by its name]"),
    click.option(
        "--noise-kind",
        type=click.Choice(get_args(NoiseKind)),
        help="What the noise map holds.  [default: by its name]",
    ),
    click.option("--mask", metavar="HDU|FILE|none", help="Mask, not 0 where there is no data."),
    click.option("--psf", metavar="HDU|FILE|none", help="PSF.  [default: by its name]"),
    click.option(
        "--resample",
        "resampling",
        type=click.Choice(get_args(Resampling)),
        default="auto",
        show_default=True,
        help="Whether other pixel scales and angles are resampled, or refused.",
    ),
]

NAMES = (
    "band",
    "hdu",
    "centre",
    "pixel_scale",
    "unit",
    "zero_point",
    "noise",
    "noise_kind",
    "mask",
    "psf",
    "resampling",
)
"""Names of the parameters that the options have in a command."""


def image_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options to a command, in the order in which its help shows them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settings_from_options(values: dict[str, Any], *, assumed: bool = False) -> CutoutSettings:
    """Takes the options out of a command's parameters.

    Args:
        values: parameters of the command, by name; those of `image_options` are removed.
        assumed: as in `CutoutSettings`.

    Returns:
        The settings that they stand for.

    Raises:
        UsageError: if a value is not allowed.
    """
    given = {name: values.pop(name) for name in NAMES if name in values}
    centre = given.pop("centre", None)
    own = {name: value for name, value in given.items() if value is not None}
    if centre is not None:
        own["centre"] = parse_centre(centre)
    return CutoutSettings(**own, assumed=assumed)
