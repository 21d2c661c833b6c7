"""A short pretraining makes the class easier to read than random weights do."""

import math

import pytest
import torch

from lensmodels.data import InputScaling
from lensmodels.encoders import Encoder, EncoderSettings
from lensmodels.methods import PRETRAINING
from lensmodels.methods.probes import (
    embedding_rank,
    embedding_std,
    has_collapsed,
    linear_scores,
)
from lensmodels.methods.settings import ENTRIES, PRETRAINING_DEFAULTS
from lensmodels.tasks import macro_auc
from lensmodels.views import default_recipe

COUNT, BATCH, STEPS, NOISE = 384, 64, 60, 0.1


@pytest.fixture(scope="module")
def rings():
    """Noisy rings, (384, 1, 32, 32), even, with two lobes or with five; and which, (384,)."""
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(COUNT) % 3
    angle, place = (2 * math.pi * torch.rand(COUNT, 1, 1, generator=generator) for _ in range(2))
    y, x = torch.meshgrid(*2 * [torch.arange(32) - 15.5], indexing="ij")
    radius, phi = torch.hypot(x, y), torch.atan2(y, x)
    ring = torch.exp(-0.5 * ((radius - 9) / 1.5) ** 2) * (1 + 0.7 * torch.cos(phi - angle))
    lobes = torch.tensor([0.0, 2.0, 5.0])[label][:, None, None]
    ring = ring * (1 + 0.5 * torch.cos(lobes * (phi - place)) * (lobes > 0))
    noise = NOISE * torch.randn(COUNT, 32, 32, generator=generator)
    return (ring + noise)[:, None], label


def pretrained(name, images):
    """A method before and after 60 steps: macro AUC of a linear probe, and the features."""
    torch.manual_seed(0)
    chosen = EncoderSettings(name="test_resnet")
    if name == "mae":
        chosen = EncoderSettings(name="test_vit", patch_size=8)
    method = PRETRAINING[name](
        Encoder(chosen, 32),
        # windows of 32 pixels are whole images here
        tuple(view for view in default_recipe(name) if view.window is None),
        InputScaling(sky_noise=NOISE, softening=50 * NOISE, standard_deviation=0.1),
        PRETRAINING_DEFAULTS[name].model_copy(update={"epochs": 1, "learning_rate": 4e-3}),
        batch_size=BATCH,
        total_steps=STEPS,
        seed=0,
    )
    method._trainer = trainer = Trainer()
    made = method.configure_optimizers()
    yield features_of(method, images)
    for step in range(STEPS):
        trainer.global_step = step
        method.on_train_batch_start({}, step)
        batch = images[torch.randint(COUNT, (BATCH,))]
        made["optimizer"].zero_grad()
        method.loss(method.draw_views({"image": batch}, seed=step)).backward()
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    yield features_of(method, images)


class Trainer:
    world_size, global_rank, global_step = 1, 0, 0


def features_of(method, images):
    method.eval()
    with torch.no_grad():
        features = method.features(method.scaling(images))
    method.train()
    return features


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name, entry in ENTRIES.items() if entry.supervision == "images"]
)
def test_a_probe_is_better_than_that_of_random_weights(name, rings):
    images, label = rings
    before, after = pretrained(name, images)
    found = macro_auc(linear_scores(after, label), label)
    assert found > macro_auc(linear_scores(before, label), label) + 0.01
    spread = embedding_std(after) if PRETRAINING[name].is_probed else 1.0
    assert not has_collapsed(spread, embedding_rank(after))
