"""From image-plane positions to surface brightness: the integrand of every pixel."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenssim.compilation import inlined, kernel
from lenssim.profiles.multipole import multipole
from lenssim.rendering import deflection, source
from lenssim.rendering.elementary import exponential, logarithm
from lenssim.rendering.halo_field import HaloField, halo_field, subtract_halos
from lenssim.rendering.picture_source import PictureSource, picture_brightness
from lenssim.rendering.power_law_rays import SCRATCH_ROWS, power_law_deflections
from lenssim.rendering.substructure_field import (
    SubstructureField,
    substructure_field,
    subtract_substructure,
)

FloatArray = NDArray[np.float64]


class RayTracer(NamedTuple):
    """One lensed source in the form that the kernels take: plain numbers and contiguous arrays.

    Lengths are in arcsec, `amplitude` is the surface brightness at `r_sersic`. A `vortex_theta_e`
    of zero means no vortex, a `light_amplitude` of zero a dark lens, empty arrays no masses and no
    halos, `NO_PICTURE` a Sersic source. `series` is `angular_series` of the lens, `halos` and
    `tables` are those of `lenssim.profiles.tnfw_table`; multipoles are given by
    `multipole_components`. Where the source is a picture, `amplitude` to `source_e2` are those of
    an exponential profile that is nowhere fainter.
    """

    theta_e: float
    axis_ratio: float
    cos_phi: float
    sin_phi: float
    gamma1: float
    gamma2: float
    lens_x: float
    lens_y: float
    slope: float
    m3_cos: float
    m3_sin: float
    m4_cos: float
    m4_sin: float
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
    light_amplitude: float
    light_r_sersic: float
    light_n_sersic: float
    light_b: float
    light_e1: float
    light_e2: float
    mass_x: FloatArray
    mass_y: FloatArray
    mass_theta_e_squared: FloatArray
    series: FloatArray
    halos: FloatArray
    halo_theta_e_squared: FloatArray
    tables: FloatArray
    picture: PictureSource


NUMBERS = RayTracer._fields.index("mass_x")
"""Fields of a `RayTracer` before its arrays."""


@inlined
def with_arrays(
    numbers, mass_x, mass_y, mass_theta_e_squared, series, halos, halo_theta_e_squared, tables,
    picture,
):  # fmt: skip
    """A `RayTracer` from one array of numbers and its own arrays, inside a kernel.

    Args:
        numbers: fields before `mass_x`, in their order, shape (`NUMBERS`,).
        mass_x, mass_y, mass_theta_e_squared, series, halos, halo_theta_e_squared, tables, picture:
            the fields of these names.
    """
    return RayTracer(
        numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6],
        numbers[7], numbers[8], numbers[9], numbers[10], numbers[11], numbers[12], numbers[13],
        numbers[14], numbers[15], numbers[16], numbers[17], numbers[18], numbers[19],
        numbers[20], numbers[21], numbers[22], numbers[23], numbers[24], numbers[25],
        numbers[26], numbers[27], numbers[28], numbers[29], numbers[30], numbers[31],
        mass_x, mass_y, mass_theta_e_squared, series, halos, halo_theta_e_squared, tables,
        picture,
    )  # fmt: skip


class LensField(NamedTuple):
    """Deflection of the substructure of an image, tile by tile; built by `lens_field`."""

    masses: SubstructureField
    halos: HaloField


@kernel
def lens_field(tracer, num_pix, pixel_scale, border):
    """Sums the substructure of a system into the tiles of an image.

    Args:
        tracer: a `RayTracer`.
        num_pix: pixels on a side.
        pixel_scale: arcsec.
        border: pixels around the image where rays are traced too.
    """
    return LensField(
        substructure_field(tracer, num_pix, pixel_scale, border),
        halo_field(
            tracer.halos, tracer.halo_theta_e_squared, tracer.tables, num_pix, pixel_scale, border
        ),
    )


BLOCK = 512
"""Rays traced together: their buffers stay in the processor's first cache."""


@kernel
def surface_brightness(x, y, tracer, field, beta_x, beta_y, out):
    """Lensed surface brightness at many positions.

    A ray that falls right on a singularity has no defined origin and counts as dark.

    Args:
        x, y: image-plane positions, arcsec, shape (n,).
        tracer: a `RayTracer`.
        field: its `LensField`.
        beta_x, beta_y: receive the source-plane positions, arcsec, shape (n,).
        out: receives the surface brightness, unit of `tracer.amplitude`, shape (n,).
    """
    bits = np.empty(BLOCK, dtype=np.int64)
    scratch = np.empty(BLOCK)
    for start in range(0, x.shape[0], BLOCK):
        end = min(start + BLOCK, x.shape[0])
        _trace(x[start:end], y[start:end], tracer, field, beta_x[start:end], beta_y[start:end])
        _profile(beta_x[start:end], beta_y[start:end], tracer, bits[: end - start], out[start:end])
        if tracer.light_amplitude > 0.0:
            _add_lens_light(
                x[start:end], y[start:end], tracer, bits[: end - start], scratch[: end - start],
                out[start:end],
            )  # fmt: skip


@kernel
def _profile(beta_x, beta_y, tracer, bits, out):
    """Surface brightness at source-plane positions, into `out`; `bits` is scratch space."""
    if tracer.picture.coefficients.shape[0] > 0:
        _picture(beta_x, beta_y, tracer.source_x, tracer.source_y, tracer.picture, out)
        return
    _sersic(
        beta_x, beta_y, tracer.source_x, tracer.source_y, tracer.source_e1, tracer.source_e2,
        tracer.r_sersic, tracer.n_sersic, tracer.b, bits, out,
    )  # fmt: skip
    for i in range(out.shape[0]):
        value = tracer.amplitude * out[i]
        out[i] = 0.0 if math.isnan(value) else value


@kernel
def _picture(beta_x, beta_y, source_x, source_y, picture, out):
    """Surface brightness of a picture at source-plane positions, into `out`."""
    x = np.empty(out.shape[0])
    y = np.empty(out.shape[0])
    for i in range(out.shape[0]):
        x[i] = beta_x[i] - source_x
        y[i] = beta_y[i] - source_y
    picture_brightness(x, y, picture, out)


@kernel
def _add_lens_light(x, y, tracer, bits, scratch, out):
    """Adds the light of the lens at image-plane positions to `out`."""
    _sersic(
        x, y, tracer.lens_x, tracer.lens_y, tracer.light_e1, tracer.light_e2,
        tracer.light_r_sersic, tracer.light_n_sersic, tracer.light_b, bits, scratch,
    )  # fmt: skip
    for i in range(out.shape[0]):
        out[i] += tracer.light_amplitude * scratch[i]


@kernel
def _sersic(x, y, centre_x, centre_y, e1, e2, r_sersic, n_sersic, b, bits, out):
    """Surface brightness of a Sersic ellipse over that at its half-light radius, into `out`.

    It is NaN where a position is. `bits` is scratch space.
    """
    if n_sersic == 1.0:
        # one loop, because the compiler rounds it so: images of version 1.0.0 keep their bits
        for i in range(out.shape[0]):
            radius = source.elliptical_radius(x[i] - centre_x, y[i] - centre_y, e1, e2)
            out[i] = source.sersic_exponent(radius, r_sersic, 1.0, b)
        exponential(out, bits)
        return
    for i in range(out.shape[0]):
        out[i] = source.elliptical_radius(x[i] - centre_x, y[i] - centre_y, e1, e2)
    relative_brightness(out, r_sersic, n_sersic, b, bits, out)
    for i in range(out.shape[0]):
        if math.isnan(x[i] + y[i]):
            out[i] = math.nan


@kernel
def relative_brightness(radius, r_sersic, n_sersic, b, bits, out):
    """Surface brightness of a Sersic profile over that at its half-light radius.

    Args:
        radius: of ellipses, arcsec, at least zero, shape (n,).
        r_sersic: half-light radius, arcsec.
        n_sersic: Sersic index.
        b: `source.sersic_b(n_sersic)`.
        bits: scratch space, int64, shape (n,).
        out: receives the brightness, shape (n,); may be `radius`.
    """
    for i in range(out.shape[0]):
        out[i] = max(radius[i], source.MINIMUM_RADIUS) / r_sersic
    # the power 1 / n, of which the compiler has no vector form
    logarithm(out, out.view(np.int64))
    for i in range(out.shape[0]):
        out[i] *= 1.0 / n_sersic
    exponential(out, bits)
    for i in range(out.shape[0]):
        out[i] = -b * (out[i] - 1.0)
    exponential(out, bits)


@kernel
def _trace(x, y, tracer, field, beta_x, beta_y):
    """Source-plane positions of rays, arcsec, into (beta_x, beta_y); at most `BLOCK` of them.

    One loop a component, so that those of plain arithmetic run in vector registers.
    """
    count = x.shape[0]
    if tracer.slope != 2.0:
        _subtract_power_law(x, y, tracer, beta_x, beta_y)
    else:
        _subtract_isothermal(x, y, tracer, beta_x, beta_y)
    if tracer.gamma1 != 0.0 or tracer.gamma2 != 0.0:
        for i in range(count):
            alpha_x, alpha_y = deflection.shear(x[i], y[i], tracer.gamma1, tracer.gamma2)
            beta_x[i] -= alpha_x
            beta_y[i] -= alpha_y
    _subtract_multipole(x, y, tracer, 3, tracer.m3_cos, tracer.m3_sin, beta_x, beta_y)
    _subtract_multipole(x, y, tracer, 4, tracer.m4_cos, tracer.m4_sin, beta_x, beta_y)
    if field.masses.tiles_on_a_side > 0:
        subtract_substructure(x, y, tracer, field.masses, beta_x, beta_y)
    if field.halos.tiles_on_a_side > 0:
        subtract_halos(x, y, field.halos, beta_x, beta_y)


@inlined
def _subtract_multipole(x, y, tracer, order, component_cos, component_sin, beta_x, beta_y):
    """Takes the deflection of a multipole off source-plane positions, if the lens has it."""
    if component_cos != 0.0 or component_sin != 0.0:
        for i in range(x.shape[0]):
            alpha_x, alpha_y = multipole(
                x[i] - tracer.lens_x, y[i] - tracer.lens_y, order, component_cos, component_sin
            )
            beta_x[i] -= alpha_x
            beta_y[i] -= alpha_y


@kernel
def _subtract_isothermal(x, y, tracer, beta_x, beta_y):
    """Image-plane positions less the deflection of the isothermal halo, into (beta_x, beta_y)."""
    is_centred = tracer.lens_x == 0.0 and tracer.lens_y == 0.0
    if tracer.axis_ratio == 1.0 and is_centred:
        # apart, because the compiler factors x out here: images of version 1.0.0 keep their bits
        for i in range(x.shape[0]):
            alpha_x, alpha_y = deflection.sis(x[i], y[i], tracer.theta_e)
            beta_x[i] = x[i] - alpha_x
            beta_y[i] = y[i] - alpha_y
    elif tracer.axis_ratio == 1.0:
        for i in range(x.shape[0]):
            alpha_x, alpha_y = deflection.sis(
                x[i] - tracer.lens_x, y[i] - tracer.lens_y, tracer.theta_e
            )
            beta_x[i] = x[i] - alpha_x
            beta_y[i] = y[i] - alpha_y
    else:
        for i in range(x.shape[0]):
            alpha_x, alpha_y = deflection.sie(
                x[i] - tracer.lens_x,
                y[i] - tracer.lens_y,
                tracer.theta_e,
                tracer.axis_ratio,
                tracer.cos_phi,
                tracer.sin_phi,
            )
            beta_x[i] = x[i] - alpha_x
            beta_y[i] = y[i] - alpha_y


@kernel
def _subtract_power_law(x, y, tracer, beta_x, beta_y):
    """Image-plane positions less the deflection of the power law, into (beta_x, beta_y)."""
    count = x.shape[0]
    scratch = np.empty((SCRATCH_ROWS, count))
    relative = np.empty((2, count))
    alpha = np.empty((2, count))
    for i in range(count):
        relative[0, i] = x[i] - tracer.lens_x
        relative[1, i] = y[i] - tracer.lens_y
    power_law_deflections(
        relative[0], relative[1], tracer.theta_e, tracer.slope, tracer.axis_ratio,
        tracer.cos_phi, tracer.sin_phi, tracer.series, scratch, alpha[0], alpha[1],
    )  # fmt: skip
    for i in range(count):
        beta_x[i] = x[i] - alpha[0, i]
        beta_y[i] = y[i] - alpha[1, i]
