"""What is left of a difference between images once the smooth model has been fitted to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

RELATIVE_CUT = 1e-5
"""Singular values below this share of the largest count as directions that change nothing.

The derivatives are scaled to unit length first, so that the cut does not depend on units. They are
right to some 1e-3: what lies below the cut is rounding."""


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
    rows = derivatives.reshape(len(derivatives), residual.size)
    left = residual.ravel()
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    rows = rows[lengths > 0.0] / lengths[lengths > 0.0, np.newaxis]
    if len(rows) > 0:
        # einsum adds in one order; a linear algebra library does so as its number of threads says
        squared, directions = np.linalg.eigh(np.einsum("ik,jk->ij", rows, rows))
        kept = squared > RELATIVE_CUT**2 * squared[-1]
        inverse = (directions[:, kept] / squared[kept]) @ directions[:, kept].T
        for _ in range(2):  # the second time for the rounding of the first
            shares = inverse @ np.einsum("ij,j->i", rows, left)
            left = left - np.einsum("i,ij->j", shares, rows)
    return float(np.sqrt(np.einsum("i,i->", left, left)))
