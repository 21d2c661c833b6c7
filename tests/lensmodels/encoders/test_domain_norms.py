"""Batch norms with statistics by domain."""

import copy

import pytest
import torch
from torch import nn

from lensmodels.encoders import Encoder, EncoderSettings
from lensmodels.encoders.domain_norms import (
    DomainNorm,
    with_domain_norms,
    without_domain_norms,
)
from lensmodels.errors import UsageError


@pytest.fixture
def features():
    """Four images of a domain, and two of another with other means and spreads."""
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randn(6, 3, 5, 5, generator=generator)
    return torch.cat([drawn[:4], 7 * drawn[4:] + 20])


def encoder_of(name="test_resnet"):
    torch.manual_seed(0)
    return Encoder(EncoderSettings(name=name), 32)


def test_each_domain_is_normalised_by_its_own_statistics(features):
    norm = nn.BatchNorm2d(3)
    nn.init.constant_(norm.weight, 2.0)
    alone = [copy.deepcopy(norm), copy.deepcopy(norm)]
    of_domains = DomainNorm(norm, [4, 2])
    normalised = of_domains(features)
    expected = [one(part) for one, part in zip(alone, features.split([4, 2]), strict=True)]
    torch.testing.assert_close(normalised, torch.cat(expected))
    for ours, theirs in zip(of_domains.norms, alone, strict=True):
        torch.testing.assert_close(ours.running_mean, theirs.running_mean)
        torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_evaluation_uses_the_statistics_of_the_first_domain(features):
    of_domains = DomainNorm(nn.BatchNorm2d(3), [4, 2])
    of_domains(features)
    of_domains.eval()
    torch.testing.assert_close(of_domains(features), of_domains.norms[0](features))
    assert not torch.allclose(of_domains(features), of_domains.norms[1](features))


def test_scale_and_offset_are_shared_also_by_a_copy():
    of_domains = copy.deepcopy(DomainNorm(nn.BatchNorm2d(3), [4, 2]))
    assert len(list(of_domains.parameters())) == 2
    assert of_domains.norms[0].weight is of_domains.norms[1].weight


def test_an_encoder_is_as_it_was_once_its_norms_are_single_again():
    plain, encoder = encoder_of(), encoder_of()
    with_domain_norms(encoder, [4, 2])
    assert sum(isinstance(part, DomainNorm) for part in encoder.modules()) > 3
    images = torch.randn(6, 1, 32, 32)
    assert encoder.train()(images).shape == (6, encoder.num_features)
    without_domain_norms(encoder)
    plain.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(plain.eval()(images), encoder.eval()(images))


def test_a_batch_of_another_size_is_no_silent_mixture(features):
    with pytest.raises(RuntimeError, match="split"):
        DomainNorm(nn.BatchNorm2d(3), [4, 1])(features)


def test_encoders_without_batch_norms_and_single_images_are_refused():
    with pytest.raises(UsageError, match="has no batch norms"):
        with_domain_norms(encoder_of("test_vit"), [4, 2])
    with pytest.raises(UsageError, match="two images or more of every archive"):
        with_domain_norms(encoder_of(), [4, 1])
