"""Runs of the task set-level, on an archive of few images."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import lenssim
from lensmodels.cli import main
from lensmodels.runs import load_encoder, read_config
from lenssim.archive import open_archive

UNIVERSES = (
    "substructure.f_sub={choice: [0.01, 0.03]}",
    "substructure.axion.axion_mass=1e-24",
    "observation.refit_snr=test",
)
SETTINGS = ["task.set_sizes=[1, 2, 50]", "data.validation_fraction=0.4"]


def command(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def universes(tmp_path_factory):
    out = tmp_path_factory.mktemp("universes") / "B"
    lenssim.generate("B-wide", out=out, train=30, test=20, overrides=UNIVERSES)
    return out


@pytest.fixture(scope="module")
def classifier(make_run):
    return make_run(name="classifier")


@pytest.fixture(scope="module")
def words(universes, classifier):
    changed = [word for setting in SETTINGS for word in ("--set", setting)]
    return ["--data", universes, "--task", "set-level", "--finetune-epochs", 1, *changed]


@pytest.fixture(scope="module")
def finished(words, classifier, tmp_path_factory):
    run = tmp_path_factory.mktemp("sets") / "run"
    result = command("finetune", "--from", classifier, *words, "--workers", 0, "--out", run)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{run / 'report.html'}\n"
    assert result.stderr.splitlines()[-1].startswith("sets of 2 images tell axion from none")
    return run


def test_a_run_scores_every_universe_by_the_size_of_the_sets(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert (metrics["task"], metrics["sizes"], metrics["left_out"]) == ("set-level", [1, 2], [50])
    keys = [(row["size"], row["class"], round(row["f_sub"], 4)) for row in metrics["scores"]]
    assert keys == [
        (size, name, f_sub)
        for size in (1, 2)
        for name in ("axion", "cdm")
        for f_sub in (0.01, 0.03)
    ]
    for row in metrics["scores"]:
        assert 0 <= row["set_auc"] <= 1 and 0 <= row["sum_auc"] <= 1
        assert 0.5 <= row["bound"] <= 1
    assert {row["parameter"] for row in metrics["parameters"]} == {"f_sub"}
    page = (finished / "report.html").read_text()
    assert "AUC against sets without substructure" in page
    assert "Sets of 50 images are left out" in page


def test_the_encoder_stays_as_it_was(finished, classifier, universes, tmp_path):
    encoder, scaling = load_encoder(finished)
    expected, _ = load_encoder(classifier)
    images = torch.from_numpy(open_archive(universes).dataset("test", "cdm")["image"].values)
    with torch.inference_mode():
        scaled = scaling(images[:, None])
        torch.testing.assert_close(encoder(scaled), expected(scaled))
    out = tmp_path / "features.parquet"
    assert command("embed", finished, "--data", universes, "--out", out).exit_code == 0


def test_commands_for_single_images_say_what_the_run_is_of(finished, tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((2, 64, 64), np.float32))
    for words in (["evaluate", finished], ["predict", finished, tmp_path / "images.npy"]):
        out = ["--out", tmp_path / "out.csv"] if words[0] == "predict" else []
        result = command(*words, *out)
        assert result.exit_code == 2
        assert "learned of sets of images" in result.output


def test_a_finished_run_is_not_trained_again(finished):
    before = (finished / "set_model.safetensors").stat().st_mtime_ns
    result = command("finetune", "--resume", "--out", finished)
    assert result.exit_code == 0, result.output
    assert (finished / "set_model.safetensors").stat().st_mtime_ns == before


@pytest.mark.slow
def test_without_another_run_the_encoder_learns_from_single_images_first(words, tmp_path):
    tiny = ["--encoder", "test_resnet", "--batch-size", 16, "--workers", 0]
    result = command("train", *words, *tiny, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    single = read_config(tmp_path / "run" / "single-images")
    assert single.task.name == "classification"
    own, expected = load_encoder(tmp_path / "run"), load_encoder(tmp_path / "run" / "single-images")
    for found, trained in zip(own[0].parameters(), expected[0].parameters(), strict=True):
        torch.testing.assert_close(found, trained)


def test_an_archive_that_does_not_state_f_sub_is_refused(lenses, classifier, tmp_path):
    varied = tmp_path / "varied"
    lenssim.generate(
        "B", out=varied, train=8, test=4, overrides=["substructure.f_sub={uniform: [0.01, 0.03]}"]
    )
    words = ["--data", varied, "--task", "set-level", "--out", tmp_path / "run"]
    result = command(
        "finetune", "--from", classifier, *words, "--set", "data.validation_fraction=0.5"
    )
    assert result.exit_code == 1
    assert "does not state f_sub" in result.output
