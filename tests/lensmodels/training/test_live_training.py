"""Training on images that are simulated meanwhile, and finetuning on another specification."""

import os
import signal

import pytest
import torch
from safetensors.torch import load_file

from lensmodels import training
from lensmodels.data import DataSettings, LensDataModule
from lensmodels.data.live_source import LiveStream
from lensmodels.errors import UsageError
from lensmodels.evaluation import score
from lensmodels.methods import SimSiam
from lensmodels.options import pretrained_options
from lensmodels.reporting.evaluated_run import read_evaluated
from lensmodels.runs import read_config
from lensmodels.settings import config_from_options
from lensmodels.training import InterruptedTrainingError

TINY = {
    "encoder": "test_resnet",
    "batch_size": 6,
    "epoch_size": 12,
    "train_size": 8,
    "pretrain_epochs": 2,
    "finetune_epochs": 1,
    "workers": 0,
}
OVERRIDES = ["data.validation_fraction=0.25", "data.test_size=2"]


def settings(model, method, *overrides, **options):
    options = {"data": f"live:{model}", "method": method, **TINY, **options}
    return config_from_options(options | {"overrides": [*OVERRIDES, *overrides]})


def pretrain(config, run, *, resume=False):
    return training.pretrain(training.begin(config, run, resume=resume), run)


def encoder_of(run):
    return load_file(run / "encoder.safetensors")


def same(first, second):
    return all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture
def closed(monkeypatch):
    """Counts how often a stream was told to end its processes."""
    calls = []
    original = LiveStream.close
    monkeypatch.setattr(LiveStream, "close", lambda self: (calls.append(1), original(self)))
    return calls


def test_a_stopped_training_on_live_pairs_continues_as_if_it_had_not_been(
    small_model, tmp_path, monkeypatch, closed
):
    config = settings(small_model, "simsiam", "pretrain.pairs=source", seed=1)
    pretrain(config, tmp_path / "whole")
    original = SimSiam.training_step

    def interrupting(self, batch, index):
        assert batch["second_image"].shape == batch["image"].shape
        if self.global_step == 2:  # the first of the second epoch's two
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(SimSiam, "training_step", interrupting)
        before = len(closed)
        with pytest.raises(InterruptedTrainingError):
            pretrain(config, tmp_path / "stopped")
        assert len(closed) > before
    pretrain(config, tmp_path / "stopped", resume=True)
    assert same(encoder_of(tmp_path / "whole"), encoder_of(tmp_path / "stopped"))


def test_a_run_on_a_simulator_is_tested_and_says_what_supervised_it(small_model, tmp_path):
    config = settings(small_model, "smooth-twin")
    training.train(config, tmp_path, tested=True)
    _, metrics = score(tmp_path)
    assert (metrics["n_test"], metrics["pretraining"]) == (6, "simulator")
    assert metrics["data"]["url"] == f"live:{small_model}"
    facts = dict(read_evaluated(tmp_path).facts)
    assert facts["method"] == "Smooth twin [simulator]"
    assert "only a simulator knows" in facts["pretrained on"]
    assert facts["train images"] == "12 an epoch, new ones in each, with their labels"


def test_an_encoder_is_finetuned_on_another_specification_with_few_labels(lenses, tmp_path):
    """Its input is scaled as it was pretrained; the contract is of the images of the task."""
    start, run = tmp_path / "start", tmp_path / "run"
    begun = pretrain(settings("B", "macro"), start)
    options = pretrained_options(start, str(lenses))
    options |= {"labels": 0.3, "finetune_epochs": 1, "batch_size": 6, "workers": 0, "frozen": True}
    config = config_from_options(options)
    assert config.data.epoch_size != begun.data.epoch_size  # of an archive, nothing is simulated
    training.train(config, run)
    measured = read_config(run).measured
    assert measured.scaling == begun.measured.scaling
    assert measured.scaled_on == begun.measured.scaled_on
    assert measured.sizes["labelled"] < measured.sizes["train"]
    data = LensDataModule(DataSettings(url=str(lenses), workers=0, cache="none"))
    data.setup()
    assert measured.contract == data.contract
    held, kept = encoder_of(start), load_file(run / "model.safetensors")
    ours = {key.removeprefix("encoder.network."): value for key, value in kept.items()}
    assert all(torch.equal(value, ours[key]) for key, value in held.items() if key in ours)
    assert held.keys() <= ours.keys()


def test_pairs_are_refused_of_an_archive_before_anything_is_done(lenses):
    with pytest.raises(UsageError, match="--data live:MODEL"):
        config_from_options({"data": str(lenses), "method": "smooth-twin"})
