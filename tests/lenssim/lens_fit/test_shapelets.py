"""Shapelets beside the Sersic source of a fit."""

import numpy as np
import pytest

from lenssim import load_spec
from lenssim.build.fit import _identity
from lenssim.lens_fit.image_fit import FitSettings, fit_image
from lenssim.lens_fit.shapelets import Shapelets, shapelet_images, source_plane
from lenssim.rendering.source import sersic_b
from lenssim.simulation import simulate, smooth_system


def test_shapelets_are_orthonormal():
    shapelets = Shapelets(order=5, x=0.1, y=-0.2, scale=0.15)
    step = 0.02
    axis = np.arange(-1.5, 1.5, step)
    values = shapelets.brightness(*np.meshgrid(axis + 0.1, axis - 0.2)).reshape(21, -1)
    assert shapelets.count == 21
    assert values @ values.T * step**2 == pytest.approx(np.eye(21), abs=1e-6)


def test_the_sum_of_shapelets_is_that_of_each():
    shapelets = Shapelets(order=4, x=0.0, y=0.0, scale=0.2)
    generator = np.random.default_rng(0)
    amplitudes, beta = generator.normal(size=15), generator.normal(0, 0.3, (2, 40))
    one_by_one = np.tensordot(amplitudes, shapelets.brightness(*beta), axes=1)
    assert shapelets.summed(amplitudes, *beta) == pytest.approx(one_by_one)


def test_an_image_of_a_round_gaussian_is_that_of_its_shapelet():
    """The first shapelet is a Gaussian: a Sersic ellipse of index 0.5 with the same half light."""
    scale = 0.3
    spec = load_spec(
        "B",
        [
            "source.n_sersic=0.5",
            f"source.r_sersic={scale * np.sqrt(2 * sersic_b(0.5))}",
            "source.e1=0",
            "source.e2=0",
            "observation.noise=false",
        ],
    )
    simulation = simulate(spec, "no_sub", 0)
    system = smooth_system(simulation.system)
    shapelets = Shapelets(0, system.source_x, system.source_y, scale)
    [image] = shapelet_images(shapelets, system, spec)
    flux = 10 ** (-0.4 * (system.source_magnitude - spec.instrument.zero_point))
    amplitude = flux / (2 * np.sqrt(np.pi) * scale)  # of a function of unit norm
    assert image * amplitude == pytest.approx(simulation.image, abs=0.01 * simulation.image.max())


def test_rays_of_no_lens_come_from_where_they_are_seen():
    spec = load_spec("B")
    system = smooth_system(simulate(spec, "no_sub", 0).system)
    x, y = source_plane(system, spec, border=2)
    assert x.shape == (2, 2, 68, 68) and np.isfinite(x).all()
    # an isothermal halo pulls every ray by theta_E towards its centre
    edge = 33.75 * spec.instrument.pixel_scale
    assert x[1, 1, 34, -1] == pytest.approx(edge - system.lens_theta_e, abs=0.01)
    assert abs(y[1, 1, 34, -1]) < 0.1


@pytest.fixture(scope="module")
def clumpy(tmp_path_factory):
    """A lens whose source is a disc with clumps, and its specification."""
    folder = tmp_path_factory.mktemp("galaxies")
    generator = np.random.default_rng(0)
    y, x = np.mgrid[-40:41, -40:41]
    for number in range(12):
        picture = np.exp(-np.hypot(x, 1.5 * y) / 5)
        for _ in range(8):
            left, low = generator.normal(0, 6, 2)
            picture += 0.3 * np.exp(-((x - left) ** 2 + (y - low) ** 2) / 8)
        np.save(folder / f"{100 + number}.npy", picture)
    spec = load_spec("B", [f"source.images={{folder: {folder}, pixel_scale: 0.03}}"])
    return simulate(spec, "no_sub", 0), spec


def test_shapelets_fit_a_source_that_is_no_ellipse(clumpy):
    simulation, spec = clumpy
    plain = fit_image(simulation.image, spec)
    fitted = fit_image(simulation.image, spec, settings=FitSettings(source_order=8))
    assert plain.reduced_chi_square > 1.5 and plain.shapelets is None
    assert fitted.shapelets.order in (4, 8)
    assert len(fitted.amplitudes) == fitted.shapelets.count
    assert fitted.reduced_chi_square - 1 < 0.3 * (plain.reduced_chi_square - 1)
    off = [
        abs(each.parameters["lens_theta_e"] - simulation.system.lens_theta_e)
        for each in (fitted, plain)
    ]
    assert off[0] < max(off[1], 0.005)
    assert np.isfinite(fitted.errors).all() and (fitted.errors > 0).all()


def test_shapelets_stay_out_where_an_ellipse_is_enough():
    spec = load_spec("B")
    simulation = simulate(spec, "no_sub", 0)
    plain = fit_image(simulation.image, spec)
    fitted = fit_image(simulation.image, spec, settings=FitSettings(source_order=8))
    assert fitted.shapelets is None
    assert np.array_equal(fitted.residual, plain.residual)


def test_fits_without_shapelets_keep_their_identity():
    """An archive that was fitted before the setting is not fitted again."""
    spec = load_spec("B")
    assert "source_order" not in _identity(spec, FitSettings(), False)["fit_settings"]
    with_shapelets = _identity(spec, FitSettings(source_order=8), False)["fit_settings"]
    assert with_shapelets["source_order"] == 8
