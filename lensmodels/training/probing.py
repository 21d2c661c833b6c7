"""A stage tried on a few blank images: whether encoder, views and batch size fit together.

Encoders are of other projects and fail in the middle of a step, each with a message of its own: for
images of a size that they do not take, or for one image where they need statistics of several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from lensmodels.data import InputScaling, LensDataModule
from lensmodels.devices import choose_device
from lensmodels.encoders import Encoder
from lensmodels.encoders.timm_encoder import ANY_SIZE, explain
from lensmodels.errors import UsageError
from lensmodels.memory import enough_memory
from lensmodels.methods import PRETRAINING
from lensmodels.methods.settings import METHOD_NAMES
from lensmodels.runs import RunConfig
from lensmodels.views import Draws, Recipe, Views
from lenssim.errors import LenssimError

PROBED_IMAGES = 2
"""Images that are tried, at most: the smallest number that has a spread."""


def probe_pretraining(config: RunConfig, data: LensDataModule) -> None:
    """Take the loss of a pretraining on a few blank images.

    Raises:
        UsageError: if the encoder does not take the views of the method, or the method not the
            number of images in a step.
    """
    method_name = METHOD_NAMES[config.method]
    with _isolated(config):
        encoder = Encoder(config.encoder, data.num_pix)
        method = PRETRAINING[config.method](
            encoder,
            config.pretrain_views,
            InputScaling(),
            config.pretrain,
            batch_size=config.data.batch_size,
            total_steps=1,
            seed=0,
        )
        views = _blank_views(config.pretrain_views, data.num_pix)
        _check_views(encoder, views(1), method_name)
        _check_step(
            config,
            images_in_step(config, data.sizes["train"]),
            lambda count: method.loss(
                method.draw_views(torch.randn(count, 1, data.num_pix, data.num_pix), seed=0)
            ),
            method_name,
        )


def probe_finetuning(config: RunConfig, data: LensDataModule) -> None:
    """Take the features of a few blank images as in a step of the finetuning.

    Raises:
        UsageError: if the encoder does not take the views, or not the number of images in a step.
    """
    with _isolated(config):
        encoder = Encoder(config.encoder, data.num_pix)
        views = _blank_views(config.finetune_views, data.num_pix)
        _check_views(encoder, views(1), "the finetuning")
        encoder.train(not config.frozen)
        _check_step(
            config,
            images_in_step(config, data.sizes["labelled"]),
            lambda count: encoder(views(count)[0]),
            "the finetuning",
        )


def images_in_step(config: RunConfig, count: int) -> int:
    """Images over which batch norms take their statistics in a step.

    Args:
        config: of the run.
        count: images in an epoch.
    """
    together = min(config.data.batch_size, count)
    # on GPUs these are collected from all devices
    device = choose_device(config.device, config.devices)
    return together if device.type == "cuda" else together // config.devices


def _blank_views(recipe: Recipe, num_pix: int) -> Callable[[int], list[Tensor]]:
    """A function from a number of images to their views, as a step draws them."""
    views = Views(recipe, InputScaling())

    def draw(count: int) -> list[Tensor]:
        images = torch.randn(count, 1, num_pix, num_pix)
        return views(images, Draws(0, count, images.device))

    return draw


def _check_views(encoder: Encoder, views: Sequence[Tensor], user: str) -> None:
    """Refuse views of a size that the encoder does not take."""
    for size in sorted({view.shape[-1] for view in views}):
        refusal = encoder.refusal(size)
        if refusal is not None:
            raise UsageError(
                f"Encoder {encoder.settings.name} does not take the views of {size} x {size} "
                f"pixels that {user} draws from images of {encoder.num_pix}{explain(refusal)}; "
                f"choose {ANY_SIZE}, or other --views."
            ) from refusal


def _check_step(config: RunConfig, images: int, step: Callable[[int], Tensor], user: str) -> None:
    """Refuse a step that fails on as many images as it will have, or on two if it has more."""
    reason = _failure(step, min(images, PROBED_IMAGES))
    if reason is None:
        return
    if images < PROBED_IMAGES and _failure(step, PROBED_IMAGES) is None:
        raise UsageError(
            f"A step of {user} has {images} image on each device, and encoder "
            f"{config.encoder.name} needs {PROBED_IMAGES} or more: choose a larger --batch-size, "
            "fewer --devices or more train images."
        )
    raise UsageError(
        f"{user[0].upper()}{user[1:]} does not work with encoder {config.encoder.name} and these "
        f"settings: {reason}; choose another --encoder."
    )


def _failure(step: Callable[[int], Tensor], images: int) -> str | None:
    """Why a step fails; None if it does not."""
    try:
        step(images)
    except (LenssimError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # third-party networks raise what they like
        return " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return None


@contextmanager
def _isolated(config: RunConfig) -> Iterator[None]:
    """Without gradients, and without a trace in the random numbers of the training."""
    about = f"encoder {config.encoder.name}"
    with (
        enough_memory(about, "choose a smaller encoder"),
        torch.random.fork_rng(devices=[]),
        torch.no_grad(),
    ):
        yield
