"""The coarse measurement that a selection decides by, and the column substructure_snr_refit."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import lenssim
from lenssim.cli import main
from lenssim.rendering import PixelNoise
from lenssim.reproduce import verify
from lenssim.simulation import brightest_pixels_snr, measure_arc, render, simulate, simulate_many
from lenssim.spec import load_spec

CLASSES = ["axion", "cdm", "no_sub"]


def load_benchmark():
    file = Path(__file__).parents[2] / "benchmarks" / "refit_snr.py"
    spec = spec_from_file_location("refit_snr", file)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refit") / "B"
    return lenssim.generate("B", CLASSES, train=2, test=2, out=folder)


def test_column_is_known_where_it_was_asked_for(generated):
    for name, is_expected in (("axion", np.greater), ("cdm", np.greater), ("no_sub", np.equal)):
        values = generated.dataset("test", name).substructure_snr_refit.values
        assert is_expected(values, 0.0).all()
        raw = generated.dataset("test", name).substructure_snr.values
        assert (values <= raw * (1 + 1e-6)).all()
        assert np.isnan(generated.dataset("train", name).substructure_snr_refit.values).all()


def test_column_is_reproduced(generated):
    found = verify(str(generated.location), deep=2, seed=0)
    assert not found.problems
    assert found.images == 12


def test_info_shows_percentiles(generated):
    url = str(generated.location)
    shown = CliRunner().invoke(main, ["info", url])
    assert "S/N after a refit" in " ".join(shown.output.replace("│", " ").split())
    values = json.loads(CliRunner().invoke(main, ["info", "--json", url]).output)
    assert set(values["substructure_snr_refit"]) == {"test/axion", "test/cdm"}
    percentiles = values["substructure_snr_refit"]["test/cdm"]
    assert percentiles["5%"] <= percentiles["50%"] <= percentiles["95%"]


@pytest.mark.parametrize(
    ("choice", "splits"), [("none", None), ("test", {"test"}), ("all", {"train", "test"})]
)
def test_option_chooses_the_images(tmp_path, choice, splits):
    command = f"generate --model B --class cdm --train 1 --test 1 --refit-snr {choice}"
    outcome = CliRunner().invoke(main, [*command.split(), "--out", str(tmp_path / "out")])
    assert outcome.exit_code == 0, outcome.output
    archive = lenssim.open_archive(tmp_path / "out")
    datasets = {split: archive.dataset(split, "cdm") for split in ("train", "test")}
    if splits is None:
        assert all("substructure_snr_refit" not in dataset for dataset in datasets.values())
        return
    known = {
        split
        for split, dataset in datasets.items()
        if np.isfinite(dataset.substructure_snr_refit.values).all()
    }
    assert known == splits


def test_old_specifications_have_no_such_column():
    spec = lenssim.load_spec("B-deeplense")
    assert spec.observation.refit_snr == "none"
    assert "refit_snr" not in spec.model_dump()["observation"]


def test_short_vortex_disappears_in_a_refit():
    """At 1e-23 eV the vortex of B is a point mass in the middle, but for less than the noise."""
    spec = lenssim.load_spec("B", ["substructure.axion.axion_mass=1e-23"])
    simulations = [lenssim.simulate(spec, "axion", i, split="test") for i in range(8)]
    assert np.median([simulation.substructure_snr for simulation in simulations]) > 25
    assert np.median([simulation.substructure_snr_refit for simulation in simulations]) < 1.5


@pytest.mark.parametrize(
    "image",
    [
        ("B", "cdm", 1),
        *(
            pytest.param((model, name, index), marks=pytest.mark.slow)
            for model, name, index in [("A", "cdm", 0), ("A", "axion", 3), ("B", "axion", 11)]
        ),
    ],
)
def test_estimate_is_what_a_fit_leaves(image):
    """The small version of benchmarks/refit_snr.py."""
    raw, estimate, fitted = load_benchmark().compare(image)
    assert fitted > 3
    assert estimate < raw
    assert estimate == pytest.approx(fitted, rel=0.1)


SMALL = ["instrument.num_pix=40", "selection.theta_0=[0.6, 1.2]"]


def test_snr_is_that_of_the_best_number_of_pixels():
    generator = np.random.default_rng(0)
    arc = generator.exponential(1.0, (6, 6))
    noise = PixelNoise(0.3, 100.0)
    variance = 0.3 + arc / 100.0
    order = np.argsort(-(arc / np.sqrt(variance)), axis=None)
    expected = max(
        arc.ravel()[order[:k]].sum() / np.sqrt(variance.ravel()[order[:k]].sum())
        for k in range(1, 37)
    )
    assert brightest_pixels_snr(arc, arc, noise) == pytest.approx(expected, rel=1e-12)


def test_coarse_numbers_are_those_of_the_image():
    spec = load_spec("A-wide", SMALL)
    system = simulate(spec, "no_sub", 0).system
    image = render(system, spec)
    unlensed = 10 ** (-0.4 * (system.source_magnitude - spec.instrument.zero_point))
    magnification, snr = measure_arc(system, spec)
    assert magnification == pytest.approx(image.sum() / unlensed, rel=0.05)
    assert (magnification, snr) == (system.magnification, system.arc_snr)
    bright = measure_arc(system, load_spec("A-wide", [*SMALL, "instrument.read_noise=400"]))
    assert bright[0] == magnification
    assert bright[1] < snr


def test_images_are_the_same_in_any_order_and_number():
    spec = load_spec("B-wide", SMALL)
    together = simulate_many(spec, 0, "train", "cdm", [0, 1])
    alone = simulate(spec, "cdm", 1)
    np.testing.assert_array_equal(together[1].image, alone.image)
    assert together[1].system.tries == alone.system.tries
