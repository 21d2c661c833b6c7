"""Trains methods for some steps and writes their losses; torchrun starts it in processes."""

import json
import os
import sys
from pathlib import Path

import lightning
import torch
from lightly.models.modules import SimCLRProjectionHead

from lensmodels.data import DataSettings, LensDataModule
from lensmodels.encoders import Encoder, EncoderSettings
from lensmodels.methods import PRETRAINING, Supervised
from lensmodels.methods.settings import PRETRAINING_DEFAULTS, SUPERVISED_DEFAULTS
from lensmodels.model import LensModel
from lensmodels.tasks import Classification, TaskSettings
from lensmodels.views import default_recipe

STEPS = 20


class Losses(lightning.Callback):
    """The loss of every step, the mean over processes."""

    def __init__(self):
        self.values = []

    def on_train_batch_end(self, trainer, module, outputs, *_):
        loss = trainer.strategy.reduce(outputs["loss"].detach().clone(), reduce_op="mean")
        self.values.append(float(loss))


def made(method, data):
    torch.manual_seed(0)
    # norms over a layer, not over a batch that processes share
    encoder = Encoder(EncoderSettings(name="test_vit", arguments={"depth": 2}), data.num_pix)
    defaults = PRETRAINING_DEFAULTS.get(method, SUPERVISED_DEFAULTS)
    changes = {"epochs": 4, "learning_rate": 3e-4}
    if method == "dino":  # its heads have batch norms where the encoder does not end in one
        changes["head_norms"] = False
    stage = defaults.model_copy(update=changes)
    rest = {"batch_size": data.settings.batch_size, "total_steps": STEPS, "seed": 0}
    if method == "supervised":
        model = LensModel(data.scaling, encoder, Classification(TaskSettings()))
        return Supervised(model, default_recipe(method), stage, **rest)
    module = PRETRAINING[method](encoder, default_recipe(method), data.scaling, stage, **rest)
    if method.startswith("contrastive"):
        size = encoder.num_features
        module.projection_head = SimCLRProjectionHead(size, size, 128, batch_norm=False)
    return module


def losses_of(method, data):
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    losses = Losses()
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=processes,
        strategy="ddp" if processes > 1 else "auto",
        max_steps=STEPS,
        max_epochs=-1,
        limit_val_batches=0,
        callbacks=[losses],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(made(method, data), data)
    return losses.values


def opened(archive, method):
    settings = DataSettings(url=archive, batch_size=16, workers=0, seed=3)
    data = LensDataModule(settings, "labelled" if method == "supervised" else "train")
    data.setup()
    return data


def main(archive, out, *methods):
    torch.set_num_threads(1)
    losses = {method: losses_of(method, opened(archive, method)) for method in methods}
    if int(os.environ.get("RANK", "0")) == 0:
        Path(out).write_text(json.dumps(losses))


if __name__ == "__main__":
    main(*sys.argv[1:])
