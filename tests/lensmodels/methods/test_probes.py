"""Probes: what they find in features whose content is known."""

import pytest
import torch

from lensmodels.methods.probes import (
    embedding_rank,
    embedding_std,
    has_collapsed,
    linear_scores,
    neighbour_probabilities,
    whiten,
)
from lensmodels.tasks import macro_auc


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_figures_of_collapse(generator):
    isotropic = torch.randn(4000, 16, generator=generator)
    assert embedding_std(isotropic) == pytest.approx(1.0, abs=0.02)
    assert embedding_rank(isotropic) == pytest.approx(16, abs=0.1)
    point = torch.ones(100, 16) + 1e-4 * isotropic[:100]
    assert embedding_std(point) < 0.01
    line = torch.outer(isotropic[:, 0], torch.ones(16))
    assert embedding_rank(line) == pytest.approx(1.0, abs=0.01)
    for features, expected in ((isotropic, False), (point, True), (line, True)):
        assert has_collapsed(embedding_std(features), embedding_rank(features)) is expected


def test_neighbours_vote_with_the_image_itself_left_out():
    features = torch.tensor([[1.0, 0], [1, 0.01], [-1, 0], [-1, 0.01]])
    labels = torch.tensor([0, 0, 1, 1])
    assert neighbour_probabilities(features, labels).argmax(1).tolist() == [0, 0, 1, 1]
    alone = torch.tensor([0, 1, 2, 2])
    assert neighbour_probabilities(features, alone)[0].argmax() == 1
    asked = neighbour_probabilities(features, labels, torch.tensor([[2.0, 0.0]]))
    assert torch.allclose(asked, torch.tensor([[1.0, 0, 0]]), atol=1e-6)


def test_whitening_shows_a_class_that_larger_differences_hide(generator):
    labels = torch.arange(300) % 3
    features = torch.randn(300, 4, generator=generator)
    features[:, :2] *= 8.0
    features[:, 2:] *= 0.3
    features[:, 2] += labels
    plain = macro_auc(neighbour_probabilities(features, labels), labels)
    white, again = whiten(features, features)
    assert torch.equal(white, again)
    assert torch.allclose(white.T @ white, torch.eye(4), atol=1e-3)
    assert macro_auc(neighbour_probabilities(white, labels), labels) > 0.9 > plain + 0.1


def test_linear_scores_are_those_of_a_fit_without_the_image(generator):
    features = torch.randn(40, 3, generator=generator)
    labels = torch.arange(40) % 3
    scores = linear_scores(features, labels)
    x = ((features - features.mean(0)) / features.std(0)).double()
    y = torch.nn.functional.one_hot(labels, 3).double()
    y = y - y.mean(0)
    penalty = torch.diag(torch.tensor([0.4, 0.4, 0.4, 0.0])).double()
    design = torch.cat([x, torch.ones(40, 1)], dim=1).double()
    rest = torch.arange(40) != 7
    fit = torch.linalg.solve(design[rest].T @ design[rest] + penalty, design[rest].T @ y[rest])
    assert torch.allclose(scores[7], design[7] @ fit)


def test_a_linear_probe_finds_nothing_in_noise_and_all_in_labels(generator):
    labels = torch.arange(300) % 3
    noise = torch.randn(300, 50, generator=generator)
    assert macro_auc(linear_scores(noise, labels), labels) == pytest.approx(0.5, abs=0.07)
    noise[:, 0] += 3 * (labels == 1)
    noise[:, 1] += 3 * (labels == 2)
    assert macro_auc(linear_scores(noise, labels), labels) > 0.9
