"""Encoders: an image to a vector of features.

settings       which one
timm_encoder   any timm model, with one channel and no weights
"""

from typing import TYPE_CHECKING

from lensmodels.encoders.settings import EncoderSettings
from lenssim.lazy_names import lazy_names

if TYPE_CHECKING:
    from lensmodels.encoders.timm_encoder import Encoder

__all__ = ["Encoder", "EncoderSettings"]

__getattr__ = lazy_names(__name__, {"Encoder": "lensmodels.encoders.timm_encoder"})
"""Settings are checked before torch is imported, which takes seconds."""
