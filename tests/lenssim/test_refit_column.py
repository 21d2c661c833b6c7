"""The column substructure_snr_refit, from the option of a command to the archive."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import lenssim
from lenssim.cli import main
from lenssim.reproduce import verify

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
        assert all("substructure_snr_refit" not in each for each in datasets.values())
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
    assert np.median([each.substructure_snr for each in simulations]) > 25
    assert np.median([each.substructure_snr_refit for each in simulations]) < 1.5


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
