"""Pretraining on an archive and unlabelled ones beside it."""

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

import lenssim
from lensmodels import training
from lensmodels.cli import main
from lensmodels.errors import UsageError
from lensmodels.methods import Pretraining
from lensmodels.options import pretrained_options
from lensmodels.reporting.evaluated_run import EvaluatedRun
from lensmodels.runs import load_encoder, read_config
from lensmodels.settings import config_from_options

TINY = {"encoder": "test_resnet", "batch_size": 12, "pretrain_epochs": 2, "workers": 0}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """12 labelled images of each class, and as many of an instrument with a wider PSF."""
    folder = tmp_path_factory.mktemp("archives")
    for name, width, seed in (("simulated", 0.16, 0), ("survey", 0.3, 1)):
        changes = ["instrument.num_pix=32", f"instrument.psf_fwhm={width}"]
        lenssim.generate("B", out=folder / name, train=12, test=2, seed=seed, overrides=changes)
    return folder


def settings(small, **options):
    given = {"data": str(small / "simulated"), "method": "byol", **TINY, **options}
    given.setdefault("unlabelled", [f"{small / 'survey'}=0.5"])
    return config_from_options(given)


def pretrain(config, run, *, resume=False):
    return training.pretrain(training.begin(config, run, resume=resume), run)


def encoder_of(run):
    return load_file(run / "encoder.safetensors")


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )


@pytest.fixture(scope="module")
def mixed(small, tmp_path_factory):
    """A run that was pretrained on both, with norms by domain."""
    run = tmp_path_factory.mktemp("runs") / "mixed"
    pretrain(settings(small, domain_norms=True), run)
    return run


def test_the_encoder_is_a_plain_one_that_saw_both(small, mixed, tmp_path):
    encoder, _ = load_encoder(mixed)
    assert not any("norms" in name for name in encoder.state_dict())
    survey = str(small / "survey")
    config = read_config(mixed)
    assert config.pretrain_unlabelled == {survey: 0.5} and config.domain_norms
    assert survey in config.measured.scaled_on
    pretrain(settings(small, unlabelled=()), tmp_path / "alone")
    pretrain(settings(small), tmp_path / "one-norm")
    others = [encoder_of(tmp_path / name) for name in ("alone", "one-norm")]
    assert not any(same(encoder_of(mixed), other) for other in others)


class KilledError(BaseException):
    """As sudden as a kill: nothing is saved on the way out."""


@pytest.mark.slow
def test_a_run_that_was_killed_continues_to_the_same_weights(small, mixed, tmp_path, monkeypatch):
    original = Pretraining.training_step

    def deadly(self, batch, index):
        if self.global_step == 6:  # in the second epoch
            raise KilledError
        return original(self, batch, index)

    config = settings(small, domain_norms=True)
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(Pretraining, "training_step", deadly)
        pretrain(config, tmp_path)
    pretrain(config, tmp_path, resume=True)
    assert same(encoder_of(mixed), encoder_of(tmp_path))


DATA = {"url": "B", "model": "B", "seed": 0, "spec_sha256": "0", "sha256": "0"}
METRICS = {"data": DATA, "n_test": 1, "n_train": 1, "n_labels": 1, "version": "1"}


def test_a_finetuning_says_what_its_encoder_saw(small, mixed):
    survey = str(small / "survey")
    options = pretrained_options(str(mixed), survey)  # on the labels of the survey, say
    config = config_from_options(options)
    assert config.pretrain_unlabelled == {survey: 0.5}
    facts = dict(EvaluatedRun(mixed, config, METRICS, None).facts)
    assert facts["and on unlabelled images"] == f"{survey} (weight 0.5)"


def test_the_command_says_that_the_instrument_is_another_one(small, tmp_path):
    words = ["pretrain", "--data", small / "simulated", "--unlabelled", f"{small / 'survey'}=2"]
    words += ["--encoder", "test_resnet", "--batch-size", "12", "--pretrain-epochs", "1"]
    words += ["--method", "simsiam", "--domain-norms", "--out", tmp_path / "run"]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    assert "PSF FWHM 0.3 instead of 0.16 arcsec" in result.stderr
    assert read_config(tmp_path / "run").pretrain_unlabelled == {str(small / "survey"): 2.0}


def test_what_cannot_be_mixed_is_refused(small):
    with pytest.raises(UsageError, match="--unlabelled is for a pretraining"):
        settings(small, method="supervised")
    with pytest.raises(UsageError, match="what only a simulator knows"):
        settings(small, method="macro")
    with pytest.raises(UsageError, match="domain_norms is for a pretraining on several"):
        settings(small, unlabelled=(), domain_norms=True)
    with pytest.raises(UsageError, match="has no batch norms"):
        training.check_requirements(
            settings(small, encoder="test_vit", domain_norms=True), small / "run", finetuned=False
        )
    with pytest.raises(UsageError, match="pretrain_unlabelled"):
        settings(small, unlabelled={str(small / "survey"): -1.0})
