"""Columns of the groups whose record names them: what their specification varies, or asks for.

To add a column:

1. Give `LensSystem` (lenssim/population) a field of its name, which is stored as it was rendered.
2. Add it to `_NEEDED` with a function that says which specifications have it. `BASE_COLUMNS` are
   those of format 1.0, which every archive has: they stay as they are.
3. `verify --deep` compares it from then on; docs/reference/columns.md is made from this list. Test
   its values in tests/lenssim/population.
"""

from __future__ import annotations

from collections.abc import Callable

from lenssim.archive.column import Column, subhalo_column
from lenssim.archive.cutout_columns import CUTOUT_COLUMNS
from lenssim.spec import Specification


def _number(name: str, long_name: str, units: str = "1", least: float | None = None) -> Column:
    if least is None:
        return Column(name, "float64", long_name, units)
    return Column(name, "float64", long_name, units, least=least)


def _has_tnfw(spec: Specification) -> bool:
    return spec.substructure.cdm.profile == "tnfw"


_NEEDED: list[tuple[Callable[[Specification], bool], list[Column]]] = [
    (
        lambda spec: spec.substructure.ring_neutral,
        [
            _number(
                "ring_radius",
                "Einstein radius of the lens without substructure with the same mean radial "
                "deflection",
                "arcsec",
                least=0.0,
            )
        ],
    ),
    (
        lambda spec: spec.observation.refit_snr != "none",
        [
            Column(
                "substructure_snr_refit",
                "float32",
                "signal to noise of the substructure after a refit of the smooth lens and the "
                "source (NaN where it was not computed)",
                "1",
                least=0.0,
                may_be_unknown=True,
            )
        ],
    ),
    (
        lambda spec: not (spec.lens.redshift.is_fixed and spec.source.redshift.is_fixed),
        [
            _number("lens_redshift", "redshift of the lens", least=0.0),
            _number("source_redshift", "redshift of the source", least=0.0),
        ],
    ),
    (
        lambda spec: spec.source.images is not None,
        [
            Column("source_galaxy", "int64", "number of the galaxy in the source's picture", "1"),
            _number("source_angle", "angle by which the source's picture is turned", "radian"),
        ],
    ),
    (
        lambda spec: spec.source.images is not None and spec.source.images.psf_fwhm is not None,
        [
            _number(
                "source_picture_fwhm",
                "full width at half maximum of the PSF that the source's picture has of its own",
                "arcsec",
                least=0.0,
            )
        ],
    ),
    (
        lambda spec: spec.lens.slope.support != (2.0, 2.0),
        [_number("lens_slope", "slope of the halo's three-dimensional density", least=1.0)],
    ),
    (
        lambda spec: {spec.lens.x.support, spec.lens.y.support} != {(0.0, 0.0)},
        [
            _number("lens_x", "centre of the smooth halo, x", "arcsec"),
            _number("lens_y", "centre of the smooth halo, y", "arcsec"),
        ],
    ),
    *(
        (
            lambda spec, order=order: getattr(spec.lens, f"m{order}") is not None,
            [
                _number(
                    f"lens_m{order}_amplitude",
                    f"multipole of order {order} of the halo, amplitude over its Einstein radius",
                ),
                _number(
                    f"lens_m{order}_angle",
                    f"multipole of order {order} of the halo, angle",
                    "radian",
                ),
            ],
        )
        for order in (3, 4)
    ),
    (
        lambda spec: spec.lens.light is not None,
        [
            _number("lens_light_magnitude", "magnitude of the lens galaxy", "mag"),
            _number("lens_light_r_sersic", "half-light radius of the lens galaxy", "arcsec", 0.0),
            _number("lens_light_n_sersic", "Sersic index of the lens galaxy", least=0.0),
            _number("lens_light_e1", "ellipticity of the lens galaxy, first component"),
            _number("lens_light_e2", "ellipticity of the lens galaxy, second component"),
        ],
    ),
    (
        lambda spec: (
            spec.instrument.psf_width is not None and not spec.instrument.psf_width.is_fixed
        ),
        [_number("psf_fwhm", "full width at half maximum of the image's PSF", "arcsec", 0.0)],
    ),
    (
        lambda spec: spec.selection is not None,
        [Column("tries", "int32", "lenses drawn until one passed the selection", "1", least=1.0)],
    ),
    (
        lambda spec: (
            spec.selection is not None
            and spec.substructure.f_sub is not None
            and not spec.substructure.f_sub.is_fixed
        ),
        [
            _number(
                "f_sub",
                "fraction of the Einstein mass in substructure that was drawn, in every class",
                least=0.0,
            )
        ],
    ),
    (
        lambda spec: spec.selection is not None and spec.selection.needs_light,
        [
            Column(
                "magnification",
                "float32",
                "flux of the lensed source over that of the source, coarse",
                "1",
                least=0.0,
            ),
            Column(
                "arc_snr",
                "float32",
                "signal to noise of the brightest pixels of the lensed source, coarse",
                "1",
                least=0.0,
            ),
        ],
    ),
    (
        _has_tnfw,
        [
            subhalo_column("subhalo_concentration", "r_200 / r_s of the subhalo", "1", least=0.0),
            subhalo_column(
                "subhalo_truncation", "truncation radius of the subhalo over r_s", "1", least=0.0
            ),
            subhalo_column("subhalo_r_s", "scale radius of the subhalo", "arcsec", least=0.0),
        ],
    ),
]
"""Which specifications have which columns."""

OPTIONAL_COLUMNS: tuple[Column, ...] = (
    *(column for _, columns in _NEEDED for column in columns),
    *CUTOUT_COLUMNS,
)


def optional_columns(spec: Specification) -> tuple[str, ...]:
    """Names of the optional columns that the groups of a specification have."""
    return tuple(
        column.name for is_needed, columns in _NEEDED if is_needed(spec) for column in columns
    )
