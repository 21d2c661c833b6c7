"""Plots of a run: residuals are right, and one that fails leaves a sentence in the report."""

import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import lenssim
from lensmodels.reporting import plots
from lensmodels.reporting.comparison_page import compare
from lensmodels.reporting.plots import images as image_plots
from lensmodels.reporting.run_page import evaluate
from lensmodels.reporting.run_plots import residuals
from lenssim.archive import open_archive


@pytest.fixture(scope="module")
def run(make_run):
    return make_run()


def umap_that(fails):
    """A stand-in for the package whose reducer fails."""

    class Reducer:
        def __init__(self, **_):
            fails()

    return SimpleNamespace(UMAP=Reducer)


def error():
    raise RuntimeError("cannot cache function 'rdist':\nno locator available.")


def warning():
    # as numba's and scikit-learn's do, and as an error where the user wants warnings to be
    warnings.warn("n_jobs value 1 overridden", UserWarning, stacklevel=2)
    raise UserWarning("n_jobs value 1 overridden")


@pytest.mark.parametrize(
    ("fails", "reason"),
    [
        (error, "RuntimeError: cannot cache function &#39;rdist&#39;: no locator available"),
        (warning, "UserWarning: n_jobs value 1 overridden"),
    ],
)
def test_umap_that_fails_leaves_a_sentence(run, monkeypatch, fails, reason):
    monkeypatch.setattr(image_plots, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "umap", umap_that(fails))
    found = evaluate(run)
    page = (run / "report.html").read_text()
    assert f"The plot Embedding could not be drawn ({reason})." in page
    assert not (run / "plots" / "embedding.png").exists()
    assert (run / "plots" / "roc.png").exists()
    assert found["macro_auc"] is not None


def test_sentence_goes_with_the_next_evaluation(run, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(plots, "draw_roc", lambda *_: error())
        evaluate(run)
    assert "The plot ROC curves could not be drawn" in (run / "report.html").read_text()
    evaluate(run)
    assert "could not be drawn" not in (run / "report.html").read_text()
    assert {file.suffix for file in (run / "plots").iterdir()} == {".png"}


@pytest.mark.parametrize(("task", "count"), [("classification", 7), ("axion-mass", 4)])
def test_metrics_and_report_are_written_without_any_plot(
    make_run, monkeypatch, tmp_path, task, count
):
    runs = [make_run(task, name=f"{task}-{number}", seed=number) for number in range(2)]
    for name in dir(plots):
        if name.startswith("draw_"):
            monkeypatch.setattr(plots, name, lambda *_, **__: error())
    for run in runs:
        evaluate(run)
        assert {path.name for path in run.iterdir()} >= {"metrics.json", "predictions.csv"}
        page = (run / "report.html").read_text()
        assert page.count("could not be drawn (RuntimeError") == count
    compared = compare(runs, tmp_path / "compared").read_text()
    assert "The plot scores could not be drawn (RuntimeError" in compared


def test_residuals_are_noise_without_substructure_and_more_with_it(lenses):
    table = pd.DataFrame(
        {"split": "test", "class": ["no_sub", "axion"], "sample": [2, 3], "label": [2, 0]}
    )
    archive = open_archive(lenses)
    images = np.stack(
        [
            archive.dataset(row["split"], row["class"])["image"][row["sample"]].to_numpy()
            for _, row in table.iterrows()
        ]
    )
    beyond = residuals(str(lenses), table, images)
    simulation = lenssim.simulate(archive.manifest.specification(), "no_sub", 2, split="test")
    np.testing.assert_allclose(beyond[0], images[0] - simulation.noise_free, atol=1e-3)
    assert np.abs(beyond[1]).max() > np.abs(beyond[0]).max()


def test_other_images_than_the_archive_simulates_have_none(lenses):
    table = pd.DataFrame({"split": ["test"], "class": ["cdm"], "sample": [0], "label": [1]})
    assert residuals(str(lenses), table, np.ones((1, 64, 64), np.float32)) is None


def test_images_of_a_simulator_have_residuals_too(small_model):
    table = pd.DataFrame({"split": ["test"], "class": ["no_sub"], "sample": [1], "label": [2]})
    spec = lenssim.load_spec(small_model)
    simulation = lenssim.simulate(spec, "no_sub", 1, split="test")
    beyond = residuals(f"live:{small_model}", table, simulation.image[None].astype(np.float32))
    np.testing.assert_allclose(beyond[0], simulation.image - simulation.noise_free, atol=1e-3)
