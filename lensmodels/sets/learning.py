"""Training a set model on sets of embedded images."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lensmodels.sets.set_model import SetModel, SetOutputs
from lensmodels.sets.universes import EmbeddedImages, SetDraws, Universe, usable_sizes

STEPS_IN_EPOCH = 50
IMAGES_IN_STEP = 2048
"""Of all sets of a step together, all of one size."""

SETS_IN_STEP = (8, 128)
"""Fewest and most sets in a step."""

VALIDATION_SETS = 192
"""Sets of each size by which the best epoch is chosen."""


@dataclass(frozen=True)
class Targets:
    """What is right for some sets.

    Attributes:
        labels: place of the class among those of the draws, (b,).
        parameters: log10 f_sub and log10 (axion mass / eV), NaN where a class has none, (b, 2).
    """

    labels: Tensor
    parameters: Tensor

    @classmethod
    def of(cls, universes: Sequence[Universe], names: Sequence[str]) -> Targets:
        """The targets of sets of some universes.

        Args:
            universes: of the sets.
            names: of the classes, in the order of the model's logits.
        """
        parameters = [
            [
                math.nan if each.class_name == "no_sub" else math.log10(each.f_sub),
                math.nan if each.axion_mass is None else math.log10(each.axion_mass),
            ]
            for each in universes
        ]
        labels = torch.tensor([names.index(each.class_name) for each in universes])
        return cls(labels, torch.tensor(parameters, dtype=torch.float32))


def set_loss(model: SetModel, outputs: SetOutputs, targets: Targets) -> Tensor:
    """Cross-entropy of the classes, and Huber's loss of the parameters in their own spread."""
    loss = functional.cross_entropy(outputs.logits, targets.labels)
    error = (outputs.parameters - targets.parameters) / model.parameter_spread
    known = ~targets.parameters.isnan()
    if known.any():
        loss = loss + functional.huber_loss(error[known], torch.zeros(int(known.sum())))
    return loss


def train_set_model(
    images: EmbeddedImages,
    validation: EmbeddedImages,
    sizes: Sequence[int],
    *,
    epochs: int,
    learning_rate: float,
    weight_decay: float,
    seed: int,
) -> SetModel:
    """A set model, with the weights of the epoch of the lowest validation loss.

    Args:
        images: to draw sets from.
        validation: other images, for the choice of the epoch.
        sizes: of the sets; every step has sets of one size.
        epochs: of `STEPS_IN_EPOCH` steps.
        learning_rate: of AdamW, which falls to 0 as a cosine.
        weight_decay: of AdamW.
        seed: of weights and draws.

    Returns:
        The model, in evaluation mode.

    Raises:
        DataError: if the validation images are too few for any set.
    """
    torch.manual_seed(seed)
    draws = SetDraws(images, seed)
    model = SetModel(images.features.shape[1], len(draws.names))
    of_universes = Targets.of(list(images.universes), draws.names)
    model.standardise(images.features, of_universes.parameters)
    checked = _validation_sets(validation, usable_sizes(sizes, validation.smallest), seed)
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate, weight_decay=weight_decay)
    steps = epochs * STEPS_IN_EPOCH
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    which = np.random.default_rng([seed, 1])
    best, lowest = copy.deepcopy(model.state_dict()), math.inf
    for step in range(steps):
        size = int(which.choice(sizes))
        places, universes = draws.draw(_sets_in_step(size), size)
        outputs = model(images.features[torch.from_numpy(places)])
        loss = set_loss(model, outputs, Targets.of(universes, draws.names))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % STEPS_IN_EPOCH == 0:
            found = _validation_loss(model, validation, checked)
            if found < lowest:
                best, lowest = copy.deepcopy(model.state_dict()), found
    model.load_state_dict(best)
    return model.eval()


def _sets_in_step(size: int) -> int:
    fewest, most = SETS_IN_STEP
    return min(most, max(fewest, IMAGES_IN_STEP // size))


def _validation_sets(
    images: EmbeddedImages, sizes: Sequence[int], seed: int
) -> list[tuple[Tensor, Targets]]:
    draws = SetDraws(images, seed)
    drawn = [draws.draw(VALIDATION_SETS, size) for size in sizes]
    return [(torch.from_numpy(places), Targets.of(found, draws.names)) for places, found in drawn]


@torch.inference_mode()
def _validation_loss(
    model: SetModel, images: EmbeddedImages, sets: Sequence[tuple[Tensor, Targets]]
) -> float:
    """Mean over the sizes."""
    seen = model.images(images.features)
    losses = [set_loss(model, model.of_places(*seen, places), targets) for places, targets in sets]
    return float(torch.stack(losses).mean())
