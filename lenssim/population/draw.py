"""Drawing one system from the priors of a specification."""

from __future__ import annotations

import numpy as np

from lenssim.errors import UsageError
from lenssim.population.lens_and_source import SmoothLens, draw_smooth_lens
from lenssim.population.lens_system import LensSystem, replaced
from lenssim.population.masses import halo_radius
from lenssim.population.ring import measured_ring_radius, ring_neutral
from lenssim.population.selection import MeasureArc, select
from lenssim.population.subhalos import draw_subhalos
from lenssim.population.vortex import draw_vortex
from lenssim.spec import Prior, Specification, Split, SubstructureClass


def draw_system(
    spec: Specification,
    substructure_class: SubstructureClass,
    generator: np.random.Generator,
    measure_arc: MeasureArc | None = None,
    split: Split = "train",
) -> LensSystem:
    """Draws one system.

    Args:
        spec: the priors.
        substructure_class: what the lens holds besides its halo.
        generator: random stream of the image alone, see `random_stream`.
        measure_arc: magnification and S/N of the arc, `lenssim.simulation.measure_arc`; needed
            if the specification selects by them.
        split: selects the galaxies whose pictures may be the source.

    Returns:
        The system, with the smooth halo made lighter by its substructure or ring-neutral, as the
        specification says.

    Raises:
        UsageError: if the substructure drawn outweighs the lens that contains it, or the
            selection keeps next to nothing.
    """
    return populated(
        spec, *draw_lens(spec, generator, measure_arc, split), substructure_class, generator
    )


def draw_lens(
    spec: Specification,
    generator: np.random.Generator,
    measure_arc: MeasureArc | None = None,
    split: Split = "train",
) -> tuple[SmoothLens, Prior | None]:
    """Draws the lens and the source of one system, before any substructure.

    Args:
        spec: the priors.
        generator: as of `draw_system`.
        measure_arc: as of `draw_system`.
        split: selects the galaxies whose pictures may be the source.

    Returns:
        The lens, and the prior of its f_sub: a fixed value where the specification selects, None
        where it has none.
    """
    if spec.selection is None:
        return draw_smooth_lens(spec, generator, split), spec.substructure.f_sub
    return select(spec, spec.selection, generator, measure_arc, split)


def populated(
    spec: Specification,
    lens: SmoothLens,
    f_sub: Prior | None,
    substructure_class: SubstructureClass,
    generator: np.random.Generator,
) -> LensSystem:
    """A lens and source with substructure drawn for it.

    Args:
        spec: the priors of the substructure.
        lens, f_sub: of `draw_lens`; the prior of f_sub may be another.
        substructure_class: what the lens holds besides its halo.
        generator: of the substructure.

    Returns:
        As `draw_system`.

    Raises:
        UsageError: if the substructure drawn outweighs the lens that contains it.
    """
    total_mass, geometry = lens.total_mass, lens.geometry
    if substructure_class == "axion":
        substructure = draw_vortex(spec, lens, f_sub, generator)
    elif substructure_class == "cdm":
        substructure = draw_subhalos(spec, lens, f_sub, generator)
    else:
        substructure = {}
    halo_mass = total_mass
    if spec.substructure.within_einstein_mass:
        halo_mass -= substructure.get("substructure_mass", 0.0)
    if halo_mass <= 0:
        raise _outweighed(spec, substructure_class, substructure["substructure_mass"], total_mass)
    system = LensSystem(
        substructure_class=substructure_class,
        einstein_mass=halo_mass,
        lens_theta_e=halo_radius(halo_mass, geometry),
        smooth_theta_e=halo_radius(total_mass, geometry),
        **lens.fields,
        **substructure,
    )
    point_masses = spec.substructure.axion.point_masses
    if not spec.substructure.ring_neutral:
        return replaced(system, ring_radius=measured_ring_radius(system, point_masses))
    neutral = ring_neutral(system, point_masses)
    if not neutral.lens_theta_e > 0:
        raise _outweighed(spec, substructure_class, system.substructure_mass, total_mass)
    return neutral


def _outweighed(
    spec: Specification, substructure_class: str, substructure_mass: float, total_mass: float
) -> UsageError:
    return UsageError(
        f"{spec.name}: the {substructure_class} substructure drawn for an image outweighs its "
        f"lens ({substructure_mass:.3g} of {total_mass:.3g} solar masses); lower "
        "substructure.f_sub."
    )
