"""The grid as data."""

from itertools import product

import pytest

import lensmodels.study.grid
from lensmodels.cli import GRIDS
from lensmodels.errors import UsageError
from lensmodels.methods import PRETRAINING
from lensmodels.study import cells_of_models, load_grid, share_of, shipped_grids
from lensmodels.study.comparison import published
from lensmodels.study.grid import BASELINES, Grid
from lensmodels.views import default_recipe, recipe_from

STUDY_ROWS = {
    ("contrastive-rotation", "resnet50"), ("contrastive-rotation", "vit"),
    ("contrastive-noise", "resnet50"), ("contrastive-noise", "vit"),
    ("byol", "resnet50"), ("simsiam", "resnet50"), ("dino", "resnet50"),
}  # fmt: skip


def small(**changes):
    values = {
        "about": "a test",
        "train": 100,
        "test": 10,
        "encoders": {"r": {"stands_for": "resnet50", "settings": {"name": "test_resnet"}}},
        "rows": [{"method": "byol", "encoder": "r"}, {"method": "simsiam", "encoder": "r"}],
        "pretrain_steps": 30,
        "finetune_steps": 10,
        "cells": [{"models": ["B"]}],
    }
    return Grid.model_validate(values | changes)


@pytest.mark.parametrize("name", shipped_grids())
def test_every_shipped_grid_names_each_cell_once(name):
    grid = load_grid(name)
    names = [cell.name for cell in grid.all_cells()]
    assert len(names) == len(set(names)) > 0


@pytest.mark.parametrize(
    ("name", "models"),
    [
        ("study", ("A", "B")),
        ("laptop", ("A", "B")),
        ("labels", ("A", "B")),
        ("published", ("A-deeplense", "B-deeplense")),
        ("published-long", ("A-deeplense", "B-deeplense")),
        ("published-gpu", ("A-deeplense", "B-deeplense")),
    ],
)
def test_the_study_is_whole(name, models):
    grid = load_grid(name)
    rows = {(row.method, grid.encoders[row.encoder].study_encoder) for row in grid.rows}
    assert rows >= STUDY_ROWS
    cells = grid.all_cells()
    for model in models:
        for row in grid.rows:
            assert any(
                (cell.model, cell.method, cell.encoder) == (model, row.method, row.encoder)
                for cell in cells
            )
            study_encoder = grid.encoders[row.encoder].study_encoder
            is_published = published(model, row.method, study_encoder) is not None
            assert is_published == ((row.method, study_encoder) in STUDY_ROWS)


def test_the_help_names_every_shipped_grid():
    assert sorted(GRIDS.split(", ")) == shipped_grids()


def test_sizes_and_seeds_of_the_shipped_grids():
    study, laptop = load_grid("study"), load_grid("laptop")
    assert (3 * study.train, 3 * study.test) == (90_000, 15_000)
    assert (3 * laptop.train, 3 * laptop.test) == (6000, 3000)
    replicates: dict[tuple[str, ...], set[tuple[int, int]]] = {}
    for cell in laptop.all_cells():
        if not cell.is_baseline:
            kind = (cell.model, cell.method, cell.encoder, cell.task, f"{cell.labels}")
            replicates.setdefault(kind, set()).add((cell.pretrain_seed, cell.seed))
    assert all(found == set(product(range(3), repeat=2)) for found in replicates.values())
    assert {cell.labels for cell in load_grid("labels").all_cells()} == {0.01, 0.03, 0.1, 0.3, 1}


def test_a_row_brings_its_baselines():
    cells = small().all_cells()
    assert [cell.method for cell in cells] == ["supervised", "supervised-long", "byol", "simsiam"]


def test_baselines_are_named_for_what_they_see():
    grid = small(cells=[{"models": ["B"], "baselines": list(BASELINES), "rows": []}])
    assert not grid.all_cells()  # of no row's encoder
    grid = small(
        cells=[{"models": ["B"], "baselines": list(BASELINES), "encoders": ["r"], "rows": []}]
    )
    settings = {cell.method: grid.settings_of(cell) for cell in grid.all_cells()}
    assert settings == {
        "supervised": {"data.scaling_images": "labelled"},
        "supervised-pca": {"data.scaling_images": "all"},
        "supervised-long": {"data.scaling_images": "labelled", "best_epoch": True},
        "random-probe": {
            "data.scaling_images": "labelled",
            "frozen": True,
            "reestimate_norms": True,
        },
    }
    steps = {cell.method: grid.steps(cell)[1] for cell in grid.all_cells()}
    assert steps["supervised-long"] > steps["supervised"] == steps["random-probe"] == 10


def test_an_encoder_without_rows_has_baselines():
    equivariant = {"study_encoder": "resnet50", "settings": {"name": "equivariant_tiny"}}
    encoders = small().model_dump(mode="json")["encoders"] | {"equivariant": equivariant}
    block = {"models": ["B"], "baselines": ["supervised"], "encoders": ["equivariant"]}
    cells = small(encoders=encoders, cells=[block]).all_cells()
    assert [cell.encoder for cell in cells if cell.is_baseline] == ["r", "equivariant"]


def test_pretrainings_and_label_draws_are_axes_of_their_own():
    block = {"models": ["B"], "seeds": [0, 1, 2], "pretrain_seeds": [0, 1, 2]}
    cells = small(cells=[block]).all_cells()
    byol = [cell for cell in cells if cell.method == "byol"]
    assert {(cell.pretrain_seed, cell.seed) for cell in byol} == set(product(range(3), repeat=2))
    assert len({cell.name for cell in byol}) == 9
    # one pretraining for all label draws, and none for a baseline, whose seed draws its weights
    assert {cell.family for cell in byol} == {
        "B_byol_r", "B_byol_r_pretraining-1", "B_byol_r_pretraining-2",
    }  # fmt: skip
    supervised = [cell for cell in cells if cell.method == "supervised"]
    assert [(cell.pretrain_seed, cell.seed) for cell in supervised] == [(0, 0), (0, 1), (0, 2)]


def test_the_first_pretraining_is_called_as_before():
    [cell] = [cell for cell in small().all_cells() if cell.method == "byol"]
    assert cell.name == "B_byol_r_classification_labels-1_seed-0"


def test_the_long_baseline_gets_the_compute_of_the_max_cost_pretraining():
    grid = small()
    max_cost = max(PRETRAINING["byol"].relative_cost, PRETRAINING["simsiam"].relative_cost)
    cells = {cell.method: cell for cell in grid.all_cells()}
    assert grid.steps(cells["supervised"]) == (0, 10)
    assert grid.steps(cells["simsiam"]) == (30, 10)
    assert grid.steps(cells["supervised-long"]) == (0, 10 + round(30 * max_cost))
    assert grid.cost(cells["byol"]) == 10 + 30 * PRETRAINING["byol"].relative_cost
    assert grid.cost(cells["byol"], is_pretrained=True) == 10
    twice = grid.work([cells["byol"], cells["byol"]])
    assert twice == {"B_byol_r": 20 + 30 * PRETRAINING["byol"].relative_cost}


def test_a_share_of_the_labels_may_have_its_own_steps():
    grid = small(finetune_steps_at={0.1: 4}, cells=[{"models": ["B"], "labels": [1.0, 0.1, 0.3]}])
    steps = {(cell.method, cell.labels): grid.steps(cell) for cell in grid.all_cells()}
    assert [steps["simsiam", share] for share in (1, 0.1, 0.3)] == [(30, 10), (30, 4), (30, 10)]
    assert steps["supervised", 0.1] == (0, 4)
    assert steps["supervised-long", 1][1] - steps["supervised-long", 0.1][1] == 10 - 4


def test_other_views_make_another_cell(monkeypatch):
    cells = {cell.method: cell for cell in small().all_cells()}
    before = {method: small().recipe(cell) for method, cell in cells.items()}
    noisier = recipe_from([{"noise": [1.0, 2.0], "count": 2}], "a test")

    def changed(method):
        return noisier if method == "simsiam" else default_recipe(method)

    monkeypatch.setattr(lensmodels.study.grid, "default_recipe", changed)
    after = {method: small().recipe(cell) for method, cell in cells.items()}
    assert [method for method in cells if before[method] != after[method]] == ["simsiam"]


def test_machines_share_the_cells_and_a_pretraining_stays_on_one():
    grid = load_grid("laptop")
    cells = grid.all_cells()
    parts = [share_of(grid, cells, part, 3) for part in (1, 2, 3)]
    assert sorted(cell.name for part in parts for cell in part) == sorted(
        cell.name for cell in cells
    )
    families = [{cell.family for cell in part} for part in parts]
    assert not families[0] & families[1] | families[1] & families[2] | families[0] & families[2]


def test_machines_share_the_work_evenly():
    grid = load_grid("laptop")
    cells = cells_of_models(grid.all_cells(), ["B"])
    work = [sum(grid.work(share_of(grid, cells, part, 4)).values()) for part in (1, 2, 3, 4)]
    assert max(work) < 1.5 * min(work)
    assert not share_of(grid, cells, 40, 40)  # more machines than families


def test_a_model_of_no_cell_is_refused():
    with pytest.raises(UsageError, match="No cell is of model C"):
        cells_of_models(load_grid("laptop").all_cells(), ["B", "C"])


def test_settings_of_the_method_come_after_those_of_the_grid():
    rate = "pretrain.learning_rate"
    grid = small(set={rate: 0.1}, set_method={"byol": {rate: 0.2}})
    settings = {cell.method: grid.settings_of(cell) for cell in grid.all_cells()}
    assert settings["byol"] == {rate: 0.2}
    assert settings["simsiam"] == {rate: 0.1}
    assert settings["supervised-long"][rate] == 0.1


def test_a_grid_extends_another(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("extends: laptop\ntrain: 7\n")
    grid = load_grid(str(file))
    assert grid.train == 7 and grid.rows == load_grid("laptop").rows


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rows": [{"method": "byol", "encoder": "x"}]}, "'x'"),
        ({"rows": [{"method": "moco", "encoder": "r"}]}, "'moco'"),
        ({"cells": [{"rows": ["byol x"]}]}, "'byol x'"),
        ({"cells": [{"encoders": ["x"]}]}, "'x'"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_grid_that_is_none_is_refused_in_a_sentence(tmp_path, changes, said):
    import yaml

    values = small().model_dump(mode="json") | changes
    file = tmp_path / "grid.yaml"
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(UsageError, match=said):
        load_grid(str(file))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "must be a mapping"),
        ("", "must be a mapping"),
        ("trian: 7\nextends: laptop\n", r"unknown key 'trian' \(did you mean train\?\)"),
        ("train: 7\ntrain: 8\n", "line 2: key 'train' is given twice"),
        ("extends: nothing", "There is no grid 'nothing'"),
    ],
)
def test_a_file_that_is_no_grid_is_refused(tmp_path, text, message):
    file = tmp_path / "grid.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_grid(str(file))


def test_grids_that_extend_each_other_are_refused(tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text(f"extends: {second}\n")
    second.write_text(f"extends: {first}\n")
    with pytest.raises(UsageError, match="extends itself"):
        load_grid(str(first))


def test_an_unknown_grid_is_refused():
    with pytest.raises(UsageError, match="laptop"):
        load_grid("desktop")


@pytest.mark.parametrize(
    ("method", "encoder", "of_a", "of_b"),
    [
        ("contrastive-rotation", "resnet50", (0.960, 0.993), (0.967, 0.997)),
        ("contrastive-rotation", "vit", (0.977, 0.990), (0.983, 0.987)),
        ("contrastive-noise", "resnet50", (0.960, 0.993), (0.967, 0.997)),
        ("contrastive-noise", "vit", (0.977, 0.993), (0.983, 0.990)),
        ("byol", "resnet50", (0.990, 0.993), (0.963, 0.960)),
        ("simsiam", "resnet50", (0.983, 0.995), (0.984, 0.996)),
        ("dino", "resnet50", (0.996, 0.997), (0.998, 0.998)),
    ],
)
def test_the_study_said_so(method, encoder, of_a, of_b):
    for model, expected in (("A", of_a), ("B", of_b)):
        row = published(model, method, encoder)
        assert (row.supervised, row.finetuned) == expected


def test_the_study_has_no_such_row():
    assert published("A", "byol", "vit") is None
