"""The plots show the data."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from sklearn.metrics import roc_auc_score

from lensmodels.evaluation.detection_bound import bounding_snr
from lensmodels.evaluation.information import information_limit
from lensmodels.evaluation.summary import summarise, unknown_columns
from lensmodels.methods.probes import COLLAPSED_STD
from lensmodels.reporting import plots, sentences, style
from lensmodels.reporting.plots import images as image_plots
from lenssim import load_spec

B_1_0_0 = Path(__file__).parents[2] / "lenssim" / "specifications_1_0_0" / "B.yaml"
"""The specification whose limit is known."""


@pytest.fixture
def classified():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 100)
    snr = np.where(labels == 2, 0, np.exp(generator.normal(4, 0.8, 300)))
    scores = generator.normal(size=(300, 3))
    scores[np.arange(300), labels] += np.where(labels == 2, 1.5, snr / 40)
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    names = np.array(["axion", "cdm", "no_sub"])
    mass = np.where(labels == 0, 1e-23, np.nan)
    return pd.DataFrame(
        {
            "split": "test",
            "class": names[labels],
            "sample": np.tile(np.arange(100), 3),
            "label": labels,
            "axion_mass": mass,
            "substructure_snr": snr,
            **{f"p_{name}": probabilities[:, label] for label, name in enumerate(names)},
        }
    )


@pytest.fixture
def weighed():
    generator = np.random.default_rng(0)
    true = np.sort(generator.uniform(-24, -22, 2000))
    return pd.DataFrame(
        {
            "class": "axion",
            "axion_mass": 10**true,
            "substructure_snr": 30.0,
            "log10_mass": true + 0.1 * generator.normal(size=2000),
        }
    )


def legend_of(figure):
    """Labels of the legend above a plot, which hides no curve: no axes have one of their own."""
    assert all(axes.get_legend() is None for axes in figure.axes)
    [legend] = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_auc_rises_with_snr_in_the_figures_of_a_detector_limited_by_noise(classified):
    rows = summarise("classification", classified, resamples=100)["auc_by_snr"]
    together = [row["auc"] for row in rows if row["class"] == "all"]
    assert len(together) > 3
    assert together[-1] > together[0]
    assert {row["class"] for row in rows} == {"all", "axion", "cdm"}
    for row in rows:
        assert row["ci95"][0] <= row["auc"] <= row["ci95"][1]


def test_without_the_empty_class_there_is_no_auc_by_snr(classified):
    some = classified[classified["label"] != 2]
    assert summarise("classification", some, resamples=20)["auc_by_snr"] == []


def test_images_of_unknown_snr_are_left_out_of_its_bins(classified):
    known = classified.index % 2 == 0
    half = classified.assign(substructure_snr=classified["substructure_snr"].where(known))
    rows = summarise("classification", half, resamples=20)["auc_by_snr"]
    assert sum(row["count"] for row in rows if row["class"] == "all") == 100
    unknown = classified.assign(substructure_snr=np.nan)
    metrics = summarise("classification", unknown, resamples=20)
    assert metrics["auc_by_snr"] == []
    json.dumps(metrics, allow_nan=False)


def test_scores_above_an_snr_are_by_the_refit_where_it_is_known(classified):
    assert summarise("classification", classified, resamples=20)["snr"] == "raw"
    refit = np.random.default_rng(1).uniform(0, 12, len(classified))
    table = classified.assign(substructure_snr_refit=np.where(classified["label"] < 2, refit, 0.0))
    metrics = summarise("classification", table, load_spec("B-wide"), resamples=50)
    assert metrics["snr"] == "refit"
    rows = {(row["above"], row["class"]): row for row in metrics["auc_above_snr"]}
    chosen = table[(table["label"] == 2) | ((table["label"] == 1) & (refit > 5))]
    evidence = chosen["p_cdm"] / (chosen["p_cdm"] + chosen["p_no_sub"])
    assert rows[5.0, "cdm"]["auc"] == pytest.approx(roc_auc_score(chosen["label"] == 1, evidence))
    assert rows[5.0, "cdm"]["count"] == (chosen["label"] == 1).sum()
    everything = roc_auc_score(
        classified["label"], classified[["p_axion", "p_cdm", "p_no_sub"]], multi_class="ovr"
    )
    assert rows[0.0, "all"]["auc"] == pytest.approx(everything)
    assert all(row["ci95"][0] <= row["auc"] <= row["ci95"][1] for row in rows.values())
    most = {(row["above"], row["class"]): row["auc"] for row in metrics["auc_bound"]}
    assert 0.8 < most[0.0, "all"] < most[3.0, "all"] < most[10.0, "all"] <= 1


def test_there_is_a_bound_only_where_the_refit_snr_of_every_image_is_known(classified):
    wide = load_spec("B-wide")
    assert summarise("classification", classified, wide, resamples=20)["auc_bound"] == []
    some = classified.assign(substructure_snr_refit=5.0)
    some.loc[classified.index[0], "substructure_snr_refit"] = np.nan
    assert summarise("classification", some, wide, resamples=20)["auc_bound"] == []
    known = classified.assign(substructure_snr_refit=5.0)
    assert summarise("classification", known, resamples=20)["auc_bound"] == []
    assert summarise("classification", known, wide, resamples=20)["auc_bound"]


def test_a_lens_that_is_the_same_in_every_image_is_known(classified):
    """What a refit would take out is found there, as the network knows the lens by heart."""
    weak = classified.assign(substructure_snr_refit=0.5, substructure_snr=30.0)

    def bound(model):
        rows = summarise("classification", weak, load_spec(model), resamples=20)["auc_bound"]
        return next(row["auc"] for row in rows if (row["above"], row["class"]) == (0.0, "all"))

    assert bound("B-wide") < 0.7 and bound("B") > 0.99
    assert {name: bounding_snr(load_spec(name)) for name in ("A", "A-wide", "B-faithful")} == {
        "A": "substructure_snr",
        "A-wide": "substructure_snr_refit",
        "B-faithful": "substructure_snr_refit",
    }


def test_long_vortices_are_ranked_against_no_substructure(classified):
    mass = np.where(classified["label"] == 0, np.geomspace(1e-24, 1e-22, len(classified)), np.nan)
    snr = np.linspace(6, 1, len(classified))
    table = classified.assign(axion_mass=mass, substructure_snr=snr)
    long = summarise("classification", table, resamples=50)["auc_long_vortices"]
    chosen = table[(table["label"] == 2) | (table["axion_mass"] < 1e-23)]
    evidence = chosen["p_axion"] / (chosen["p_axion"] + chosen["p_no_sub"])
    assert long["auc"] == pytest.approx(roc_auc_score(chosen["label"] == 0, evidence))
    assert long["count"] == (chosen["label"] == 0).sum()
    assert long["ci95"][0] <= long["auc"] <= long["ci95"][1]
    strong = chosen[(chosen["label"] == 2) | (chosen["substructure_snr"] > 5)]
    [above] = [entry for entry in long["above_snr"] if entry["above"] == 5]
    evidence = strong["p_axion"] / (strong["p_axion"] + strong["p_no_sub"])
    assert above["count"] == (strong["label"] == 0).sum() < long["count"]
    assert above["auc"] == pytest.approx(roc_auc_score(strong["label"] == 0, evidence))
    heavy = table.assign(axion_mass=1e-22)
    assert summarise("classification", heavy, resamples=20)["auc_long_vortices"] is None


def test_unknown_columns_are_those_that_no_image_of_the_class_has(classified):
    assert unknown_columns(classified) == []
    bare = classified.assign(substructure_snr=np.nan, axion_mass=np.nan)
    assert unknown_columns(bare) == ["substructure_snr", "axion_mass"]
    assert unknown_columns(bare[bare["class"] != "axion"]) == ["substructure_snr"]
    assert unknown_columns(bare[bare["class"] == "no_sub"]) == []


def test_two_classes_have_plots_of_two(classified):
    two = classified[classified["class"] != "axion"].drop(columns="p_axion")
    metrics = summarise("classification", two, resamples=20)
    assert list(metrics["auc"]) == ["cdm", "no_sub"]
    assert np.array(metrics["confusion"]).shape == (2, 2)
    assert metrics["accuracy"] > 0.5
    assert {row["class"] for row in metrics["auc_by_snr"]} == {"all"}
    for figure in (plots.draw_roc(two, metrics), plots.draw_auc_by_snr(metrics)):
        assert legend_of(figure)[0].startswith("CDM subhalos")
    labels = plots.draw_confusion(metrics).axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == ["CDM\nsubhalos", "no\nsubstructure"]
    described = {**metrics, "task": "classification", "n_test": 200}
    text = " ".join(sentence.text for sentence in sentences.sentences(described, None))
    assert "axion" not in text


def test_the_map_of_one_class_without_masses_is_drawn(classified):
    one = classified[classified["class"] == "cdm"]
    mapped = image_plots.EmbeddingMap(np.zeros((len(one), 2)), "t-SNE")
    [axes] = plots.draw_embedding(mapped, one).axes
    assert axes.get_title() == "t-SNE, by class"


def test_captions_leave_an_unknown_snr_out(classified):
    bare = classified.assign(substructure_snr=np.nan).iloc[[0, 150, 250]]
    figure = plots.draw_mistakes(np.random.default_rng(0).random((3, 16, 16)), bare)
    captions = " ".join(axes.get_title() for axes in figure.axes)
    assert "nan" not in captions
    assert "S/N" not in captions


def test_the_roc_names_every_class_that_is_there(classified):
    found = summarise("classification", classified, resamples=20)
    [axes] = plots.draw_roc(classified, found).axes
    assert len(axes.get_lines()) == 4  # and chance
    found["auc"]["axion"] = None
    [axes] = plots.draw_roc(classified, found).axes
    assert len(axes.get_lines()) == 3


def test_the_bound_is_drawn_where_it_is_known(weighed):
    found = summarise("axion-mass", weighed, resamples=20)
    limit = information_limit(load_spec(B_1_0_0).sha256)
    for draw in (
        lambda known: plots.draw_predicted_mass(weighed, known),
        lambda known: plots.draw_rmse_by_mass([("run", found)], known),
    ):
        assert any("Cramér-Rao" in label for label in legend_of(draw(limit)))
        assert not any("Cramér-Rao" in label for label in legend_of(draw(None)))


def test_the_rmse_figure_shows_the_numbers(weighed):
    found = summarise("axion-mass", weighed, resamples=20)
    [axes] = plots.draw_rmse_by_mass([("run", found)], None).axes
    [line] = axes.get_lines()
    np.testing.assert_allclose(
        line.get_ydata(orig=False), [row["rmse_dex"] for row in found["by_mass"]]
    )
    assert found["resolved"]["count"] == (np.log10(weighed["axion_mass"]) < -23).sum()


def test_training_is_drawn_by_epoch_and_not_at_all_without_logs():
    log = pd.DataFrame(
        {
            "epoch": [0, 0, 1, 1],
            "train_loss": [2.0, 1.0, 1.0, 0.0],
            "val_loss": [np.nan, 3.0, np.nan, 2.0],
            "knn_macro_auc": [np.nan, 0.6, np.nan, 0.7],
        }
    )
    loss, score = plots.draw_training({"pretrain": log}).axes
    assert list(loss.get_lines()[0].get_ydata()) == [1.5, 0.5]
    assert list(loss.get_lines()[1].get_ydata()) == [3.0, 2.0]
    assert list(score.get_lines()[0].get_xdata()) == [1, 2]
    assert plots.draw_training({}) is None


def test_mistakes_name_true_and_predicted_class(classified):
    worst = classified.iloc[[0, 290]]
    figure = plots.draw_mistakes(np.random.default_rng(0).normal(size=(2, 64, 64)), worst)
    first, second = (axes.get_title() for axes in figure.axes[:2])
    assert f"S/N {worst['substructure_snr'].iloc[0]:.0f}" in first
    assert first.startswith("true: axion vortex")
    assert second.startswith("true: no substructure\npredicted: ")


def test_images_without_noise_and_blank_ones_have_a_stretch():
    plots.draw_mistakes(
        np.zeros((1, 64, 64)),
        pd.DataFrame({"axion_mass": [1e-23], "log10_mass": [-23.0], "substructure_snr": [3.0]}),
    )


def test_umap_keeps_clusters_apart(monkeypatch, classified):
    pytest.importorskip("umap")
    monkeypatch.setattr(image_plots, "find_spec", lambda name: True)
    _check_map("UMAP", classified)


def test_t_sne_keeps_clusters_apart_without_umap(classified):
    _check_map("t-SNE", classified)


def _check_map(method, table):
    labels = table["label"].to_numpy()
    generator = np.random.default_rng(0)
    embeddings = generator.normal(size=(300, 12)) + 20 * np.eye(3, 12)[labels]
    found = image_plots.map_embeddings(embeddings)
    assert found.method == method
    middles = np.stack([found.positions[labels == label].mean(axis=0) for label in range(3)])
    distance = np.linalg.norm(found.positions[:, None] - middles, axis=2)
    assert (distance.argmin(axis=1) == labels).mean() > 0.95
    again = image_plots.map_embeddings(embeddings)
    np.testing.assert_array_equal(found.positions, again.positions)
    assert len(plots.draw_embedding(found, table).axes) == 3  # class, mass, and its bar


def test_intervals_of_a_calibration_stay_within_zero_and_one():
    """Three images, all right and all wrong: a normal interval has no length or leaves [0, 1]."""
    metrics = {
        "auc": {"axion": 1, "cdm": 1, "no_sub": 1},
        "reliability": {"confidence": [0.5, 0.95], "accuracy": [0.0, 1.0], "count": [3, 3]},
    }
    axes = plots.draw_reliability(metrics).axes[0]
    [bars] = [collection for collection in axes.collections if len(collection.get_segments()) == 2]
    ends = np.array(bars.get_segments())[:, :, 1]
    assert ends.min() >= 0 and ends.max() <= 1
    assert (np.ptp(ends, axis=1) > 0.3).all()


def _by_snr(*areas):
    """Metrics whose AUC by S/N has these values in bins of the same edges."""
    rows = [
        {"class": "all", "low": 10 * 2**k, "high": 20 * 2**k, "auc": area, "ci95": [area, area]}
        for k, area in enumerate(areas)
    ]
    return {"auc_by_snr": rows}


def test_auc_of_a_good_model_is_shown_by_its_distance_from_one():
    good = plots.draw_auc_by_snr_of_runs([("good", _by_snr(0.9, 0.999))]).axes[0]
    assert good.get_yscale() == "log" and good.yaxis_inverted()
    np.testing.assert_allclose(good.get_lines()[0].get_ydata(), [0.1, 0.001])
    poor = plots.draw_auc_by_snr_of_runs([("poor", _by_snr(0.5, 0.8))]).axes[0]
    assert poor.get_yscale() == "linear"
    np.testing.assert_allclose(poor.get_lines()[0].get_ydata(), [0.5, 0.8])


@pytest.mark.parametrize(("auc", "side"), [(0.7, 1), (0.999, -1)])
def test_the_bound_is_the_share_of_right_pairs_of_deviates(auc, side):
    metrics = _by_snr(0.6, auc)
    for row in metrics["auc_by_snr"]:
        row["low"], row["high"] = row["low"] / 10, row["high"] / 10
    runs = [("one", metrics)]
    axes = plots.draw_auc_by_snr_of_runs(runs, has_bound=True).axes[0]
    [line] = [line for line in axes.get_lines() if line.get_label() == "pattern known"]
    snr, bound = line.get_xdata(), line.get_ydata()
    place = int(np.argmin(abs(snr - 1.5)))
    assert abs(snr[place] - 1.5) < 0.2
    deviates = np.random.default_rng(0).normal(size=(2, 200_000))
    right = np.mean(deviates[0] + snr[place] > deviates[1])
    assert bound[place] == pytest.approx(right if side > 0 else 1 - right, abs=0.005)


def test_error_bars_of_runs_do_not_share_their_position():
    runs = [(name, _by_snr(0.6, 0.7)) for name in ("one", "two", "three")]
    lines = plots.draw_auc_by_snr_of_runs(runs).axes[0].get_lines()
    first_points = {round(float(line.get_xdata()[0]), 3) for line in lines if line.get_marker()}
    assert len(first_points) >= 3


def test_the_spread_of_an_embedding_has_fixed_limits_and_marks_a_collapse():
    log = pd.DataFrame({"epoch": [0, 1], "embedding_std": [0.614, 0.625]})
    [axes] = plots.draw_training({"pretrain": log}).axes
    assert axes.get_ylim() == (0, 1.05)
    assert any(set(line.get_ydata()) == {COLLAPSED_STD} for line in axes.get_lines())


def test_mistakes_show_residuals_below_the_images(classified):
    images = np.random.default_rng(0).normal(size=(5, 16, 16))
    figure = plots.draw_mistakes(images, classified.iloc[:5], residuals=2 * images)
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(shown) == 10
    np.testing.assert_array_equal(shown[4], 2 * images[0])


def test_collapsed_embeddings_have_no_map():
    assert image_plots.map_embeddings(np.ones((50, 4))) is None


def test_colours_of_classes_differ_in_brightness_or_hue():
    colours = [to_rgb(colour) for colour in style.CLASS_COLOURS.values()]
    for number, one in enumerate(colours):
        for other in colours[:number]:
            assert np.linalg.norm(np.subtract(one, other)) > 0.3


def test_ranks_of_posteriors_are_drawn_as_they_were_counted():
    ranks = [*range(10, 30)]
    nominal = np.linspace(0.1, 0.9, 9)
    tarp = {"nominal": nominal.tolist(), "observed": (nominal**2).tolist()}
    metrics = {"n_test": sum(ranks), "posterior": {"ranks": ranks, "tarp": tarp}}
    left, right = plots.draw_posterior_ranks(metrics).axes
    (drawn,) = [patch for patch in left.patches if hasattr(patch, "get_data")]
    assert drawn.get_data().values.tolist() == ranks
    observed = [line.get_ydata() for line in right.lines if len(line.get_xdata()) == 9]
    assert any(np.allclose(values, nominal**2) for values in observed)
