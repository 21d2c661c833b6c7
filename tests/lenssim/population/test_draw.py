"""What is drawn, against the distributions that the physics asks for."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lenssim.cosmology import (
    de_broglie_wavelength,
    einstein_radius,
    lensing_geometry,
    velocity_dispersion,
)
from lenssim.errors import UsageError
from lenssim.population import draw_system, random_stream, subhalo_masses
from lenssim.spec import load_spec

SPEC = load_spec("B")
SPEC_1_0_0 = load_spec(Path(__file__).parents[1] / "specifications_1_0_0" / "B.yaml")
SYSTEMS = 600


def draw(name, index, spec=SPEC, seed=0, split="train"):
    stream = random_stream(seed, spec.name, split, name, index, "population")
    return draw_system(spec, name, stream)


@pytest.fixture(scope="module")
def cdm():
    return [draw("cdm", index) for index in range(SYSTEMS)]


@pytest.fixture(scope="module")
def axion():
    return [draw("axion", index) for index in range(4000)]


def test_mean_of_the_mass_function():
    assert SPEC.substructure.cdm.mean_mass == pytest.approx(8.98e7, rel=1e-3)


@pytest.mark.parametrize("slope", [-1.9, -0.9, -1.0, -2.0, 0.5])
def test_masses_follow_the_power_law(slope):
    spec = load_spec("B", [f"substructure.cdm.slope={slope}"])
    function = spec.substructure.cdm
    quantiles = np.random.default_rng(3).random(20_000)
    drawn = subhalo_masses(function, quantiles)
    low, high = function.mass_min, function.mass_max
    grid = np.geomspace(low, high, 20_001)
    density = grid ** (slope + 1)  # per unit log mass
    integral = np.concatenate([[0], np.cumsum(0.5 * (density[1:] + density[:-1]))])
    cumulative = np.interp(np.log(np.sort(drawn)), np.log(grid), integral / integral[-1])
    assert stats.kstest(cumulative, "uniform").pvalue > 0.01


def test_slope_of_the_mass_function(cdm):
    masses = np.concatenate([system.subhalo_mass for system in cdm])
    counts, edges = np.histogram(np.log10(masses), bins=np.arange(7.0, 9.01, 0.25))
    slope = np.polyfit(0.5 * (edges[1:] + edges[:-1]), np.log10(counts), 1)[0]
    assert slope == pytest.approx(-1.9 + 1, abs=0.02)


def test_counts_are_poisson(cdm):
    counts = np.array([len(system.subhalo_mass) for system in cdm])
    mean = 0.01 * 1e12 / SPEC.substructure.cdm.mean_mass
    edges = stats.poisson.ppf(np.arange(0.1, 1.0, 0.1), mean)
    observed = np.bincount(np.digitize(counts, edges, right=True), minlength=10)
    probability = np.diff(np.concatenate([[0], stats.poisson.cdf(edges, mean), [1]]))
    assert stats.chisquare(observed, probability * SYSTEMS).pvalue > 0.01


def test_positions_are_uniform_in_the_annulus(cdm):
    x = np.concatenate([system.subhalo_x for system in cdm])
    y = np.concatenate([system.subhalo_y for system in cdm])
    squared = x**2 + y**2
    inner, outer = 0.25**2, 2.5**2
    assert squared.min() >= inner * (1 - 1e-12)
    assert squared.max() <= outer * (1 + 1e-12)
    assert stats.kstest((squared - inner) / (outer - inner), "uniform").pvalue > 0.01
    assert stats.kstest(np.arctan2(y, x) / (2 * np.pi) + 0.5, "uniform").pvalue > 0.01


def test_source_positions_are_uniform(axion):
    for values in ([s.source_x for s in axion], [s.source_y for s in axion]):
        assert stats.kstest(values, stats.uniform(-0.35, 0.7).cdf).pvalue > 0.01


def test_log_axion_mass_and_angle_are_uniform(axion):
    masses = np.log10([system.axion_mass for system in axion])
    angles = [system.vortex_angle for system in axion]
    assert stats.kstest(masses, stats.uniform(-24, 2).cdf).pvalue > 0.01
    assert stats.kstest(angles, stats.uniform(0, np.pi).cdf).pvalue > 0.01


def test_vortex_length_is_the_de_broglie_wavelength(axion):
    geometry = lensing_geometry(SPEC)
    sigma_v = velocity_dispersion(einstein_radius(1e12, geometry), geometry)
    masses = np.array([system.axion_mass for system in axion])
    lengths = [system.vortex_length for system in axion]
    np.testing.assert_allclose(
        lengths, de_broglie_wavelength(masses, sigma_v, geometry), rtol=1e-12
    )


def test_mass_and_ring_do_not_tell_the_class(cdm, axion):
    for system in (*cdm[:50], *axion[:50], draw("no_sub", 0)):
        assert system.einstein_mass == 1e12
        assert system.ring_radius == draw("no_sub", 0).lens_theta_e


def test_mass_of_1_0_0_was_that_of_halo_and_substructure_together():
    for name in ("axion", "cdm", "no_sub"):
        system = draw(name, 0, SPEC_1_0_0)
        assert system.einstein_mass + system.substructure_mass == pytest.approx(1e12, rel=1e-12)
        assert system.lens_theta_e == pytest.approx(
            float(einstein_radius(system.einstein_mass, lensing_geometry(SPEC_1_0_0))), rel=1e-12
        )


def test_both_classes_hold_the_same_mass_on_average(cdm, axion):
    in_subhalos = np.array([system.substructure_mass for system in cdm])
    standard_error = in_subhalos.std() / np.sqrt(SYSTEMS)
    assert abs(in_subhalos.mean() - 1e10) < 3 * standard_error
    assert {system.substructure_mass for system in axion} == {1e10}


def test_einstein_radii_are_those_of_the_masses(cdm):
    geometry = lensing_geometry(SPEC)
    system = cdm[0]
    np.testing.assert_allclose(
        system.subhalo_theta_e, einstein_radius(system.subhalo_mass, geometry), rtol=1e-12
    )
    assert system.smooth_theta_e == pytest.approx(
        float(einstein_radius(system.einstein_mass, geometry)), rel=1e-12
    )
    assert system.smooth_theta_e == pytest.approx(1.6645, abs=1e-4)


def test_an_image_does_not_depend_on_what_was_drawn_before():
    before = draw("cdm", 7)
    [draw("cdm", index) for index in (3, 9, 1)]
    after = draw("cdm", 7)
    np.testing.assert_array_equal(before.subhalo_x, after.subhalo_x)
    assert before.source_x == after.source_x


def test_streams_differ_by_every_part_of_their_key():
    keys = [
        (0, "B", "train", "cdm", 0, "population"),
        (1, "B", "train", "cdm", 0, "population"),
        (0, "A", "train", "cdm", 0, "population"),
        (0, "B", "test", "cdm", 0, "population"),
        (0, "B", "train", "axion", 0, "population"),
        (0, "B", "train", "cdm", 1, "population"),
        (0, "B", "train", "cdm", 0, "noise"),
    ]
    first = {random_stream(*key).random() for key in keys}
    assert len(first) == len(keys)


def test_streams_are_frozen():
    # a change of the streams changes every data set ever made: it needs a new format version
    values = random_stream(0, "B", "train", "cdm", 5, "population").random(3)
    np.testing.assert_array_equal(
        values, [0.7625531465136319, 0.6152545932622442, 0.2387169070702564]
    )


def test_counts_stay_below_the_bound(cdm):
    assert max(len(system.subhalo_mass) for system in cdm) < SPEC.subhalo_bound


def test_deeplense_variant_draws_as_deeplense_does():
    spec = load_spec("B-deeplense")
    system = draw("cdm", 0, spec)
    assert len(system.subhalo_mass) == 25
    assert system.einstein_mass == 1e12
    radius = np.concatenate(
        [np.hypot(s.subhalo_x, s.subhalo_y) for s in (draw("cdm", i, spec) for i in range(200))]
    )
    assert stats.kstest(radius, stats.uniform(0.25, 1.75).cdf).pvalue > 0.01
    vortex = draw("axion", 0, spec)
    assert vortex.substructure_mass == 3e10
    assert vortex.vortex_length == pytest.approx(0.06 * 1e-22 / vortex.axion_mass)


def test_substructure_that_outweighs_the_lens_is_refused():
    heavy = ["substructure.f_sub=0.99", "substructure.cdm.mass_min=9e9"]
    spec = load_spec("B", [*heavy, "substructure.cdm.radius_max=1.5"])
    with pytest.raises(UsageError, match="f_sub"):
        for index in range(50):
            draw("cdm", index, spec)
