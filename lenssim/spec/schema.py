"""The schema of a specification: every number and prior that decides what its images show.

A specification is a YAML file with the keys of `Specification`; `loading` reads one.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, Self

from pydantic import model_validator

from lenssim.configuration.yaml_reading import format_yaml
from lenssim.spec.instrument import Instrument
from lenssim.spec.lens_and_source import Lens, Source
from lenssim.spec.priors import matching, poisson_bound, within
from lenssim.spec.quantities import MAX_SUBHALOS, NAME_PATTERN, NAME_RULE
from lenssim.spec.section import ADDED, Section
from lenssim.spec.selection import Selection
from lenssim.spec.substructure import Substructure


class Cosmology(Section):
    """Flat Lambda-CDM: Hubble constant in km/s/Mpc, matter and baryon densities."""

    H0: Annotated[float, within(above=0.0, unit="km/s/Mpc")]
    Om0: Annotated[float, within(above=0.0, most=1.0)]
    Ob0: Annotated[float, within(least=0.0, most=1.0)]
    distances: Literal["angular_diameter", "luminosity_difference"] = "angular_diameter"
    """What enters the lensing formulae; luminosity_difference is what DeepLenseSim does."""

    @model_validator(mode="after")
    def _matter_holds_baryons(self) -> Self:
        if self.Ob0 > self.Om0:
            raise ValueError(
                f"Ob0 = {self.Ob0:g} must be at most Om0 = {self.Om0:g}, which contains it"
            )
        return self


class Observation(Section):
    """What is done to the noise-free image."""

    noise: bool
    flux_factor: Annotated[float, within(above=0.0)] = 1.0
    """Factor on the whole image: 2 in the DeepLenseSim variants, which add the model to itself."""
    refit_snr: Annotated[Literal["all", "test", "none"], ADDED] = "none"
    """Images whose S/N after a refit of the smooth lens is computed: column substructure_snr_refit,
    which is NaN in the others and absent if there are none."""


class Sampling(Section):
    """How the surface brightness is integrated over a pixel: one of the two."""

    tolerance: Annotated[float, within(above=0.0, most=1.0)] | None = None
    """Adaptive: error allowed in a pixel, in units of its noise."""
    subsamples: Annotated[int, within(least=1, most=64)] | None = None
    """Fixed: a regular grid of this many samples along each side of a pixel."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.tolerance is None) == (self.subsamples is None):
            raise ValueError(
                "exactly one of tolerance and subsamples must be given, and the other null"
            )
        return self


class Specification(Section):
    """A data set, completely: with a seed, it decides every bit of every image."""

    name: Annotated[str, matching(NAME_PATTERN, NAME_RULE)]
    """Names the model in archives and keys its random streams."""
    version: Annotated[str, matching(r"\d+\.\d+\.\d+", "three numbers, as in 1.0.0")]
    description: str
    cosmology: Cosmology
    lens: Lens
    source: Source
    substructure: Substructure
    instrument: Instrument
    observation: Observation
    sampling: Sampling
    selection: Annotated[Selection | None, ADDED] = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        self._check_redshifts()
        lens = self.lens
        if (lens.einstein_mass is None) == (lens.velocity_dispersion is None):
            raise ValueError(
                "exactly one of lens.einstein_mass and lens.velocity_dispersion must be given"
            )
        if self.substructure.within_einstein_mass or self.substructure.ring_neutral:
            self._check_masses()
        if self.selection is not None and self.selection.theta_0 is not None:
            half = 0.5 * self.instrument.num_pix * self.instrument.pixel_scale
            if self.selection.theta_0[1] > half:
                raise ValueError(
                    f"selection.theta_0 reaches {self.selection.theta_0[1]:g} arcsec, outside the "
                    f"field of +-{half:g} arcsec: lower it, or raise instrument.num_pix"
                )
        if self.subhalo_bound > MAX_SUBHALOS:
            raise ValueError(
                f"substructure.cdm.mass_min = {self.substructure.cdm.mass_min:g}, with "
                f"substructure.f_sub = {self.substructure.f_sub} and "
                f"lens.einstein_mass = {self.lens.einstein_mass}, makes up to "
                f"{self.subhalo_bound} subhalos an image, of which at most {MAX_SUBHALOS} "
                "are allowed"
            )
        return self

    def _check_redshifts(self) -> None:
        """Refuses sources before their lens, and rescalings that need one pair of redshifts."""
        lens, source = self.lens.redshift, self.source.redshift
        if source.base is not None:
            is_possible = source.support[1] > lens.support[0] + source.parameters[0]
        else:
            is_possible = source.support[0] > lens.support[1]
        if not is_possible:
            raise ValueError(
                f"source.redshift = {source} must be above lens.redshift = {lens}"
                + ("" if lens.is_fixed else " in every draw: see the prior after_redshift")
            )
        convention = self.lens.deflections_for_redshift
        if convention is not None and convention <= lens.support[1]:
            raise ValueError(
                f"lens.deflections_for_redshift = {convention:g} must be above "
                f"lens.redshift = {lens}"
            )
        has_one_pair = lens.is_fixed and source.is_fixed
        if not has_one_pair and self.cosmology.distances == "luminosity_difference":
            raise ValueError(
                "cosmology.distances = luminosity_difference needs fixed redshifts of lens and "
                "source"
            )
        if not has_one_pair and convention is not None:
            raise ValueError(
                "lens.deflections_for_redshift needs fixed redshifts of lens and source"
            )

    def _check_masses(self) -> None:
        """Refuses substructure that outweighs the lens which contains it."""
        vortex, subhalos = self.substructure.axion, self.substructure.cdm
        if self.lens.einstein_mass is None:
            return  # the mass depends on the redshifts: it is checked when it is drawn
        lightest_halo = self.lens.einstein_mass.support[0]
        limit = f"must be below lens.einstein_mass = {self.lens.einstein_mass}, which contains"
        if vortex.mass is not None and vortex.mass.support[1] >= lightest_halo:
            raise ValueError(f"substructure.axion.mass = {vortex.mass} {limit} it")
        if subhalos.count is None and subhalos.mass_min >= lightest_halo:
            raise ValueError(f"substructure.cdm.mass_min = {subhalos.mass_min:g} {limit} it")
        if subhalos.count is not None and self.subhalo_bound * subhalos.mass_min >= lightest_halo:
            raise ValueError(
                f"substructure.cdm.count = {subhalos.count} times "
                f"substructure.cdm.mass_min = {subhalos.mass_min:g} {limit} them"
            )

    @property
    def subhalo_bound(self) -> int:
        """The number of subhalos that no image of the cdm class exceeds.

        Raises:
            ValueError: if the number depends on redshifts, radii or profiles and the selection
                does not limit it; validation refuses such a specification.
        """
        subhalos = self.substructure.cdm
        if subhalos.count is not None:
            return round(subhalos.count.support[1])
        if self.selection is not None and self.selection.mean_subhalos_max is not None:
            return poisson_bound(self.selection.mean_subhalos_max)
        assert self.substructure.f_sub is not None  # `Substructure` is validated
        if self.lens.einstein_mass is None or subhalos.profile == "tnfw" or not self._counts_all:
            raise ValueError(
                "selection.mean_subhalos_max must be given where the number of subhalos depends on "
                "redshifts, radii or profiles"
            )
        largest = self.substructure.f_sub.support[1] * self.lens.einstein_mass.support[1]
        return poisson_bound(largest / subhalos.mean_mass)

    @property
    def _counts_all(self) -> bool:
        return self.substructure.cdm.f_sub_counts == "all"

    @property
    def sha256(self) -> str:
        """Hash of the canonical form: JSON with sorted keys and no white space."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_yaml(self) -> str:
        """The specification as YAML that `load_spec` reads back to an equal one."""
        return format_yaml(self.model_dump(mode="json"))
