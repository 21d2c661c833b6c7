"""From a folder of .npy files to a report, for each kind of set that people have."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from lensmodels.cli import main as lensmodels
from lensmodels.runs import read_config
from lenssim.cli import main as lenssim


def succeed(command, *words):
    result = CliRunner().invoke(command, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result


def lens(size, index):
    """A ring with a lump on it and noise, between 0 and 1 as DeepLense scales its images."""
    generator = np.random.default_rng(index)
    y, x = np.indices((size, size)) / size - 0.5
    ring = np.exp(-(((np.hypot(x, y) - 0.25) / 0.05) ** 2))
    ring *= 1 + 0.5 * np.cos(np.arctan2(y, x) - generator.uniform(0, 2 * np.pi))
    image = ring + 0.02 * generator.normal(size=(size, size))
    return (image - image.min()) / np.ptp(image)


def save_pickled(path, image, mass):
    """An image with its axion mass, as the axion files of Model I to IV are."""
    objects = np.empty(2, dtype=object)
    objects[:] = [image, mass]
    np.save(path, objects, allow_pickle=True)


def make_set(root, folders, size, count, *, axes=0, masses=False):
    for place, folder in enumerate(folders):
        (root / folder).mkdir(parents=True)
        for index in range(count):
            image = lens(size, 1000 * place + index)[(None,) * axes]
            path = root / folder / f"{folder}_sim_{index}.npy"
            if masses and folder == "axion":
                save_pickled(path, image, 10 ** (-24 + 2 * index / count))
            else:
                np.save(path, image)
    return root


def imported_and_trained(root, source, *words):
    """Imports a folder and trains on it with the commands alone; the archive and the run."""
    archive, run = root / "archive", root / "run"
    succeed(lenssim, "import-deeplense", source, "--split", 0.25, "--out", archive)
    succeed(
        *(lensmodels, "train", "--data", archive, "--encoder", "test_resnet"),
        *("--finetune-epochs", 1, "--batch-size", 8, "--workers", 0, *words, "--out", run),
    )
    return archive, run


def outcome(run):
    metrics = json.loads((run / "metrics.json").read_text())
    return metrics, (run / "report.html").read_text()


@pytest.fixture(scope="module")
def students(tmp_path_factory):
    """The set of the DeepLense tests: no/, sphere/ and vort/, 1 x 150 x 150, no masses."""
    root = tmp_path_factory.mktemp("students")
    source = make_set(root / "source", ("no", "sphere", "vort"), 150, 8, axes=1)
    return imported_and_trained(root, source)


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory):
    root = tmp_path_factory.mktemp("two")
    source = make_set(root / "source", ("no_sub", "cdm"), 32, 16)
    return imported_and_trained(root, source)


def test_a_set_of_the_students_becomes_a_report(students):
    _, run = students
    metrics, page = outcome(run)
    assert (metrics["n_train"], metrics["n_test"]) == (18, 6)
    assert metrics["macro_auc"] is not None
    assert metrics["auc_by_snr"] == []
    assert metrics["unknown"] == ["substructure_snr", "axion_mass"]
    assert "does not state the S/N of the substructure" in page
    assert "does not state the axion masses" in page
    assert not re.search(r"\bnan\b", re.sub('data:image[^"]*', "", page), re.IGNORECASE)
    assert {path.stem for path in (run / "plots").iterdir()} >= {"roc", "confusion", "calibration"}
    assert not (run / "plots" / "auc_by_snr.png").exists()
    assert read_config(run).data.num_pix == 150
    succeed(lensmodels, "evaluate", run)


def test_masses_that_no_file_holds_are_missed_before_the_training(students, tmp_path):
    archive, _ = students
    result = CliRunner().invoke(
        lensmodels,
        ["train", "--data", str(archive), "--task", "axion-mass", "--out", str(tmp_path / "run")],
    )
    assert result.exit_code == 1
    assert "does not state the axion mass of 6 of 6 images of train/axion" in result.stderr
    assert not (tmp_path / "run").exists()


def test_pickled_files_with_masses_become_reports_of_both_tasks(tmp_path):
    source = make_set(tmp_path / "Model_I", ("axion", "cdm", "no_sub"), 32, 12, masses=True)
    archive, run = imported_and_trained(tmp_path, source)
    metrics, page = outcome(run)
    assert metrics["unknown"] == ["substructure_snr"]
    assert "does not state the axion masses" not in page
    mass = ["--task", "axion-mass", "--encoder", "test_resnet", "--finetune-epochs", 1]
    succeed(
        *(lensmodels, "train", "--data", archive, *mass, "--batch-size", 4, "--workers", 0),
        *("--out", tmp_path / "mass"),
    )
    metrics, page = outcome(tmp_path / "mass")
    assert metrics["n_test"] == 3
    assert metrics["rmse_dex"] > 0
    assert "is not known, as they were imported" in page


def test_two_classes_become_a_report(two_classes):
    _, run = two_classes
    metrics, page = outcome(run)
    assert list(metrics["auc"]) == ["cdm", "no_sub"]
    assert metrics["macro_auc"] == pytest.approx(metrics["auc"]["cdm"])
    assert np.array(metrics["confusion"]).shape == (2, 2)
    assert np.sum(metrics["confusion"]) == metrics["n_test"] == 8
    assert "axion vortex" not in page
    assert read_config(run).task.classes == ("cdm", "no_sub")
    predictions = pd.read_csv(run / "predictions.csv")
    np.testing.assert_allclose(predictions["p_cdm"] + predictions["p_no_sub"], 1, atol=1e-5)


def test_two_classes_are_predicted(two_classes, tmp_path):
    archive, run = two_classes
    np.save(tmp_path / "new.npy", np.stack([lens(32, 7), lens(32, 8)]))
    succeed(
        lensmodels, "predict", run, tmp_path / "new.npy", archive, "--out", tmp_path / "new.csv"
    )
    table = pd.read_csv(tmp_path / "new.csv")
    assert [name for name in table if name.startswith("p_")] == ["p_cdm", "p_no_sub"]
    assert len(table) == 2 + 32
    expected = np.where(table["p_cdm"] > table["p_no_sub"], "cdm", "no_sub")
    assert list(table["class"]) == list(expected)


def test_two_classes_are_pretrained_on(two_classes, tmp_path):
    archive, _ = two_classes
    succeed(
        *(lensmodels, "train", "--data", archive, "--method", "simsiam", "--workers", 0),
        *("--encoder", "test_resnet", "--pretrain-epochs", 1, "--finetune-epochs", 1),
        *("--batch-size", 8, "--out", tmp_path / "run"),
    )
    metrics, _ = outcome(tmp_path / "run")
    assert metrics["macro_auc"] is not None


def test_images_of_96_pixels_need_no_setting(tmp_path):
    source = make_set(tmp_path / "source", ("axion", "cdm", "no_sub"), 96, 8)
    _, run = imported_and_trained(tmp_path, source)
    metrics, _ = outcome(run)
    assert metrics["n_test"] == 6
    config = read_config(run)
    assert config.data.num_pix == config.measured.num_pix == 96
