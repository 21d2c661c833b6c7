"""Encoders: an image to a vector of features.

settings       which one
timm_encoder   any timm model, with one channel

To add an encoder that timm lacks:

1. Write it in a file here: images (n, 1, height, width) in, features (n, num_features) out.
2. Register it with timm (`@timm.models.register_model`), so that `--encoder NAME` finds it.
3. Import the file in `timm_encoder.py`, which is loaded before an encoder is built.
4. Give it timm's `forward_features` and `forward_head`, for methods that look at regions.
5. Test its shapes, and one property that defines it, in `tests/lensmodels/test_encoders.py`.
"""

from typing import TYPE_CHECKING

from lensmodels.encoders.settings import EncoderSettings
from lenssim.lazy_names import lazy_names

if TYPE_CHECKING:
    from lensmodels.encoders.timm_encoder import Encoder

__all__ = ["Encoder", "EncoderSettings"]

__getattr__ = lazy_names(__name__, {"Encoder": "lensmodels.encoders.timm_encoder"})
"""Settings are checked before torch is imported, which takes seconds."""
