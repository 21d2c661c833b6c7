"""Archives of telescope images: pretrained on, embedded and predicted, never scored."""

import csv
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from click.testing import CliRunner

from lensmodels.cli import main as lensmodels
from lensmodels.evaluation.out_of_distribution import OUTSIDE
from lenssim.cli import main as lenssim

pytestmark = pytest.mark.usefixtures("plain_pictures")

COUNT = 24
REAL = Path(os.environ.get("LENSSIM_REAL_IMAGES", Path(__file__).parents[4] / "shared" / "real"))
"""Public files of telescopes, which are not part of the project."""

needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="no folder of real images")


def invoke(command, *words):
    return CliRunner().invoke(command, [str(word) for word in words])


def succeed(command, *words):
    result = invoke(command, *words)
    assert result.exit_code == 0, result.output
    return result


def refusal(*words):
    """The one sentence of a command that fails."""
    result = invoke(lensmodels, *words)
    assert result.exit_code in (1, 2), result.output
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    return line


def write_cutout(file, index):
    """A ring with noise as a survey hands it out."""
    generator = np.random.default_rng(index)
    y, x = np.mgrid[:72, :72] - 35.5
    ring = np.exp(-0.5 * ((np.hypot(x, y) - generator.uniform(9, 14)) / 2) ** 2)
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRPIX1"] = header["CRPIX2"] = 36.5
    header["CRVAL1"], header["CRVAL2"] = 50 + 0.01 * index, -30.0
    header["CD1_1"], header["CD2_2"] = -0.101 / 3600, 0.101 / 3600
    header["MAGZERO"] = 25.72
    image = ring + generator.normal(0, 0.02, ring.shape)
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(image.astype(np.float32), header, name="VIS_BGSUB"),
            fits.ImageHDU(np.full(ring.shape, 0.02, np.float32), name="VIS_RMS"),
        ]
    ).writeto(file)


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """An archive of cutouts, which has no labels."""
    root = tmp_path_factory.mktemp("survey")
    (root / "q1").mkdir()
    for index in range(COUNT):
        write_cutout(root / "q1" / f"{index:02}.fits", index)
    succeed(lenssim, "import-cutouts", root / "q1", "--band", "VIS", "--out", root / "archive")
    return root / "archive"


@pytest.fixture(scope="module")
def pretrained(survey, tmp_path_factory):
    run = tmp_path_factory.mktemp("pretrained") / "run"
    succeed(
        *(lensmodels, "pretrain", "--data", survey, "--method", "simsiam", "--workers", 0),
        *("--encoder", "test_resnet", "--pretrain-epochs", 1, "--batch-size", 8, "--device", "cpu"),
        *("--set", "data.validation_fraction=0.25", "--out", run),
    )
    return run


@pytest.fixture(scope="module")
def trained(held_out):
    run, _ = held_out("classification")
    return run


def test_a_pretraining_without_labels_measures_no_class(pretrained):
    [log] = pretrained.glob("logs/**/metrics.csv")
    with log.open() as lines:
        rows = list(csv.DictReader(lines))
    assert any(row["embedding_rank"] for row in rows)
    assert not any(row.get("knn_macro_auc") or row.get("linear_macro_auc") for row in rows)


def test_every_cutout_is_embedded_with_the_label_of_none(pretrained, survey, tmp_path):
    out = tmp_path / "embeddings.parquet"
    succeed(lensmodels, "embed", pretrained, "--data", survey, "--out", out, "--device", "cpu")
    table = pd.read_parquet(out)
    assert len(table) == COUNT
    assert set(table["label"]) == {-1}
    assert set(table["class"]) == {"unlabelled"}
    assert list(table["sample"]) == list(range(COUNT))
    assert np.isfinite(np.stack(table["embedding"])).all()


def test_cutouts_unlike_the_training_images_have_no_class(trained, survey, tmp_path):
    out = tmp_path / "classes.csv"
    result = succeed(lensmodels, "predict", trained, survey, "--out", out, "--device", "cpu")
    table = pd.read_csv(out)
    assert len(table) == COUNT
    assert set(table["class"]) == {OUTSIDE}
    assert table["p_cdm"].isna().all()
    assert not table["in_distribution"].any()
    assert f"{COUNT} of {COUNT} images are {OUTSIDE}" in result.stderr
    assert not {"label", "macro_auc"} & set(table)


@pytest.mark.parametrize("split", ["train", "test"])
def test_nothing_is_learned_from_or_scored_on_images_without_labels(
    split, pretrained, trained, survey, tmp_path
):
    commands = {
        "train": [
            ("train", "--data", survey, "--out", tmp_path / "run"),
            ("train", "--data", survey, "--method", "byol", "--out", tmp_path / "run"),
            ("finetune", "--from", pretrained, "--data", survey, "--out", tmp_path / "run"),
            (*("train", "--data", survey, "--task", "axion-mass"), "--out", tmp_path / "run"),
        ],
        "test": [("evaluate", trained, "--data", survey, "--out", tmp_path / "test")],
    }
    for words in commands[split]:
        assert "telescope images have no labels" in refusal(*words)
    assert not any(tmp_path.iterdir())


@needs_real
def test_a_euclid_cutout_is_predicted_from_its_archive_as_from_its_file(
    trained, make_run, contract, tmp_path
):
    archive, classes = tmp_path / "archive", tmp_path / "classes.csv"
    succeed(lenssim, "import-cutouts", REAL / "euclid_q1", "--band", "VIS", "--out", archive)
    succeed(lensmodels, "predict", trained, archive, "--out", classes)
    [row] = pd.read_csv(classes).to_dict("records")
    assert row["class"] == OUTSIDE
    run = make_run(name="with-contract", contract=contract)
    [file] = (REAL / "euclid_q1").glob("*.fits")
    predicted = []
    for given in ([archive], [file, "--band", "VIS"]):
        succeed(lensmodels, "predict", run, *given, "--out", classes, "--overwrite")
        predicted.append(pd.read_csv(classes)[["p_axion", "p_cdm", "p_no_sub"]].to_numpy())
    np.testing.assert_allclose(predicted[0], predicted[1], atol=1e-5)
    assert np.ptp(predicted[0]) > 1e-3
