"""The curve of score against images seen: as many for every route, and one row a training."""

import sys
from argparse import Namespace

import pandas as pd
import pytest

from lensmodels.reporting.measurements import read_records
from lenssim.configuration.yaml_reading import format_yaml
from lenssim.spec import load_spec


@pytest.fixture(scope="module")
def script(load):
    return load("live_curve")


def given(**changes):
    options = {"model": "B-wide", "encoder": "test_resnet", "batch_size": 100, "workers": 0}
    return Namespace(**(options | {"device": "cpu", "overrides": []} | changes))


@pytest.mark.parametrize("images", [1000, 10_000, 30_000])
def test_every_route_sees_as_many_images(script, images, tmp_path):
    supervised, macro = (
        script.settings(given(), method, images, 0, tmp_path) for method in ("supervised", "macro")
    )
    assert script.seen(supervised) == script.seen(macro) == images
    assert supervised.pretrain.epochs == 0
    assert macro.pretrain.epochs == macro.finetune.epochs > 0


@pytest.mark.slow
def test_points_are_added_to_one_table_and_not_run_again(script, tmp_path, monkeypatch):
    model, table = tmp_path / "B.yaml", tmp_path / "curve.parquet"
    small = load_spec("B", ["instrument.num_pix=16"])
    model.write_text(format_yaml(small.model_dump(mode="json", exclude_none=True)))
    words = ["--model", str(model), "--images", "120", "--test", "6", "--batch-size", "6"]
    words += ["--encoder", "test_resnet", "--workers", "0", "--set", "data.train_size=8"]
    words += ["--out", str(tmp_path / "out"), "--table", str(table)]
    monkeypatch.setattr(sys, "argv", ["live_curve.py", *words])
    script.main()
    rows = pd.read_parquet(table).set_index("name")
    assert list(rows.index) == ["B_macro_120_seed-0", "B_supervised_120_seed-0"]
    assert rows["images"].tolist() == [120, 120]
    assert rows["pretraining"].tolist() == ["simulator", ""]
    assert rows["macro_auc"].between(0, 1).all()
    monkeypatch.setattr(script, "measure", None)  # nothing is left to be measured
    script.main()
    assert all(column in script.__doc__ for column in rows)
    page = script.page(read_records(table))
    assert "Lens and source [simulator]" in page
