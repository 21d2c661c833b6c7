"""Time of a fit of the smooth lens, against lenstronomy's and one by automatic derivatives.

    pip install emcee caustics
    python benchmarks/lens_fit_peers.py [--images N]

Images of B-wide without substructure, each fitted in turn, on one core, by

1. `lenssim.fit_image`, from the image alone, 19 parameters;
2. lenstronomy's FittingSequence as its users run it, a particle swarm and then emcee, with fewer
   particles, walkers and steps than its own notebooks have; 14 parameters, the flux being solved
   linearly, in ranges of the priors, 2x2 rays a pixel;
3. where caustics (torch) is installed: Levenberg-Marquardt with the derivatives that torch's
   forward mode gives, 15 parameters, 2x2 rays a pixel, started at the true values plus 2% and
   given the pixels' variance, neither of which the others know.

The peers' seconds are divided by ours of the same image.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lenssim
from lensmodels.reporting.measurements import write
from lensmodels.reporting.tables import markdown_table
from lenssim.observation import noise_sigma, pixel_noise
from lenssim.population import LensSystem
from lenssim.rendering.source import sersic_b
from lenssim.simulation import render, simulate_many
from lenssim.spec import Specification

FloatArray = NDArray[np.float64]

SUBSAMPLES = 2
PARTICLES, SWARM_STEPS = 100, 100
WALKERS_PER_PARAMETER, BURN_IN, CHAIN = 10, 50, 50
MAX_ITERATIONS = 40
FREE = 15
"""Parameters of an elliptical power law, shear and a Sersic source."""


def lenstronomy_fit(
    image: FloatArray, sigma: FloatArray, system: LensSystem, spec: Specification
) -> float:
    """Reduced chi-square of lenstronomy's fit."""
    from lenstronomy.Workflow.fitting_sequence import FittingSequence

    num_pix, scale = spec.instrument.num_pix, spec.instrument.pixel_scale
    corner = -0.5 * (num_pix - 1) * scale
    data = {
        "image_data": image,
        "noise_map": sigma,
        "ra_at_xy_0": corner,
        "dec_at_xy_0": corner,
        "transform_pix2angle": scale * np.eye(2),
    }
    psf = {"psf_type": "GAUSSIAN", "fwhm": system.psf_fwhm, "pixel_size": scale, "truncation": 5}
    numerics = {"supersampling_factor": SUBSAMPLES, "supersampling_convolution": False}

    def parameters(ranges: dict[str, tuple[float, float]]) -> list[list[dict[str, float]]]:
        """Start, spread, fixed ones, lower and upper limits of one profile."""
        middle = {name: 0.5 * (low + high) for name, (low, high) in ranges.items()}
        spread = {name: 0.25 * (high - low) for name, (low, high) in ranges.items()}
        lower = {name: low for name, (low, _) in ranges.items()}
        upper = {name: high for name, (_, high) in ranges.items()}
        return [[middle], [spread], [{}], [lower], [upper]]

    small, ellipticity = (-0.3, 0.3), (-0.5, 0.5)
    halo = parameters(
        {
            "theta_E": (0.5, 2.5),
            "gamma": (1.6, 2.4),
            "e1": ellipticity,
            "e2": ellipticity,
            "center_x": small,
            "center_y": small,
        }
    )
    shear = parameters({"gamma1": small, "gamma2": small})
    shear[2] = [{"ra_0": 0, "dec_0": 0}]
    source = parameters(
        {
            "R_sersic": (0.03, 1.0),
            "n_sersic": (0.5, 5.0),
            "e1": ellipticity,
            "e2": ellipticity,
            "center_x": (-1.0, 1.0),
            "center_y": (-1.0, 1.0),
        }
    )
    fit = FittingSequence(
        {"multi_band_list": [[data, psf, numerics]], "multi_band_type": "single-band"},
        {"lens_model_list": ["EPL", "SHEAR"], "source_light_model_list": ["SERSIC_ELLIPSE"]},
        {},
        {"source_marg": False},
        {
            "lens_model": [first + second for first, second in zip(halo, shear, strict=True)],
            "source_model": source,
        },
        verbose=False,
    )
    walkers = WALKERS_PER_PARAMETER * (FREE - 1)
    fit.fit_sequence(
        [
            ["PSO", {"sigma_scale": 1.0, "n_particles": PARTICLES, "n_iterations": SWARM_STEPS}],
            ["emcee", {"n_burn": BURN_IN, "n_run": CHAIN, "n_walkers": walkers}],
        ]
    )
    return float(-2.0 * fit.best_fit_likelihood() / (image.size - FREE))


def caustics_fit(
    image: FloatArray, sigma: FloatArray, system: LensSystem, spec: Specification
) -> float:
    """Reduced chi-square of Levenberg-Marquardt steps on caustics' functions."""
    import torch
    from caustics.lenses.func import reduced_deflection_angle_epl
    from caustics.light.func import brightness_sersic

    num_pix, scale = spec.instrument.num_pix, spec.instrument.pixel_scale
    count = num_pix * SUBSAMPLES
    axis = (torch.arange(count, dtype=torch.float64) - 0.5 * (count - 1)) * scale / SUBSAMPLES
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    psf_sigma = system.psf_fwhm / 2.3548
    frequency_x = torch.fft.rfftfreq(count, scale / SUBSAMPLES, dtype=torch.float64)
    frequency_y = torch.fft.fftfreq(count, scale / SUBSAMPLES, dtype=torch.float64)
    squared = frequency_y[:, None] ** 2 + frequency_x[None, :] ** 2
    transfer = torch.exp(-2.0 * np.pi**2 * psf_sigma**2 * squared)
    target, error = torch.tensor(image), torch.tensor(sigma)

    def residual(p: torch.Tensor) -> torch.Tensor:
        """(image - model) / sigma, shape (n,)."""
        lens_size = torch.hypot(p[1], p[2])
        alpha_x, alpha_y = reduced_deflection_angle_epl(
            p[5], p[6], (1 - lens_size) / (1 + lens_size), 0.5 * torch.atan2(p[2], p[1]),
            p[0], p[7] - 1, x, y, 12, 12,
        )  # fmt: skip
        beta_x = x - alpha_x - p[3] * x - p[4] * y
        beta_y = y - alpha_y - p[4] * x + p[3] * y
        size = torch.hypot(p[13], p[14])
        light = brightness_sersic(
            p[8], p[9], (1 - size) / (1 + size), 0.5 * torch.atan2(p[14], p[13]),
            p[12], torch.exp(p[11]), torch.exp(p[10]), beta_x, beta_y, 1.9992 * p[12] - 0.3271,
        )  # fmt: skip
        blurred = torch.fft.irfft2(torch.fft.rfft2(light) * transfer, s=(count, count))
        model = blurred.reshape(num_pix, SUBSAMPLES, num_pix, SUBSAMPLES).mean((1, 3))
        return ((target - model) / error).flatten()

    b = float(sersic_b(system.source_n_sersic))
    bare = render(system, spec).max()
    values = torch.tensor(
        [
            system.lens_theta_e, system.lens_e1, system.lens_e2, system.lens_gamma1,
            system.lens_gamma2, system.lens_x, system.lens_y, system.lens_slope, system.source_x,
            system.source_y, float(np.log(bare)) - 0.1 * b, float(np.log(system.source_r_sersic)),
            system.source_n_sersic, system.source_e1, system.source_e2,
        ],
        dtype=torch.float64,
    )  # fmt: skip
    values = values * 1.02 + 0.002
    jacobian = torch.func.jacfwd(residual)
    damping, now = 1e-2, residual(values)
    chi_square = float(now @ now)
    for _ in range(MAX_ITERATIONS):
        slopes = jacobian(values)
        matrix, gradient = slopes.T @ slopes, slopes.T @ now
        before = chi_square
        for _ in range(8):
            damped = matrix + damping * torch.diag(torch.diagonal(matrix))
            trial = values - torch.linalg.solve(damped, gradient)
            then = residual(trial)
            if bool(torch.isfinite(then).all()) and float(then @ then) < chi_square:
                values, now, chi_square = trial, then, float(then @ then)
                damping = max(0.1 * damping, 1e-9)
                break
            damping *= 10.0
        if before - chi_square < 0.01:
            break
    return chi_square / (image.size - FREE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=3)
    options = parser.parse_args()
    spec = lenssim.load_spec("B-wide", ["observation.refit_snr=none"])
    simulations = list(simulate_many(spec, 0, "test", "no_sub", range(options.images)))
    lenssim.fit_image(simulations[0].image, spec, psf_fwhm=simulations[0].system.psf_fwhm)
    peers: dict[str, Callable[..., float]] = {"lenstronomy": lenstronomy_fit}
    if importlib.util.find_spec("caustics") is not None:
        peers["caustics"] = caustics_fit
    records: list[dict[str, Any]] = []
    for number, simulation in enumerate(simulations):
        system = simulation.system
        image = np.asarray(simulation.image, dtype=np.float64)
        sigma = noise_sigma(render(system, spec), pixel_noise(spec.instrument))
        begun = time.process_time()
        fit = lenssim.fit_image(image, spec, psf_fwhm=system.psf_fwhm)
        ours = time.process_time() - begun
        found = {"image": number, "reduced chi-square": fit.reduced_chi_square}
        for name, peer in peers.items():
            begun = time.process_time()
            found[f"{name}'s"] = peer(image, sigma, system, spec)
            found[f"{name}: times slower"] = (time.process_time() - begun) / ours
        records.append(found)
    headings = list(records[0])
    write(
        "lens_fit_peers",
        "Fits of single images of B-wide without substructure: reduced chi-square at the end, and "
        "processor time in units of that of `lenssim.fit_image`. lenstronomy: a swarm of "
        f"{PARTICLES} particles over {SWARM_STEPS} steps, then {WALKERS_PER_PARAMETER} walkers a "
        f"parameter over {BURN_IN + CHAIN} steps.",
        records,
        markdown_table(headings, [list(each.values()) for each in records]),
        ["numpy", "numba", "lenstronomy", *(name for name in peers if name != "lenstronomy")],
    )


if __name__ == "__main__":
    main()
