"""The stages of a run, each of which can be stopped and resumed.

A run pretrains an encoder without labels, where its method is a self-supervised one, and then
finetunes it, with a head, on its task. Each stage keeps a checkpoint of its last epoch.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from lensmodels.data import InputScaling, LensDataModule
from lensmodels.encoders import Encoder
from lensmodels.errors import UsageError
from lensmodels.methods import PRETRAINING, Supervised
from lensmodels.methods.base import step_seed
from lensmodels.runs import (
    ENCODER,
    MODEL,
    Measured,
    RunConfig,
    build_model,
    load_encoder,
    load_model,
    load_scaling,
    save_encoder,
    save_model,
    write_config,
    write_measured,
)
from lensmodels.runs.resume import stored_settings
from lensmodels.startup import announce
from lensmodels.training.processes import rank_zero, wait_for_all
from lensmodels.training.requirements import (
    check_requirements,
    is_pretrained_here,
    measure_task_of,
    open_pretraining_data,
    open_task_data,
)
from lensmodels.training.trainer import StageName, fit_stage


def train(
    config: RunConfig,
    run: Path,
    *,
    resume: bool = False,
    moved: bool = False,
    tested: bool = False,
) -> None:
    """Pretrains, where the method is self-supervised, and finetunes.

    What all stages need is checked before the first.

    Args:
        config: of the run.
        run: folder to write.
        resume: go on with what is there.
        moved: as in `begin`.
        tested: whether the caller tests the run on the same archive afterwards, which then has to
            have a test split.

    Raises:
        UsageError: where the settings cannot be met, or the folder holds another run.
        DataError: where the archive lacks a class of the task, or its images are of another size.
        LensmodelsError: where the training failed.
    """
    check_requirements(config, run, tested=tested)
    config = begin(config, run, resume=resume, moved=moved)
    if is_pretrained_here(config):
        pretrain(config, run)
    finetune(config, run)


def begin(config: RunConfig, run: Path, *, resume: bool, moved: bool = False) -> RunConfig:
    """Writes the settings of a new run, or adds what was measured to those of one to resume.

    Arguments and errors are those of `stored_settings`.
    """
    config = config.model_copy()  # what is measured is filled in, and is of this run
    if not rank_zero():
        return config
    stored = stored_settings(config, run, resume=resume, moved=moved)
    if stored is None:
        write_config(run, config)
        return config
    return config.model_copy(update={"measured": stored.measured, "version": stored.version})


def pretrain(config: RunConfig, run: Path) -> None:
    """Pretrains the encoder of a run without labels, and saves it; nothing where it is done.

    Args:
        config: of the run; what is measured is filled in.
        run: its folder.
    """
    data = open_pretraining_data(config)
    scaling = _input_scaling(config, run, data)
    _write(run, config, scaling)
    assert config.measured is not None
    if (run / ENCODER).exists():
        return
    seed_weights(config, "pretrain")
    method = PRETRAINING[config.method](
        Encoder(config.encoder, config.measured.num_pix),
        config.pretrain_views,
        scaling,
        config.pretrain,
        batch_size=config.data.batch_size,
        total_steps=config.pretrain.epochs * data.steps("train"),
        seed=config.seed,
    )
    fit_stage("pretrain", config, run, method, data)
    if rank_zero():
        if method.collapsed:
            warnings.warn(
                "The features have collapsed: images look alike to the encoder, or differ along "
                "one line only. See embedding_std and embedding_rank in the log; other views or a "
                "lower learning rate may help.",
                stacklevel=1,
            )
        save_encoder(run, method.trained_encoder)
    wait_for_all()  # before another process reads it


def finetune(config: RunConfig, run: Path) -> None:
    """Trains encoder and head on the task, and saves the model; nothing where it is done.

    Starts from the encoder that was pretrained, in this run or in another, or from random weights.

    Args:
        config: of the run; what is measured is filled in.
        run: its folder.
    """
    if (run / MODEL).exists():
        load_model(run)
        return
    data = open_task_data(config)
    start = Path(config.pretrained) if config.pretrained else run
    begins_pretrained = config.pretrained is not None or config.method in PRETRAINING
    seed_weights(config, "finetune")
    if begins_pretrained:
        encoder, scaling = load_encoder(start)
        if encoder.settings != config.encoder:
            raise UsageError(
                f"{start} holds the encoder {encoder.settings.name}, not {config.encoder.name} "
                "with these settings; leave --encoder out."
            )
        if encoder.num_pix != data.num_pix:
            raise UsageError(
                f"{start} was pretrained on images of {encoder.num_pix} pixels, and "
                f"{config.data.url} has {data.num_pix}."
            )
        config.measured = Measured(num_pix=data.num_pix, scaling=scaling.to_dict())
    else:
        scaling = _input_scaling(config, run, data)
    task = measure_task_of(config, data)
    assert config.measured is not None
    config.measured = config.measured.model_copy(
        update={
            "task": task.to_dict(),
            "sizes": dict(data.sizes),
            "contract": config.measured.contract or data.contract,
        }
    )
    _write(run, config, scaling)
    model = build_model(config, task, scaling)
    if begins_pretrained:
        model.encoder.load_state_dict(encoder.state_dict())
    module = Supervised(
        model,
        config.finetune_views,
        config.finetune,
        frozen=config.frozen,
        batch_size=config.data.batch_size,
        total_steps=config.finetune.epochs * data.steps("labelled"),
        seed=config.seed,
    )
    fit_stage("finetune", config, run, module, data)
    if rank_zero():
        save_model(run, model, config)
    wait_for_all()
    if torch.distributed.is_initialized():
        # so that what comes next, on one process, is given every image of a stream
        torch.distributed.destroy_process_group()


def seed_weights(config: RunConfig, stage: StageName) -> None:
    """Seeds what draws the initial weights of a stage."""
    torch.manual_seed(step_seed(config.seed, 0 if stage == "pretrain" else 1, 0x5EED))


def _write(run: Path, config: RunConfig, scaling: InputScaling) -> None:
    if rank_zero():
        write_measured(run, config, scaling)


def _input_scaling(config: RunConfig, run: Path, data: LensDataModule) -> InputScaling:
    """The scaling of a run that begins, measured and noted in its settings, or of one that goes on.

    Args:
        config: of the run; what is measured is filled in.
        run: its folder.
        data: what it trains on.
    """
    if config.measured is not None:
        return load_scaling(run, config)
    announce("measuring the input scaling")
    config.measured = Measured(
        num_pix=data.num_pix,
        scaling=data.scaling.to_dict(),
        sizes=dict(data.sizes),
        contract=data.contract,
    )
    return data.scaling
