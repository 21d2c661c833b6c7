"""What a run measures before it trains: its input scaling, and norms of a frozen encoder."""

import copy

import pytest
import torch

from lensmodels.data import InputScaling
from lensmodels.encoders import Encoder, EncoderSettings
from lensmodels.errors import UsageError
from lensmodels.model import LensModel
from lensmodels.settings import config_from_options
from lensmodels.tasks import Classification, TaskSettings
from lensmodels.training.norms import reestimate_norms
from lensmodels.training.requirements import (
    open_pretraining_data,
    open_scaling_data,
    open_task_data,
)


def settings(lenses, **words):
    return config_from_options({"data": str(lenses), "encoder": "test_resnet", **words})


def test_baseline_and_pretrained_of_the_mass_are_scaled_by_the_same_images(lenses):
    baseline = settings(lenses, task="axion-mass")
    pretrained = settings(lenses, method="byol", task="axion-mass")
    task_data = open_task_data(baseline)
    assert task_data.settings.classes == ("axion",)
    first = open_scaling_data(baseline, task_data).scaling
    second = open_scaling_data(pretrained, open_pretraining_data(pretrained)).scaling
    assert first.to_dict() == second.to_dict()
    assert torch.equal(first.whitening.components, second.whitening.components)


def test_a_baseline_of_few_labels_is_scaled_by_these(lenses):
    config = settings(lenses, labels=0.5)
    data = open_task_data(config)
    assert (
        open_scaling_data(config, data).scaled_on == "57 labelled images of axion, cdm and no_sub"
    )
    few = settings(lenses, labels=0.01)
    scaled = open_scaling_data(few, open_task_data(few))  # one image of each class
    assert scaled.scaling(torch.randn(2, 1, 64, 64)).isfinite().all()


class Images:
    """As much of the data as the norms are measured on."""

    def __init__(self, images):
        self.images = images

    def measured_images(self):
        return iter(self.images.split(16))


def test_norms_of_a_frozen_encoder_are_taken_on_the_images_as_they_are(lenses):
    config = settings(lenses, frozen=True, overrides=["reestimate_norms=true"])
    encoder = Encoder(EncoderSettings(name="test_resnet"), 32)
    model = LensModel(InputScaling(), encoder, Classification(TaskSettings())).eval()
    weights = copy.deepcopy(dict(encoder.named_parameters()))
    images = 3 + 2 * torch.randn(64, 1, 32, 32)
    reestimate_norms(model, config, Images(images))
    norm = encoder.network.bn1
    with torch.no_grad():
        entering = encoder.network.conv1(model.scaling(images))
    assert torch.allclose(norm.running_mean, entering.mean((0, 2, 3)), atol=1e-3)
    assert all(torch.equal(weights[name], value) for name, value in encoder.named_parameters())


def test_norms_are_for_a_frozen_encoder_alone(lenses):
    with pytest.raises(UsageError, match="--frozen"):
        settings(lenses, overrides=["reestimate_norms=true"])
