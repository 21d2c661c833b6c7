"""Testing a run: what is written, that it is right, and that it is the same every time."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

import lenssim
from lensmodels.errors import DataError, LensmodelsError, UsageError
from lensmodels.evaluation.requests import evaluation_folder
from lensmodels.evaluation.testing import _Worst, score
from lensmodels.reporting.comparison_page import compare
from lensmodels.reporting.run_page import evaluate
from lensmodels.runs import load_model
from lenssim.archive import open_archive


@pytest.fixture(scope="module")
def classified(make_run):
    run = make_run()
    return run, evaluate(run, batch_size=7)


@pytest.fixture(scope="module")
def weighed(make_run):
    run = make_run("axion-mass", loss="gaussian-nll")
    return run, evaluate(run)


def test_metrics_have_the_keys_that_others_rely_on(classified, weighed):
    common = {"task", "method", "encoder", "n_train", "n_labels", "n_test", "ci95"}
    run, found = classified
    assert common | {"macro_auc", "auc", "accuracy"} <= set(found)
    assert len(found["ci95"]["macro_auc"]) == 2
    assert set(found["auc"]) == {"axion", "cdm", "no_sub"}
    assert (found["n_train"], found["n_labels"], found["n_test"]) == (114, 114, 24)
    assert json.loads((run / "metrics.json").read_text()) == found
    run, found = weighed
    assert common | {"rmse_dex", "mae_dex", "bias_dex", "r2", "by_mass"} <= set(found)
    assert sum(row["count"] for row in found["by_mass"]) == found["n_test"] == 8


def test_predictions_are_the_model_s_in_the_order_of_the_archive(classified, lenses):
    run, found = classified
    table = pd.read_csv(run / "predictions.csv")
    assert list(table)[:6] == [
        "split", "class", "sample", "label", "axion_mass", "substructure_snr",
    ]  # fmt: skip
    dataset = open_archive(lenses).dataset("test", "cdm")
    images = torch.from_numpy(dataset["image"].values)[:, None]
    with torch.inference_mode():
        expected = torch.softmax(load_model(run)(images), 1)
    cdm = table[table["class"] == "cdm"]
    np.testing.assert_allclose(cdm[["p_axion", "p_cdm", "p_no_sub"]], expected, atol=1e-5)
    assert list(cdm["sample"]) == list(dataset["sample"].values)
    np.testing.assert_allclose(cdm["substructure_snr"], dataset["substructure_snr"], rtol=1e-6)
    macro = roc_auc_score(
        table["label"], table[["p_axion", "p_cdm", "p_no_sub"]], multi_class="ovr"
    )
    assert found["macro_auc"] == pytest.approx(macro)


def test_the_mass_is_predicted_with_its_uncertainty(weighed):
    run, found = weighed
    table = pd.read_csv(run / "predictions.csv")
    assert set(table["class"]) == {"axion"}
    error = table["log10_mass"] - np.log10(table["axion_mass"])
    assert found["rmse_dex"] == pytest.approx(np.sqrt(np.mean(error**2)))
    assert found["coverage"]["pull"] == pytest.approx(
        np.sqrt(np.mean((error / table["log10_mass_sigma"]) ** 2))
    )


def test_a_posterior_is_tested_by_the_ranks_of_the_true_masses(make_run):
    run = make_run("axion-mass", head="posterior", name="posterior")
    tested, found = score(run)
    table = pd.read_csv(run / "predictions.csv")
    ends = table[["log10_mass_q05", "log10_mass_q50", "log10_mass_q95"]].to_numpy()
    assert (np.diff(ends) > 0).all()
    true = np.log10(table["axion_mass"])
    assert ((true < table["log10_mass_q50"]) == (table["log10_mass_rank"] < 0.5)).all()
    inside = (ends[:, 0] < true) & (true < ends[:, 2])
    levels = dict(zip(found["coverage"]["nominal"], found["coverage"]["observed"], strict=True))
    assert levels[0.9] == inside.mean()
    assert sum(found["posterior"]["ranks"]) == len(tested.table) == 8


def test_a_test_with_the_mean_over_symmetries_says_so(classified, tmp_path):
    run, plain = classified
    found = evaluate(run, out=tmp_path / "averaged", average_symmetries=True)
    assert (plain["average_symmetries"], found["average_symmetries"]) == (False, True)
    assert found["macro_auc"] != plain["macro_auc"]
    compare([run, tmp_path / "averaged"], tmp_path / "compared")
    warning = "averaged was tested with the mean over the eight symmetries"
    assert warning in (tmp_path / "compared" / "report.html").read_text()
    said = "each the mean of its eight symmetries"
    assert said in (tmp_path / "averaged" / "report.html").read_text()
    assert said not in (run / "report.html").read_text()


def test_the_same_run_gives_the_same_files(classified):
    run, _ = classified
    first = {name: (run / name).read_bytes() for name in ("metrics.json", "predictions.csv")}
    figures = {file.name: file.read_bytes() for file in (run / "plots").iterdir()}
    evaluate(run, batch_size=7)
    assert first == {name: (run / name).read_bytes() for name in first}
    assert figures == {file.name: file.read_bytes() for file in (run / "plots").iterdir()}


def test_every_figure_is_drawn(classified, weighed):
    drawn = {file.stem for file in (classified[0] / "plots").iterdir()}
    assert drawn == {"roc", "confusion", "auc_by_snr", "calibration", "embedding", "mistakes"}
    drawn = {file.stem for file in (weighed[0] / "plots").iterdir()}
    assert drawn == {"predicted_mass", "rmse_by_mass", "calibration", "mistakes"}


def test_figures_of_an_earlier_evaluation_go(classified):
    run, _ = classified
    stale, other = (run / "plots" / name for name in ("predicted_mass.png", "mine.png"))
    for path in (stale, other):
        path.write_bytes(b"")
    evaluate(run)
    assert not stale.exists()
    assert other.exists()


def test_a_missing_class_leaves_its_auc_undefined_and_the_report_says_so(make_run, tmp_path):
    lenssim.generate("B", ["cdm", "no_sub"], out=tmp_path / "two", train=1, test=6)
    run = make_run()
    found = evaluate(run, str(tmp_path / "two"))
    assert found["auc"]["axion"] is None
    assert found["macro_auc"] is None
    assert found["ci95"]["macro_auc"] is None
    assert found["auc"]["cdm"] is not None
    [folder] = (run / "evaluations").iterdir()
    assert "The AUC of axion vortex is undefined" in (folder / "report.html").read_text()


def test_another_archive_does_not_replace_the_test_of_the_run(make_run, lenses, tmp_path):
    """The same archive in another place is the run's own; others get a folder each."""
    run = make_run()
    evaluate(run)
    before = (run / "metrics.json").read_bytes()
    shutil.copytree(lenses, tmp_path / "copy")
    assert evaluation_folder(run, str(tmp_path / "copy")) == run
    lenssim.generate("B", ["no_sub"], out=tmp_path / "other", train=0, test=4)
    evaluate(run, str(tmp_path / "other"))
    folder = evaluation_folder(run, str(tmp_path / "other"))
    assert folder.parent == run / "evaluations" and folder.name.startswith("B-")
    assert json.loads((folder / "metrics.json").read_text())["n_test"] == 4
    assert (run / "metrics.json").read_bytes() == before
    assert evaluation_folder(run, out=tmp_path / "out") == tmp_path / "out"


def test_an_archive_without_the_class_of_the_task_is_one_sentence(make_run, tmp_path):
    lenssim.generate("B", ["cdm"], out=tmp_path / "cdm", train=1, test=2)
    with pytest.raises(DataError, match="no test images of class axion"):
        evaluate(make_run("axion-mass"), str(tmp_path / "cdm"))


def test_an_archive_without_test_images_is_one_sentence(make_run, tmp_path):
    lenssim.generate("B", out=tmp_path / "train", train=1, test=0)
    with pytest.raises(DataError, match="no test images"):
        evaluate(make_run(), str(tmp_path / "train"))


def test_an_archive_of_another_image_size_is_one_sentence(make_run, tmp_path):
    lenssim.generate(
        "B", out=tmp_path / "small", train=1, test=2, overrides=["instrument.num_pix=32"]
    )
    with pytest.raises(DataError, match=r"32 x 32 pixels, and the model takes 64 x 64") as caught:
        evaluate(make_run(), str(tmp_path / "small"))
    assert "--set" not in str(caught.value)  # which evaluate does not have


def test_images_unlike_the_training_set_are_named(make_run, contract, lenses, tmp_path, capsys):
    lenssim.generate("A", out=tmp_path / "A", train=0, test=3)
    run = make_run(contract=contract)
    evaluate(run, str(tmp_path / "A"), out=tmp_path / "elsewhere", batch_size=4)
    table = pd.read_csv(tmp_path / "elsewhere" / "predictions.csv")
    assert len(table) == 9
    assert table["warnings"].str.contains("pixel scale 0.08 instead of 0.101").all()
    assert table["warnings"].str.contains("sky level .* above").all()
    said = capsys.readouterr().err
    assert f"pixel scale 0.08 instead of 0.101 arcsec ({tmp_path / 'A'})" in said
    assert "9 of 9 images: sky level above the training set's" in said
    evaluate(run)
    assert pd.read_csv(run / "predictions.csv")["warnings"].isna().mean() >= 0.99
    assert "Note" not in capsys.readouterr().err


def test_a_folder_of_other_files_stays_as_it_is(make_run, tmp_path):
    run, folder = make_run(), tmp_path / "mine"
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / "diary.txt").write_text("mine")
    (folder / "predictions.csv").write_text("mine")
    with pytest.raises(UsageError, match="holds other files than an earlier test"):
        evaluate(run, out=folder)
    assert (folder / "logs" / "diary.txt").read_text() == "mine"
    assert (folder / "predictions.csv").read_text() == "mine"


def test_an_image_file_is_no_archive(make_run, tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((2, 64, 64)))
    with pytest.raises(UsageError, match=r"is a \.npy file: name the folder or URL"):
        evaluate(make_run(), str(tmp_path / "images.npy"), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_archive_is_one_sentence(make_run, tmp_path):
    with pytest.raises(DataError, match="is not an archive"):
        evaluate(make_run(), str(tmp_path))


def test_a_model_that_predicts_no_numbers_is_one_sentence(make_run, monkeypatch):
    run = make_run()
    monkeypatch.setattr(torch.nn.Linear, "forward", lambda self, x: x[:, :3] * torch.nan)
    with pytest.raises(LensmodelsError, match="training diverged"):
        evaluate(run)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_where_there_is_none_is_one_sentence(make_run):
    with pytest.raises(UsageError, match="none here; choose --device cpu"):
        evaluate(make_run(), device="gpu")


def test_memory_that_runs_out_is_one_sentence(make_run, monkeypatch):
    run = make_run()

    def exhausted(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch.nn.Linear, "forward", exhausted)
    with pytest.raises(LensmodelsError, match="smaller --batch-size"):
        evaluate(run)


def test_the_worst_mistakes_are_kept_whatever_the_batches():
    generator = np.random.default_rng(0)
    true, said = generator.uniform(-24, -22, (2, 50))
    table = pd.DataFrame({"axion_mass": 10**true, "log10_mass": said})
    images = torch.arange(50.0).reshape(50, 1, 1, 1).expand(50, 1, 4, 4)
    worst = np.argsort(-np.abs(said - true))[:12]
    for size in (50, 7):
        keeper = _Worst("axion-mass")
        for start in range(0, 50, size):
            rows = np.arange(start, min(50, start + size))
            keeper.look(table.iloc[rows], rows, images[rows])
        assert list(keeper.rows) == list(worst)
        assert list(keeper.images[:, 0, 0]) == list(worst)


def test_what_is_right_is_no_mistake():
    table = pd.DataFrame(
        {"label": [0, 1], "p_axion": [0.9, 0.8], "p_cdm": [0.1, 0.2], "p_no_sub": [0.0, 0.0]}
    )
    keeper = _Worst("classification")
    keeper.look(table, np.arange(2), torch.zeros(2, 1, 4, 4))
    assert list(keeper.rows) == [1]
