"""Encoders: an image to a vector of features.

settings       which one
timm_encoder   any timm model, with one channel
timm_model     what timm asks of a model; the base of those here
cvt            convolutional token embeddings and projections
crossformer    patches of several sizes, attention to near and far tokens
equivariant    group convolutions over the symmetries of the square

To add an encoder that timm lacks (docs/how-to/encoder.md says more):

1. Write it in a file here: subclass `timm_model.TimmModel` and write `forward_features`.
2. Register it with timm (`@timm.models.register_model`), so that `--encoder NAME` finds it.
3. Import the file in `timm_encoder.py`: one line.
4. Add it to the list of `tests/lensmodels/encoders/test_own_models.py`, and test what defines it.
"""

from typing import TYPE_CHECKING

from lensmodels.encoders.settings import EncoderSettings
from lenssim.lazy_names import lazy_names

if TYPE_CHECKING:
    from lensmodels.encoders.timm_encoder import Encoder

__all__ = ["Encoder", "EncoderSettings"]

__getattr__ = lazy_names(__name__, {"Encoder": "lensmodels.encoders.timm_encoder"})
"""Settings are checked before torch is imported, which takes seconds."""
