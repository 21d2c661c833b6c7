"""The command `lenssim fit`."""

from __future__ import annotations

from typing import Any

import click
import numpy as np

from lenssim.command_line.command_group import Command
from lenssim.command_line.interruption import resumable
from lenssim.spec import SPLITS


@click.command(cls=Command)
@click.argument("archive", metavar="DIR_OR_URL")
@click.option("--split", type=click.Choice(SPLITS), help="Fit one split only.  [default: both]")
@click.option(
    "--instrument",
    metavar="NAME|FILE.yaml",
    help="Specification whose PSF, pixels and noise imported images have.",
)
@click.option("--no-multipoles", is_flag=True, help="Leave the multipoles m = 3 and 4 at zero.")
@click.option(
    "--lens-light/--no-lens-light",
    default=None,
    help="Whether the lens galaxy has light.  [default: of telescope images, and where the "
    "specification says so]",
)
@click.option(
    "--source-order",
    type=click.IntRange(0, 16),
    default=0,
    show_default=True,
    help="Largest order of shapelets beside the Sersic source, where chi-square asks for them.",
)
@click.option("--workers", type=int, help="Threads.  [default: all cores]")
@click.option("--overwrite", is_flag=True, help="Replace fits made with other settings.")
def fit(
    archive: str,
    split: Any,
    instrument: str | None,
    no_multipoles: bool,
    lens_light: bool | None,
    source_order: int,
    workers: int | None,
    overwrite: bool,
) -> None:
    """Fit the smooth model to every image, and keep residuals and parameters beside the images.

    Elliptical power law, shear, multipoles, a Sersic source and the light of the lens galaxy, from
    the image alone. A second run continues what was cut short.
    """
    from lenssim.archive import open_archive

    open_archive(archive)  # its errors come before the import of the simulator
    from lenssim.build.fit import fit as fit_archive
    from lenssim.lens_fit.image_fit import FitSettings

    with resumable():
        fitted = fit_archive(
            archive,
            splits=None if split is None else (split,),
            instrument=instrument,
            settings=FitSettings(
                multipoles=not no_multipoles, lens_light=lens_light, source_order=source_order
            ),
            workers=workers,
            overwrite=overwrite,
            progress=True,
        )
    for group in fitted.manifest.groups:
        if not fitted.manifest.has_fits(group.name):
            continue
        fits = fitted.fits(group.split, group.substructure_class)
        converged = fits["converged"].values == 1
        chi_square = fits["reduced_chi_square"].values
        click.echo(
            f"{group.name}: {len(converged):,} images fitted, {converged.mean():.1%} converged, "
            f"reduced chi-square {np.median(chi_square):.3f} (median)."
        )
