"""A variable of an archive's groups, and the columns that every archive has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lenssim.spec import CLASSES, SubstructureClass

Dimension = Literal["sample", "y", "x", "subhalo", "parameter", "psf_y", "psf_x"]


@dataclass(frozen=True)
class Column:
    """One variable of a group.

    `classes` are the groups that have it, `least` and `most` what its values lie between, and
    `attributes` follow the CF conventions.
    """

    name: str
    dtype: str
    long_name: str
    units: str
    dimensions: tuple[Dimension, ...] = ("sample",)
    classes: Sequence[SubstructureClass] = CLASSES
    extra: dict[str, Any] = field(default_factory=dict)
    least: float = -math.inf
    most: float = math.inf
    may_be_unknown: bool = False
    """Whether values of simulated images may be NaN."""

    @property
    def attributes(self) -> dict[str, Any]:
        """CF-style attributes of the variable."""
        return {"long_name": self.long_name, "units": self.units, **self.extra}

    @property
    def is_scalar(self) -> bool:
        """Whether it holds one number an image."""
        return self.dimensions == ("sample",)


def vortex_column(name: str, long_name: str, units: str, least: float = -math.inf) -> Column:
    """A column that only the axion class has, float64.

    Args:
        name: of the variable in the archive, also a field of `LensSystem`.
        long_name: what it is, for readers of the archive.
        units: as CF writes them; "1" without dimension.
        least: smallest value that verification accepts.
    """
    return Column(name, "float64", long_name, units, classes=("axion",), least=least)


def subhalo_column(name: str, long_name: str, units: str, least: float = -math.inf) -> Column:
    """A column that only the cdm class has, float64, (sample, subhalo), padded with NaN.

    Args:
        name, long_name, units, least: as of `vortex_column`.
    """
    return Column(
        name,
        "float64",
        f"{long_name} (NaN where there is none)",
        units,
        dimensions=("sample", "subhalo"),
        classes=("cdm",),
        least=least,
    )


BASE_COLUMNS: tuple[Column, ...] = (
    Column("image", "float32", "surface flux of the pixel", "e-/s", ("sample", "y", "x")),
    Column(
        "label",
        "int8",
        "substructure class",
        "1",
        extra={"flag_values": list(range(len(CLASSES))), "flag_meanings": " ".join(CLASSES)},
    ),
    Column("axion_mass", "float64", "axion mass (NaN where there is no axion)", "eV", least=0.0),
    Column("substructure_mass", "float64", "mass in substructure", "Msun", least=0.0),
    Column(
        "substructure_snr",
        "float32",
        "signal to noise of the substructure: its difference to the same lens without it",
        "1",
        least=0.0,
    ),
    Column(
        "einstein_mass",
        "float64",
        "mass in the Einstein radius of the lens without substructure, less the substructure's "
        "where the specification takes that out of the halo",
        "Msun",
        least=0.0,
    ),
    Column("lens_theta_e", "float64", "Einstein radius of the smooth halo", "arcsec", least=0.0),
    Column(
        "lens_e1",
        "float64",
        "ellipticity of the smooth halo, first component",
        "1",
        least=-1.0,
        most=1.0,
    ),
    Column(
        "lens_e2",
        "float64",
        "ellipticity of the smooth halo, second component",
        "1",
        least=-1.0,
        most=1.0,
    ),
    Column("lens_gamma1", "float64", "external shear, first component", "1", least=-1.0, most=1.0),
    Column("lens_gamma2", "float64", "external shear, second component", "1", least=-1.0, most=1.0),
    Column("source_x", "float64", "source position, x", "arcsec"),
    Column("source_y", "float64", "source position, y", "arcsec"),
    Column("source_magnitude", "float64", "unlensed magnitude of the source", "mag"),
    Column("source_r_sersic", "float64", "half-light radius of the source", "arcsec", least=0.0),
    Column("source_n_sersic", "float64", "Sersic index of the source", "1", least=0.0),
    Column(
        "source_e1",
        "float64",
        "ellipticity of the source, first component",
        "1",
        least=-1.0,
        most=1.0,
    ),
    Column(
        "source_e2",
        "float64",
        "ellipticity of the source, second component",
        "1",
        least=-1.0,
        most=1.0,
    ),
    vortex_column(
        "vortex_theta_e", "Einstein radius of the vortex's whole mass", "arcsec", least=0.0
    ),
    vortex_column("vortex_length", "length of the vortex line", "arcsec", least=0.0),
    vortex_column("vortex_angle", "angle of the vortex line from the x axis", "radian"),
    vortex_column("vortex_x", "centre of the vortex line, x", "arcsec"),
    vortex_column("vortex_y", "centre of the vortex line, y", "arcsec"),
    subhalo_column("subhalo_x", "subhalo position, x", "arcsec"),
    subhalo_column("subhalo_y", "subhalo position, y", "arcsec"),
    subhalo_column("subhalo_mass", "subhalo mass", "Msun", least=0.0),
    subhalo_column("subhalo_theta_e", "Einstein radius of the subhalo", "arcsec", least=0.0),
)
