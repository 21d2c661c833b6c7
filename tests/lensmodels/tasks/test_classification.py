"""Classification: probabilities in the order of the labels, and the macro AUC."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from lensmodels.data import InputScaling
from lensmodels.encoders import Encoder, EncoderSettings
from lensmodels.model import LensModel
from lensmodels.tasks import Classification, TaskSettings, macro_auc, task_from_dict

TASK = Classification(TaskSettings())


def test_loss_of_an_undecided_head_is_the_entropy_of_three_classes():
    batch = {"label": torch.tensor([0, 1, 2])}
    assert TASK.loss(torch.zeros(3, 3), batch) == pytest.approx(math.log(3))


def test_probabilities_are_named_by_class_and_add_up():
    found = TASK.predictions(torch.tensor([[9.0, 0, 0], [0, 9, 0], [0, 0, 9]]))
    assert list(found) == ["p_axion", "p_cdm", "p_no_sub"]
    assert [int(values.argmax()) for values in found.values()] == [0, 1, 2]
    assert torch.allclose(sum(found.values()), torch.ones(3))


def test_macro_auc_of_a_known_order():
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    scores = torch.nn.functional.one_hot(labels, 3).float()
    assert macro_auc(scores, labels) == 1.0
    assert macro_auc(torch.zeros(6, 3), labels) == 0.5
    # of the pairs of class 0 with another, 5 of 8 are in order: (8 + 8 + 5) / 24
    scores[:, 0] = torch.tensor([0.9, 0.3, 0.5, 0.4, 0.35, 0.1])
    assert macro_auc(scores, labels) == pytest.approx((5 / 8 + 2) / 3)


def test_a_sample_of_one_class_has_no_auc():
    assert math.isnan(macro_auc(torch.zeros(2, 3), torch.zeros(2)))


def test_it_comes_back_from_its_dictionary():
    assert isinstance(task_from_dict(TASK.to_dict()), Classification)


def test_two_classes_have_two_neurons_in_the_order_of_their_labels():
    task = Classification(TaskSettings(classes=("no_sub", "cdm")))
    assert task.output_size == 2
    outputs = torch.tensor([[9.0, 0], [0, 9], [9, 0]])
    found = task.predictions(outputs)
    assert list(found) == ["p_cdm", "p_no_sub"]
    assert [int(values.argmax()) for values in found.values()] == [0, 1]
    batch = {"label": torch.tensor([1, 2, 1])}
    assert task.loss(outputs, batch) < 1e-3
    assert task.score(outputs, batch) == {"val_macro_auc": 1.0}
    assert task.loss(-outputs, batch) > 8
    again = task_from_dict(task.to_dict())
    assert again.classes == ("cdm", "no_sub")


def test_settings_know_which_classes_a_task_can_have():
    assert TaskSettings().classes == ("axion", "cdm", "no_sub")
    assert TaskSettings(name="axion-mass").classes == ("axion",)
    for values, message in {
        ("classification", ("cdm",)): "two classes at least",
        ("axion-mass", ("axion", "cdm")): "only images of class axion",
    }.items():
        with pytest.raises(ValidationError, match=message):
            TaskSettings(name=values[0], classes=values[1])


def test_a_bottleneck_is_a_layer_between_features_and_outputs():
    settings = TaskSettings(bottleneck=7)
    encoder = Encoder(EncoderSettings(name="test_resnet"), 64)
    head = LensModel(InputScaling(), encoder, Classification(settings)).head
    assert [tuple(layer.weight.shape) for layer in head if isinstance(layer, nn.Linear)] == [
        (7, 96),
        (3, 7),
    ]
