"""Ellipticity components and what they mean, in lenstronomy's conventions."""

from __future__ import annotations

import numpy as np


def axis_ratio_and_angle(e1, e2):
    """Axis ratio and position angle of an ellipticity, as lenstronomy defines them.

    e1 = (1 - q)/(1 + q) cos(2 phi), e2 = (1 - q)/(1 + q) sin(2 phi).

    Args:
        e1, e2: ellipticity components, dimensionless, any broadcastable shape.

    Returns:
        (q, phi): minor over major axis, and the angle of the major axis in radians.
    """
    modulus = np.hypot(e1, e2)
    return (1 - modulus) / (1 + modulus), np.arctan2(e2, e1) / 2


def ellipticity_components(axis_ratio, angle):
    """The inverse of `axis_ratio_and_angle`.

    Args:
        axis_ratio: minor over major axis, in (0, 1], any shape.
        angle: of the major axis, radians, broadcast against it.

    Returns:
        (e1, e2), dimensionless.
    """
    modulus = (1 - axis_ratio) / (1 + axis_ratio)
    return modulus * np.cos(2 * angle), modulus * np.sin(2 * angle)
