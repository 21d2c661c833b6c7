"""Whether posteriors are right: simulation-based calibration and TARP, from ranks.

Over images whose masses are drawn from the prior, the posterior probability below the true mass is
uniform where the posterior is right (Talts et al. 2018, arXiv 1804.06788), and so is that of masses
closer to any reference than the true one (Lemos et al. 2023, ICML). A posterior that is too narrow
has too many ranks near 0 and 1; a biased one has them on one side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import kstest

from lensmodels.evaluation.metrics import COVERAGE_LEVELS
from lensmodels.tasks.axion_mass_posterior import CLOSER, RANK

RANK_BINS = 20


def has_posterior(table: pd.DataFrame) -> bool:
    """Whether a table of predictions has the ranks of posteriors."""
    return RANK in table


def central_coverage(table: pd.DataFrame) -> NDArray[np.float64]:
    """Share of true masses inside the central interval of each of `COVERAGE_LEVELS`, (levels,)."""
    ranks = table[RANK].to_numpy(np.float64)
    inside = np.abs(2 * ranks - 1)[:, None] <= np.array(COVERAGE_LEVELS)
    return inside.mean(axis=0)


def posterior_metrics(table: pd.DataFrame) -> dict[str, Any]:
    """Ranks and coverage of the posteriors of test images, as metrics.json has them.

    Args:
        table: columns of predictions.csv.

    Returns:
        `ranks`, images in bins of equal width of the rank, and `rank_p_value` of their being
        uniform (Kolmogorov and Smirnov); `tarp`, the share of images of each credibility `nominal`
        whose truth is inside, and `tarp_p_value`; `sigma_rms`, root mean square of the posterior's
        standard deviation, dex, which a right posterior has in common with the RMSE of its mean.
    """
    ranks, closer = (table[name].to_numpy(np.float64) for name in (RANK, CLOSER))
    nominal = np.array(COVERAGE_LEVELS)
    return {
        "ranks": np.histogram(ranks, bins=RANK_BINS, range=(0, 1))[0].tolist(),
        "rank_p_value": float(kstest(ranks, "uniform").pvalue),
        "tarp": {
            "nominal": nominal.tolist(),
            "observed": (closer[:, None] <= nominal).mean(axis=0).tolist(),
        },
        "tarp_p_value": float(kstest(closer, "uniform").pvalue),
        "sigma_rms": float(np.sqrt(np.mean(table["log10_mass_sigma"].to_numpy(np.float64) ** 2))),
    }
