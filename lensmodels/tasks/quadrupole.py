"""The quadrupole of a vortex: a second target, which is easier to learn than the axion mass.

Outside its ends, a vortex of length L at the angle phi deflects like a point mass with a quadrupole
that goes as L^2 exp(2 i phi) (the second term of the series of its deflection in 1 / z). A short
vortex changes the image in proportion to the two components of it: a pattern that a first gradient
step can begin to find. The mass depends on their length alone, whichever way the vortex lies, so
that the same pattern is in the loss of the mass as a square, with no gradient where nothing is
known of it yet.
"""

from __future__ import annotations

import torch
from torch import Tensor

QUADRUPOLE_SIZE = 2

SATURATION_LENGTH = 1.0
"""Arcsec, of a mass of 10^-23.3 eV: a quadrupole is told from none in the images from half of this
on, and longer vortices, which are plain to see, shall not rule the loss."""

_SCALE = 4.0
"""Of the target, whose components have a mean square of 2 over the prior. With a weight of 1, its
loss is then as large as that of the mass in the end, 0.1 each."""


def vortex_quadrupole(length: Tensor, angle: Tensor) -> Tensor:
    """Components of the quadrupole of a vortex: of angle 2 phi, growing as L^2 at first.

    Args:
        length: of the vortex, arcsec, (n,).
        angle: of the vortex from the x axis, as the image shows it, radians, (n,).

    Returns:
        (n, 2), of a length between 0 and 4.
    """
    square = length**2
    strength = _SCALE * square / (square + SATURATION_LENGTH**2)
    return strength[:, None] * torch.stack([(2 * angle).cos(), (2 * angle).sin()], dim=1)
