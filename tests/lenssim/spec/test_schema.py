"""Specifications: what is shipped, what is refused, and in which words."""

import math

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lenssim.configuration.yaml_reading import MAX_FILE_SIZE
from lenssim.errors import SpecError
from lenssim.spec import (
    Prior,
    load_spec,
    poisson_bound,
    shipped_specs,
    spec_from_mapping,
)

SHIPPED = ["A", "A-deeplense", "A-wide", "B", "B-deeplense", "B-faithful", "B-wide"]


def test_seven_specifications_are_shipped():
    assert shipped_specs() == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_specification_survives_yaml(name):
    spec = load_spec(name)
    again = spec_from_mapping(yaml.safe_load(spec.to_yaml()))
    assert again == spec
    assert again.sha256 == spec.sha256


def test_instruments_are_the_frozen_ones():
    a, b = load_spec("A").instrument, load_spec("B").instrument
    assert (a.pixel_scale, a.psf_fwhm, a.zero_point, a.exposure_time) == (0.08, 0.08, 25.96, 5400)
    assert (b.pixel_scale, b.psf_fwhm, b.zero_point, b.exposure_time) == (0.101, 0.16, 25.72, 566)
    assert (a.num_exposures, a.read_noise, a.gain) == (1, 4.0, 2.5)
    assert (b.num_exposures, b.read_noise, b.gain) == (4, 4.2, 3.1)


def test_hash_ignores_how_numbers_are_written(tmp_path):
    text = load_spec("B").to_yaml().replace("1000000000000.0", "1e12")
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert load_spec(path).sha256 == load_spec("B").sha256


def test_hash_sees_every_number():
    assert load_spec("B", ["instrument.read_noise=4.3"]).sha256 != load_spec("B").sha256


@pytest.mark.parametrize("number", ["-.2", "-0.2", "-2e-1", "-.2E0"])
def test_a_number_is_read_however_it_is_written(number):
    assert load_spec("B", [f"lens.gamma2={number}"]).lens.gamma2.support == (-0.2, -0.2)


def test_override_widens_a_prior():
    spec = load_spec("B", ["source.magnitude={uniform: [19, 22]}"])
    assert spec.source.magnitude.support == (19.0, 22.0)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("lens.einstein_mass=-1e12", ["lens.einstein_mass", "-1e+12", "greater than 0"]),
        ("source.redshift=0.4", ["source.redshift = 0.4", "above", "lens.redshift = 0.5"]),
        ("substructure.f_sub=1.0", ["substructure.f_sub = 1", "at least 0", "less than 1"]),
        ("substructure.f_sub=-0.1", ["substructure.f_sub = -0.1", "at least 0"]),
        ("instrument.num_pix=0", ["instrument.num_pix = 0", "at least 8 and at most 1024"]),
        ("instrument.num_pix=8.5", ["instrument.num_pix = 8.5", "a whole number"]),
        ("instrument.exposure_time=-1", ["exposure_time = -1", "greater than 0 seconds"]),
        ("instrument.psf_truncation=1e9", ["psf_truncation = 1e+09", "at most 10 standard"]),
        ("instrument.pixel_scale=1e-9", ["pixel_scale = 1e-09", "at least 0.001", "arcsec"]),
        ("observation.noise=maybe", ["observation.noise", "maybe", "true or false"]),
        ("cosmology.distances=flat", ["distances", "flat", "'angular_diameter' or"]),
        ("cosmology.Ob0=0.4", ["Ob0 = 0.4", "at most Om0 = 0.3"]),
        ("lens=5", ["lens = 5", "a section with the keys redshift, einstein_mass"]),
        ("lens.redshift=null", ["lens.redshift = null", "must be a number"]),
        ("source.x=null", ["source.x and source.y", "a number or a distribution"]),
        ("name=a/b", ["name = ", "a/b", "letters, digits, dots, hyphens and underscores"]),
        ("version=1.0", ["version = ", "a text, in quotes"]),
        ("version=one", ["version = ", "one", "three numbers, as in 1.0.0"]),
        ("instrument.pixelscale=0.1", ["did you mean instrument.pixel_scale", "psf_fwhm"]),
        ("lense=1", ["unknown key 'lense'", "did you mean lens?"]),
        ("f_sub=0.1", ["unknown key 'f_sub'", "did you mean substructure.f_sub?"]),
        ("source.x={unifrom: [0, 1]}", ["source.x", "unifrom", "{uniform: [low, high]}"]),
        ("source.x={uniform: [1, 0]}", ["source.x", "low < high"]),
        ("lens.e1={normal: [0, 1]}", ["lens.e1", "greater than -0.7"]),
        ("lens.redshift=.nan", ["lens.redshift", "finite"]),
        ("sampling.subsamples=2", ["sampling", "exactly one of tolerance and subsamples"]),
        ("substructure.f_sub=null", ["f_sub must be given"]),
        ("substructure.cdm.mass_min=1e11", ["mass_min", "1e+11", "below mass_max = 1e+10"]),
        ("substructure.cdm.mass_min=0.5", ["mass_min = 0.5", "at least 1", "solar masses"]),
        (
            "substructure.cdm.mass_min=3000",
            ["cdm.mass_min = 3000", "f_sub = 0.01", "lens.einstein_mass", "at most 100000"],
        ),
        ("substructure.cdm.count=200000", ["cdm.count = 200000", "at most 100000"]),
        ("substructure.cdm.radius_max=0.2", ["radius_min = 0.25", "below radius_max = 0.2"]),
        ("substructure.axion.mass=2e12", ["substructure.axion.mass", "lens.einstein_mass"]),
        ("name=../../x", ["name"]),
        ("f_sub", ["KEY=VALUE"]),
        ("lens.redshift.deep=1", ["lens.redshift.deep", "not a section"]),
        ("source.x=[", ["source.x", "not valid YAML"]),
    ],
)
def test_a_wrong_value_is_one_sentence_with_key_value_and_what_is_allowed(
    check_refusal, override, words
):
    check_refusal(override, words)


@pytest.mark.parametrize(
    ("count", "words"),
    [
        ("3", ["cdm.count = 3.0", "cdm.mass_min = 2e+12", "below lens.einstein_mass"]),
        ("null", ["cdm.mass_min = 2e+12", "below lens.einstein_mass"]),
    ],
)
def test_subhalos_that_outweigh_their_lens_are_refused(count, words):
    masses = ["substructure.cdm.mass_min=2e12", "substructure.cdm.mass_max=3e12"]
    overrides = [f"substructure.cdm.count={count}", *masses]
    with pytest.raises(SpecError) as caught:
        load_spec("B", overrides)
    for word in words:
        assert word in str(caught.value)
    load_spec("B", [*overrides, "substructure.ring_neutral=false"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a\n- b\n", "must be a mapping"),
        ("just words", "must be a mapping"),
        ("", "must be a mapping"),
        ("a: &a [1]\nb: *a\n", "aliases are not allowed"),
        ("name: x\nname: y\n", "given twice"),
        ("1: x\n", "unknown key '1'; the keys are name"),
        ("nane: x\nlens: {}\n", r"unknown key 'nane' \(did you mean name\?\)"),
        ("a: {b: ", "not valid YAML"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
        ("[" * 20_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_specification_is_refused(tmp_path, text, words):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=words):
        load_spec(path)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "picture.yaml"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\x00")
    with pytest.raises(SpecError, match="not a text file"):
        load_spec(path)


def test_a_folder_is_refused(tmp_path):
    for name in ("folder", "folder.yaml"):
        (tmp_path / name).mkdir()
        with pytest.raises(SpecError, match="cannot be read: Is a directory"):
            load_spec(tmp_path / name)


def test_a_yaml_bomb_does_not_expand(tmp_path):
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(levels))
    with pytest.raises(SpecError, match="aliases"):
        load_spec(path)


def test_a_huge_file_is_refused_unread(tmp_path):
    path = tmp_path / "huge.yaml"
    path.write_text("#" * (MAX_FILE_SIZE + 1))
    with pytest.raises(SpecError, match="larger than"):
        load_spec(path)


def test_a_name_that_is_not_shipped_lists_those_that_are():
    with pytest.raises(SpecError, match=", ".join(SHIPPED)):
        load_spec("C")


@pytest.mark.parametrize(
    ("prior", "distribution"),
    [
        ({"uniform": [-2, 3]}, stats.uniform(-2, 5)),
        ({"log_uniform": [1e-24, 1e-22]}, stats.loguniform(1e-24, 1e-22)),
        ({"normal": [1, 0.5]}, stats.norm(1, 0.5)),
    ],
)
def test_a_prior_draws_from_its_distribution(prior, distribution):
    generator = np.random.default_rng(0)
    drawn = [Prior.model_validate(prior).draw(generator) for _ in range(4000)]
    assert stats.kstest(drawn, distribution.cdf).pvalue > 0.01


def test_a_choice_is_even():
    generator = np.random.default_rng(0)
    prior = Prior.model_validate({"choice": [1, 2, 5]})
    drawn = [prior.draw(generator) for _ in range(3000)]
    assert stats.chisquare(np.unique(drawn, return_counts=True)[1]).pvalue > 0.01


@given(st.floats(0.01, 1e4))
def test_poisson_bound_is_beyond_reach_and_not_absurd(mean):
    bound = poisson_bound(mean)
    assert stats.poisson.sf(bound, mean) < 1e-15
    assert bound < mean + 12 * math.sqrt(mean) + 40


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(0, 2**32))
def test_a_draw_stays_in_its_support(low, width, seed):
    generator = np.random.default_rng(seed)
    for prior in ({"uniform": [low, low + width]}, {"normal": [low, width]}, low):
        parsed = Prior.model_validate(prior)
        assert parsed.support[0] <= parsed.draw(generator) <= parsed.support[1]
