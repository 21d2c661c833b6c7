"""Methods with tiny encoders."""

import pytest
import torch

from lensmodels.data import InputScaling
from lensmodels.encoders import Encoder, EncoderSettings
from lensmodels.methods import PRETRAINING
from lensmodels.methods.settings import PRETRAINING_DEFAULTS
from lensmodels.views import default_recipe


@pytest.fixture
def make():
    """A method with a tiny encoder, and two views of six images."""
    torch.manual_seed(0)

    def make(
        name, encoder="test_vit", *, arguments=None, patch_size=None, scaling=None, **settings
    ):
        chosen = EncoderSettings(name=encoder, arguments=arguments or {}, patch_size=patch_size)
        return PRETRAINING[name](
            Encoder(chosen, 64),
            default_recipe(name),
            scaling or InputScaling(sky_noise=0.1, softening=5.0),
            PRETRAINING_DEFAULTS[name].model_copy(update={"epochs": 1, **settings}),
            batch_size=6,
            total_steps=100,
            seed=0,
        )

    return make


@pytest.fixture
def views():
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(6, 1, 64, 64, generator=generator) for _ in range(2)]
