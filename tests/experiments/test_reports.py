"""Every committed report of an experiment is the one that its table gives."""

import itertools
from pathlib import Path

import pandas as pd
import pytest

from lensmodels.reporting.measurements import add_record, read_records
from lensmodels.study import load_grid

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.mark.parametrize("name", ["axion_mass", "methods", "set_level", "evidence_of_fits"])
def test_report_is_made_from_its_table(load, name):
    script = load(name)
    page = script.page(read_records(script.TABLE))
    assert page == (EXPERIMENTS / "results" / f"{name}.md").read_text()


@pytest.mark.parametrize(
    "name", ["input_scalings", "raw_images", "mass_posterior", "simulator_transfer"]
)
def test_page_is_made_from_the_table_that_its_script_holds(load, name):
    script = load(name)
    assert script.page() == (EXPERIMENTS / "results" / f"{name}.md").read_text()


@pytest.mark.parametrize("name", ["axion_mass", "methods"])
def test_columns_of_a_table_are_those_of_its_records(load, name):
    script = load(name)
    table = pd.read_parquet(script.TABLE).set_index("name")
    for row, record in read_records(script.TABLE).items():
        columns = script.columns(record["figures"])
        for key, value in columns.items():
            found = table.loc[row, key]
            assert value == found or (pd.isna(value) and pd.isna(found))  # NaN of a refused pair
    assert all(column in script.__doc__ for column in table)


def test_a_record_replaces_the_one_of_its_name(tmp_path):
    file = tmp_path / "results" / "table.parquet"
    for name, score in (("b", 1.0), ("a", 2.0), ("b", 3.0)):
        add_record(file, name, {"score": score}, {"score": score, "of": [name]})
    assert read_records(file) == {
        "a": {"score": 2.0, "of": ["a"]},
        "b": {"score": 3.0, "of": ["b"]},
    }
    assert read_records(tmp_path / "missing.parquet") == {}


def test_variations_page_is_made_from_its_table(load):
    script = load("variations")
    assert script.page() == (EXPERIMENTS / "results" / "variations.md").read_text()


def test_a_variation_changes_one_thing_of_the_published_grid(load):
    script = load("variations")
    grid = load_grid(script.GRID)
    known = script.variations()
    for name, variation in known.items():
        changed = variation.of(grid)
        replicates = {(cell.pretrain_seed, cell.seed) for cell in changed.all_cells()}
        assert replicates == set(itertools.product(range(3), repeat=2))
        assert len(variation.of(grid, 1).all_cells()) == (1 if variation.leaves_the_baseline else 2)
        [cell] = [
            cell for cell in changed.all_cells() if cell.name.endswith("pretraining-1_seed-2")
        ]
        before, after = grid.settings_of(cell), changed.settings_of(cell)
        differing = {key for key in before | after if before.get(key) != after.get(key)}
        assert differing == set(variation.set)
        steps = {
            key
            for key in ("pretrain_steps", "finetune_steps")
            if getattr(changed, key) != getattr(grid, key)
        }
        assert steps == set(variation.steps)
        kinds = [variation.set, variation.specification, variation.steps, variation.again]
        assert sum(map(bool, kinds)) == (not name.startswith("none"))
        has_baseline = any(cell.is_baseline for cell in changed.all_cells())
        assert has_baseline == (name != "longer pretraining")
