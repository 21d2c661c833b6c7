"""A run of the task set-level: embeds the images of an archive, learns from sets, and scores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from lensmodels import training
from lensmodels.data import InputScaling, LensDataModule
from lensmodels.data.parts import Part
from lensmodels.devices import choose_device
from lensmodels.encoders import Encoder
from lensmodels.errors import DataError
from lensmodels.evaluation.detection_bound import bounding_snr
from lensmodels.evaluation.inference import progress
from lensmodels.evaluation.testing import METRICS, describe_data
from lensmodels.methods.supervision import supervision_of
from lensmodels.runs import (
    MODEL,
    SET_MODEL,
    Measured,
    RunConfig,
    load_encoder,
    load_model,
    local_run,
    save_encoder,
    write_measured,
)
from lensmodels.sets.learning import train_set_model
from lensmodels.sets.page import summary, write_set_report
from lensmodels.sets.scoring import (
    SETS,
    parameter_errors,
    score_sets,
    set_evidence,
    summed_evidence,
)
from lensmodels.sets.universes import EmbeddedImages, joined, usable_sizes
from lensmodels.startup import announce
from lensmodels.tasks import TaskSettings
from lenssim.archive.manifest import Manifest
from lenssim.storage.atomic import replacing

SINGLE = "single-images"
"""Folder in the run of the encoder's own training, where no other run gave the encoder."""


def train_sets(config: RunConfig, run: Path, *, resume: bool = False) -> dict[str, Any]:
    """Trains and tests a set model on an encoder, which stays as it is.

    The encoder is that of `config.pretrained`. Without it, it is trained first, on the classes of
    single images of the same archive, by the run's method.

    Args:
        config: of the run, whose task is set-level.
        run: folder to write.
        resume: continue the run that is there.

    Returns:
        The content of metrics.json.

    Raises:
        UsageError: if the settings cannot be met, or the folder holds another run.
        DataError: if the archive lacks a split, f_sub or enough images of each universe.
    """
    training.check_folder(run)
    config = training.begin(config, run, resume=resume)
    if resume and (run / METRICS).exists() and (run / SET_MODEL).exists():
        return json.loads((run / METRICS).read_text())
    data = LensDataModule(config.data.model_copy(update={"cache": "none"}), columns=("f_sub",))
    data.setup()
    encoder, scaling = _encoder(config, run)
    config = _with_measured(config, encoder, scaling, data)
    write_measured(run, config, scaling)
    save_encoder(run, encoder)
    parts = {part: _embedded(encoder, scaling, data, part, config) for part in _PARTS}
    metrics, model = _learn_and_score(config, parts)
    metrics["data"] = describe_data(config.data.test_url, data.manifest)
    metrics["summary"] = summary(metrics)
    with replacing(run / SET_MODEL) as scratch:
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, scratch)
    with replacing(run / METRICS) as scratch:
        scratch.write_text(json.dumps(metrics, indent=1, allow_nan=False) + "\n")
    write_set_report(run, config, metrics)
    return metrics


_PARTS: tuple[Part, ...] = ("labelled", "validation", "test")


def _encoder(config: RunConfig, run: Path) -> tuple[Encoder, InputScaling]:
    """The encoder that stays as it is, and the scaling of its input."""
    if config.pretrained is not None:
        start = local_run(config.pretrained, config.data.cache_dir)
    else:
        start = run / SINGLE
        task = TaskSettings(name="classification", classes=config.task.classes)
        training.train(config.model_copy(update={"task": task}), start, resume=True)
    if not (start / MODEL).exists():
        return load_encoder(start)
    model = load_model(start)
    return model.encoder, model.scaling


def _with_measured(
    config: RunConfig, encoder: Encoder, scaling: InputScaling, data: LensDataModule
) -> RunConfig:
    measured = Measured(
        num_pix=encoder.num_pix,
        scaling=scaling.to_dict(),
        sizes={str(part): count for part, count in data.sizes.items()},
        contract=data.contract,
    )
    return config.model_copy(update={"measured": measured, "encoder": encoder.settings})


@torch.inference_mode()
def _embedded(
    encoder: Encoder, scaling: InputScaling, data: LensDataModule, part: Part, config: RunConfig
) -> EmbeddedImages:
    """The images of a part of an archive, as the encoder sees them."""
    total = data.sizes.get(part, 0)
    if not total:
        raise DataError(
            f"{config.data.url} has no {part} images, which sets are made of: choose another "
            "data.validation_fraction, or generate more."
        )
    device = choose_device(config.device)
    network = nn.Sequential(scaling, encoder).to(device).eval()
    snr = bounding_snr(data.manifest.specification())
    seen = []
    announce(f"embedding {total:,} {part} images")
    with progress(total, "embedding") as bar:
        for batch in data.stream(part, shuffle=False):
            seen.append(
                EmbeddedImages(
                    network(batch["image"].to(device)).float().cpu(),
                    batch["label"].cpu().numpy(),
                    batch["f_sub"].cpu().numpy().astype(np.float64),
                    batch["axion_mass"].cpu().numpy().astype(np.float64),
                    batch[snr].cpu().numpy().astype(np.float64),
                )
            )
            bar.update(len(batch["label"]))
    return _with_fixed_fraction(joined(seen), data.manifest)


def _with_fixed_fraction(images: EmbeddedImages, manifest: Manifest) -> EmbeddedImages:
    """Images whose f_sub is that of the specification, where it does not vary."""
    if not np.isnan(images.f_sub).any():
        return images
    prior = manifest.specification().substructure.f_sub
    if prior is None or not prior.is_fixed:
        raise DataError(
            "The archive does not state f_sub, which the task set-level needs: it was made before "
            "the column f_sub, or its specification has no selection; generate it again with "
            "--set substructure.f_sub=NUMBER, or by a specification with a selection."
        )
    return replace(images, f_sub=np.full(len(images), prior.parameters[0]))


def _learn_and_score(
    config: RunConfig, parts: dict[Part, EmbeddedImages]
) -> tuple[dict[str, Any], nn.Module]:
    """Metrics of a set model that was trained, and the model."""
    bins = config.task.bins
    images, validation, test = (parts[part].grouped(bins, parts["labelled"]) for part in _PARTS)
    sizes = usable_sizes(config.task.set_sizes, min(images.smallest, test.smallest))
    how: dict[str, Any] = {
        "epochs": config.finetune.epochs,
        "learning_rate": config.finetune.learning_rate,
        "weight_decay": config.finetune.weight_decay,
        "seed": config.seed,
    }
    announce(f"training on sets of {', '.join(map(str, sizes))} images")
    model = train_set_model(images, validation, sizes, **how)
    announce("training on single images, for the sum of their log posteriors")
    single = train_set_model(images, validation, (1,), **how)
    announce(f"scoring {SETS} sets of each universe and size")
    evidence = {"set": set_evidence(model, test), "sum": summed_evidence(single, test)}
    metrics = {
        "task": config.task.name,
        "method": config.method,
        "pretraining": supervision_of(config.method, config.pretrain),
        "encoder": config.encoder.name,
        "n_train": len(images),
        "n_test": len(test),
        "universes": len(test.universes),
        "bins": bins,
        "sizes": list(sizes),
        "left_out": [size for size in config.task.set_sizes if size not in sizes],
        "sets": SETS,
        "scores": score_sets(evidence, test, sizes),
        "parameters": parameter_errors(model, test, sizes),
        "power": float(model.power.detach()),
        "version": config.version,
    }
    return metrics, model
