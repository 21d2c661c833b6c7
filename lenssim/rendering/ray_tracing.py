"""From image-plane positions to surface brightness: the integrand of every pixel."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenssim.rendering import deflection, source
from lenssim.rendering.compilation import inlined, kernel
from lenssim.rendering.exponential import exponential
from lenssim.rendering.substructure_field import subtract_substructure

FloatArray = NDArray[np.float64]


class RayTracer(NamedTuple):
    """One lensed source in the form that the kernels take: plain numbers and contiguous arrays.

    Lengths are in arcsec, `amplitude` is the surface brightness at `r_sersic`. A `vortex_theta_e`
    of zero means no vortex, empty mass arrays mean no point masses.
    """

    theta_e: float
    axis_ratio: float
    cos_phi: float
    sin_phi: float
    gamma1: float
    gamma2: float
    vortex_theta_e: float
    vortex_half_x: float
    vortex_half_y: float
    vortex_x: float
    vortex_y: float
    source_x: float
    source_y: float
    amplitude: float
    r_sersic: float
    n_sersic: float
    b: float
    source_e1: float
    source_e2: float
    mass_x: FloatArray
    mass_y: FloatArray
    mass_theta_e_squared: FloatArray


NUMBERS = len(RayTracer._fields) - 3
"""Fields of a `RayTracer` before its arrays."""


@inlined
def with_masses(numbers, mass_x, mass_y, mass_theta_e_squared):
    """The `RayTracer` of its numbers, in the order of its fields, and its point masses."""
    return RayTracer(
        numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6],
        numbers[7], numbers[8], numbers[9], numbers[10], numbers[11], numbers[12], numbers[13],
        numbers[14], numbers[15], numbers[16], numbers[17], numbers[18],
        mass_x, mass_y, mass_theta_e_squared,
    )  # fmt: skip


BLOCK = 512
"""Rays traced together: their buffers stay in the processor's first cache."""


@kernel
def surface_brightness(x, y, tracer, field, out):
    """Lensed surface brightness at many positions.

    A ray that falls right on a singularity has no defined origin and counts as dark.

    Args:
        x, y: image-plane positions, arcsec, shape (n,).
        tracer: a `RayTracer`.
        field: its `SubstructureField`.
        out: receives the surface brightness, unit of `tracer.amplitude`, shape (n,).
    """
    beta_x = np.empty(BLOCK)
    beta_y = np.empty(BLOCK)
    bits = np.empty(BLOCK, dtype=np.int64)
    for start in range(0, x.shape[0], BLOCK):
        end = min(start + BLOCK, x.shape[0])
        count = end - start
        _trace(x[start:end], y[start:end], tracer, field, beta_x[:count], beta_y[:count])
        _profile(beta_x[:count], beta_y[:count], tracer, bits[:count], out[start:end])


@kernel
def _profile(beta_x, beta_y, tracer, bits, out):
    """Surface brightness at source-plane positions, into `out`; `bits` is scratch space."""
    for i in range(out.shape[0]):
        radius = source.elliptical_radius(
            beta_x[i] - tracer.source_x,
            beta_y[i] - tracer.source_y,
            tracer.source_e1,
            tracer.source_e2,
        )
        out[i] = source.sersic_exponent(radius, tracer.r_sersic, tracer.n_sersic, tracer.b)
    exponential(out, bits)
    for i in range(out.shape[0]):
        value = tracer.amplitude * out[i]
        out[i] = 0.0 if math.isnan(value) else value


@kernel
def _trace(x, y, tracer, field, beta_x, beta_y):
    """Source-plane positions of rays, arcsec, into (beta_x, beta_y); at most `BLOCK` of them.

    One loop a component, so that those of plain arithmetic run in vector registers.
    """
    count = x.shape[0]
    if tracer.axis_ratio == 1.0:
        for i in range(count):
            alpha_x, alpha_y = deflection.sis(x[i], y[i], tracer.theta_e)
            beta_x[i] = x[i] - alpha_x
            beta_y[i] = y[i] - alpha_y
    else:
        for i in range(count):
            alpha_x, alpha_y = deflection.sie(
                x[i], y[i], tracer.theta_e, tracer.axis_ratio, tracer.cos_phi, tracer.sin_phi
            )
            beta_x[i] = x[i] - alpha_x
            beta_y[i] = y[i] - alpha_y
    if tracer.gamma1 != 0.0 or tracer.gamma2 != 0.0:
        for i in range(count):
            alpha_x, alpha_y = deflection.shear(x[i], y[i], tracer.gamma1, tracer.gamma2)
            beta_x[i] -= alpha_x
            beta_y[i] -= alpha_y
    if field.tiles_on_a_side > 0:
        subtract_substructure(x, y, tracer, field, beta_x, beta_y)
