"""The tiled sum of all substructure against the plain sum over every mass."""

import numpy as np
import pytest

from lenssim.rendering import deflection
from lenssim.rendering.fast import ray_tracer
from lenssim.rendering.substructure_field import (
    REMAINDER,
    substructure_field,
    subtract_substructure,
)
from lenssim.simulation import simulate
from lenssim.spec import load_spec


def tiled(tracer, x, y, spec):
    field = substructure_field(tracer, spec.instrument.num_pix, spec.instrument.pixel_scale, 2)
    beta_x, beta_y = np.zeros_like(x), np.zeros_like(y)
    subtract_substructure(x, y, tracer, field, beta_x, beta_y)
    return -np.array([beta_x, beta_y])


def direct(tracer, x, y):
    total = np.zeros((2, x.size))
    for mass_x, mass_y, squared in zip(
        tracer.mass_x, tracer.mass_y, tracer.mass_theta_e_squared, strict=True
    ):
        dx, dy = x - mass_x, y - mass_y
        total += squared * np.array([dx, dy]) / (dx**2 + dy**2)
    if tracer.vortex_theta_e > 0:
        half = tracer.vortex_half_x, tracer.vortex_half_y
        total += np.array(
            [
                deflection.vortex_line(
                    u - tracer.vortex_x, v - tracer.vortex_y, tracer.vortex_theta_e, *half
                )
                for u, v in zip(x, y, strict=True)
            ]
        ).T
    return total


@pytest.mark.parametrize("name", ["cdm", "axion"])
@pytest.mark.parametrize("index", range(6))
def test_tiles_give_the_plain_sum(name, index):
    spec = load_spec("B")
    tracer = ray_tracer(simulate(spec, name, index).system, spec)
    edge = 0.5 * (spec.instrument.num_pix + 4) * spec.instrument.pixel_scale
    x, y = np.random.default_rng(index).uniform(-edge, edge, (2, 4000))
    error = np.abs(tiled(tracer, x, y, spec) - direct(tracer, x, y)).max()
    # the remainders of many masses add up with random signs
    assert error < 10 * REMAINDER


def test_order_of_the_rays_does_not_matter():
    spec = load_spec("B")
    tracer = ray_tracer(simulate(spec, "cdm", 0).system, spec)
    x, y = np.random.default_rng(0).uniform(-3, 3, (2, 1000))
    order = np.random.default_rng(1).permutation(1000)
    np.testing.assert_allclose(
        tiled(tracer, x, y, spec)[:, order], tiled(tracer, x[order], y[order], spec), atol=1e-14
    )


def test_a_vortex_off_centre():
    spec = load_spec("B", ["substructure.axion.x=0.4", "substructure.axion.y=-1.1"])
    tracer = ray_tracer(simulate(spec, "axion", 3).system, spec)
    x, y = np.random.default_rng(0).uniform(-3, 3, (2, 2000))
    np.testing.assert_allclose(tiled(tracer, x, y, spec), direct(tracer, x, y), atol=10 * REMAINDER)
