"""Training: the same seed gives the same weights, also after a kill or Ctrl-C on the way."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from safetensors.torch import load_file

import lenssim
from lensmodels import training
from lensmodels.data import LensDataModule
from lensmodels.errors import DataError, LensmodelsError, UsageError
from lensmodels.methods import Pretraining, Supervised
from lensmodels.reporting.run_page import evaluate
from lensmodels.runs import load_model, read_config, save_encoder, write_measured
from lensmodels.runs.folder import RUN_FILES
from lensmodels.settings import config_from_options
from lensmodels.training import InterruptedTrainingError

OPTIONS = {
    "encoder": "test_vit",
    "batch_size": 16,
    "pretrain_epochs": 2,
    "finetune_epochs": 2,
    "workers": 0,
    # in the middle of what a small archive has to validate
    "overrides": ["data.validation_fraction=0.1"],
}


def settings(lenses, **words):
    return config_from_options({"data": str(lenses), **OPTIONS, **words})


def weights(run, name="model"):
    return load_file(run / f"{name}.safetensors")


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )


def log(run, stage):
    with (run / "logs" / stage / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def log_without_times(run, stage):
    return [{**row, "images_per_second": None} for row in log(run, stage)]


def press_ctrl_c(monkeypatch, kind, step, number=signal.SIGINT):
    """In a step of the stage that a module of this kind trains; or another signal."""
    original = kind.training_step

    def interrupting(self, batch, index):
        if self.global_step == step:
            os.kill(os.getpid(), number)
        return original(self, batch, index)

    monkeypatch.setattr(kind, "training_step", interrupting)


@pytest.fixture(scope="module")
def whole(lenses, tmp_path_factory):
    """A run of BYOL that was never stopped."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    training.train(settings(lenses, method="byol"), run)
    return run


def test_a_run_holds_all_that_is_promised(whole):
    for name in ("config.yaml", "encoder.safetensors", "model.safetensors"):
        assert (whole / name).is_file()
    assert {path.name for path in whole.iterdir()} <= set(RUN_FILES)
    config = read_config(whole)
    assert config.measured.sizes == {"train": 108, "labelled": 108, "validation": 12, "test": 24}
    contract = config.measured.contract
    assert (contract.unit, contract.pixel_scale, contract.zero_point) == ("e-/s", 0.101, 25.72)
    before, after = weights(whole, "encoder"), load_model(whole).encoder.network.state_dict()
    assert not same(before, after)  # what was pretrained is kept beside what was finetuned


def test_a_finetuned_run_keeps_the_contract_of_what_it_was_finetuned_on(whole, tmp_path):
    overrides = ["instrument.zero_point=25.9"]
    lenssim.generate("B", out=tmp_path / "other", train=8, test=0, overrides=overrides)
    words = {"pretrained": str(whole), "method": "byol", "finetune_epochs": 1}
    training.finetune(settings(tmp_path / "other", **words), tmp_path / "run")
    assert read_config(tmp_path / "run").measured.contract.zero_point == 25.9


def test_a_group_can_read_the_files_that_the_umask_lets_it_read(lenses, tmp_path):
    before = os.umask(0o027)
    try:
        training.train(settings(lenses, method="simsiam", pretrain_epochs=1), tmp_path / "run")
        evaluate(tmp_path / "run")
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert names >= {"model.safetensors", "scaling.safetensors", "finetune.ckpt", "metrics.json"}
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o640"}


def test_both_stages_are_logged(whole):
    pretraining, finetuning = log(whole, "pretrain"), log(whole, "finetune")
    for column in ("knn_macro_auc", "embedding_std", "embedding_rank", "images_per_second"):
        assert sum(row[column] != "" for row in pretraining) == 2
    for column in ("train_loss", "val_loss", "val_macro_auc"):
        assert sum(row[column] != "" for row in finetuning) == 2
    assert list((whole / "logs" / "tensorboard" / "pretrain").glob("events*"))


def test_the_same_seed_gives_the_same_weights_and_another_one_others(whole, lenses, tmp_path):
    training.train(settings(lenses, method="byol", workers=2), tmp_path / "again")
    assert same(weights(whole), weights(tmp_path / "again"))
    training.train(settings(lenses, method="byol", seed=1), tmp_path / "other")
    assert not same(weights(whole), weights(tmp_path / "other"))


class KilledError(BaseException):
    """As sudden as a kill: nothing is saved on the way out."""


@pytest.mark.parametrize("step", [1, 7, 11])
def test_a_run_that_was_killed_goes_on_to_the_same_weights(
    whole, lenses, tmp_path, monkeypatch, step
):
    original = Pretraining.training_step

    def deadly(self, batch, index):
        if self.global_step == step:
            raise KilledError
        return original(self, batch, index)

    config = settings(lenses, method="byol")
    monkeypatch.setattr(Pretraining, "training_step", deadly)
    with pytest.raises(KilledError):
        training.train(config, tmp_path)
    monkeypatch.undo()
    training.train(settings(lenses, method="byol"), tmp_path, resume=True)
    assert same(weights(whole, "encoder"), weights(tmp_path, "encoder"))
    assert same(weights(whole), weights(tmp_path))
    steps = [row["step"] for row in log(tmp_path, "pretrain") if row["knn_macro_auc"]]
    assert steps == [row["step"] for row in log(whole, "pretrain") if row["knn_macro_auc"]]


def test_an_epoch_that_is_trained_again_is_logged_once(whole, lenses, tmp_path, monkeypatch):
    original, calls = training.callbacks.KeepCheckpoint.save, []

    def deadly(self, trainer):
        calls.append(1)
        if len(calls) == 2:  # the second epoch is validated and logged, but not saved
            raise KilledError
        original(self, trainer)

    monkeypatch.setattr(training.callbacks.KeepCheckpoint, "save", deadly)
    with pytest.raises(KilledError):
        training.train(settings(lenses, method="byol"), tmp_path)
    monkeypatch.undo()
    training.train(settings(lenses, method="byol"), tmp_path, resume=True)
    epochs = [row["epoch"] for row in log(tmp_path, "pretrain") if row["knn_macro_auc"]]
    assert epochs == ["0", "1"]
    assert same(weights(whole), weights(tmp_path))


@pytest.mark.parametrize("epoch", [1, 2])
def test_an_epoch_that_is_saved_is_logged_though_the_log_was_cut_off(
    whole, lenses, tmp_path, monkeypatch, epoch
):
    original, calls = training.callbacks.KeepCheckpoint.save, []

    def deadly(self, trainer):
        original(self, trainer)
        calls.append(1)
        if len(calls) == epoch:  # the checkpoint is there, and the line of the epoch is not
            raise KilledError

    monkeypatch.setattr(training.callbacks.KeepCheckpoint, "save", deadly)
    with pytest.raises(KilledError):
        training.train(settings(lenses, method="byol"), tmp_path)
    monkeypatch.undo()
    state = torch.load(tmp_path / "checkpoints" / "pretrain.ckpt", weights_only=True)
    logged = state["callbacks"]["KeepCheckpoint"]["logged"]  # without the validation's
    assert logged.keys() == {"epoch", "step", "train_loss", "images_per_second"}
    training.train(settings(lenses, method="byol"), tmp_path, resume=True)
    assert log_without_times(tmp_path, "pretrain") == log_without_times(whole, "pretrain")
    assert all(row["images_per_second"] for row in log(tmp_path, "pretrain") if row["train_loss"])


@pytest.mark.parametrize(
    ("step", "number"),
    [(2, signal.SIGINT), (5, signal.SIGINT), (8, signal.SIGINT), (2, signal.SIGTERM)],
)
def test_a_signal_saves_in_the_middle_of_an_epoch(
    whole, lenses, tmp_path, monkeypatch, step, number
):
    before = signal.getsignal(number)
    press_ctrl_c(monkeypatch, Pretraining, step, number)
    with pytest.raises(InterruptedTrainingError, match="--resume"):
        training.train(settings(lenses, method="byol"), tmp_path)
    assert signal.getsignal(number) == before
    monkeypatch.undo()
    saved = torch.load(tmp_path / "checkpoints" / "pretrain.ckpt", weights_only=True)
    assert saved["global_step"] == step + 1
    training.train(settings(lenses, method="byol"), tmp_path, resume=True)
    assert log_without_times(tmp_path, "pretrain") == log_without_times(whole, "pretrain")
    assert same(weights(whole, "encoder"), weights(tmp_path, "encoder"))
    assert same(weights(whole), weights(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_failed_training_gives_the_signals_back(lenses, tmp_path, monkeypatch, number):
    before = signal.getsignal(number)

    def failing(self, batch, index):
        assert signal.getsignal(number) != before
        raise ZeroDivisionError

    monkeypatch.setattr(Supervised, "training_step", failing)
    with pytest.raises(ZeroDivisionError):
        training.train(settings(lenses), tmp_path)
    assert signal.getsignal(number) == before


def test_a_signal_before_the_first_step_stops_after_it(lenses, tmp_path, monkeypatch):
    original = LensDataModule.train_dataloader

    def signalled(self):
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL  # which would end the tests
        os.kill(os.getpid(), signal.SIGTERM)
        return original(self)

    monkeypatch.setattr(LensDataModule, "train_dataloader", signalled)
    with pytest.raises(InterruptedTrainingError, match=r"^Stopped in epoch 1 of 2;"):
        training.train(settings(lenses), tmp_path)
    saved = torch.load(tmp_path / "checkpoints" / "finetune.ckpt", weights_only=True)
    assert saved["global_step"] == 1


def test_logged_loss_is_the_mean_over_the_steps_of_the_epoch(whole, lenses, tmp_path, monkeypatch):
    original, losses = Pretraining.training_step, []

    def noting(self, batch, index):
        loss = original(self, batch, index)
        losses.append(float(loss.detach()))
        return loss

    monkeypatch.setattr(Pretraining, "training_step", noting)
    training.pretrain(settings(lenses, method="byol"), tmp_path)
    logged = [float(row["train_loss"]) for row in log(tmp_path, "pretrain") if row["train_loss"]]
    means = [sum(part) / len(part) for part in (losses[:6], losses[6:])]
    assert logged == pytest.approx(means, rel=1e-6)


@pytest.mark.parametrize(
    ("step", "where"), [(4, "in epoch 1"), (5, "after epoch 1"), (11, "after epoch 2")]
)
def test_message_after_ctrl_c_names_the_epoch(lenses, tmp_path, monkeypatch, step, where):
    press_ctrl_c(monkeypatch, Supervised, step)
    with pytest.raises(InterruptedTrainingError, match=f"^Stopped {where} of 2;"):
        training.train(settings(lenses), tmp_path)
    monkeypatch.undo()
    training.train(settings(lenses), tmp_path, resume=True)


def test_kill_9_and_resume_by_the_command(lenses, tmp_path):
    command = [sys.executable, "-m", "lensmodels", "pretrain", "--data", str(lenses)]
    command += ["--method", "simsiam", "--encoder", "test_resnet", "--batch-size", "16"]
    command += ["--pretrain-epochs", "3"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "--out", tmp_path / "whole"], check=True, env=environment)
    run = tmp_path / "killed"
    with subprocess.Popen([*command, "--out", run], env=environment) as process:
        while not (run / "checkpoints" / "pretrain.ckpt").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert not (run / "encoder.safetensors").exists()
    subprocess.run(
        [sys.executable, "-m", "lensmodels", "pretrain", "--out", run, "--resume"],
        check=True,
        env=environment,
    )
    assert same(weights(tmp_path / "whole", "encoder"), weights(run, "encoder"))


def test_a_second_head_is_trained_through_an_interruption_and_not_kept(
    lenses, tmp_path, monkeypatch
):
    words = {"method": "supervised", "task": "axion-mass", "overrides": ["task.quadrupole=1"]}
    training.train(settings(lenses, **words), tmp_path / "whole")
    plain = settings(lenses, **words | {"overrides": []})
    training.train(plain, tmp_path / "plain")
    press_ctrl_c(monkeypatch, Supervised, 1)
    with pytest.raises(InterruptedTrainingError):
        training.train(settings(lenses, **words), tmp_path / "stopped")
    monkeypatch.undo()
    training.train(settings(lenses, **words), tmp_path / "stopped", resume=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))
    assert weights(tmp_path / "whole").keys() == weights(tmp_path / "plain").keys()
    assert not same(weights(tmp_path / "whole"), weights(tmp_path / "plain"))
    assert any(row["train_auxiliary_loss"] for row in log(tmp_path / "whole", "finetune"))


def test_supervised_has_no_pretraining_and_keeps_its_encoder(lenses, tmp_path):
    training.train(settings(lenses, task="axion-mass"), tmp_path)
    assert not (tmp_path / "logs" / "pretrain").exists()
    assert same(weights(tmp_path, "encoder"), load_model(tmp_path).encoder.network.state_dict())
    assert log(tmp_path, "finetune")[0]["val_rmse_dex"]
    assert read_config(tmp_path).measured.sizes["train"] == 36


def test_a_frozen_encoder_stays_as_it_was_pretrained(whole, lenses, tmp_path):
    config = settings(lenses, method="byol", pretrained=str(whole), frozen=True)
    training.finetune(config, tmp_path)
    assert same(weights(whole, "encoder"), load_model(tmp_path).encoder.network.state_dict())


def test_a_frozen_encoder_with_batch_norms_stays_so_after_ctrl_c(lenses, tmp_path, monkeypatch):
    words = {"method": "simsiam", "encoder": "test_resnet", "pretrain_epochs": 1, "frozen": True}
    training.train(settings(lenses, **words), tmp_path / "whole")
    press_ctrl_c(monkeypatch, Supervised, 3)
    with pytest.raises(InterruptedTrainingError):
        training.train(settings(lenses, **words), tmp_path / "stopped")
    monkeypatch.undo()
    training.train(settings(lenses, **words), tmp_path / "stopped", resume=True)
    kept = load_model(tmp_path / "stopped").encoder.network.state_dict()
    assert same(weights(tmp_path / "stopped", "encoder"), kept)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))


def test_a_missing_class_is_found_before_the_pretraining(tmp_path):
    archive = tmp_path / "two"
    lenssim.generate("B", ["axion", "no_sub"], out=archive, train=20, test=4)
    asked = ["task.classes=[cdm, no_sub]"]
    with pytest.raises(DataError, match="no train images of class cdm"):
        training.train(settings(archive, method="simsiam", overrides=asked), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_encoder_is_one_sentence(lenses, tmp_path, monkeypatch):
    original = Supervised.training_step

    def stopping(self, batch, index):
        os.kill(os.getpid(), signal.SIGINT)
        return original(self, batch, index)

    monkeypatch.setattr(Supervised, "training_step", stopping)
    for encoder in ("test_vit", "test_resnet"):
        with pytest.raises(InterruptedTrainingError):
            training.train(settings(lenses, encoder=encoder), tmp_path / encoder)
    monkeypatch.undo()
    checkpoint = "checkpoints/finetune.ckpt"
    shutil.copy(tmp_path / "test_vit" / checkpoint, tmp_path / "test_resnet" / checkpoint)
    with pytest.raises(LensmodelsError, match=r"finetune\.ckpt is of another encoder"):
        training.train(
            settings(lenses, encoder="test_resnet"), tmp_path / "test_resnet", resume=True
        )


def test_steps_are_counted_before_a_cache_is_made(lenses, monkeypatch):
    """Its device is known to the trainer only."""
    monkeypatch.setattr(LensDataModule, "_device", property(lambda _: pytest.fail("asked for")))
    data = LensDataModule(settings(lenses).data)
    data.setup()
    assert data.steps("train") == 108 // 16


def test_another_logger_is_given_what_is_logged(lenses, tmp_path, monkeypatch):
    made = []

    class Recorder(CSVLogger):
        def __init__(self, name, save_dir):
            made.append(name)
            super().__init__(tmp_path / "elsewhere", name=name, version="")

    monkeypatch.setattr("lensmodels.training.trainer.WandbLogger", Recorder)
    monkeypatch.setattr("lensmodels.training.requirements.check_logger", lambda logger: None)
    training.train(settings(lenses, logger="wandb"), tmp_path / "run")
    assert made == ["run/finetune"]
    written = (tmp_path / "elsewhere" / "run" / "finetune" / "metrics.csv").read_text()
    assert written == (tmp_path / "run" / "logs" / "finetune" / "metrics.csv").read_text()


def test_fewer_gpus_than_asked_for_are_refused(lenses, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="there are only 1"):
        training.train(settings(lenses, devices=2), tmp_path)


def test_another_encoder_than_was_pretrained_is_refused(whole, lenses, tmp_path):
    config = settings(lenses, method="byol", pretrained=str(whole), encoder="test_resnet")
    with pytest.raises(UsageError, match="test_vit"):
        training.finetune(config, tmp_path)


def test_a_folder_with_another_run_is_not_overwritten(whole, lenses):
    with pytest.raises(UsageError, match="--resume"):
        training.train(settings(lenses, method="byol"), whole)
    with pytest.raises(UsageError, match=r"seed 0, not 5"):
        training.train(settings(lenses, method="byol", seed=5), whole, resume=True)


def test_a_damaged_checkpoint_is_named(lenses, tmp_path):
    config = training.begin(settings(lenses), tmp_path, resume=False)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "finetune.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(LensmodelsError, match=r"finetune\.ckpt"):
        training.train(config, tmp_path, resume=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_where_there_is_none_is_refused(lenses, tmp_path):
    with pytest.raises(UsageError, match="none here"):
        training.train(settings(lenses, device="gpu"), tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_out_of_memory_is_one_sentence(lenses, tmp_path, monkeypatch, error):
    def hungry(*_):
        raise error

    monkeypatch.setattr(Supervised, "training_step", hungry)
    with pytest.raises(LensmodelsError, match="smaller --batch-size"):
        training.train(settings(lenses), tmp_path)


def test_a_loss_that_is_no_number_is_reported(lenses, tmp_path, monkeypatch):
    from lensmodels.tasks import Classification

    monkeypatch.setattr(Classification, "loss", lambda self, outputs, batch: outputs.sum() * 1e39)
    with pytest.raises(LensmodelsError, match="lower --lr"):
        training.train(settings(lenses), tmp_path)
    assert not (tmp_path / "checkpoints" / "finetune.ckpt").exists()


def test_a_collapse_is_reported(lenses, tmp_path, monkeypatch):
    monkeypatch.setattr("lensmodels.methods.probes.COLLAPSED_STD", 1e9)
    with pytest.warns(UserWarning, match="collapsed"):
        training.train(settings(lenses, method="simsiam"), tmp_path)
    evaluate(tmp_path)
    assert "The features had collapsed" in (tmp_path / "report.html").read_text()


def test_what_was_saved_by_hand_is_finetuned(lenses, tmp_path, whole):
    config = settings(lenses, method="byol")
    config = config.model_copy(update={"measured": read_config(whole).measured})
    run = tmp_path / "run"
    training.begin(config, run, resume=False)
    model = load_model(whole)
    write_measured(run, config, model.scaling)
    save_encoder(run, model.encoder)
    training.train(config, run, resume=True)
    assert not same(weights(run), weights(whole))


def test_the_settings_of_one_run_serve_for_another(lenses, tmp_path):
    config = settings(lenses)
    training.train(config, tmp_path / "first")
    training.train(config, tmp_path / "second")
    assert same(weights(tmp_path / "first"), weights(tmp_path / "second"))
