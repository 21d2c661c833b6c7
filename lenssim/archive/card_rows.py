"""Rows of a card's table for specifications whose lens and source vary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath

from lenssim.spec import Prior, Selection, Source, SourceImages, Specification

Row = tuple[str, str, str]
"""What is drawn, from which distribution, and where that is from."""

Words = Callable[[Prior], str]

_POPULATION = "LensPop (Collett 2015), paltas, SLACS: see the specification's comments"


_RELATIONS = {"dutton_maccio_2014": "Dutton & Maccio 2014", "ludlow_2016": "Ludlow et al. 2016"}


def varied_rows(spec: Specification, words: Words) -> list[Row]:
    """Rows on the lens, the source, the selection and the substructure.

    Args:
        spec: with its redshifts, masses and shapes.
        words: a prior in words.
    """
    return [*_lens_rows(spec, words), *_source_rows(spec, words), *_substructure_rows(spec, words)]


def _pair(first: Prior, second: Prior, words: Words) -> str:
    """Two components in words: once where they are drawn alike."""
    if first == second:
        return f"each {words(first)}"
    return f"{words(first)}; {words(second)}"


def _lens_rows(spec: Specification, words: Words) -> list[Row]:
    lens = spec.lens
    rows = [
        ("redshift of the lens", words(lens.redshift), _POPULATION),
        ("redshift of the source", words(spec.source.redshift), _POPULATION),
    ]
    if lens.velocity_dispersion is not None:
        rows.append(
            (
                "Einstein radius",
                "4 pi (sigma_v / c)^2 D_ls / D_s, with sigma_v in km/s "
                f"{words(lens.velocity_dispersion)}",
                _POPULATION,
            )
        )
    elif lens.einstein_mass is not None:
        mass = f"{words(lens.einstein_mass)} solar masses inside the Einstein radius"
        rows.append(("Einstein mass", mass, "this project"))
    halo = f"elliptical power law, slope {words(lens.slope)}"
    rows += [
        ("main halo", f"{halo}; e1, e2: {_pair(lens.e1, lens.e2, words)}", "paltas"),
        ("external shear", _pair(lens.gamma1, lens.gamma2, words), "paltas, paltax"),
        ("centre of the lens", f"{_pair(lens.x, lens.y, words)} arcsec", "this project"),
    ]
    rows += [
        (
            f"multipole m = {order}",
            f"amplitude over theta_E {words(multipole.amplitude)}, any direction",
            "O'Riordan & Vegetti 2024",
        )
        for order, multipole in ((3, lens.m3), (4, lens.m4))
        if multipole is not None
    ]
    light = "none" if lens.light is None else f"Sersic, magnitude {words(lens.light.magnitude)}"
    return [*rows, ("light of the lens", light, "this project")]


def _source_rows(spec: Specification, words: Words) -> list[Row]:
    source = spec.source
    rows = [("magnitude of the source", words(source.magnitude), _tier(spec))]
    if source.images is not None:
        rows.append(("source", pictures_in_words(source.images), "the pictures"))
        rows.append(("size of the source", picture_size_in_words(source, words), "this project"))
    else:
        rows.append(("half-light radius, arcsec", words(source.r_sersic), "fit to LensPop"))
        rows.append(("Sersic index", words(source.n_sersic), "this project"))
    if source.images is None and source.axis_ratio is not None:
        rows.append(("axis ratio of the source", words(source.axis_ratio), "LensPop"))
    if source.position.disc is not None:
        place = f"uniform in the disc of {source.position.disc:g} Einstein radii about the lens"
        rows.append(("position of the source", place, "LensPop"))
    if spec.selection is not None:
        rows.append(("selection", _cuts(spec.selection), "LensPop, mejiro"))
    return rows


def pictures_in_words(images: SourceImages) -> str:
    """What sources are where they are pictures."""
    checksum = "" if images.sha256 is None else f", checksum {images.sha256[:12]}"
    folder = PurePath(images.folder).name
    return f"pictures of galaxies ({folder}{checksum}), one drawn for each image, at any angle"


def picture_size_in_words(source: Source, words: Words) -> str:
    """How large the pictures appear in the source plane."""
    if source.images is not None and source.images.scale is not None:
        return f"that of the picture on the sky times {words(source.images.scale)}"
    return f"scaled to a half-light radius in arcsec of {words(source.r_sersic)}"


def _tier(spec: Specification) -> str:
    """Whether sources are as bright as on the sky."""
    is_faithful = spec.source.magnitude.support[1] > 25
    return "LensPop, as Euclid will see them" if is_faithful else "bright by choice, not by nature"


def _cuts(selection: Selection) -> str:
    """The cuts in words."""
    cuts = []
    if selection.theta_0 is not None:
        low, high = selection.theta_0
        cuts.append(f"Einstein radius {low:g} to {high:g} arcsec")
    for text, value in (
        ("magnification at least", selection.magnification_min),
        ("S/N of the arc at least", selection.arc_snr_min),
        ("ellipticity at most", selection.ellipticity_max),
        ("shear at most", selection.shear_max),
        ("expected subhalos at most", selection.mean_subhalos_max),
    ):
        if value is not None:
            cuts.append(f"{text} {value:g}")
    return ", ".join(cuts) + "; the same in every class"


def _substructure_rows(spec: Specification, words: Words) -> list[Row]:
    substructure, cdm = spec.substructure, spec.substructure.cdm
    inside = cdm.f_sub_counts == "inside_theta_0"
    fraction = "" if substructure.f_sub is None else words(substructure.f_sub)
    counted = "inside the Einstein radius, on average" if inside else "in all subhalos, on average"
    profile = "point masses"
    if cdm.profile == "tnfw" and cdm.truncation is not None and cdm.concentration is not None:
        profile = (
            f"truncated NFW halos, r_t / r_s {words(cdm.truncation)}, concentrations of "
            f"{_RELATIONS[cdm.concentration.relation]} with {cdm.concentration.scatter_dex:g} dex "
            "scatter"
        )
    outer = cdm.radius_max
    reach = f"{outer.value:g} {'Einstein radii' if outer.is_in_theta_0 else 'arcsec'}"
    return [
        (
            "substructure fraction",
            f"f_sub {fraction} of the mass inside the Einstein radius: of the vortex's whole mass, "
            f"and of that of subhalos {counted}",
            "JVAS, SLACS limits",
        ),
        (
            "cdm: subhalos",
            f"dN/dM ~ M^s, s {words(cdm.slope)}, M200 {cdm.mass_min:.0e} to {cdm.mass_max:.0e} "
            f"solar masses; {profile}",
            "pyHalo",
        ),
        ("cdm: positions", f"uniform in area to {reach} from the lens", "this project"),
    ]
