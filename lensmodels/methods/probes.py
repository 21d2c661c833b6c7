"""Probes: what frozen features say of the class, and whether they have collapsed."""

from __future__ import annotations

import torch
from lightly.utils.debug import std_of_l2_normalized
from torch import Tensor
from torch.nn import functional

from lensmodels.data import CLASSES

COLLAPSED_STD = 0.05
"""Spread below which features count as collapsed, as a share of that of isotropic features."""

COLLAPSED_RANK = 1.5
"""Effective rank below which they do: they lie along a line, as one feature would."""

NEIGHBOURS = 20
TEMPERATURE = 0.07

WHITENING_FLOOR = 0.03
"""Smallest spread of a whitened component, as a share of the largest; below it is noise."""

RIDGE = 0.01
"""Penalty of the linear probe, for standardised features and the mean square error."""


def whiten(features: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Features of equal spread along every principal component of the first.

    Where a source is in the image changes it a hundred times more than what is in the halo: in
    plain features the nearest image is the one with the nearest source.

    Args:
        features: which the components are measured on, (n, d).
        others: which are transformed alike, (m, d).

    Returns:
        Both, in principal components, (n, k) and (m, k).
    """
    centre = features.mean(0)
    _, spread, components = torch.linalg.svd(features - centre, full_matrices=False)
    floor = (WHITENING_FLOOR * spread[0]).clamp_min(torch.finfo(spread.dtype).tiny)
    transform = components.T / torch.maximum(spread, floor)
    return (features - centre) @ transform, (others - centre) @ transform


def neighbour_probabilities(
    features: Tensor, labels: Tensor, queries: Tensor | None = None
) -> Tensor:
    """Class probabilities of images from their nearest neighbours.

    Weighted by exp(cosine similarity / 0.07), as in Wu et al. 2018 (arXiv:1805.01978), section
    3.4, after the mean is taken out.

    Args:
        features: of the images whose labels are known, (n, d).
        labels: (n,).
        queries: features of the images to classify, (m, d); if None, each of the n images is
            classified by the others.

    Returns:
        (m, classes).
    """
    centre = features.mean(0)
    known = functional.normalize(features - centre, dim=1)
    if queries is None:
        similarity = (known @ known.T).fill_diagonal_(-torch.inf)
    else:
        similarity = functional.normalize(queries - centre, dim=1) @ known.T
    weight, index = similarity.topk(min(NEIGHBOURS, len(features) - 1), dim=1)
    # against the nearest, so that the far do not vanish together
    weight = torch.exp((weight - weight[:, :1]) / TEMPERATURE)
    votes = functional.one_hot(labels[index], len(CLASSES)) * weight[..., None]
    return votes.sum(1) / weight.sum(1, keepdim=True)


def linear_scores(features: Tensor, labels: Tensor) -> Tensor:
    """Class scores of each image by a linear classifier trained on all others.

    Ridge regression to the classes, whose predictions with one image left out follow from those
    with all: y - (y - yhat) / (1 - leverage) (Allen 1974, Technometrics 16, 125).

    Args:
        features: (n, d).
        labels: (n,).

    Returns:
        (n, classes), which rank the images.
    """
    features = features.double()
    features = features - features.mean(0)
    features = features / features.std(0).clamp_min(1e-9)
    classes = functional.one_hot(labels, len(CLASSES)).double()
    classes = classes - classes.mean(0)
    vectors, spread, _ = torch.linalg.svd(features, full_matrices=False)
    kept = spread.square() / (spread.square() + RIDGE * len(features))
    fitted = (vectors * kept) @ (vectors.T @ classes)
    leverage = (vectors.square() * kept).sum(1, keepdim=True) + 1 / len(features)
    return classes - (classes - fitted) / (1 - leverage)


def embedding_std(features: Tensor) -> float:
    """Spread of normalised features, 1 for isotropic ones and 0 for a collapse to a point.

    The mean over dimensions of the standard deviation of features of length one, times the root
    of their number (Chen & He 2021, arXiv:2011.10566, figure 2b).

    Args:
        features: (n, d).
    """
    return float(std_of_l2_normalized(features) * features.shape[1] ** 0.5)


def embedding_rank(features: Tensor) -> float:
    """Effective rank of features: the exponential of the entropy of their singular values.

    One for features along a line, d for isotropic ones (Garrido et al. 2023, RankMe,
    arXiv:2210.02885, equation 1).

    Args:
        features: (n, d).

    Returns:
        Between 1 and d.
    """
    values = torch.linalg.svdvals((features - features.mean(0)).float().cpu())
    share = values / values.sum().clamp_min(torch.finfo(values.dtype).tiny)
    return float(torch.exp(torch.special.entr(share).sum()))


def has_collapsed(std: float, rank: float) -> bool:
    """Whether features are alike for all images, or differ along one line only.

    Args:
        std, rank: from `embedding_std` and `embedding_rank`.
    """
    return std < COLLAPSED_STD or rank < COLLAPSED_RANK
