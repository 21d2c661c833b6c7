"""Pixel fluxes without a PSF keep the bits that version 1.0.0 of the specifications was made with.

`fluxes_1_0_0.npz` holds those of the code of that time, and the platform that made them.
"""

from pathlib import Path

import numpy as np
import pytest

from lenssim.population import LensSystem
from lenssim.rendering import PixelNoise, platform
from lenssim.rendering.fast import pixel_fluxes
from lenssim.spec import Sampling, load_spec

STORED = np.load(Path(__file__).with_name("fluxes_1_0_0.npz"))
NOISE = PixelNoise(1e-4, 2264.0)
TOLERANCE = 0.005

COMMON = {
    "einstein_mass": 1e12,
    "lens_theta_e": 1.65,
    "lens_e1": 0.0,
    "lens_e2": 0.0,
    "lens_gamma1": 0.0,
    "lens_gamma2": 0.0,
    "source_x": 0.12,
    "source_y": -0.21,
    "source_magnitude": 20.0,
    "source_r_sersic": 0.25,
    "source_n_sersic": 1.0,
    "source_e1": -0.1,
    "source_e2": 0.1,
    "smooth_theta_e": 1.6645,
}
SUBHALOS = {
    "subhalo_x": np.array([1.5, -0.61, 0.2, -1.7]),
    "subhalo_y": np.array([0.72, -1.48, 1.55, 0.31]),
    "subhalo_mass": np.array([1e9, 1e8, 1e7, 3e9]),
    "subhalo_theta_e": np.array([0.052, 0.016, 0.005, 0.09]),
}
VORTEX = {"vortex_theta_e": 0.16, "vortex_length": 1.3, "vortex_angle": 0.7}
SYSTEMS = {
    "no_sub": LensSystem(substructure_class="no_sub", **COMMON),
    "cdm": LensSystem(substructure_class="cdm", **COMMON, **SUBHALOS),
    "axion": LensSystem(substructure_class="axion", **COMMON, **VORTEX),
    "elliptical": LensSystem(
        substructure_class="no_sub",
        **COMMON | {"lens_e1": 0.1, "lens_gamma1": 0.05, "lens_gamma2": -0.02},
    ),
}


def rendered(name, sampling):
    spec = load_spec("B", ["instrument.num_pix=40", "instrument.pixel_scale=0.101"])
    return pixel_fluxes([SYSTEMS[name]], spec, sampling, NOISE)[0]


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize(
    "sampling", [Sampling(tolerance=TOLERANCE), Sampling(subsamples=2)], ids=["adaptive", "regular"]
)
def test_fluxes_are_those_of_version_1_0_0(name, sampling):
    kind = "adaptive" if sampling.subsamples is None else "regular"
    stored = STORED[f"{name}_{kind}"]
    ours = rendered(name, sampling)
    if str(STORED["platform"]) == platform():
        np.testing.assert_array_equal(ours, stored)
    else:
        sigma = np.sqrt(NOISE.background_variance + stored / NOISE.exposure_time)
        assert np.abs((ours - stored) / sigma).max() < 2 * TOLERANCE
