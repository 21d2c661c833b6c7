"""Which encoder."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from lensmodels.schema import Settings


class EncoderSettings(Settings):
    """Which encoder."""

    name: str = "resnet50"
    """Encoder: a timm model; vit, the study's of 12 blocks and patches of 32 pixels; swin, with
    patches of 2 and windows of 4; or one of this package: cvt_13, crossformer_t, equivariant."""
    patch_size: int | None = Field(None, ge=1)
    """Patches of a vision transformer, pixels; the model's if not given. A 64-pixel image is only 4
    patches of 32, and each perturbation of the arc is smaller than 8."""
    small_stem: bool = False
    """For a ResNet, a 3x3 convolution of stride 1 and no max-pooling in place of its first layers,
    which otherwise shrink the image four times before the first block."""
    arguments: dict[str, Any] = Field({})
    """Passed on to the timm model, as in {depth: 6}, {channels: [32, 64]} or {pretrained: true}."""
