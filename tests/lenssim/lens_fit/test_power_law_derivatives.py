import numpy as np
import pytest
from lenstronomy.LensModel.Profiles.epl import EPL

from lenssim.lens_fit.power_law_derivatives import (
    RESULTS,
    SCRATCH_ROWS,
    deflection_derivatives,
    power_law,
)

X, Y = np.random.default_rng(1).uniform(-2.0, 2.0, (2, 50))
STEP = 1e-4


def epl(theta_e, slope, e1, e2):
    """lenstronomy's EPL takes its own limit where the lens is nearly round."""
    return np.stack(EPL().derivatives(X, Y, theta_e, slope, e1, e2))


@pytest.mark.parametrize(
    "lens", [(1.3, 2.08, 0.12, -0.08), (1.0, 1.8, -0.3, 0.2), (1.2, 2.0, 0.0, 0.0)]
)
def test_derivatives_are_differences_of_lenstronomy(lens):
    expected = [epl(*lens)]
    for changed in (2, 3, 1):
        more, less = list(lens), list(lens)
        more[changed] += STEP
        less[changed] -= STEP
        expected.append((epl(*more) - epl(*less)) / (2 * STEP))
    f_xx, f_xy, _, f_yy = EPL().hessian(X, Y, *lens)
    expected = np.concatenate([*expected, [f_xx, f_xy, f_yy]])
    results = np.empty((RESULTS, X.size))
    deflection_derivatives(X, Y, power_law(*lens), np.empty((SCRATCH_ROWS, X.size)), results)
    np.testing.assert_allclose(results, expected, atol=1e-4)
