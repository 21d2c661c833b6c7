"""What the page of variations compares with what, on scores that are known."""

from itertools import product

import numpy as np
import pytest

from lensmodels.study.grid import Cell
from lensmodels.study.results import CellResult, Resampled, read_results

BASELINE_SCORES = (0.90, 0.92, 0.94)


def cell(encoder, score, seed, pretrain_seed=None):
    """A cell of a score, from random weights where it has no pretraining; its images are sharp."""
    method = "supervised" if pretrain_seed is None else "contrastive-rotation"
    record = {
        "made_from": {"archive": {"spec_sha256": "B-deeplense", "seed": 0}},
        "truth_sha256": "truth",
        "hardware": {"device": "Maker Model(R) Processor"},
        "minutes": {"pretrain": None, "finetune": 1.0},
        "pretraining": None if pretrain_seed is None else {"figures": {}},
    }
    return CellResult(
        Cell("B-deeplense", method, encoder, "classification", 1.0, seed, pretrain_seed or 0),
        record,
        stored={"macro_auc": Resampled(score, np.full(50, score))},
    )


@pytest.fixture
def rows(load, monkeypatch):
    """Rows of the page by what they are about and their encoder, of scores that are made up."""
    script = load("variations")
    baselines = [cell("resnet", score, seed) for seed, score in enumerate(BASELINE_SCORES)]
    pretrained = [
        cell("resnet", BASELINE_SCORES[seed] + 0.01 * (pretraining + 1), seed, pretraining)
        for pretraining, seed in product(range(3), range(3))
    ]
    results = {
        "none": baselines + pretrained,
        "longer pretraining": [cell("resnet", 0.93, 0, 0)],
        "none, vit": [cell("vit", 0.5, 0), cell("vit", 0.6, 0, 0)],
        "longer finetuning, vit": [cell("vit", 0.7, 0), cell("vit", 0.7, 0, 0)],
    }
    monkeypatch.setattr(script, "_read", lambda name, _: results.get(name, []))
    lines = [line.split(" | ") for line in script.page().splitlines() if line.startswith("| ")]
    return {(about.removeprefix("| "), encoder): rest for about, encoder, *rest in lines}


def test_a_change_of_the_pretraining_borrows_the_baselines_of_its_seeds(rows):
    supervised, change, finetuned, gain, change_of_gain, _ = rows[
        "40 epochs of pretraining (8)", "resnet"
    ]
    assert (supervised, change, finetuned) == ("0.9000 (1 seed)", "", "0.9300 (1 seed)")
    assert gain.startswith("+0.0300")
    # beside the gain of the same pretraining, 0.01, and not of the mean of three, 0.02
    assert change_of_gain.startswith("+0.0200")


def test_an_encoder_is_compared_with_itself(rows):
    about = "100 epochs of finetuning, or from random weights (20)"
    supervised, change, _, gain, change_of_gain, processors = rows[about, "vit"]
    assert supervised.startswith("0.7000") and "+0.2000" in change
    assert gain.startswith("+0.0000")
    assert "0.1000" in change_of_gain and "+0.1000" not in change_of_gain
    assert processors == "Maker Model |"
    assert rows["the study", "vit"][0] == "0.983" and rows["the study", "resnet"][0] == "0.967"


def test_a_cell_that_is_run_again_leaves_the_others_in_the_table(load, monkeypatch, tmp_path):
    script = load("variations")
    results = read_results(script.RESULTS / "published")[:3]
    monkeypatch.setattr(script, "TABLE", tmp_path / "variations.parquet")
    script.keep("none", results)
    script.keep("again", results[:1])
    before = script.pq.read_table(script.TABLE)
    script.keep("none", results[1:2])
    script.keep("none", [])
    assert script.pq.read_table(script.TABLE).equals(before)
    assert len(before) == 4
