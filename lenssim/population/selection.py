"""Which lenses and sources become images: drawn again until they pass the cuts.

All draws come from the image's own stream, so that image i stays a function of its index. The cuts
are on the lens without its substructure: they are the same for every class.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np

from lenssim.errors import SpecError, UsageError
from lenssim.population.lens_and_source import SmoothLens, draw_smooth_lens
from lenssim.population.lens_system import LensSystem
from lenssim.population.subhalos import expected_count
from lenssim.spec import Prior, Selection, Specification, Split

MeasureArc = Callable[[LensSystem, Specification], tuple[float, float]]
"""Magnification and S/N of the arc of a lens without substructure."""

MAX_TRIES = 5000
"""Draws of which one must pass: a selection that keeps less than one in a thousand is refused."""


def select(
    spec: Specification,
    selection: Selection,
    generator: np.random.Generator,
    measure_arc: MeasureArc | None,
    split: Split = "train",
) -> tuple[SmoothLens, Prior | None]:
    """Draws lenses and sources until one passes.

    Args:
        spec: the priors.
        selection: the cuts.
        generator: the image's own stream.
        measure_arc: needed for cuts on magnification and S/N.
        split: of the image, from whose galaxies its source is drawn.

    Returns:
        The lens, with `tries` and what was measured among its fields, and the f_sub of the image,
        which is drawn in every class so that no class is selected otherwise than another.

    Raises:
        SpecError: if none of `MAX_TRIES` passes; it names the cut that rejects most.
        UsageError: if `measure_arc` is needed and not given.
    """
    if selection.needs_light and measure_arc is None:
        raise UsageError(
            f"{spec.name} selects by the light of the arc: give draw_system a measure_arc, or use "
            "lenssim.simulate."
        )
    rejected: Counter[str] = Counter()
    for tries in range(1, MAX_TRIES + 1):
        lens = draw_smooth_lens(spec, generator, split)
        f_sub = spec.substructure.f_sub
        if f_sub is not None:
            f_sub = Prior.fixed(f_sub.draw(generator))
        cut = _failed_cut(spec, selection, lens, f_sub)
        if cut is None and selection.needs_light and measure_arc is not None:
            magnification, arc_snr = measure_arc(lens.system(), spec)
            lens.fields.update(magnification=magnification, arc_snr=arc_snr)
            cut = failed_light_cut(selection, magnification, arc_snr)
        if cut is None:
            lens.fields["tries"] = tries
            if f_sub is not None:
                lens.fields["f_sub"] = f_sub.support[0]
            return lens, f_sub
        rejected[cut] += 1
    worst, count = rejected.most_common(1)[0]
    raise SpecError(
        f"{spec.name}: none of {MAX_TRIES} lenses passes the selection; selection.{worst} rejects "
        f"{count} of them: widen it, or change the priors."
    )


def _failed_cut(
    spec: Specification, selection: Selection, lens: SmoothLens, f_sub: Prior | None
) -> str | None:
    """Name of the first cut that a lens fails by its numbers; None if it passes."""
    fields = lens.fields
    if selection.theta_0 is not None:
        low, high = selection.theta_0
        if not low <= lens.theta_0 <= high:
            return "theta_0"
    for cut, greatest, names in (
        ("ellipticity_max", selection.ellipticity_max, ("lens_e1", "lens_e2")),
        ("shear_max", selection.shear_max, ("lens_gamma1", "lens_gamma2")),
    ):
        if greatest is not None and math.hypot(*(fields[name] for name in names)) > greatest:
            return cut
    if selection.mean_subhalos_max is not None and f_sub is not None:
        steepest = spec.substructure.cdm.slope.support[0]
        fraction = f_sub.support[0]
        if expected_count(spec, lens, fraction, steepest) > selection.mean_subhalos_max:
            return "mean_subhalos_max"
    return None


def failed_light_cut(selection: Selection, magnification: float, arc_snr: float) -> str | None:
    """Name of the first cut that an arc fails, None if it passes.

    Args:
        selection: the cuts of the specification.
        magnification: flux of the lensed source over that of the source.
        arc_snr: S/N of the brightest pixels of the lensed source.
    """
    if selection.magnification_min is not None and magnification < selection.magnification_min:
        return "magnification_min"
    if selection.arc_snr_min is not None and arc_snr < selection.arc_snr_min:
        return "arc_snr_min"
    return None
