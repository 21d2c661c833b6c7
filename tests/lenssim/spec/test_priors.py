"""Priors against scipy's distributions, and what is refused in a sentence."""

import numpy as np
import pytest
from scipy import stats

from lenssim.spec import Prior

DRAWS = 4000


def prior(written):
    return Prior.model_validate(written)


def truncated(distribution, low, high):
    """Cumulative distribution of a scipy distribution inside a range."""
    first, last = distribution.cdf([low, high])
    return lambda x: (distribution.cdf(x) - first) / (last - first)


def velocity_function(low, high):
    """Choi et al. 2007: (sigma / sigma_star)^alpha exp(-(sigma / sigma_star)^beta) / sigma."""
    grid = np.linspace(low, high, 200_001)
    density = (grid / 161.0) ** 2.32 * np.exp(-((grid / 161.0) ** 2.67)) / grid
    integral = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]))])
    return lambda x: np.interp(x, grid, integral / integral[-1])


VELOCITIES = {"sigma_star": 161.0, "alpha": 2.32, "beta": 2.67, "low": 100.0, "high": 400.0}

CASES = {
    "truncated normal": (
        {"truncated_normal": [0.0, 0.1, -0.15, 0.4]},
        truncated(stats.norm(0.0, 0.1), -0.15, 0.4),
    ),
    "far tail": (
        {"truncated_normal": [0.0, 1.0, 9.0, 12.0]},
        stats.truncnorm(9.0, 12.0).cdf,
    ),
    "lognormal": ({"lognormal": [0.64, 0.55]}, stats.lognorm(0.55, scale=0.64).cdf),
    "truncated lognormal": (
        {"lognormal": [1.2, 0.3, 0.9, 4.0]},
        truncated(stats.lognorm(0.3, scale=1.2), 0.9, 4.0),
    ),
    "rayleigh": ({"rayleigh": [0.3]}, stats.rayleigh(scale=0.3).cdf),
    "truncated rayleigh": (
        {"rayleigh": [0.3, 0.2, 0.8]},
        truncated(stats.rayleigh(scale=0.3), 0.2, 0.8),
    ),
    "axis ratio": (
        {"rayleigh_flattening": [0.3, 0.2]},
        lambda q: 1.0 - truncated(stats.rayleigh(scale=0.3), 0.0, 0.8)(1.0 - q),
    ),
    "velocity function": ({"velocity_function": VELOCITIES}, velocity_function(100.0, 400.0)),
}


@pytest.mark.parametrize(("written", "cumulative"), CASES.values(), ids=CASES.keys())
def test_a_prior_draws_from_its_distribution(written, cumulative):
    generator = np.random.default_rng(1)
    one_by_one = [prior(written).draw(generator) for _ in range(DRAWS)]
    together = prior(written).draw_many(generator, DRAWS)
    for values in (one_by_one, together):
        assert stats.kstest(values, cumulative).pvalue > 0.01
        low, high = prior(written).support
        assert low <= np.min(values)
        assert np.max(values) <= high


@pytest.mark.parametrize("written", [case[0] for case in CASES.values()], ids=CASES.keys())
def test_a_prior_survives_its_own_text(written):
    parsed = prior(written)
    assert prior(parsed.model_dump()) == parsed
    assert next(iter(written)) in str(parsed)


def test_a_redshift_after_the_lens_follows_the_rest_of_its_distribution():
    parsed = prior({"after_redshift": {"gap": 0.2, "truncated_normal": [2.0, 0.4, 0.3, 6.0]}})
    generator = np.random.default_rng(2)
    values = [parsed.draw(generator, {"lens_redshift": 1.6}) for _ in range(DRAWS)]
    assert stats.kstest(values, truncated(stats.norm(2.0, 0.4), 1.8, 6.0)).pvalue > 0.01
    assert prior(parsed.model_dump()) == parsed


def test_sizes_follow_magnitudes():
    numbers = {"intercept": -0.82, "slope": -0.271, "reference": 25.0, "scatter_dex": 0.23}
    parsed = prior({"size_magnitude": {**numbers, "low": 0.03, "high": 0.6}})
    generator = np.random.default_rng(3)
    for magnitude, median in ((25.5, -0.82 - 0.5 * 0.271), (20.0, -0.82 + 5 * 0.271)):
        sizes = [parsed.draw(generator, {"source_magnitude": magnitude}) for _ in range(DRAWS)]
        expected = truncated(stats.norm(median, 0.23), np.log10(0.03), np.log10(0.6))
        assert stats.kstest(np.log10(sizes), expected).pvalue > 0.01


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("lens.e1={truncated_normal: [0, 0.1, -0.9, 0.4]}", ["lens.e1", "greater than -0.7"]),
        ("lens.e1={truncated_normal: [0, 0.1, 0.4]}", ["lens.e1", "[mean, sd, low, high]"]),
        ("lens.e1={truncated_normal: [0, 0.01, 0.5, 0.6]}", ["lens.e1", "within 30 sd"]),
        ("lens.e1={normal: [0, 0.1]}", ["lens.e1", "truncated_normal keeps draws in a range"]),
        ("source.n_sersic={lognormal: [-1, 0.3]}", ["source.n_sersic", "median > 0"]),
        ("source.n_sersic={rayleigh: [0.3, 2, 1]}", ["source.n_sersic", "low < high"]),
        ("lens.velocity_dispersion={velocity_function: [1, 2]}", ["{sigma_star, alpha, beta,"]),
        (
            "lens.redshift={after_redshift: {gap: 0.1, uniform: [0.1, 0.3]}}",
            ["lens.redshift", "a prior for source.redshift alone"],
        ),
        (
            "source.magnitude={size_magnitude: {intercept: 0, slope: 1, reference: 25, "
            "scatter_dex: 0.2, low: 20, high: 21}}",
            ["source.magnitude", "a prior for source.r_sersic alone"],
        ),
        (
            "source.redshift={after_redshift: {gap: 0.2, "
            "after_redshift: {gap: 0.1, uniform: [1, 2]}}}",
            ["source.redshift", "cannot hold after_redshift"],
        ),
        ("source.redshift={after_redshift: {gap: 0.2}}", ["a gap of at least 0"]),
        (
            "source.redshift={after_redshift: {gap: 0.2, uniform: [0.1, 0.6]}}",
            ["source.redshift = {after_redshift", "above lens.redshift = 0.5"],
        ),
        ("lens.redshift={uniform: [0.2, 1.2]}", ["source.redshift = 1", "in every draw"]),
        ("lens.velocity_dispersion=250", ["exactly one of lens.einstein_mass and"]),
        ("lens.einstein_mass=null", ["exactly one of lens.einstein_mass and"]),
        ("source.position={disc: 1}", ["source.x and source.y", "left out"]),
        ("source.position=middle", ["source.position", "x_y or {disc"]),
        ("source.axis_ratio=0.5", ["source.e1 and source.e2", "source.axis_ratio"]),
        ("substructure.cdm.profile=tnfw", ["needs concentration and truncation"]),
        ("substructure.cdm.truncation=0.01", ["truncation = 0.01", "at least 0.1"]),
        ("substructure.cdm.radius_max={einstein: 3}", ["radius_max", "{theta_0: number"]),
        ("selection={theta_0: [0.5, 40]}", ["selection.theta_0", "outside the field"]),
        ("selection={theta_0: [2, 1]}", ["theta_0 = [2, 1]", "smaller first"]),
        ("selection={arc_snr_min: -1}", ["arc_snr_min = -1", "at least 0"]),
        ("instrument.psf={gaussian: {fwhm: 0.1}}", ["exactly one of psf_fwhm and psf"]),
    ],
)
def test_an_impossible_prior_is_refused_in_one_sentence(check_refusal, override, words):
    check_refusal(override, words)
