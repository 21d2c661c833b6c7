"""Lenses that vary as on the sky: what is drawn, and what the selection keeps."""

import numpy as np
import pytest
from astropy import constants, units
from astropy.cosmology import FlatLambdaCDM
from scipy import stats

from lenssim.archive.optional_columns import optional_columns
from lenssim.errors import SpecError, UsageError
from lenssim.population import draw_system, random_stream, selection
from lenssim.population.lens_and_source import draw_smooth_lens
from lenssim.spec import load_spec

WIDE = ["A-wide", "B-wide", "B-faithful"]
COSMOLOGY = FlatLambdaCDM(H0=70.0, Om0=0.3, Ob0=0.05)


def pass_all(system, spec):
    return 10.0, 100.0


def draw(name, index, spec, measure_arc=pass_all):
    stream = random_stream(0, spec.name, "train", name, index, "population")
    return draw_system(spec, name, stream, measure_arc)


@pytest.fixture(scope="module")
def lenses():
    generator = np.random.default_rng(0)
    spec = load_spec("B-wide")
    return [draw_smooth_lens(spec, generator) for _ in range(1500)]


def test_mass_inside_the_einstein_radius_is_astropys(lenses):
    for lens in lenses[:5]:
        z_lens, z_source = lens.fields["lens_redshift"], lens.fields["source_redshift"]
        near = COSMOLOGY.angular_diameter_distance(z_lens)
        far = COSMOLOGY.angular_diameter_distance(z_source)
        between = COSMOLOGY.angular_diameter_distance(z_lens, z_source)
        critical = constants.c**2 / (4 * np.pi * constants.G) * far / (near * between)
        radius = near * (lens.theta_0 * units.arcsec).to_value(units.radian)
        mass = (np.pi * radius**2 * critical).to_value(units.Msun)
        assert lens.total_mass == pytest.approx(mass, rel=1e-9)


def test_redshifts_follow_their_priors_and_their_order(lenses):
    z_lens = np.array([lens.fields["lens_redshift"] for lens in lenses])
    z_source = np.array([lens.fields["source_redshift"] for lens in lenses])
    assert np.all(z_source > z_lens + 0.2)
    low, high = stats.lognorm(0.55, scale=0.64).cdf([0.1, 2.0])
    uniform = (stats.lognorm(0.55, scale=0.64).cdf(z_lens) - low) / (high - low)
    assert stats.kstest(uniform, "uniform").pvalue > 0.01


def test_sources_are_uniform_in_the_disc_of_the_einstein_radius(lenses):
    fields = [lens.fields for lens in lenses]
    x = np.array([system["source_x"] - system["lens_x"] for system in fields])
    y = np.array([system["source_y"] - system["lens_y"] for system in fields])
    theta_0 = np.array([lens.theta_0 for lens in lenses])
    assert stats.kstest((x**2 + y**2) / theta_0**2, "uniform").pvalue > 0.01
    assert stats.kstest(np.arctan2(y, x) / (2 * np.pi) + 0.5, "uniform").pvalue > 0.01


def test_source_ellipticities_are_those_of_axis_ratio_and_angle(lenses):
    modulus = np.hypot(
        [lens.fields["source_e1"] for lens in lenses], [lens.fields["source_e2"] for lens in lenses]
    )
    flattening = 1.0 - (1.0 - modulus) / (1.0 + modulus)
    kept = stats.rayleigh(scale=0.3).cdf(0.8)
    assert stats.kstest(flattening, lambda x: stats.rayleigh(scale=0.3).cdf(x) / kept).pvalue > 0.01


@pytest.mark.parametrize("model", WIDE)
def test_what_is_kept_passes_the_cuts(model):
    spec = load_spec(model)
    for index in range(20):
        system = draw(("axion", "cdm", "no_sub")[index % 3], index, spec)
        low, high = spec.selection.theta_0
        assert low <= system.smooth_theta_e <= high
        assert np.hypot(system.lens_e1, system.lens_e2) <= 0.4
        assert np.hypot(system.lens_gamma1, system.lens_gamma2) <= 0.2
        assert system.tries >= 1
        assert len(system.subhalo_mass) <= spec.subhalo_bound
        assert system.ring_radius == system.smooth_theta_e


def test_f_sub_is_that_of_the_mass_inside_the_einstein_radius():
    spec = load_spec("B-wide", ["substructure.f_sub=0.02"])
    fractions, counts = [], []
    for index in range(150):
        system = draw("cdm", index, spec)
        radius = np.hypot(system.subhalo_x - system.lens_x, system.subhalo_y - system.lens_y)
        assert radius.max() <= 3 * system.smooth_theta_e * (1 + 1e-12)
        inside = radius < system.smooth_theta_e
        # masses go as squares of Einstein radii
        squared = (system.subhalo_theta_e[inside] ** 2).sum()
        fractions.append(squared / system.smooth_theta_e**2)
        counts.append(inside.mean())
    error = np.std(fractions) / np.sqrt(len(fractions))
    assert abs(np.mean(fractions) - 0.02) < 3 * error
    assert np.mean(counts) == pytest.approx(1 / 9, rel=0.05)


@pytest.mark.parametrize("substructure_class", ["axion", "cdm", "no_sub"])
def test_every_class_says_which_f_sub_was_drawn(substructure_class):
    values = (0.003, 0.01, 0.03)
    spec = load_spec("B-wide", [f"substructure.f_sub={{choice: {list(values)}}}"])
    systems = [draw(substructure_class, index, spec) for index in range(30)]
    assert {system.f_sub for system in systems} == set(values)
    assert "f_sub" in optional_columns(spec)
    assert "f_sub" not in optional_columns(load_spec("B-wide", ["substructure.f_sub=0.01"]))
    if substructure_class == "axion":
        for system in systems:
            fraction = system.substructure_mass / system.einstein_mass
            assert fraction == pytest.approx(system.f_sub)


def test_vortex_and_subhalos_have_the_same_prior_of_mass():
    spec = load_spec("A-wide")
    fractions = [
        system.substructure_mass / system.einstein_mass
        for system in (draw("axion", index, spec) for index in range(300))
    ]
    assert stats.kstest(fractions, stats.loguniform(0.003, 0.03).cdf).pvalue > 0.01


def test_concentrations_scatter_about_their_relation():
    system = draw("cdm", 0, load_spec("A-wide", ["substructure.f_sub=0.02"]))
    mass, z = system.subhalo_mass, system.lens_redshift
    # Dutton & Maccio 2014, eq. 10 and 11
    slope, offset = -0.101 + 0.026 * z, 0.520 + 0.385 * np.exp(-0.617 * z**1.21)
    median = offset + slope * np.log10(mass * 0.7 / 1e12)
    residual = (np.log10(system.subhalo_concentration) - median) / 0.2
    assert stats.kstest(residual, "norm").pvalue > 0.01
    assert stats.kstest(system.subhalo_truncation, stats.uniform(3, 7).cdf).pvalue > 0.01


def test_an_image_is_drawn_again_from_its_own_stream():
    spec = load_spec("B-wide")
    first = draw("cdm", 3, spec)
    [draw("cdm", index, spec) for index in (7, 1)]
    again = draw("cdm", 3, spec)
    assert first.tries == again.tries
    np.testing.assert_array_equal(first.subhalo_x, again.subhalo_x)


def test_tries_count_the_lenses_that_were_rejected():
    spec = load_spec("A-wide", ["selection.theta_0=null", "selection.mean_subhalos_max=10000"])
    magnifications = iter([1.0, 2.0, 5.0])

    def measure(system, spec):
        return next(magnifications), 50.0

    system = draw("no_sub", 0, spec, measure)
    assert system.tries == 3
    assert (system.magnification, system.arc_snr) == (5.0, 50.0)


def test_a_selection_that_keeps_nothing_names_its_cut(monkeypatch):
    monkeypatch.setattr(selection, "MAX_TRIES", 100)
    spec = load_spec("B-wide", ["selection.theta_0=[3.1, 3.2]"])
    with pytest.raises(SpecError, match=r"none of 100 lenses .* selection.theta_0 rejects"):
        draw("no_sub", 0, spec)
    spec = load_spec("A-wide", ["selection.magnification_min=50"])
    with pytest.raises(SpecError, match=r"selection.magnification_min rejects"):
        draw("no_sub", 0, spec)


def test_cuts_on_light_need_a_measurement():
    with pytest.raises(UsageError, match="give draw_system a measure_arc"):
        draw("no_sub", 0, load_spec("A-wide"), None)


def test_a_lens_without_a_source_behind_it_is_refused():
    overrides = [
        "lens.redshift=2.8999",
        "source.redshift={after_redshift: {gap: 0.0, uniform: [0.5, 2.9]}}",
    ]
    with pytest.raises(SpecError, match=r"none of 1000 draws is above 2\.9"):
        draw("no_sub", 0, load_spec("A-wide", overrides))
