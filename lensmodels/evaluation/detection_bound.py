"""An upper bound on the scores that any classifier can have, from the S/N of the images.

Substructure whose pattern in the image is known beforehand, up to what a refit of the smooth lens
takes out, is found by the projection of the image on that pattern: a normal deviate of unit width
whose mean is the refit S/N where the substructure is there, and 0 where it is not (Neyman and
Pearson 1933). A classifier does not know the pattern. One that is told it cannot do worse, so that
the best score with this help bounds all scores without it. For images without substructure a
pattern is drawn as for the others, so that the help itself tells nothing.

The refit takes lens and source for unknown. What is the same in every image is learned, though: in
model B a network finds vortices that any refit would take out. There the S/N is that of the image
as it is, as if the smooth lens were known. Where all of it varies, what its prior tells is left out
of the account. In B-wide that is less than what the refit leaves in by keeping the multipoles
fixed; in B-faithful, whose sources are faint, it is 14% of the S/N of CDM subhalos and half of that
of vortices, so that the bound is a little too low (experiments/prior_snr.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lensmodels.evaluation.metrics import SNR_LIMITS
from lensmodels.statistics.auc import macro_auc
from lenssim.spec import Specification

FloatArray = NDArray[np.float64]

DRAWS = 30_000
"""Images of each class, whose scores are then right to 0.002."""

SETS = 4000
"""Sets with substructure and without, whose scores are then right to 0.007."""


SNRColumn = Literal["substructure_snr", "substructure_snr_refit"]


def bounding_snr(spec: Specification) -> SNRColumn:
    """The column of the S/N that bounds what a classifier of a specification's images can have.

    It is that after a refit only where all that the refit takes out varies from image to image.
    """
    lens, source = spec.lens, spec.source
    depths = (lens.velocity_dispersion, lens.einstein_mass)
    shapes = (source.e1, source.e2, source.axis_ratio, source.angle)
    always = [lens.e1, lens.e2, lens.gamma1, lens.gamma2, lens.slope, lens.x, lens.y]
    always += [source.magnitude, source.r_sersic, source.n_sersic]
    given = [prior for prior in (*always, *depths, *shapes) if prior is not None]
    varies = not any(prior.is_fixed for prior in given)
    return "substructure_snr_refit" if varies else "substructure_snr"


def detection_bound(
    snr: Mapping[str, FloatArray],
    known: Mapping[str, FloatArray] | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """AUC that no classifier exceeds, above each of `metrics.SNR_LIMITS`.

    Patterns of different classes are taken as orthogonal, which makes the bound a little too high
    where they are alike.

    Args:
        snr: refit S/N of images with substructure, by which they are chosen, by class, each (n,).
        known: S/N of the same images for a classifier that is told their patterns, where it is
            another one (`bounding_snr`).
        draws: images of each class that are simulated as numbers.
        seed: of these.

    Returns:
        Entries as of `summary.auc_above_snr`, without interval and count: above, class, auc. Each
        class is against no_sub, "all" is the macro AUC.
    """
    generator = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for limit in SNR_LIMITS:
        above = {name: (known or snr)[name][values > limit] for name, values in snr.items()}
        if not all(len(values) for values in above.values()):
            continue
        # log likelihood ratio of each class to no_sub, of images of each class, no_sub the last
        ratios = np.zeros((len(above) + 1, draws, len(above) + 1))
        for column, values in enumerate(above.values()):
            strength = generator.choice(values, (len(above) + 1, draws))
            measured = generator.standard_normal(strength.shape)
            measured[column] += strength[column]
            ratios[:, :, column] = strength * measured - 0.5 * strength**2
        for column, name in enumerate(above):
            pair = ratios[[column, -1], :, column]
            rows.append({"above": limit, "class": name, "auc": _auc(*pair)})
        if len(above) > 1:
            likelihoods = np.exp(ratios - ratios.max(axis=2, keepdims=True))
            probabilities = likelihoods / likelihoods.sum(axis=2, keepdims=True)
            labels = np.repeat(np.arange(len(above) + 1), draws)
            score = macro_auc(labels, probabilities.reshape(len(labels), -1))
            rows.append({"above": limit, "class": "all", "auc": score})
    return rows


def set_bound(snr: FloatArray, size: int, *, draws: int = SETS, seed: int = 0) -> float:
    """AUC that no classifier of sets exceeds, against sets without substructure.

    Of a set of images, the projections on the patterns of all of them add up: the S/N of a set is
    the root of the sum of the squares of its images.

    Args:
        snr: of images of one class, (n,), as `bounding_snr` says.
        size: images in a set.
        draws: sets that are simulated as numbers.
        seed: of these.

    Returns:
        Between 0.5 and 1.
    """
    generator = np.random.default_rng(seed)
    strength = np.sqrt(np.square(generator.choice(snr, (2, draws, size))).sum(axis=2))
    measured = generator.standard_normal(strength.shape)
    measured[0] += strength[0]
    return _auc(*(strength * measured - 0.5 * strength**2))


def _auc(positive: FloatArray, negative: FloatArray) -> float:
    """Probability that a positive one is larger than a negative one."""
    below = np.searchsorted(np.sort(negative), positive)
    return float(below.mean() / len(negative))
