"""Batch norms of a frozen encoder: their means and variances, taken anew."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from lensmodels.data import LensDataModule
from lensmodels.devices import choose_device
from lensmodels.model import LensModel
from lensmodels.runs import RunConfig


def reestimate_norms(model: LensModel, config: RunConfig, data: LensDataModule) -> None:
    """Take the statistics of the batch norms of a model's encoder on the train images as they are.

    Without labels and without gradients, in place. An encoder without batch norms stays as it is.

    Args:
        model: whose encoder is changed.
        config: of the run.
        data: of its task.
    """
    if not any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in model.modules()):
        return
    device = choose_device(config.device, config.devices)
    model.to(device)
    scaled = (model.scaling(images.to(device)) for images in data.measured_images())
    with torch.no_grad():
        update_bn(scaled, model.encoder)
    model.to("cpu")
