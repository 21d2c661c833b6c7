"""Which learning rate and weight decay each weight has, and how rates change with the steps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from fnmatch import fnmatch
from functools import partial
from operator import itemgetter
from typing import Any

import torch
from lightly.utils.scheduler import cosine_warmup_schedule
from timm.models import group_parameters
from timm.optim import auto_group_layers
from torch import Tensor, nn

from lensmodels.methods.settings import StageSettings

REFERENCE_BATCH = 256
"""Images in the batch for which a learning rate is given."""

Schedule = Callable[[int], float]
"""Share of a learning rate by step."""


def adamw(
    module: nn.Module,
    encoder: nn.Module,
    stage: StageSettings,
    *,
    batch_size: int,
    steps: int,
    unscheduled: nn.Module | None = None,
) -> dict[str, Any]:
    """AdamW over what is trained, and its schedule, as Lightning takes them.

    Weights decay except biases, norms and those that timm's model lists in `no_weight_decay`, such
    as position embeddings and class tokens. Without weight decay it is Adam.

    Args:
        module: whose weights are trained.
        encoder: timm's model in it.
        stage: rates, decays and schedule.
        batch_size: over all processes.
        steps: in the whole stage.
        unscheduled: part of the module whose rate stays at its full value.
    """
    rate = stage.learning_rate
    if stage.scale_rate:
        rate *= (batch_size / REFERENCE_BATCH) ** 0.5
    shares = rate_shares(encoder, stage)
    spared = undecayed(module, encoder)
    constant = {id(weights) for weights in unscheduled.parameters()} if unscheduled else set()
    groups: dict[tuple[float, bool, bool], list[Tensor]] = {}
    for weights in module.parameters():
        if weights.requires_grad:
            key = (shares.get(id(weights), 1.0), id(weights) in spared, id(weights) in constant)
            groups.setdefault(key, []).append(weights)
    sorted_groups = sorted(groups.items(), key=itemgetter(0))
    optimizer = torch.optim.AdamW(
        [
            {"params": members, "lr": rate * share}
            | {"weight_decay": 0.0 if is_spared else stage.weight_decay}
            for (share, is_spared, _), members in sorted_groups
        ],
        lr=rate,
    )
    schedule = _schedule(stage, steps)
    schedules = [_full if is_constant else schedule for (*_, is_constant), _ in sorted_groups]
    lambdas = torch.optim.lr_scheduler.LambdaLR(optimizer, schedules)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": lambdas, "interval": "step"}}


def undecayed(module: nn.Module, encoder: nn.Module) -> set[int]:
    """Ids of the weights that do not decay: biases, norms, and what timm's model lists."""
    listed: Callable[[], Collection[str]] = getattr(encoder, "no_weight_decay", set)
    patterns = listed()
    plain = {id(weights) for weights in module.parameters() if weights.ndim <= 1}
    return plain | {
        id(weights)
        for name, weights in encoder.named_parameters()
        if any(fnmatch(name, pattern) for pattern in patterns)
    }


def rate_shares(encoder: nn.Module, stage: StageSettings) -> dict[int, float]:
    """Share of the learning rate of each of the encoder's weights, by id.

    Layers are those of timm's model (Bao et al. 2022, arXiv:2106.08254, for the decay by layer);
    its last one has the encoder's whole rate.
    """
    return {
        id(weights): stage.encoder_rate * stage.layer_decay**below
        for weights, below in _layers_below_the_last(encoder, stage.layer_decay < 1)
    }


def _layers_below_the_last(encoder: Any, is_needed: bool) -> Iterator[tuple[Tensor, int]]:
    layers: dict[str, Any] = {}
    if is_needed and hasattr(encoder, "group_matcher"):
        layers = group_parameters(encoder, encoder.group_matcher(coarse=False), reverse=True)
    elif is_needed:
        layers = auto_group_layers(encoder)
    last = max(layers.values(), default=0)
    for name, weights in encoder.named_parameters():
        yield weights, last - layers.get(name, last)


def _schedule(stage: StageSettings, steps: int) -> Schedule:
    """Rises over the warm-up, then falls as a cosine to a thousandth, or stays."""
    end = 1.0 if stage.schedule == "constant" else 0.001
    return partial(_warmed_up, steps, round(stage.warmup * steps), end)


def _warmed_up(steps: int, warmup: int, end: float, step: int) -> float:
    return cosine_warmup_schedule(
        step=step,
        max_steps=steps,
        start_value=1.0,
        end_value=end,
        warmup_steps=warmup,
        warmup_start_value=0.0,
    )


def _full(step: int) -> float:
    return 1.0
