"""The columns of an archive: the one place that says what each variable is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from lenssim.spec import CLASSES, Specification, SubstructureClass

Dimension = Literal["sample", "y", "x", "subhalo"]

COORDINATES = ("sample", "y", "x")

Format = Literal["zarr", "webdataset"]
FORMATS: tuple[Format, ...] = get_args(Format)
"""What the images of a group are stored as: a Zarr group, WebDataset shards, or both."""

FORMAT_VERSION = "1.0"
"""Version of the layout on disk: the names, shapes and meaning of everything in an archive."""

UNKNOWN_UNITS = "unknown"
"""Units of imported images: those of their source, which does not say."""


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

    @property
    def attributes(self) -> dict[str, Any]:
        """CF-style attributes of the variable."""
        return {"long_name": self.long_name, "units": self.units, **self.extra}

    @property
    def is_scalar(self) -> bool:
        """Whether it holds one number an image."""
        return self.dimensions == ("sample",)


def _vortex(name: str, long_name: str, units: str, least: float = -math.inf) -> Column:
    return Column(name, "float64", long_name, units, classes=("axion",), least=least)


def _subhalo(name: str, long_name: str, units: str, least: float = -math.inf) -> Column:
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
        "signal to noise of the substructure against the smooth lens of the same total mass",
        "1",
        least=0.0,
    ),
    Column(
        "einstein_mass",
        "float64",
        "mass of the smooth halo in its Einstein radius",
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
    _vortex("vortex_theta_e", "Einstein radius of the vortex's whole mass", "arcsec", least=0.0),
    _vortex("vortex_length", "length of the vortex line", "arcsec", least=0.0),
    _vortex("vortex_angle", "angle of the vortex line from the x axis", "radian"),
    _vortex("vortex_x", "centre of the vortex line, x", "arcsec"),
    _vortex("vortex_y", "centre of the vortex line, y", "arcsec"),
    _subhalo("subhalo_x", "subhalo position, x", "arcsec"),
    _subhalo("subhalo_y", "subhalo position, y", "arcsec"),
    _subhalo("subhalo_mass", "subhalo mass", "Msun", least=0.0),
    _subhalo("subhalo_theta_e", "Einstein radius of the subhalo", "arcsec", least=0.0),
)


OPTIONAL_COLUMNS: tuple[Column, ...] = (
    Column(
        "ring_radius",
        "float64",
        "Einstein radius of the lens without substructure with the same mean radial deflection",
        "arcsec",
        least=0.0,
    ),
)
"""Columns of the groups whose record names them: what their specification varies, or asks for."""

COLUMNS: tuple[Column, ...] = (*BASE_COLUMNS, *OPTIONAL_COLUMNS)


def columns_of(
    substructure_class: SubstructureClass, extra: Iterable[str] = ()
) -> tuple[Column, ...]:
    """The columns of a class's groups, in the order of the schema.

    Args:
        substructure_class: of the groups.
        extra: names of the optional columns that they have.
    """
    held = (*BASE_COLUMNS, *(column for column in OPTIONAL_COLUMNS if column.name in set(extra)))
    return tuple(column for column in held if substructure_class in column.classes)


def optional_columns(spec: Specification) -> tuple[str, ...]:
    """Names of the optional columns that the groups of a specification have."""
    needed = {"ring_radius": spec.substructure.ring_neutral}
    return tuple(column.name for column in OPTIONAL_COLUMNS if needed[column.name])
