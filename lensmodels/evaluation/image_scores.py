"""Numbers that tell images of another kind from those that a model was trained on.

Four are measured on the image alone, one compares it with the components that the input scaling
keeps, two are distances to the training images, one is of the smooth fit if there is one, and two
are stated of the image: the width of its PSF and its pixel scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from torch import Tensor

from lensmodels.data.contract import NAMES, PSF_TOLERANCE, STATISTICS
from lensmodels.data.scaling import image_statistics
from lensmodels.model import LensModel
from lenssim.cutouts.settings import PIXEL_SCALE_TOLERANCE

SCORE_NAMES: dict[str, str] = {
    **{str(name): text for name, text in NAMES.items()},
    "whitening_residual": "part outside the principal components of the training images",
    "components": "distance in the principal components of the training images",
    "features": "distance in the encoder's features",
    "fit_chi_square": "reduced chi-square of the smooth fit",
    "psf_fwhm": "width of the PSF",
    "pixel_scale": "pixel scale",
}
"""Every score that an image may have, and its name in messages."""

TOLERANCES: dict[str, float] = {"psf_fwhm": PSF_TOLERANCE, "pixel_scale": PIXEL_SCALE_TOLERANCE}
"""Scores that are stated of an image, and how far beyond those of the training images they may be,
as a share of these. They may be the same for all of these, and have no scatter of their own."""

_MIN_DEVIATION = 1e-4
"""Smallest standard deviation of a coordinate, as a share of the largest."""

Scores = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution of vectors, for distances from it.

    Attributes:
        mean: (d,).
        factor: (d, d), with factor @ factor.T the inverse of the covariance.
    """

    mean: Tensor
    factor: Tensor

    @classmethod
    def fit(cls, vectors: Tensor) -> Gaussian:
        """The distribution of some vectors, whose correlations are shrunk towards none.

        The shrinkage (Ledoit and Wolf 2004, J. Multivariate Anal. 88, 365) keeps the inverse
        defined if there are fewer vectors than coordinates.

        Args:
            vectors: (n, d).
        """
        values = vectors.double().numpy()
        mean, deviation = values.mean(0), values.std(0)
        largest = deviation.max()
        deviation = np.maximum(deviation, _MIN_DEVIATION * largest if largest > 0 else 1.0)
        shrunk = LedoitWolf(store_precision=False, assume_centered=True).fit(
            (values - mean) / deviation
        )
        variances, axes = np.linalg.eigh(shrunk.covariance_)
        smallest = np.finfo(np.float64).eps * max(1.0, variances[-1])
        factor = axes / np.sqrt(np.maximum(variances, smallest)) / deviation[:, None]
        return cls(torch.from_numpy(mean), torch.from_numpy(factor))

    def distances(self, vectors: Tensor) -> NDArray[np.float64]:
        """Squared Mahalanobis distances over the number of coordinates: 1 on average at home.

        Args:
            vectors: (n, d).

        Returns:
            (n,).
        """
        scaled = (vectors.double().cpu() - self.mean) @ self.factor
        return scaled.square().mean(1).numpy()


@dataclass(frozen=True)
class Coordinates:
    """Where images lie as a model sees them.

    Attributes:
        features: of the encoder, (n, features).
        components: of the whitening, (n, count); None if the input scaling has none.
        outside: mean square of what the components leave, (n,); None likewise.
    """

    features: Tensor
    components: Tensor | None
    outside: Tensor | None


def coordinates(model: LensModel, images: Tensor, features: Tensor | None = None) -> Coordinates:
    """Where images lie as a model sees them.

    Args:
        model: in evaluation mode.
        images: raw, e-/s, on the device of the model, (n, 1, height, width).
        features: of these images without a mean over symmetries, if they are there already.
    """
    if features is None:
        features = model.encoder(model.scaling(images))
    whitening = model.scaling.whitening
    if whitening is None:
        return Coordinates(features.float().cpu(), None, None)
    strengths, outside = whitening.decompose(model.scaling.stretched(images))
    return Coordinates(features.float().cpu(), strengths.cpu(), outside.cpu())


def image_scores(images: Tensor, seen: Coordinates, gaussians: Mapping[str, Gaussian]) -> Scores:
    """The scores of images but for those of a fit.

    Args:
        images: raw, e-/s, (n, 1, height, width).
        seen: the same images as the model sees them.
        gaussians: of the training images' "features" and "components".

    Returns:
        Values by name, as in `SCORE_NAMES`, each (n,).
    """
    statistics = image_statistics(images.cpu())
    scores: Scores = {name: statistics[name].numpy() for name in STATISTICS}
    scores["features"] = gaussians["features"].distances(seen.features)
    if seen.components is not None and seen.outside is not None and "components" in gaussians:
        scores["components"] = gaussians["components"].distances(seen.components)
        scores["whitening_residual"] = seen.outside.double().numpy()
    return scores
