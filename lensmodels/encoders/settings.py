"""Which encoder."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class EncoderSettings(BaseModel):
    """Which encoder.

    Attributes:
        name: of a timm model, or `vit`, the study's.
        patch_size: of a vision transformer, in pixels; None keeps the model's. A 64-pixel image
            is only 4 patches of 32, and each perturbation of the arc is smaller than 8.
        small_stem: for a ResNet, a 3x3 convolution of stride 1 and no max-pooling in place of its
            first layers, which otherwise shrink the image four times before the first block.
        arguments: passed on to the timm model, as in `{depth: 6}` or `{channels: [32, 64]}`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "resnet50"
    patch_size: int | None = Field(None, ge=1)
    small_stem: bool = False
    arguments: dict[str, Any] = {}
