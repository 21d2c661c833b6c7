"""The commands, end to end on a small archive, and what they say of usage errors."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from lensmodels.cli import main
from lensmodels.methods import METHODS
from lensmodels.runs import RunConfig, read_config
from lensmodels.settings import OPTION_KEYS
from lenssim.configuration.key_values import field_at

TINY = ["--encoder", "test_vit", "--batch-size", "16", "--workers", "0"]


def command(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def succeed(*words):
    result = command(*words)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def trained(lenses, tmp_path_factory):
    run = tmp_path_factory.mktemp("cli") / "byol"
    epochs = ["--pretrain-epochs", 1, "--finetune-epochs", 1]
    result = succeed("train", "--data", lenses, "--method", "byol", *epochs, *TINY, "--out", run)
    assert result.stdout == f"{run / 'report.html'}\n"
    phases = ("opening", "measuring the input scaling", "pretraining with BYOL", "training on the")
    phases += ("testing on 24", "computing scores", "drawing the plots", "writing the report")
    found = [result.stderr.index(phase) for phase in phases]
    assert found == sorted(found)
    last = result.stderr.splitlines()[-1]
    assert re.fullmatch(r"macro AUC 0\.\d{3} \(0\.\d{3} to \d\.\d{3}\) on 24 test images", last)
    return run


def test_train_ends_with_a_report(trained):
    names = {path.name for path in trained.iterdir()}
    assert names >= {
        "config.yaml",
        "metrics.json",
        "predictions.csv",
        "encoder.safetensors",
        "model.safetensors",
        "plots",
        "report.html",
        "logs",
    }
    metrics = json.loads((trained / "metrics.json").read_text())
    assert (metrics["task"], metrics["method"], metrics["n_test"]) == ("classification", "byol", 24)


def test_the_same_command_gives_the_same_metrics(trained, lenses, tmp_path):
    epochs = ["--pretrain-epochs", 1, "--finetune-epochs", 1]
    succeed("train", "--data", lenses, "--method", "byol", *epochs, *TINY, "--out", tmp_path / "b")
    assert (tmp_path / "b" / "metrics.json").read_text() == (trained / "metrics.json").read_text()


def test_pretrain_then_finetune_another_task_then_compare(trained, lenses, tmp_path):
    succeed(
        *("pretrain", "--data", lenses, "--method", "simsiam", "--pretrain-epochs", 1),
        *(*TINY, "--set", "data.scaling=asinh", "--out", tmp_path / "pretrained"),
    )
    for out, more in (("mass", ["--task", "axion-mass"]), ("probe", ["--frozen"])):
        succeed(
            *("finetune", "--from", tmp_path / "pretrained", "--finetune-epochs", 1),
            *("--batch-size", 16, *more, "--out", tmp_path / out),
        )
    assert "rmse_dex" in json.loads((tmp_path / "mass" / "metrics.json").read_text())
    began, ended = read_config(tmp_path / "pretrained"), read_config(tmp_path / "mass")
    assert ended.data.scaling == "asinh"
    assert (ended.pretrain, ended.pretrain_views) == (began.pretrain, began.pretrain_views)
    refused = command(
        *("finetune", "--from", tmp_path / "pretrained", "--set", "pretrain.epochs=3"),
        *("--out", tmp_path / "other"),
    )
    assert (refused.exit_code, "was pretrained already" in refused.stderr) == (2, True)
    succeed("report", trained, tmp_path / "probe", "--out", tmp_path / "compared")
    assert "simsiam" in (tmp_path / "compared" / "report.html").read_text()


def test_predict_and_embed(trained, lenses, tmp_path):
    np.save(tmp_path / "images.npy", np.ones((3, 64, 64), np.float32))
    csv = tmp_path / "out.csv"
    succeed("predict", trained, tmp_path / "images.npy", "--average-symmetries", "--out", csv)
    assert len(csv.read_text().splitlines()) == 4
    succeed("embed", trained, "--data", lenses, "--out", tmp_path / "features.parquet")
    assert (tmp_path / "features.parquet").stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["train", "--out", "run"], 2, "--data"),
        (["train", "--data", "nowhere", "--out", "run", *TINY], 1, "nowhere"),
        (["finetune", "--out", "run"], 2, "--from"),
        (["train", "--resume", "--out", "run"], 2, "not a run"),
        (["train", "--resume", "--workers", "0", "--out", "run"], 2, "leave out --workers"),
        (["pretrain", "--resume", "--set", "seed=1", "--out", "run"], 2, "leave out --set"),
        (["evaluate", "run"], 2, "not a run"),
        (["train", "--method", "moco", "--out", "run"], 2, "moco"),
    ],
)
def test_usage_errors_are_one_sentence(words, code, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = command(*words)
    assert result.exit_code == code
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_a_traceback_is_shown_on_demand(tmp_path):
    from lensmodels.errors import UsageError

    result = command("--debug", "evaluate", tmp_path)
    assert isinstance(result.exception, UsageError)


def test_the_commands_name_every_method():
    (option,) = [option for option in main.commands["train"].params if option.name == "method"]
    assert tuple(option.type.choices) == METHODS


OPTIONS = [
    option
    for command in ("train", "pretrain", "finetune")
    for option in main.commands[command].params
    if option.name in OPTION_KEYS and option.name not in ("method", "pretrained")
]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_an_option_of_a_setting_is_as_the_schema_declares(option):
    field = field_at(RunConfig, OPTION_KEYS[option.name])
    assert " ".join(field.description.split()) in option.help
    assert option.is_flag == (field.annotation is bool)


def test_settings_are_listed_with_values_and_defaults():
    text = succeed("finetune", "--help-settings").stdout
    assert "data.batch_size: whole number, at least 1  [256]\n    Images in a training" in text
    assert "pretrain.momentum: number or null, at least 0, less than 1  [null]" in text


def test_a_run_is_repeated_from_its_settings_file(trained, tmp_path):
    file = trained / "config.yaml"
    succeed("train", "--config", file, "--out", tmp_path / "again")
    written = [read_config(run) for run in (trained, tmp_path / "again")]
    assert written[0] == written[1]
    for name in ("model.safetensors", "metrics.json"):
        assert (trained / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
