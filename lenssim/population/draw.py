"""Drawing one system from the priors of a specification."""

from __future__ import annotations

from typing import Any

import numpy as np

from lenssim.cosmology import lensing_geometry
from lenssim.errors import UsageError
from lenssim.population.lens_system import LensSystem, replaced
from lenssim.population.masses import halo_radius
from lenssim.population.ring import measured_ring_radius, ring_neutral
from lenssim.population.subhalos import draw_subhalos
from lenssim.population.vortex import draw_vortex
from lenssim.spec import Specification, SubstructureClass


def draw_system(
    spec: Specification,
    substructure_class: SubstructureClass,
    generator: np.random.Generator,
) -> LensSystem:
    """Draws one system.

    Args:
        spec: the priors.
        substructure_class: "axion", "cdm" or "no_sub".
        generator: the image's own stream, see `random_stream`.

    Raises:
        UsageError: where the substructure drawn outweighs the lens that contains it.
    """
    geometry = lensing_geometry(spec)
    lens, source = spec.lens, spec.source
    common: dict[str, Any] = {
        "source_x": source.x.draw(generator),
        "source_y": source.y.draw(generator),
        "source_magnitude": source.magnitude.draw(generator),
        "source_r_sersic": source.r_sersic.draw(generator),
        "source_n_sersic": source.n_sersic.draw(generator),
        "source_e1": source.e1.draw(generator),
        "source_e2": source.e2.draw(generator),
        "lens_e1": lens.e1.draw(generator),
        "lens_e2": lens.e2.draw(generator),
        "lens_gamma1": lens.gamma1.draw(generator) * geometry.deflection_scale,
        "lens_gamma2": lens.gamma2.draw(generator) * geometry.deflection_scale,
    }
    total_mass = lens.einstein_mass.draw(generator)
    if substructure_class == "axion":
        substructure = draw_vortex(spec, total_mass, geometry, generator)
    elif substructure_class == "cdm":
        substructure = draw_subhalos(spec, total_mass, geometry, generator)
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
        **common,
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
