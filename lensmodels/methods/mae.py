"""MAE: a vision transformer sees a few patches of an image, and a decoder paints the others.

He et al. 2022, arXiv:2111.06377. In place of each patch's own mean and spread, the target is in
units of the noise: what is fainter need not be painted, however bright the arc beside it is.
"""

from __future__ import annotations

from typing import Any

import torch
from lightly.models.modules import MaskedVisionTransformerTIMM
from lightly.models.utils import patchify
from timm.layers import PatchEmbed, build_sincos2d_pos_embed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from lensmodels.data import Batch, InputScaling
from lensmodels.data.scaling import SOFTENING
from lensmodels.encoders import Encoder
from lensmodels.errors import UsageError
from lensmodels.methods.base import Pretraining
from lensmodels.methods.settings import MAESettings
from lensmodels.views import Draws, Views

MAX_PATCH = 8
"""Pixels: perturbations of an arc are smaller than larger patches."""


class MAE(Pretraining):
    """Masked autoencoder; its features are for finetuning, not for a linear probe (figure 9)."""

    stage: MAESettings
    relative_cost = 0.6  # a quarter of the patches through the encoder, all through two blocks
    is_probed = False
    positions: Tensor

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        if self.encoder.channels > 1:
            raise UsageError(
                "MAE paints images of one channel: choose --input image or residual, or another "
                "--method."
            )
        network, self.patch = _small_patches(self.encoder)
        self.masked = MaskedVisionTransformerTIMM(
            network, weight_initialization="skip", pos_embed_initialization="skip"
        )
        for unused in (self.masked.mask_token, *network.fc_norm.parameters()):
            unused.requires_grad_(False)
        width = self.stage.decoder_width or 32 * max(2, network.embed_dim // 64)
        side = self.encoder.num_pix // self.patch
        self.register_buffer("positions", build_sincos2d_pos_embed([side, side], width))
        self.bridge = nn.Linear(network.embed_dim, width)
        self.mask_token = nn.Parameter(0.02 * torch.randn(width))
        blocks = [Block(width, width // 32) for _ in range(self.stage.decoder_depth)]
        self.decoder = nn.Sequential(*blocks, nn.LayerNorm(width), nn.Linear(width, self.patch**2))
        target, self.spread = in_noise_units(self.scaling)
        self.targets = Views(self.views.recipe, target)

    def draw_views(self, batch: Batch, seed: int, **part: int) -> list[Tensor]:
        """The view of each image, and the same view in units of the noise."""
        images = batch["image"]
        draws = Draws(seed, len(images), images.device, **part)
        return super().draw_views(batch, seed, **part) + self.targets(images, draws)

    def loss(self, views: list[Tensor]) -> Tensor:
        """Mean square error over the masked patches, in units of the noise."""
        image, target = views
        order = torch.rand(len(image), len(self.positions), device=image.device).argsort(1)
        seen = max(1, round(len(self.positions) * (1 - self.stage.masked_share)))
        error = self.paint(image, order[:, :seen]) - patchify(target, self.patch)
        return error.square().mean(-1).take_along_dim(order[:, seen:], 1).mean()

    def paint(self, image: Tensor, seen: Tensor) -> Tensor:
        """Every patch, (n, patches, pixels), in units of the noise, from those of some indices."""
        prefix = torch.arange(self.masked.vit.num_prefix_tokens, device=image.device)
        kept = torch.cat([prefix.expand(len(image), -1), seen + len(prefix)], dim=1)
        known = self.bridge(self.masked.encode(image, idx_keep=kept))
        tokens = self.mask_token.to(known.dtype).expand(len(image), len(self.positions), -1)
        first, patches = known.split([len(prefix), seen.shape[1]], dim=1)
        tokens = tokens.scatter(1, seen[..., None].expand_as(patches), patches) + self.positions
        return self.spread * self.decoder(torch.cat([first, tokens], dim=1))[:, len(prefix) :]

    def features(self, images: Tensor) -> Tensor:
        """Mean features of the patches: a class token learns little here."""
        return self.encoder.regions(images).mean(1)


def in_noise_units(scaling: InputScaling) -> tuple[InputScaling, float]:
    """A stretch of images to about unit noise in every pixel, and the spread of its values.

    Args:
        scaling: of the encoder's input. Of images without noise, that for which its softening
            suits.
    """
    noise = scaling.noise_unit
    if scaling.is_noiseless:
        noise = scaling.softening / SOFTENING[scaling.kind]
    softening = SOFTENING["whitened"]  # where photon noise and the sky's are about alike
    target = InputScaling(
        sky_noise=scaling.sky_noise, softening=softening * noise, standard_deviation=1 / softening
    )
    return target, scaling.standard_deviation * scaling.softening / noise


def _small_patches(encoder: Encoder) -> tuple[VisionTransformer, int]:
    """The vision transformer of an encoder, and the side of its patches in pixels."""
    network = encoder.network
    embedding = getattr(network, "patch_embed", None)
    if isinstance(network, VisionTransformer) and isinstance(embedding, PatchEmbed):
        side = embedding.patch_size[0]
        if side <= MAX_PATCH:
            return network, side
    raise UsageError(
        f"MAE needs a vision transformer with patches of {MAX_PATCH} pixels or less, and encoder "
        f"{encoder.settings.name} is not one as it is; choose one, as by --encoder vit "
        f"--patch-size {MAX_PATCH}."
    )
