"""Whitening: what the images of a data set have in common is made no louder than their differences.

Nine tenths of the variance of a set of lenses is where the source sits. That family of images is
smooth and small, so that a few dozen principal components hold it to below the noise, substructure
included. Brought to the same variance, what tells the classes apart is as loud in the network's
input as what does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lensmodels.errors import DataError

MIN_VARIANCE = 1e-7
"""Variance that a component is never below, as a share of the largest: rounding errors are not
brought to the variance of light."""


class Whitening(nn.Module):
    """Brings the leading principal components of images to one variance, and drops the others.

    A component of variance v among train images is multiplied by sqrt(1 - n / v) / sqrt(v), where
    n is the variance of the first component that is dropped: that of the noise, if there are
    components enough. So those of noise fade out, as in a Wiener filter. The result is an image
    again, of unit variance over all pixels (zero-phase whitening: Kessy, Lewin and Strimmer 2018,
    The American Statistician 72, 309).

    The components are those of the images under all eight symmetries of the square. So whitening
    commutes with rotations by right angles and reflections.

    Args:
        num_pix: side of the images, pixels.
        count: components that are kept.

    Attributes:
        mean: image, (num_pix, num_pix).
        components: (count, num_pix * num_pix), orthonormal, the largest variance first.
        gain: of each component, (count,).
    """

    mean: Tensor
    components: Tensor
    gain: Tensor

    def __init__(self, num_pix: int, count: int) -> None:
        super().__init__()
        self.num_pix = num_pix
        # not among a model's weights: they are of the data set, and a run keeps them once
        shapes = {"mean": (num_pix, num_pix), "components": (count, num_pix**2), "gain": (count,)}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Whitened images, float32, of the same shape, (n, 1, num_pix, num_pix)."""
        with full_precision(images.device):
            deviations = (images.float() - self.mean).flatten(1)
            strengths = (deviations @ self.components.T) * self.gain
            return (strengths @ self.components).reshape(images.shape)

    def decompose(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images as what the components hold of them, and what they leave.

        Args:
            images: as those that were measured, (n, 1, num_pix, num_pix).

        Returns:
            Strength of each component, (n, count), and the mean square over the pixels of what
            lies outside them, (n,).
        """
        with full_precision(images.device):
            deviations = (images.float() - self.mean).flatten(1)
            strengths = deviations @ self.components.T
            return strengths, (deviations - strengths @ self.components).square().mean(1)

    def tensors(self) -> dict[str, Tensor]:
        """All of it, for a file."""
        return dict(self.named_buffers())

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> Whitening:
        """The whitening that `tensors` gave.

        Raises:
            KeyError: if one is missing.
        """
        whitening = cls(len(tensors["mean"]), len(tensors["gain"]))
        for name, buffer in whitening.named_buffers():
            buffer.copy_(tensors[name])
        return whitening

    @classmethod
    def measure(cls, images: Tensor, count: int) -> Whitening:
        """The whitening of a set of images.

        Args:
            images: (n, 1, num_pix, num_pix).
            count: components to keep, at most: of few images, no more than a quarter of their
                number, as the others would be of their noise.

        Raises:
            DataError: if the images do not differ.
        """
        num_pix = images.shape[-1]
        # two at least: the leading ones are often a pair of equal variance, odd in x and in y
        count = max(2, min(count, len(images) // 4, num_pix**2 - 1))
        mean, variances, components = symmetric_components(images[:, 0], count + 1)
        noise = variances[-1].clamp_min(0)
        signal = (variances[:-1] - noise).clamp_min(0)
        gain = signal.sqrt() / variances[:-1].clamp_min(MIN_VARIANCE * variances[0])
        # of all pixels together, as the train images come out
        variance = (gain.square() * variances[:-1]).sum() / num_pix**2
        rounding = torch.finfo(images.dtype).eps * images.square().sum() / len(images)
        if not (variance.isfinite() and variance > 0 and variances[0] > rounding):
            raise DataError(
                "The train images are too much alike to be whitened; use scaling asinh."
            )
        whitening = cls(num_pix, count)
        whitening.mean.copy_(mean)
        whitening.components.copy_(components[:-1])
        whitening.gain.copy_(gain / variance.sqrt())
        return whitening


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """All digits of float32: faint components are small differences of large numbers."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


def symmetric_components(images: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Principal components of images under all eight symmetries of the square.

    Such components are even or odd under each of the two reflections, so that they are found in
    four sets of quarter images, each a sixteenth of the work and of the memory.

    Args:
        images: (n, size, size).
        count: how many, at most size**2.

    Returns:
        Mean image, (size, size); variances, (count,), descending; components, orthonormal,
        (count, size * size).
    """
    size = images.shape[-1]
    even, odd = _parity_bases(size)
    mean = torch.zeros(size, size)
    variances, components = [], []
    for rows, columns in ((even, even), (odd, odd), (even, odd)):
        folded = rows @ images @ columns.T
        if rows is even and columns is even:
            centre = folded.mean(0)
            centre = (centre + centre.T) / 2
            folded = folded - centre
            mean = rows.T @ centre @ columns
        # odd in rows and even in columns is the same as even and odd, transposed
        other = (folded if rows is columns else columns @ images @ rows.T).transpose(1, 2)
        if 2 * len(images) < len(rows) * len(columns):
            values, vectors = _components_of_few(torch.cat([folded, other]))
        else:
            covariance = _second_moment(folded)
            if rows is columns:
                covariance = (covariance + _transposed(covariance, len(rows))) / 2
            else:
                covariance = (covariance + _second_moment(other)) / 2
            values, vectors = torch.linalg.eigh(covariance.double())
        # no sector can hold more of the leading ones than are asked for
        values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
        quarter = vectors.T.float().reshape(-1, len(rows), len(columns))
        whole = rows.T @ quarter @ columns
        variances.append(values.float())
        components.append(whole)
        if rows is not columns:
            variances.append(values.float())
            components.append(whole.transpose(1, 2))
    order = torch.cat(variances).argsort(descending=True, stable=True)[:count]
    return mean, torch.cat(variances)[order], torch.cat(components)[order].flatten(1)


def _parity_bases(size: int) -> tuple[Tensor, Tensor]:
    """Orthonormal bases of the even and of the odd profiles, each (about size / 2, size)."""
    identity = torch.eye(size)
    sums, differences = identity + identity.flip(1), identity - identity.flip(1)
    half, middle = size // 2, slice(size // 2, (size + 1) // 2)
    root = 2**0.5
    return torch.cat([sums[:half] / root, identity[middle]]), differences[:half] / root


def _components_of_few(images: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues that can differ from zero, and eigenvectors, of a second moment.

    The matrix of the scalar products of n images has the same eigenvalues as their second moment,
    and is the smaller one where they have more than n pixels.

    Args:
        images: (n, height, width).

    Returns:
        In double precision, ascending: (n,) and (height * width, n).
    """
    flat = images.flatten(1).double()
    values, weights = torch.linalg.eigh(flat @ flat.T / len(flat))
    return values, torch.nn.functional.normalize(flat.T @ weights, dim=0)


def _second_moment(images: Tensor) -> Tensor:
    flat = images.flatten(1)
    return flat.T @ flat / len(flat)


def _transposed(covariance: Tensor, side: int) -> Tensor:
    """Covariance of the transposed images, each (side, side)."""
    axes = covariance.reshape(side, side, side, side)
    return axes.permute(1, 0, 3, 2).reshape(covariance.shape)
