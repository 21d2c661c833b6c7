"""Means over seeds, intervals and differences."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lensmodels.errors import LensmodelsError
from lensmodels.methods.supervision import MARK
from lensmodels.statistics.multiple_testing import significant
from lensmodels.study.comparison import (
    change_of_gain,
    compare_row,
    difference_of,
    is_better,
    mixed_pretrainings,
    pooled_gain,
    score_of,
    significant_gains,
)
from lensmodels.study.grid import BASELINE, BASELINE_NAMES, PCA_BASELINE, Cell, load_grid
from lensmodels.study.results import CellResult
from lensmodels.study.tables import baseline_table, baselines_table, with_pooled_gain

LABELS = np.repeat([0.0, 1.0, 2.0], 150)


def made_from(specification: str, seed: int = 0) -> dict[str, str | int]:
    """What identifies an archive."""
    return {"spec_sha256": specification, "seed": seed}


def classified(
    method: str,
    signal: float,
    seed: int = 0,
    archive: str = "B",
    pretrain_seed: int = 0,
    encoder: str = "r",
) -> CellResult:
    """A cell that knows the class with some signal over noise of its own."""
    noise = np.random.default_rng([seed, 7, pretrain_seed]).normal(size=(len(LABELS), 3))
    logits = noise + signal * np.eye(3)[LABELS.astype(int)]
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    cell = Cell("B", method, encoder, "classification", 1.0, seed, pretrain_seed)
    record = {
        "minutes": {"pretrain": 2.0, "finetune": 1.0},
        "made_from": {"archive": made_from(archive)},
    }
    return CellResult(cell, record, LABELS, log_probabilities)


def weighed(scatter: float, seed: int = 0, offset: float = 0.0, images: int = 0) -> CellResult:
    """A cell whose masses are off by some scatter, and by as much everywhere."""
    generator = np.random.default_rng(images)
    truth = generator.uniform(-24, -22, 500)
    cell = Cell("B", "byol", "r", "axion-mass", 1.0, seed)
    record = {
        "minutes": {"pretrain": None, "finetune": 1.0},
        "made_from": {"archive": made_from("B")},
    }
    return CellResult(cell, record, truth, truth + offset + scatter * generator.normal(size=500))


def test_a_score_is_the_mean_over_seeds():
    cells = [classified("byol", 2.0, seed) for seed in range(3)]
    score = score_of(cells, "macro_auc")
    one_by_one = [
        roc_auc_score(LABELS, np.exp(cell.predicted), multi_class="ovr") for cell in cells
    ]
    assert score.mean == pytest.approx(np.mean(one_by_one), abs=1e-12)
    assert score.interval.low < score.mean < score.interval.high
    assert (score.replicates, score.minutes) == ("3 seeds", 3.0)


def test_seeds_that_scatter_widen_the_interval_as_student_has_it():
    """Trainings that scatter: 95% of intervals from three of them hold the true mean."""
    generator = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        # images without scatter of their own: every error is that of the training
        cells = [weighed(0.0, offset=abs(value)) for value in generator.normal(1, 0.1, 3)]
        interval = score_of(cells, "rmse").interval
        held += interval.low <= 1 <= interval.high
    assert 180 <= held <= 198


def test_one_seed_knows_of_the_images_only():
    one = score_of([weighed(0.0, offset=0.5)], "rmse")
    assert one.interval.low == pytest.approx(0.5) and one.interval.high == pytest.approx(0.5)


def test_a_difference_is_significant_from_three_independent_trainings_on():
    better = [classified("byol", 2.5, seed) for seed in range(3)]
    worse = [classified("supervised", 1.0, seed + 10) for seed in range(3)]
    gain = difference_of(better, worse, "macro_auc")
    assert significant([gain]) == [True]
    assert gain.mean > 0 and is_better(gain, "classification")
    back = difference_of(worse, better, "macro_auc")
    assert significant([back]) == [True] and not is_better(back, "classification")
    one = difference_of(better[:1], worse, "macro_auc")
    assert one.interval.excludes_zero and one.trainings == 1 and significant([one]) == [False]
    nothing = difference_of(better, better, "macro_auc")
    assert nothing.mean == 0 and nothing.p_value == 1


def test_trainings_of_one_pretraining_are_not_independent():
    better = [classified("byol", 2.5, seed) for seed in range(3)]
    worse = [classified("supervised", 1.0, seed) for seed in range(3)]
    for cell in better:
        cell.record["pretraining"] = {"figures": {"train_loss": 0.1}}
    gain = difference_of(better, worse, "macro_auc")
    assert gain.interval.excludes_zero and gain.trainings == 1 and significant([gain]) == [False]


def three_pretrainings(method: str, signal: float) -> list[CellResult]:
    """Cells of three pretrainings, each finetuned with three label draws."""
    cells = []
    for pretrain_seed in range(3):
        for seed in range(3):
            cell = classified(method, signal, seed, pretrain_seed=pretrain_seed)
            cell.record["pretraining"] = {"figures": {"train_loss": float(pretrain_seed)}}
            cells.append(cell)
    return cells


def test_three_pretrainings_and_label_draws_are_enough_to_be_significant():
    better = three_pretrainings("byol", 2.5)
    worse = [classified("supervised", 1.0, seed) for seed in range(3)]
    gain = difference_of(better, worse, "macro_auc")
    assert gain.trainings == 3 and significant([gain]) == [True]
    assert score_of(better, "macro_auc").replicates == "3 x 3 seeds"


def test_a_pretraining_that_was_made_again_is_no_other_one():
    better = [classified("byol", 2.5, seed) for seed in range(3)]  # of one pretraining seed
    for cell in better:
        cell.record["pretraining"] = {"figures": {"train_loss": float(cell.cell.seed)}}
    worse = [classified("supervised", 1.0, seed) for seed in range(3)]
    gain = difference_of(better, worse, "macro_auc")
    assert gain.trainings == 1 and significant([gain]) == [False]


def test_the_change_of_a_gain_is_a_difference_of_differences():
    baselines = [[classified("supervised", 1.0 + k, seed) for seed in range(3)] for k in range(2)]
    pretrained = [three_pretrainings("byol", 2.5 + k) for k in range(2)]
    first, second = zip(pretrained, baselines, strict=True)
    change = change_of_gain(first, second, "macro_auc")
    gains = [difference_of(*pair, "macro_auc").mean for pair in (first, second)]
    assert change.mean == pytest.approx(gains[0] - gains[1], abs=1e-12)
    assert change_of_gain(first, first, "macro_auc").mean == 0
    assert change.trainings == 3
    alone = [cell for cell in first[0] if cell.cell.pretrain_seed == 1], first[1]
    assert change_of_gain(alone, first, "macro_auc").mean == 0  # of the pretraining that both have


def test_the_gain_pooled_over_rows_is_the_mean_of_the_rows():
    results = [
        *three_pretrainings("byol", 2.5),
        *three_pretrainings("simsiam", 2.0),
        *(classified("supervised", 1.0, seed) for seed in range(3)),
    ]
    rows = [
        compare_row(
            results, model="B", method=method, encoder="r", study_encoder="resnet50",
            task="classification",
        )
        for method in ("byol", "simsiam", "dino")
    ]  # fmt: skip
    pooled = pooled_gain(results, rows, "classification", "macro_auc")
    assert pooled.mean == pytest.approx(np.mean([row.gain.mean for row in rows[:2]]))
    assert pooled_gain(results, rows[:1], "classification", "macro_auc") is None
    said = with_pooled_gain("Two rows.", results, rows, "classification", "macro_auc")
    assert said.startswith(f"Two rows; mean over rows, minus supervised: +{pooled.mean:.5f} (")
    results += three_pretrainings("macro", 3.0)  # which a simulator supervises
    marked = compare_row(
        results, model="B", method="macro", encoder="r", study_encoder="resnet50",
        task="classification",
    )  # fmt: skip
    told = with_pooled_gain("Two rows.", results, [*rows, marked], "classification", "macro_auc")
    assert told == said.replace("over rows", f"over rows without {MARK}")
    once = [cell for cell in results if cell.cell.pretrain_seed == 0]
    assert with_pooled_gain("A.", once, rows, "classification", "macro_auc") == "A."


def test_what_seeds_share_drops_out_of_their_difference():
    """Each pair differs by 0.01, and the pairs by much more."""
    first = [weighed(0.0, offset=offset, seed=seed) for seed, offset in enumerate((0.1, 0.5, 0.9))]
    second = [
        weighed(0.0, offset=offset + 0.01, seed=seed) for seed, offset in enumerate((0.1, 0.5, 0.9))
    ]
    assert significant([difference_of(second, first, "rmse")]) == [True]
    others = [weighed(0.0, offset=offset + 0.01, seed=7) for offset in (0.1, 0.5, 0.9)]
    assert not difference_of(others, first, "rmse").interval.excludes_zero


def test_seeds_that_one_side_lacks_are_left_out_of_a_difference():
    """One side has three seeds of very different luck, the other the last two of them."""
    first = [weighed(0.0, offset=offset, seed=seed) for seed, offset in enumerate((0.1, 0.5, 0.9))]
    second = [
        weighed(0.0, offset=offset + 0.01, seed=seed) for seed, offset in ((1, 0.5), (2, 0.9))
    ]
    found = difference_of(second, first, "rmse")
    assert found.mean == pytest.approx(0.01) and found.trainings == 2
    alone = difference_of(second[:1], first, "rmse")
    assert alone.mean == pytest.approx(0.01) and alone.trainings == 1


def test_no_interval_of_an_auc_passes_one():
    cells = [classified("byol", signal, seed) for seed, signal in enumerate((3.0, 9.0, 9.0))]
    assert score_of(cells, "macro_auc").interval.high == 1


def test_two_pretrainings_of_one_row_are_named():
    cells = [classified("byol", 2.0, seed) for seed in range(3)]
    for cell, loss in zip(cells, (0.1, 0.1, 0.2), strict=True):
        cell.record["pretraining"] = {"figures": {"train_loss": loss}}
    assert mixed_pretrainings(cells[:2]) == []
    assert mixed_pretrainings(cells) == ["B_byol_r"]


def test_a_smaller_error_is_better():
    found = difference_of([weighed(0.1)], [weighed(0.3)], "rmse")
    assert is_better(found, "axion-mass") and found.mean < 0 and found.interval.excludes_zero


def test_other_images_are_not_compared():
    with pytest.raises(LensmodelsError, match="different images"):
        difference_of([weighed(0.1)], [weighed(0.1, images=1)], "rmse")
    with pytest.raises(LensmodelsError, match="different images"):
        difference_of(
            [classified("byol", 1)], [classified("dino", 1, archive="other")], "macro_auc"
        )


def test_images_that_differ_on_purpose_are_paired_by_their_place():
    first = classified("byol", 2.0)
    alike, unlike = (
        classified("byol", 1.0, archive="other", pretrain_seed=pretraining)
        for pretraining in (0, 1)
    )
    for other in (alike, unlike):
        found = difference_of([first], [other], "macro_auc", same_images=False)
        alone = [score_of([result], "macro_auc") for result in (first, other)]
        assert found.mean == alone[0].mean - alone[1].mean
        half = [np.ptp(each.interval.as_list()) / 2 for each in alone]
        length = np.ptp(found.interval.as_list()) / 2 / np.hypot(*half)
        if other is unlike:  # nothing is shared: about as uncertain as both together
            assert length == pytest.approx(1, rel=0.2)
        else:  # the noise of each image is the same
            assert length < 0.8
    with pytest.raises(LensmodelsError, match="different images"):
        difference_of([first, alike], [alike], "macro_auc", same_images=False)


def test_archives_of_other_seeds_or_masses_are_not_paired():
    one, other = [weighed(0.1)], [weighed(0.1, images=1)]
    with pytest.raises(LensmodelsError, match="different seeds"):
        difference_of(one, other, "rmse", same_images=False)
    pair = [classified("byol", 2.0)], [classified("supervised", 1.0)]
    elsewhere = [classified("byol", 2.0)], [classified("supervised", 1.0)]
    for cells in elsewhere:
        cells[0].record["made_from"] = {"archive": made_from("B", seed=1)}
    with pytest.raises(LensmodelsError, match="different seeds"):
        change_of_gain(pair, elsewhere, "macro_auc")
    with pytest.raises(LensmodelsError, match="different images"):
        change_of_gain((pair[0], elsewhere[1]), pair, "macro_auc")


def test_the_error_around_a_mass_counts_only_images_there():
    result = weighed(0.2)
    near = (result.truth >= -23.25) & (result.truth < -22.75)
    expected = np.sqrt(np.mean((result.predicted - result.truth)[near] ** 2))
    assert score_of([result], "rmse_near").mean == pytest.approx(expected)


def test_what_the_input_scaling_explains_is_told_from_a_gain():
    seeds = range(3)
    results = three_pretrainings("byol", 2.5)
    results += [classified(BASELINE, 0.5, seed) for seed in seeds]
    results += [classified(PCA_BASELINE, 2.5, seed) for seed in seeds]
    row = compare_row(
        results, model="B", method="byol", encoder="r", study_encoder="resnet50",
        task="classification",
    )  # fmt: skip
    assert significant_gains([row]) == [{BASELINE: True, PCA_BASELINE: False}]
    table = baseline_table("title", "classification", [row], "")
    assert table.headings[-2:] == ["minus supervised", "minus PCA of all images"]
    assert [cell.is_marked for cell in table.rows[0][-2:]] == [True, False]


def test_a_row_has_what_was_run():
    results = [classified("byol", 2.5), classified("supervised", 1.0)]
    row = compare_row(
        results, model="B", method="byol", encoder="r", study_encoder="resnet50",
        task="classification",
    )  # fmt: skip
    assert row.gain and is_better(row.gain, "classification")
    assert row.baselines.keys() == row.gains.keys() == {BASELINE}
    assert row.study and row.study.finetuned == 0.960
    few = compare_row(
        results, model="B", method="byol", encoder="r", study_encoder="resnet50",
        task="classification", labels=0.1,
    )  # fmt: skip
    assert few.ours is None and few.baseline is None


def test_encoders_are_compared_with_the_one_of_reference():
    grid = load_grid("architectures")
    assert grid.reference_encoder == "resnet"
    signals = {"resnet": 0.5, "vit": 2.0, "swin": 0.5}
    results = [
        classified(baseline, signal + more, seed, encoder=encoder, pretrain_seed=noise)
        for noise, (encoder, signal) in enumerate(signals.items())
        for baseline, more in (("supervised", 0.0), ("supervised-pca", 0.2))
        for seed in range(3)
    ]
    [table] = baselines_table(grid, results, "B", "classification")
    assert table.headings[-1] == "minus resnet" and "2 of 4" in table.sentence
    for baseline in ("Supervised", BASELINE_NAMES["supervised-pca"]):
        last = {row[1].value: row[-1] for row in table.rows if row[0].value == baseline}
        assert not last["resnet"].value and not last["swin"].is_marked
        assert last["vit"].is_marked and last["vit"].value.startswith("+")
    alone = grid.model_copy(update={"reference_encoder": None})
    [table] = baselines_table(alone, results, "B", "classification")
    assert table.headings[-1] == "macro AUC" and not table.sentence
