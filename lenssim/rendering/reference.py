"""The reference engine: lenstronomy, which the fast engine is measured against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from lenstronomy.LightModel.Profiles.interpolation import Interpol
from lenstronomy.SimulationAPI.sim_api import SimAPI
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline

from lenssim.pictures import open_library
from lenssim.population import LensSystem, vortex_as_point_masses
from lenssim.profiles.tnfw import alpha_rs
from lenssim.rendering.contract import PixelNoise
from lenssim.rendering.optics import typical_fwhm
from lenssim.rendering.point_spread import Gaussian, PointSpread
from lenssim.rendering.psf_convolution import reach
from lenssim.spec import Instrument, Sampling, Specification

SUBSAMPLES = 16
"""Sub-samples along each side of a pixel where the sampling is adaptive."""


class VortexLine:
    """Deflection of a uniform line mass, for lenstronomy's TABULATED_DEFLECTIONS profile.

    Written in numpy's complex numbers, apart from the fast engine's kernel, so that each checks
    the other; the formula is that of `deflection.vortex_line`.
    """

    def __call__(self, x, y, theta_E, length, phi):
        """Deflection (alpha_x, alpha_y) in arcsec.

        Args:
            x, y: position relative to the centre of the line, arcsec, any shape.
            theta_E: Einstein radius of the whole mass, arcsec.
            length: arcsec.
            phi: direction of the line, radians.
        """
        position = np.asarray(x) + 1j * np.asarray(y)
        half = 0.5 * length * np.exp(1j * phi)
        logarithm = np.log((position + half) / (position - half))
        conjugate = theta_E**2 / length * np.exp(-1j * phi) * logarithm
        return conjugate.real, -conjugate.imag


class CubicPicture(Interpol):
    """lenstronomy's INTERPOL with a cubic spline in place of its bilinear one.

    Through the samples of `lenssim.pictures`, which are as fine as a cubic spline needs; a linear
    one would need ten times as many along each axis.
    """

    def image_interp(self, x, y, image):
        """Brightness at positions in pixels from the middle of the image; zero outside.

        Args:
            x, y: positions, any shape.
            image: samples, shape (rows, columns).
        """
        rows, columns = ((np.arange(size) - 0.5 * (size - 1)) for size in image.shape)
        spline = RectBivariateSpline(rows, columns, image)
        inside = (np.abs(y) <= rows[-1]) & (np.abs(x) <= columns[-1])
        return np.where(inside, spline(y, x, grid=False), 0.0)


def single_band(instrument: Instrument) -> dict[str, Any]:
    """The instrument as keyword arguments of lenstronomy's SingleBand."""
    return {
        "pixel_scale": instrument.pixel_scale,
        "exposure_time": instrument.exposure_time,
        "magnitude_zero_point": instrument.zero_point,
        "read_noise": instrument.read_noise,
        "ccd_gain": instrument.gain,
        "sky_brightness": instrument.sky_brightness,
        "seeing": typical_fwhm(instrument),
        "num_exposures": instrument.num_exposures,
        "psf_type": "GAUSSIAN",
        "truncation": instrument.psf_truncation,
        "data_count_unit": "e-",
    }


def lens_components(
    system: LensSystem, vortex_point_masses: int | None
) -> tuple[list[str], list[dict[str, Any]], list[dict[str, Any]]]:
    """The lens as lenstronomy takes it: model names, their parameters, and profile settings.

    Args:
        system: what to render.
        vortex_point_masses: make the vortex of this many point masses, or None for the line.
    """
    halo: dict[str, Any] = {
        "theta_E": system.lens_theta_e,
        "center_x": system.lens_x,
        "center_y": system.lens_y,
    }
    ellipticity = {"e1": system.lens_e1, "e2": system.lens_e2}
    if system.lens_slope != 2:
        models = ["EPL"]
        parameters = [halo | ellipticity | {"gamma": system.lens_slope}]
    elif system.lens_e1 == 0 and system.lens_e2 == 0:
        models, parameters = ["SIS"], [halo]
    else:
        models, parameters = ["SIE"], [halo | ellipticity]
    if system.lens_gamma1 != 0 or system.lens_gamma2 != 0:
        models.append("SHEAR")
        parameters.append({"gamma1": system.lens_gamma1, "gamma2": system.lens_gamma2})
    for order, amplitude, angle in (
        (3, system.lens_m3_amplitude, system.lens_m3_angle),
        (4, system.lens_m4_amplitude, system.lens_m4_angle),
    ):
        if amplitude != 0:
            models.append("MULTIPOLE")
            parameters.append(
                {
                    "m": order,
                    "a_m": amplitude * system.lens_theta_e,
                    "phi_m": angle,
                    "center_x": system.lens_x,
                    "center_y": system.lens_y,
                    "r_E": system.lens_theta_e,
                }
            )
    subhalo_models, subhalo_parameters = _subhalos(system, vortex_point_masses)
    models += subhalo_models
    parameters += subhalo_parameters
    settings: list[dict[str, Any]] = [{} for _ in models]
    if system.vortex_theta_e > 0 and vortex_point_masses is None:
        models.append("TABULATED_DEFLECTIONS")
        settings.append({"custom_class": VortexLine()})
        parameters.append(
            {
                "center_x": system.vortex_x,
                "center_y": system.vortex_y,
                "theta_E": system.vortex_theta_e,
                "length": system.vortex_length,
                "phi": system.vortex_angle,
            }
        )
    return models, parameters, settings


def _subhalos(
    system: LensSystem, vortex_point_masses: int | None
) -> tuple[list[str], list[dict[str, Any]]]:
    """Subhalos, and a vortex made of point masses: model names and their parameters."""
    if system.subhalo_r_s.size > 0:
        strengths = alpha_rs(
            system.subhalo_theta_e**2, system.subhalo_r_s, system.subhalo_truncation
        )
        return ["TNFW"] * len(strengths), [
            {
                "alpha_Rs": strength,
                "Rs": r_s,
                "r_trunc": truncation * r_s,
                "center_x": x,
                "center_y": y,
            }
            for strength, r_s, truncation, x, y in zip(
                strengths,
                system.subhalo_r_s,
                system.subhalo_truncation,
                system.subhalo_x,
                system.subhalo_y,
                strict=True,
            )
        ]
    x, y, theta_e = system.subhalo_x, system.subhalo_y, system.subhalo_theta_e
    if system.vortex_theta_e > 0 and vortex_point_masses is not None:
        x, y, theta_e_squared = vortex_as_point_masses(system, vortex_point_masses)
        theta_e = np.sqrt(theta_e_squared)
    return ["POINT_MASS"] * len(x), [
        {"theta_E": radius, "center_x": centre_x, "center_y": centre_y}
        for centre_x, centre_y, radius in zip(x, y, theta_e, strict=True)
    ]


def lens_light(system: LensSystem) -> list[dict[str, Any]]:
    """The light of the lens as lenstronomy takes it, with its magnitude; empty if it is dark."""
    if not math.isfinite(system.lens_light_magnitude):
        return []
    return [
        {
            "magnitude": system.lens_light_magnitude,
            "R_sersic": system.lens_light_r_sersic,
            "n_sersic": system.lens_light_n_sersic,
            "e1": system.lens_light_e1,
            "e2": system.lens_light_e2,
            "center_x": system.lens_x,
            "center_y": system.lens_y,
        }
    ]


def picture_light(system: LensSystem, spec: Specification) -> dict[str, Any]:
    """The picture that the source is, as lenstronomy's INTERPOL takes it, with its magnitude."""
    assert spec.source.images is not None
    picture = open_library(spec.source.images).picture(system.source_galaxy)
    scale = system.source_r_sersic / picture.half_light_radius
    samples = np.pad(picture.samples(), 2)
    # from the centroid, where the source is, to the middle of the array, turned with the picture
    row, column = (
        0.5 * (size - 1) - (centre + 2.0)
        for size, centre in zip(samples.shape, (picture.centre_y, picture.centre_x), strict=True)
    )
    cosine, sine = math.cos(system.source_angle), math.sin(system.source_angle)
    step = scale * picture.step
    return {
        "magnitude": system.source_magnitude,
        "image": samples,
        "center_x": system.source_x + step * (cosine * column - sine * row),
        "center_y": system.source_y + step * (sine * column + cosine * row),
        "phi_G": system.source_angle,
        "scale": step,
    }


def _psf_settings(psf: PointSpread, instrument: Instrument, subsamples: int) -> dict[str, Any]:
    """Keyword arguments of lenstronomy's SingleBand for a PSF at the resolution of sub-samples."""
    if isinstance(psf, Gaussian):
        return {"psf_type": "GAUSSIAN", "seeing": psf.fwhm, "truncation": 5}
    return {
        "psf_type": "PIXEL",
        "kernel_point_source": psf.samples(instrument.pixel_scale / subsamples),
        "point_source_supersampling_factor": subsamples,
    }


def lenstronomy_image(
    system: LensSystem,
    spec: Specification,
    subsamples: int,
    *,
    convolved: bool = True,
    vortex_point_masses: int | None = None,
    psf: PointSpread | None = None,
) -> NDArray[np.float64]:
    """Noise-free image by lenstronomy's SimAPI and ImageModel.

    Args:
        system: what to render.
        spec: its instrument, and how its vortex is made.
        subsamples: sub-samples along each side of a pixel (supersampling_factor).
        convolved: whether to apply the PSF, at pixel resolution as lenstronomy does by default.
        vortex_point_masses: make the vortex of this many point masses; if None, as the
            specification says.
        psf: to convolve with at the resolution of the sub-samples, light from outside of the image
            included; in place of the specification's at pixel resolution.

    Returns:
        e-/s, shape (num_pix, num_pix), axes (y, x).
    """
    point_masses = vortex_point_masses or spec.substructure.axion.point_masses
    models, lens_parameters, settings = lens_components(system, point_masses)
    lights = lens_light(system)
    is_sersic = system.source_galaxy < 0
    border = 0 if psf is None else reach(psf, spec.instrument.pixel_scale)
    band = single_band(spec.instrument)
    if psf is not None:
        band |= _psf_settings(psf, spec.instrument, subsamples)
    simulation = SimAPI(
        num_pix=spec.instrument.num_pix + 2 * border,
        kwargs_single_band=band,
        kwargs_model={
            "lens_model_list": models,
            "lens_profile_kwargs_list": settings,
            "source_light_model_list": ["SERSIC_ELLIPSE" if is_sersic else "INTERPOL"],
            "lens_light_model_list": ["SERSIC_ELLIPSE"] * len(lights),
        },
    )
    source = (
        picture_light(system, spec)
        if not is_sersic
        else {
            "magnitude": system.source_magnitude,
            "R_sersic": system.source_r_sersic,
            "n_sersic": system.source_n_sersic,
            "e1": system.source_e1,
            "e2": system.source_e2,
            "center_x": system.source_x,
            "center_y": system.source_y,
        }
    )
    light_parameters, source_parameters, _ = simulation.magnitude2amplitude(
        kwargs_lens_light_mag=lights, kwargs_source_mag=[source]
    )
    model = simulation.image_model_class(
        {
            "supersampling_factor": subsamples,
            "supersampling_convolution": psf is not None,
            # all of the kernel at the resolution of the sub-samples, not its inner pixels alone
            "supersampling_kernel_size": None,
        }
    )
    if not is_sersic:
        model.SourceModel.func_list = [CubicPicture()]
    image = model.image(
        lens_parameters, source_parameters, light_parameters, unconvolved=not convolved
    )
    inner = slice(border, border + spec.instrument.num_pix)
    return image[inner, inner]


def pixel_fluxes(
    systems: Sequence[LensSystem],
    spec: Specification,
    sampling: Sampling,
    noise: PixelNoise,
    psfs: Sequence[PointSpread] | None = None,
) -> NDArray[np.float64]:
    """Renders systems by lenstronomy on a regular grid of sub-samples.

    Arguments and result are those of `contract.Engine`. The grid is the sampling's, or
    `SUBSAMPLES` if that is adaptive; `noise` is not needed.
    """
    subsamples = sampling.subsamples or SUBSAMPLES
    if psfs is None:
        return np.stack(
            [lenstronomy_image(system, spec, subsamples, convolved=False) for system in systems]
        )
    return np.stack(
        [
            lenstronomy_image(system, spec, subsamples, psf=psf)
            for system, psf in zip(systems, psfs, strict=True)
        ]
    )
