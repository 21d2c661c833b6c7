"""The smooth model fitted to one image, from nothing but the image and its instrument.

The likelihood of a pixel is Gaussian. Its variance is that of the model, background and photons,
taken at each step and held while it is made: the variance of the data is low where the data are,
which biases the flux low, and a variance that is differentiated too biases it high. The fixed point
solves J^T W (image - model) = 0, which is unbiased. On the way there the variance is the larger of
the model's and the data's, so that light which the model has not reached yet does not dominate.
Where the noise of each pixel is given, that is the variance throughout.

Rays of the derivatives are one a pixel as a rule, of the model as many as its accuracy needs: an
approximate Jacobian costs steps, an approximate model costs truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from lenssim.errors import UsageError
from lenssim.lens_fit.coarse_search import Start, coarse_starts
from lenssim.lens_fit.derivatives import smooth_derivatives
from lenssim.lens_fit.first_light import PERCENTILES, faint_light, first_light
from lenssim.lens_fit.least_squares import (
    MAX_DAMPING,
    MIN_DAMPING,
    Descent,
    chi_square,
    normal_equations,
)
from lenssim.lens_fit.parameters import (
    ALL_NAMES,
    LIGHT_NAMES,
    LIGHT_PARAMETERS,
    PARAMETER_NAMES,
)
from lenssim.lens_fit.shapelets import SCALE, Shapelets, joint_step, shapelet_images
from lenssim.lens_fit.vector import (
    names_of,
    physical,
    physical_per_vector,
    stepped,
    to_light,
    to_system,
    vector_of,
)
from lenssim.observation import convolve, noise_sigma, pixel_noise, psf_kernel
from lenssim.population import LensSystem
from lenssim.rendering import PixelNoise, engine
from lenssim.rendering.optics import point_spreads
from lenssim.rendering.point_spread import PointSpread
from lenssim.spec import Sampling, Specification

FloatArray = NDArray[np.float64]

COARSE = Sampling(tolerance=0.1)
FINE = Sampling(tolerance=0.02)
"""Error of the model in a pixel, in units of its noise, on the way and in the end: the whole of an
image of B-wide is then right to 1.4 and to 0.2 sigma."""

NEARLY_CONVERGED = 3.0
"""Expected decrease of chi-square below which the variance is that of the model alone."""

CLOSE = 1.0
"""Expected decrease of chi-square below which the accurate model takes over."""

CONVERGED = 0.01
"""Expected decrease of chi-square of a fit that has converged: a tenth of a standard error."""

SLOW, LOST, PATIENCE = 0.03, 4.0, 4
"""A descent is given up that has gained less than a share of chi-square, where the reduced one is
still large, a number of times one after another."""

ACCEPTED = 5.0
"""Standard deviations of chi-square above its expectation below which no other start is tried."""

MIN_OF_NOISE = 0.05
"""Chi-square of noise alone for each pixel that a noise map is believed to have, at least."""

SAME = 0.002
"""Relative difference of chi-square of two starts that have reached the same minimum."""

COMPACT = 2.0
"""Half-light radius of the source in pixels below which a pixel needs more than one ray."""

COARSENESS = 4.0
"""Of the rays near the source's cusp, on the way."""

LAST_RAYS = ((1, 2.0), (2, 1.0))
"""Rows of rays a pixel, and their coarseness near the cusp, in the end; the second where the first
do not lead to the minimum."""

LAST_STEPS = 4
"""Undamped steps with an accurate model at the end, at most; the last is only looked at."""

ORDER_STEP = 4
"""By which the order of shapelets rises until chi-square asks for no more."""

STEPS_OF_ORDER = 12
"""With the shapelets of an order, before a higher one is tried."""

OF_LENS = {name for name in ALL_NAMES if name.startswith("lens_")}
"""Parameters that move shapelets in the image."""

STEP = 1e-4
"""Of a parameter of the lens, for the derivatives of shapelets: arcsec, or without a unit."""

FIRST_SLOPE, FIRST_DAMPING = 2.0, 0.1
SHARE, ELLIPTICITY_PER_SHEAR = 0.6, -2.0
"""Share of the ellipticity in the quadrupole that a fit starts with, and the ellipticity that has
the effect of a shear on a ring."""

_ROWS_OF_LIGHT = [
    PARAMETER_NAMES.index(parameter.name.replace("lens_light", "source"))
    for parameter in LIGHT_PARAMETERS
]
"""Rows of the derivatives of a source that are those of the light of the lens."""

_SMALL = 0.01
"""An ellipticity to start from: that of a round lens has no direction."""


@dataclass(frozen=True)
class FitSettings:
    """What is free, and how long is tried."""

    multipoles: bool = True
    """Whether the multipoles m = 3 and 4 of the lens are free, beside the 15 `PARAMETERS`."""
    lens_light: bool | None = None
    """Whether the lens galaxy has light, a Sersic ellipse with a centre of its own; None for
    whether the specification of the instrument gives it any."""
    starts: int = 4
    """Starts, at most: another is tried where chi-square is too large to be by chance. With light
    of the lens, as many from each of three guesses of it."""
    max_iterations: int = 40
    """Steps from each start, at most."""
    source_order: int = 0
    """Largest order of shapelets beside the Sersic source, which are added where chi-square is too
    large to be by chance, in steps of `ORDER_STEP`; 0 for none. They take out what they can,
    substructure that looks like structure of the source included."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the free parameters."""
        names = ALL_NAMES if self.multipoles else PARAMETER_NAMES
        return names + LIGHT_NAMES if self.lens_light else names

    def of(self, spec: Specification, *, is_telescope: bool = False) -> FitSettings:
        """The settings with `lens_light` decided: True of telescope images, if nothing is said."""
        if self.lens_light is not None:
            return self
        return replace(self, lens_light=is_telescope or spec.lens.light is not None)


@dataclass(frozen=True)
class ImageFit:
    """The smooth model that fits an image best."""

    names: tuple[str, ...]
    values: FloatArray
    """In the units of `PARAMETERS`, multipoles in units of theta_E, shape (p,); NaN without a
    fit."""
    errors: FloatArray
    """Standard errors, from the curvature of chi-square at its minimum, same shape."""
    reduced_chi_square: float
    """Chi-square over pixels that count less parameters."""
    converged: bool
    """Whether a minimum was reached: chi-square is not expected to fall by more than `CONVERGED`.
    It says nothing of how well the model fits."""
    residual: NDArray[np.float32]
    """(image - model) / sigma, shape (y, x); 0 in pixels that do not count."""
    iterations: int
    """Steps, from all starts together."""
    shapelets: Shapelets | None = None
    """Beside the Sersic source, where chi-square has asked for them."""
    amplitudes: FloatArray | None = None
    """Of the shapelets, e-/s a unit of their brightness, (count,)."""
    parameters: dict[str, float] = field(init=False)
    """Values by name."""

    @property
    def free(self) -> int:
        """Number of free parameters, amplitudes of shapelets included."""
        return len(self.values) + (0 if self.amplitudes is None else len(self.amplitudes))

    def __post_init__(self) -> None:
        named = dict(zip(self.names, self.values.tolist(), strict=True))
        object.__setattr__(self, "parameters", named)


def fit_image(
    image: NDArray[np.floating],
    spec: Specification,
    *,
    psf_fwhm: float = math.nan,
    psf: PointSpread | None = None,
    noise: NDArray[np.floating] | None = None,
    mask: NDArray[np.bool_] | None = None,
    settings: FitSettings | None = None,
) -> ImageFit:
    """Fits lens and source to an image: elliptical power law, shear and one Sersic source.

    Args:
        image: e-/s, shape (num_pix, num_pix), axes (y, x).
        spec: its instrument gives pixel scale, zero point, PSF and noise; of the rest, only whether
            the lens has light is used.
        psf_fwhm: arcsec, of an instrument whose PSF varies; the middle of its range if not given.
        psf: of the image, such as `measured_psf.pixel_psf` makes; that of the instrument if not
            given.
        noise: standard deviation of each pixel, e-/s, shape of the image, as an RMS map has it,
            photon noise included; NaN in pixels that do not count. That of the instrument if not
            given, or NaN everywhere.
        mask: pixels that do not count, shape of the image; none if not given.
        settings: those of `FitSettings` if not given.

    Returns:
        The best of the fits from some starts; values are NaN if there is nowhere to start from.

    Raises:
        UsageError: if the image is not one of that instrument, or noise or mask are not of the
            image.
    """
    problem = _Problem(image, spec, psf_fwhm, psf, (settings or FitSettings()).of(spec))
    problem.weigh(noise, mask)
    best: Descent | None = None
    iterations = 0
    for start in problem.starts():
        descent, steps = problem.descend(start)
        iterations += steps
        has_agreed = (
            best is not None
            and not problem.is_misleading
            and (abs(descent.chi_square - best.chi_square) < SAME * best.chi_square)
        )
        if best is None or descent.chi_square < best.chi_square:
            best = descent
        if has_agreed or problem.is_acceptable(best.chi_square, len(best.vector)):
            break
    return problem.result(best, iterations)


class _Problem:
    """One image, and the model that it is compared with."""

    def __init__(
        self,
        image: NDArray[np.floating],
        spec: Specification,
        psf_fwhm: float,
        psf: PointSpread | None,
        settings: FitSettings,
    ) -> None:
        num_pix = spec.instrument.num_pix
        if image.shape != (num_pix, num_pix):
            raise UsageError(
                f"the image has shape {image.shape}, and the instrument of {spec.name} "
                f"{num_pix} x {num_pix} pixels: choose the instrument of the image."
            )
        if not np.isfinite(image).all():
            raise UsageError("the image has pixels that are not finite: replace them.")
        self.image = np.array(image, dtype=np.float64).ravel()
        self.spec, self.settings = spec, settings
        self.noise: PixelNoise = pixel_noise(spec.instrument)
        self.measured: FloatArray | None = None
        self.counted = np.ones(self.image.shape, dtype=np.bool_)
        self.of_noise = 1.0
        self.psf, self.psf_fwhm = psf, psf_fwhm
        width = spec.instrument.psf_width
        if math.isnan(psf_fwhm) and width is not None and not width.is_fixed:
            self.psf_fwhm = 0.5 * sum(width.support)

    def weigh(self, noise: NDArray[np.floating] | None, mask: NDArray[np.bool_] | None) -> None:
        """Takes the noise of each pixel from a map, and leaves out pixels that do not count.

        Raises:
            UsageError: if they are not of the image, or no pixel counts.
        """
        for name, values in (("noise", noise), ("mask", mask)):
            if values is not None and values.size != self.image.size:
                raise UsageError(f"the {name} has another shape than the image: {values.shape}.")
        if mask is not None:
            self.counted &= ~np.asarray(mask, dtype=np.bool_).ravel()
        if noise is not None and not np.isnan(noise).all():
            sigma = np.asarray(noise, dtype=np.float64).ravel()
            self.counted &= np.isfinite(sigma)
            if (sigma[self.counted] <= 0).any():
                raise UsageError("the noise is not above 0 everywhere: set it to NaN elsewhere.")
            self.measured = sigma**2
            if self.counted.any():
                sky = float(np.median(self.measured[self.counted]))
                self.noise = self.noise._replace(background_variance=sky)
                self.of_noise = self._chi_square_of_sky()
        count, free = int(self.counted.sum()), len(self.settings.names)
        if count <= free:
            raise UsageError(
                f"{count} pixels of the image count, and the model has {free} parameters: "
                "the others are masked or without noise."
            )
        self.image[~self.counted] = 0.0

    def _chi_square_of_sky(self) -> float:
        """Mean square of the pixels at the edges in units of their noise; 1 at most.

        Noise maps of surveys allow for correlations: a model may be far off below a reduced
        chi-square of 1.
        """
        side = self.spec.instrument.num_pix
        is_edge = np.ones((side, side), dtype=np.bool_)
        margin = max(side // 8, 1)
        is_edge[margin:-margin, margin:-margin] = False
        sky = self.counted & is_edge.ravel()
        if self.measured is None or not sky.any():
            return 1.0
        relative = self.image[sky] / np.sqrt(self.measured[sky])
        deviation = 1.4826 * float(np.median(np.abs(relative - np.median(relative))))
        return min(max(deviation**2, MIN_OF_NOISE), 1.0)

    @property
    def is_misleading(self) -> bool:
        """Whether starts may agree and be wrong, as where light of the lens is taken for arcs."""
        return bool(self.settings.lens_light) or self.measured is not None

    @property
    def size(self) -> int:
        """Pixels that count."""
        return int(np.count_nonzero(self.counted))

    def starts(self) -> list[FloatArray]:
        """Vectors to start from, the most promising first."""
        instrument = self.spec.instrument
        variance, pixel_scale = self.noise.background_variance, instrument.pixel_scale
        count = self.settings.starts
        if not self.settings.lens_light:
            arcs = self.image.reshape(instrument.num_pix, -1)
            return [
                self.vector(start) for start in coarse_starts(arcs, variance, pixel_scale, count)
            ]
        vectors = []
        for light, arcs in self.first_lights():
            starts = coarse_starts(arcs, variance, pixel_scale, count)
            vectors.append([self.vector(start, light) for start in starts])
        in_turn = zip_longest(*vectors)
        return [vector for turn in in_turn for vector in turn if vector is not None]

    def first_lights(self) -> list[tuple[FloatArray, FloatArray]]:
        """Lights of the lens to start from, shape (7,), and the image without each, (y, x)."""
        instrument = self.spec.instrument
        shape = (instrument.num_pix, instrument.num_pix)
        no_lens = np.zeros(len(PARAMETER_NAMES))
        image, counted = self.image.reshape(shape), self.counted.reshape(shape)
        lights = [
            first_light(
                image,
                counted,
                self.noise.background_variance,
                instrument.pixel_scale,
                instrument.zero_point,
                number,
                lambda light: self.light_of(np.concatenate([no_lens, light]), COARSE).reshape(
                    shape
                ),
            )
            for number in range(len(PERCENTILES))
        ]
        lights.append((faint_light(image, instrument.zero_point), image))
        return [(light, np.where(counted, rest, 0.0)) for light, rest in lights]

    def vector(self, start: Start, light: FloatArray | None = None) -> FloatArray:
        """The vector of a start, with the light of the lens where there is any."""
        values = {
            "lens_theta_e": start.theta_e,
            "lens_slope": FIRST_SLOPE,
            "lens_e1": _SMALL + ELLIPTICITY_PER_SHEAR * SHARE * start.shear_1,
            "lens_e2": ELLIPTICITY_PER_SHEAR * SHARE * start.shear_2,
            "lens_gamma1": (1.0 - SHARE) * start.shear_1,
            "lens_gamma2": (1.0 - SHARE) * start.shear_2,
            "source_x": start.source_x,
            "source_y": start.source_y,
            "source_magnitude": self.spec.instrument.zero_point - 2.5 * math.log10(start.flux),
            "source_r_sersic": math.log(start.r_sersic),
            "source_e1": _SMALL,
        }
        if light is not None:
            values |= zip(LIGHT_NAMES, light.tolist(), strict=True)
        return np.array([values.get(name, 0.0) for name in self.settings.names])

    def variance(self, model: FloatArray) -> FloatArray:
        """Of the pixels of a model, (e-/s)^2; infinite in those that do not count."""
        variance = self.measured
        if variance is None:
            variance = noise_sigma(model, self.noise) ** 2
        return np.where(self.counted, variance, np.inf)

    def model(self, vector: FloatArray, sampling: Sampling) -> FloatArray:
        """The image of a vector, e-/s, shape (n,)."""
        return self._rendered(to_system(vector, self.psf_fwhm), sampling) + self.light_of(
            vector, sampling
        )

    def light_of(self, vector: FloatArray, sampling: Sampling) -> FloatArray:
        """The image of the lens galaxy of a vector, e-/s, shape (n,)."""
        light = to_light(vector, self.psf_fwhm)
        return np.zeros(self.image.size) if light is None else self._rendered(light, sampling)

    def _rendered(self, system: LensSystem, sampling: Sampling) -> FloatArray:
        systems = [system]
        psfs = point_spreads(self.spec.instrument, systems) if self.psf is None else [self.psf]
        images = engine("fast")(systems, self.spec, sampling, self.noise, psfs)
        if psfs is None:
            images = convolve(images, psf_kernel(self.spec.instrument))
        return self.spec.observation.flux_factor * images.ravel()

    def derivatives(
        self, vector: FloatArray, cells: int = 1, coarseness: float = COARSENESS
    ) -> FloatArray:
        """Of the model by the parameters, shape (p, n), from rays in `cells` rows a pixel."""
        multipoles = self.settings.multipoles
        rows = self._derivatives(to_system(vector, self.psf_fwhm), cells, coarseness, multipoles)
        light = to_light(vector, self.psf_fwhm)
        if light is None:
            return rows
        return np.concatenate(
            [rows, self._derivatives(light, cells, coarseness, False)[_ROWS_OF_LIGHT]]
        )

    def _derivatives(
        self, system: LensSystem, cells: int, coarseness: float, multipoles: bool
    ) -> FloatArray:
        is_compact = system.source_r_sersic < COMPACT * self.spec.instrument.pixel_scale
        rows = smooth_derivatives(
            system,
            self.spec,
            psf=self.psf,
            cells=2 * cells if is_compact else cells,
            multipoles=multipoles,
            coarseness=coarseness,
        )
        return rows.reshape(len(rows), -1)

    def descend(self, vector: FloatArray) -> tuple[Descent, int]:
        """Goes from a start to a minimum; returns it, and the steps taken."""
        descent = Descent(vector, self.model(vector, COARSE), FIRST_DAMPING)
        coarse: Callable[[FloatArray], FloatArray] = lambda v: self.model(v, COARSE)  # noqa: E731
        of_data = self.variance(self.image)
        is_led = True
        steps, slow = 0, 0
        while steps < self.settings.max_iterations:
            steps += 1
            variance = self.variance(descent.model)
            if is_led:
                variance = np.maximum(variance, of_data)
            derivatives = self.derivatives(descent.vector)
            scale = physical_per_vector(descent.vector)
            reduced = float(chi_square(self.image, descent.model, variance)) / self.size
            has_moved = descent.move(
                self.image,
                variance,
                derivatives,
                scale,
                coarse,
                prior_weight=reduced if is_led else 0.0,
            )
            is_near = (
                descent.expected_decrease < NEARLY_CONVERGED * max(reduced, 1.0) or not has_moved
            )
            if is_led and is_near:
                is_led, descent.damping = False, FIRST_DAMPING * 1e-2
            elif descent.expected_decrease < CLOSE or not has_moved:
                break
            gain = 1.0 - descent.chi_square / (reduced * self.size)
            slow = slow + 1 if gain < SLOW and reduced > LOST else 0
            if slow == PATIENCE:
                break
        return descent, steps

    def is_acceptable(self, chi_square: float, free: int) -> bool:
        """Whether chi-square may be by chance what it is.

        Args:
            chi_square: of the pixels that count.
            free: number of free parameters, amplitudes of shapelets included.
        """
        freedom = self.size - free
        return chi_square < self.of_noise * (freedom + ACCEPTED * math.sqrt(2.0 * freedom))

    def result(self, descent: Descent | None, iterations: int) -> ImageFit:
        """The fit, after a last undamped step with an accurate model."""
        names = self.settings.names
        count = len(names)
        nothing = np.full(count, math.nan)
        if descent is None:
            return self._as_fit(nothing, nothing, np.zeros_like(self.image), False, iterations)
        vector, model = descent.vector, self.model(descent.vector, FINE)
        for cells, coarseness in LAST_RAYS:
            derivatives = self.derivatives(vector, cells, coarseness)
            vector, model, covariance, expected = self._last_steps(vector, model, derivatives)
            if expected < CONVERGED:
                break
        errors = np.sqrt(np.maximum(np.diagonal(covariance), 0.0)) * physical_per_vector(vector)
        fitted = self._as_fit(physical(vector), errors, model, expected < CONVERGED, iterations)
        for order in range(ORDER_STEP, self.settings.source_order + 1, ORDER_STEP):
            free = fitted.free
            if self.is_acceptable(fitted.reduced_chi_square * (self.size - free), free):
                break
            fitted = self._with_shapelets(vector, order, fitted, is_last=False)
        if fitted.shapelets is not None:
            fitted = self._with_shapelets(vector, fitted.shapelets.order, fitted, is_last=True)
        return fitted

    def _last_steps(
        self, vector: FloatArray, model: FloatArray, derivatives: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, float]:
        """Undamped steps with an accurate model and one Jacobian.

        Args:
            vector: near the minimum.
            model: its image, accurate.
            derivatives: of it, (p, n).

        Returns:
            The vector and its image after the steps, its covariance, and the decrease of chi-square
            that is expected of another step.
        """
        count = len(vector)
        matrix, gradient = np.empty((count, count)), np.empty(count)
        for _ in range(LAST_STEPS):
            scale = physical_per_vector(vector)
            variance = self.variance(model)
            normal_equations(self.image, model, variance, derivatives, scale, matrix, gradient)
            covariance = np.asarray(np.linalg.pinv(matrix, hermitian=True), dtype=np.float64)
            step = covariance @ gradient
            expected = float(gradient @ step)
            if expected < CONVERGED:
                break
            trial = stepped(vector, step)
            moved = self.model(trial, FINE)
            before, after = (chi_square(self.image, m, variance) for m in (model, moved))
            if after > before + CONVERGED * max(before / self.size, 1.0):
                break
            vector, model = trial, moved
        return vector, model, covariance, expected

    def _with_shapelets(
        self, vector: FloatArray, order: int, before: ImageFit, *, is_last: bool
    ) -> ImageFit:
        """The fit with shapelets beside the Sersic source, from where the Sersic fit has ended.

        Args:
            vector: of the Sersic fit, which says where the shapelets are.
            order: of the shapelets.
            before: the fit of the Sersic source, or with shapelets of no higher order.
            is_last: whether it goes down to the minimum; else to where a higher order is of more
                use.
        """
        source = to_system(vector, self.psf_fwhm)
        shapelets = Shapelets(
            order, source.source_x, source.source_y, SCALE * source.source_r_sersic
        )
        amplitudes = np.zeros(shapelets.count)
        if before.amplitudes is not None and before.shapelets is not None:
            amplitudes[: len(before.amplitudes)] = before.amplitudes
            vector = vector_of(before.values)
        basis = self._shapelet_images(shapelets, vector)
        smooth = self.model(vector, FINE)
        # no shapelet is brighter than the source itself
        brightest = np.maximum(np.abs(basis).max(axis=1), np.finfo(float).tiny)
        precision = np.zeros(len(vector) + shapelets.count)
        precision[len(vector) :] = (brightest / np.abs(smooth).max()) ** 2
        damping, expected, iterations = FIRST_DAMPING, math.inf, before.iterations
        covariance = np.zeros((len(vector), len(vector)))
        for _ in range(self.settings.max_iterations if is_last else STEPS_OF_ORDER):
            iterations += 1
            model = smooth + amplitudes @ basis
            variance = self.variance(model)
            rows = np.concatenate([self._derivatives_with(shapelets, amplitudes, vector), basis])
            offset = np.concatenate([np.zeros(len(vector)), amplitudes])
            known = float(chi_square(self.image, model, variance)) + precision @ offset**2
            while damping < MAX_DAMPING:
                step, expected, covariance = joint_step(
                    self.image, model, variance, rows, precision, offset, damping
                )
                trial = stepped(vector, step[: len(vector)])
                changed = amplitudes + step[len(vector) :]
                moved_basis = self._shapelet_images(shapelets, trial)
                moved_smooth = self.model(trial, FINE)
                value = float(
                    chi_square(self.image, moved_smooth + changed @ moved_basis, variance)
                )
                value += float(precision[len(vector) :] @ changed**2)
                if value <= known:
                    vector, amplitudes, basis, smooth = trial, changed, moved_basis, moved_smooth
                    damping = max(0.1 * damping, MIN_DAMPING)
                    break
                damping *= 10.0
            enough = CONVERGED if is_last else max(CONVERGED, SLOW * known)
            if expected < enough or damping >= MAX_DAMPING:
                break
        own = np.diagonal(covariance)[: len(vector)]
        errors = np.sqrt(np.maximum(own, 0.0)) * physical_per_vector(vector)
        return self._as_fit(
            physical(vector),
            errors,
            smooth + amplitudes @ basis,
            expected < CONVERGED,
            iterations,
            shapelets,
            amplitudes,
        )

    def _shapelet_images(
        self, shapelets: Shapelets, vector: FloatArray, amplitudes: FloatArray | None = None
    ) -> FloatArray:
        """Of each shapelet, (count, n), or of their sum with amplitudes, (1, n)."""
        system = to_system(vector, self.psf_fwhm)
        images = shapelet_images(shapelets, system, self.spec, self.psf, amplitudes)
        return images.reshape(len(images), -1)

    def _derivatives_with(
        self, shapelets: Shapelets, amplitudes: FloatArray, vector: FloatArray
    ) -> FloatArray:
        """Derivatives of the whole model by the coordinates of the vector, (p, n)."""
        rows = self.derivatives(vector, cells=2, coarseness=1.0)
        rows *= physical_per_vector(vector)[:, np.newaxis]
        if amplitudes.any():
            [light] = self._shapelet_images(shapelets, vector, amplitudes)
            for place, name in enumerate(names_of(len(vector))):
                if name in OF_LENS:
                    moved = vector.copy()
                    moved[place] += STEP
                    [changed] = self._shapelet_images(shapelets, moved, amplitudes)
                    rows[place] += (changed - light) / STEP
        return rows

    def _as_fit(
        self,
        values: FloatArray,
        errors: FloatArray,
        model: FloatArray,
        converged: bool,
        iterations: int,
        shapelets: Shapelets | None = None,
        amplitudes: FloatArray | None = None,
    ) -> ImageFit:
        residual = (self.image - model) / np.sqrt(self.variance(model))
        freedom = self.size - len(values) - (0 if amplitudes is None else len(amplitudes))
        num_pix = self.spec.instrument.num_pix
        return ImageFit(
            names=self.settings.names,
            values=values,
            errors=errors,
            reduced_chi_square=float(residual @ residual) / freedom,
            converged=converged,
            residual=residual.reshape(num_pix, num_pix).astype(np.float32),
            iterations=iterations,
            shapelets=shapelets,
            amplitudes=amplitudes,
        )
