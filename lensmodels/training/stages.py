"""The stages of a run, each of which can be stopped and resumed.

A run pretrains an encoder, unless its method is supervised, and then finetunes it, with a head, on
its task. Each stage keeps a checkpoint of its last epoch.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from lensmodels.data import InputScaling, LensDataModule
from lensmodels.data.unlabelled import instrument_notes
from lensmodels.encoders import Encoder
from lensmodels.encoders.domain_norms import with_domain_norms, without_domain_norms
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
    local_run,
    read_config,
    save_encoder,
    save_model,
    write_config,
    write_measured,
)
from lensmodels.runs.folder import stored_settings
from lensmodels.startup import announce, say
from lensmodels.training.callbacks import rank_zero, wait_for_all
from lensmodels.training.norms import reestimate_norms
from lensmodels.training.requirements import (
    check_requirements,
    domain_parts,
    is_pretrained_here,
    measure_task_of,
    open_pretraining_data,
    open_scaling_data,
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
) -> RunConfig:
    """Pretrains, unless the method is supervised, and finetunes.

    What all stages need is checked before the first.

    Args:
        config: of the run.
        run: folder to write.
        resume: continue the run that is there.
        moved: as in `begin`.
        tested: whether the caller tests the run on the same archive afterwards, which then has to
            have a test split.

    Returns:
        The settings, with what was measured.

    Raises:
        UsageError: if the settings cannot be met, or the folder holds another run.
        DataError: if the archive lacks a class of the task, or its images are of another size.
        LensmodelsError: if the training failed.
    """
    check_requirements(config, run, tested=tested)
    config = begin(config, run, resume=resume, moved=moved)
    if is_pretrained_here(config):
        config = pretrain(config, run)
    return finetune(config, run)


def begin(config: RunConfig, run: Path, *, resume: bool, moved: bool = False) -> RunConfig:
    """Writes the settings of a new run; of one to resume, returns what was measured with them.

    Arguments and errors are those of `stored_settings`.
    """
    if not rank_zero():
        return config
    stored = stored_settings(config, run, resume=resume, moved=moved)
    if stored is None:
        write_config(run, config)
        return config
    begun = {name: getattr(stored, name) for name in ("measured", "version", "pretrain")}
    return config.model_copy(update=begun)


def pretrain(config: RunConfig, run: Path) -> RunConfig:
    """Pretrains the encoder of a run without labels, and saves it; nothing if that is done.

    Args:
        config: of the run.
        run: its folder.

    Returns:
        The settings, with what was measured.
    """
    data = open_pretraining_data(config)
    measured, scaling = _measure_scaling(config, run, data)
    config = config.model_copy(update={"measured": measured})
    _write(run, config, scaling)
    if (run / ENCODER).exists():
        return config
    for note in instrument_notes(config.data, config.pretrain_unlabelled):
        say(note)
    seed_weights(config, "pretrain")
    encoder = Encoder(config.encoder, measured.num_pix, channels=config.data.channels)
    if config.domain_norms:
        with_domain_norms(encoder, domain_parts(config, data))
    method = PRETRAINING[config.method](
        encoder,
        config.pretrain_views,
        scaling,
        config.pretrain,
        batch_size=config.data.batch_size,
        total_steps=config.pretrain.epochs * data.steps(),
        seed=config.seed,
    )
    method.measure(data.measured_batches())
    fit_stage("pretrain", config, run, method, data)
    if rank_zero():
        if method.collapsed:
            warnings.warn(
                "The features have collapsed: images look alike to the encoder, or differ along "
                "one line only. See embedding_std and embedding_rank in the log; other views or a "
                "lower learning rate may help.",
                stacklevel=1,
            )
        without_domain_norms(method.trained_encoder)
        save_encoder(run, method.trained_encoder)
    wait_for_all()  # before another process reads it
    return config


def finetune(config: RunConfig, run: Path) -> RunConfig:
    """Trains encoder and head on the task, and saves the model; nothing if that is done.

    Starts from the encoder that was pretrained, in this run or in another, or from random weights.

    Args:
        config: of the run.
        run: its folder.

    Returns:
        The settings, with what was measured.
    """
    if (run / MODEL).exists():
        load_model(run)  # refuses a damaged one
        return read_config(run)
    data = open_task_data(config)
    seed_weights(config, "finetune")
    encoder = None
    if config.pretrained is not None or config.method in PRETRAINING:
        encoder, scaling, scaled_on = _load_start(config, run, data)
        measured = Measured(num_pix=data.num_pix, scaling=scaling.to_dict(), scaled_on=scaled_on)
    else:
        measured, scaling = _measure_scaling(config, run, data)
    task = measure_task_of(config, data)
    of_task = {
        "task": task.to_dict(),
        "sizes": dict(data.sizes),
        "contract": measured.contract or data.contract,
    }
    config = config.model_copy(update={"measured": measured.model_copy(update=of_task)})
    _write(run, config, scaling)
    model = build_model(config, task, scaling, is_loaded=encoder is not None)
    if encoder is not None:
        model.encoder.load_state_dict(encoder.state_dict())
    if config.frozen and config.reestimate_norms:
        announce("measuring the statistics of the batch norms")
        reestimate_norms(model, config, data)
    module = Supervised(
        model,
        config.finetune_views,
        config.finetune,
        frozen=config.frozen,
        batch_size=config.data.batch_size,
        total_steps=config.finetune.epochs * data.steps(),
        seed=config.seed,
    )
    fit_stage("finetune", config, run, module, data)
    if rank_zero():
        save_model(run, model, config)
    wait_for_all()
    if torch.distributed.is_initialized():
        # so that what comes next, on one process, is given every image of a stream
        torch.distributed.destroy_process_group()
    return config


def seed_weights(config: RunConfig, stage: StageName) -> None:
    """Seeds what draws the initial weights of a stage."""
    torch.manual_seed(step_seed(config.seed, 0 if stage == "pretrain" else 1, 0x5EED))


def _write(run: Path, config: RunConfig, scaling: InputScaling) -> None:
    if rank_zero():
        write_measured(run, config, scaling)


def _load_start(
    config: RunConfig, run: Path, data: LensDataModule
) -> tuple[Encoder, InputScaling, str | None]:
    """The pretrained encoder that a finetuning begins with, the scaling of its input, and on which
    images that was measured.

    Raises:
        UsageError: if it is another encoder than the settings name, or for images of another size.
    """
    start = local_run(config.pretrained, config.data.cache_dir) if config.pretrained else run
    encoder, scaling = load_encoder(start)
    if encoder.settings != config.encoder:
        raise UsageError(
            f"{start} holds the encoder {encoder.settings.name}, not {config.encoder.name} "
            "with these settings; leave --encoder out."
        )
    if encoder.channels != data.settings.channels:
        raise UsageError(
            f"{start} was pretrained on images of another number of channels: choose the --input "
            f"that it had, {read_config(start).data.input}."
        )
    if encoder.num_pix != data.num_pix:
        raise UsageError(
            f"{start} was pretrained on images of {encoder.num_pix} pixels, and "
            f"{config.data.url} has {data.num_pix}."
        )
    begun = read_config(start).measured
    return encoder, scaling, begun.scaled_on if begun else None


def _measure_scaling(
    config: RunConfig, run: Path, data: LensDataModule
) -> tuple[Measured, InputScaling]:
    """What was measured on the train images of a run, now or when it began, and its input scaling.

    Args:
        config: of the run.
        run: its folder.
        data: what it trains on.
    """
    if config.measured is not None:
        return config.measured, load_scaling(run, config)
    announce("measuring the input scaling")
    measured_on = open_scaling_data(config, data)
    scaling = measured_on.scaling
    measured = Measured(
        num_pix=data.num_pix,
        scaling=scaling.to_dict(),
        scaled_on=measured_on.scaled_on,
        sizes=dict(data.sizes),
        contract=data.contract,
    )
    return measured, scaling
