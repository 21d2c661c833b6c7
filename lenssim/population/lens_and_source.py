"""The lens without its substructure, and the source behind it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lenssim.cosmology import (
    LensingGeometry,
    einstein_mass,
    isothermal_einstein_radius,
    lensing_geometry,
)
from lenssim.pictures import open_library
from lenssim.population.lens_system import LensSystem
from lenssim.population.masses import halo_radius
from lenssim.profiles.ellipticity import ellipticity_components
from lenssim.spec import Lens, Source, SourceImages, Specification, Split


@dataclass(frozen=True)
class SmoothLens:
    """A lens with all of its mass in the halo, and its source, as drawn."""

    fields: dict[str, Any]
    """Fields of `LensSystem`, but for those that the substructure decides."""
    geometry: LensingGeometry
    total_mass: float
    """Mass inside theta_0, solar masses."""
    theta_0: float
    """Effective Einstein radius, arcsec."""

    def system(self) -> LensSystem:
        """The lens as a system of the class without substructure."""
        return LensSystem(
            substructure_class="no_sub",
            einstein_mass=self.total_mass,
            lens_theta_e=self.theta_0,
            smooth_theta_e=self.theta_0,
            ring_radius=self.theta_0,
            **self.fields,
        )


def draw_smooth_lens(
    spec: Specification, generator: np.random.Generator, split: Split = "train"
) -> SmoothLens:
    """Draws a lens without substructure, and its source, without applying the selection.

    Args:
        spec: the priors.
        generator: random stream of the image alone.
        split: selects the galaxies whose pictures may be the source.

    Returns:
        Fields of the system, distances, mass in Msun and theta_0 in arcsec.
    """
    lens, source = spec.lens, spec.source
    z_lens = lens.redshift.draw(generator)
    z_source = source.redshift.draw(generator, {"lens_redshift": z_lens})
    geometry = lensing_geometry(spec, z_lens, z_source)
    fields = _source_fields(source, generator, split) | _lens_fields(lens, geometry, generator)
    fields |= {"lens_redshift": z_lens, "source_redshift": z_source}
    if lens.einstein_mass is not None:
        total_mass = lens.einstein_mass.draw(generator)
        theta_0 = halo_radius(total_mass, geometry)
    else:
        assert lens.velocity_dispersion is not None  # the specification is validated
        sigma_v = lens.velocity_dispersion.draw(generator)
        radius = isothermal_einstein_radius(sigma_v, geometry.source, geometry.lens_source)
        total_mass = float(einstein_mass(float(radius), geometry))
        theta_0 = float(radius) * geometry.deflection_scale
    if source.position.disc is not None:
        quantile, direction = generator.random(2)
        offset, angle = (
            source.position.disc * theta_0 * math.sqrt(quantile),
            2 * math.pi * direction,
        )
        fields["source_x"] = fields["lens_x"] + offset * math.cos(angle)
        fields["source_y"] = fields["lens_y"] + offset * math.sin(angle)
    width = spec.instrument.psf_width
    if width is not None and not width.is_fixed:
        fields["psf_fwhm"] = width.draw(generator)
    return SmoothLens(fields, geometry, total_mass, theta_0)


def _source_fields(source: Source, generator: np.random.Generator, split: Split) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if source.x is not None and source.y is not None:
        fields["source_x"] = source.x.draw(generator)
        fields["source_y"] = source.y.draw(generator)
    magnitude = source.magnitude.draw(generator)
    fields["source_magnitude"] = magnitude
    fields["source_r_sersic"] = source.r_sersic.draw(generator, {"source_magnitude": magnitude})
    fields["source_n_sersic"] = source.n_sersic.draw(generator)
    if source.e1 is not None and source.e2 is not None:
        fields["source_e1"] = source.e1.draw(generator)
        fields["source_e2"] = source.e2.draw(generator)
    else:
        assert source.axis_ratio is not None  # the specification is validated
        assert source.angle is not None
        axis_ratio, angle = source.axis_ratio.draw(generator), source.angle.draw(generator)
        e1, e2 = ellipticity_components(axis_ratio, angle)
        fields |= {"source_e1": float(e1), "source_e2": float(e2)}
    if source.images is not None:
        fields |= _picture_fields(source.images, fields["source_r_sersic"], generator, split)
    return fields


def _picture_fields(
    images: SourceImages, r_sersic: float, generator: np.random.Generator, split: Split
) -> dict[str, Any]:
    """Fields of a source that is a picture, in place of those of a Sersic ellipse."""
    library = open_library(images)
    galaxy = library.draw(split, generator)
    fields: dict[str, Any] = {
        "source_galaxy": galaxy,
        "source_angle": 2.0 * math.pi * generator.random(),
        "source_n_sersic": math.nan,
        "source_e1": math.nan,
        "source_e2": math.nan,
    }
    if images.scale is not None:
        r_sersic = images.scale.draw(generator) * library.picture(galaxy).half_light_radius
        fields["source_r_sersic"] = r_sersic
    if images.psf_fwhm is not None:
        scale = r_sersic / library.picture(galaxy).half_light_radius
        fields["source_picture_fwhm"] = scale * images.psf_fwhm
    return fields


def _lens_fields(
    lens: Lens, geometry: LensingGeometry, generator: np.random.Generator
) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "lens_e1": lens.e1.draw(generator),
        "lens_e2": lens.e2.draw(generator),
        "lens_gamma1": lens.gamma1.draw(generator) * geometry.deflection_scale,
        "lens_gamma2": lens.gamma2.draw(generator) * geometry.deflection_scale,
        "lens_slope": lens.slope.draw(generator),
        "lens_x": lens.x.draw(generator),
        "lens_y": lens.y.draw(generator),
    }
    for name, multipole in (("lens_m3", lens.m3), ("lens_m4", lens.m4)):
        if multipole is not None:
            fields[f"{name}_amplitude"] = multipole.amplitude.draw(generator)
            fields[f"{name}_angle"] = multipole.angle.draw(generator)
    if lens.light is not None:
        for name in ("magnitude", "r_sersic", "n_sersic", "e1", "e2"):
            fields[f"lens_light_{name}"] = getattr(lens.light, name).draw(generator)
    return fields
