"""What is left of a difference between images once the smooth model has been fitted to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

RELATIVE_CUT = 1e-6
"""Singular values below this share of the largest count as directions that change nothing.

The derivatives are scaled to unit length first, so that the cut does not depend on units. The
derivatives themselves are right to 1e-3: what lies below the cut is rounding."""


def refit_snr(residual: FloatArray, derivatives: FloatArray) -> float:
    """Norm of a residual after the best linear combination of the derivatives is taken out.

    To first order this is the signal to noise of a difference between two noise-free images that
    no change of the parameters can imitate. Parameters that are degenerate with others, or that
    change nothing, take nothing out.

    Args:
        residual: difference of the images in units of the noise of each pixel, shape (y, x).
        derivatives: of the model by each parameter in the same units, shape (p, y, x).

    Returns:
        Dimensionless, between zero and the norm of the residual.
    """
    columns = derivatives.reshape(len(derivatives), residual.size).T
    lengths = np.linalg.norm(columns, axis=0)
    columns = columns[:, lengths > 0.0] / lengths[lengths > 0.0]
    left = residual.ravel()
    if columns.shape[1] > 0:
        basis, triangle = np.linalg.qr(columns)
        directions, singular, _ = np.linalg.svd(triangle)
        kept = directions[:, singular > RELATIVE_CUT * singular[0]]
        left = left - basis @ (kept @ (kept.T @ (basis.T @ left)))
    return float(np.linalg.norm(left))
