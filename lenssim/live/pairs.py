"""The second image of a pair, which shares something with the first and differs in the rest.

source       shares lens and substructure; another source, which passes the specification's
             selection behind this lens, too; other noise, and the whole scene shifted by up to half
             a pixel each way, so that it falls on the pixels otherwise
smooth_twin  shares lens, source and the normal deviates of the noise; no substructure, so that what
             the first image has more than the second is the substructure

To add a kind: name it in `Pairs`, and give it a function in `second_system`.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np

from lenssim.errors import SpecError
from lenssim.population import GroupStreams, LensSystem, replaced
from lenssim.population.selection import failed_light_cut
from lenssim.simulation import draw_system, measure_arc, smooth_system
from lenssim.spec import Specification, SubstructureClass

Pairs = Literal["source", "smooth_twin"]
PAIRS: tuple[Pairs, ...] = get_args(Pairs)

MAX_SOURCES = 1000
"""Sources of which one must pass behind the lens of the first image."""

WITHOUT_SUBSTRUCTURE: SubstructureClass = "no_sub"


def noise_of(kind: Pairs) -> Literal["noise", "pair_noise"]:
    """Purpose of the random stream that the noise of the second image is drawn from."""
    return "noise" if kind == "smooth_twin" else "pair_noise"


def second_system(
    kind: Pairs, first: LensSystem, spec: Specification, streams: GroupStreams, index: int
) -> LensSystem:
    """The system of the second image of a pair.

    Args:
        kind: of the pair.
        first: system of the first image.
        spec: its specification, from whose priors another source is drawn.
        streams: of the first image's group.
        index: of the first image; the second is a function of it, too.

    Raises:
        SpecError: if no other source behind the first image's lens passes the selection.
    """
    if kind == "smooth_twin":
        return _twin(first, spec)
    generator = streams.at(index, "pair")
    shift = (generator.random(2) - 0.5) * spec.instrument.pixel_scale
    in_disc = spec.source.position.disc is not None
    cut = None
    for _ in range(MAX_SOURCES):
        other = draw_system(spec, WITHOUT_SUBSTRUCTURE, generator, streams.split)
        second = with_source_of(first, other, in_disc=in_disc)
        second = shifted(second, float(shift[0]), float(shift[1]))
        if spec.selection is None or not spec.selection.needs_light:
            return second
        magnification, arc_snr = measure_arc(smooth_system(second), spec)
        cut = failed_light_cut(spec.selection, magnification, arc_snr)
        if cut is None:
            return replaced(second, magnification=magnification, arc_snr=arc_snr)
    raise SpecError(
        f"{spec.name}: none of {MAX_SOURCES} other sources behind the lens of image {index} passes "
        f"selection.{cut}: widen it, or change the priors of the source."
    )


def _twin(first: LensSystem, spec: Specification) -> LensSystem:
    """The smooth lens of a system, with the columns of one that never had substructure."""
    is_within = spec.substructure.within_einstein_mass
    return replaced(
        smooth_system(first),
        einstein_mass=first.einstein_mass + (first.substructure_mass if is_within else 0.0),
        substructure_mass=0.0,
        axion_mass=math.nan,
        ring_radius=first.smooth_theta_e,
    )


def with_source_of(system: LensSystem, other: LensSystem, *, in_disc: bool) -> LensSystem:
    """A system with the source of another one.

    Args:
        system: to be given another source; its source redshift, which its lens depends on, stays.
        other: whose source it is.
        in_disc: whether sources are drawn in a disc about the lens that scales with theta_0, so
            that the place of the source is to scale with it, too.
    """
    source = {
        name: value
        for name, value in vars(other).items()
        if name.startswith("source_") and name != "source_redshift"
    }
    if in_disc:
        scale = system.smooth_theta_e / other.smooth_theta_e
        source["source_x"] = system.lens_x + scale * (other.source_x - other.lens_x)
        source["source_y"] = system.lens_y + scale * (other.source_y - other.lens_y)
    return replaced(system, **source)


def shifted(system: LensSystem, x: float, y: float) -> LensSystem:
    """A system moved over the image, with everything in it.

    The shear is about the centre of the image, and so deflects what has moved by the shear of the
    shift: the source moves less by that much.

    Args:
        system: to be moved.
        x, y: shift in arcsec.
    """
    sheared_x = system.lens_gamma1 * x + system.lens_gamma2 * y
    sheared_y = system.lens_gamma2 * x - system.lens_gamma1 * y
    return replaced(
        system,
        lens_x=system.lens_x + x,
        lens_y=system.lens_y + y,
        source_x=system.source_x + x - sheared_x,
        source_y=system.source_y + y - sheared_y,
        vortex_x=system.vortex_x + x,
        vortex_y=system.vortex_y + y,
        subhalo_x=system.subhalo_x + np.float64(x),
        subhalo_y=system.subhalo_y + np.float64(y),
    )
