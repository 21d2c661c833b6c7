"""The instrument: detector, PSF and exposure."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import model_validator

from lenssim.spec.priors import Prior, within
from lenssim.spec.quantities import Magnitude, Seconds
from lenssim.spec.section import ADDED, Section

PsfWidth = Annotated[Prior, within(above=0.0, most=2.0, unit="arcsec")]


class GaussianPsf(Section):
    """A round Gaussian."""

    fwhm: PsfWidth
    """Arcsec."""


class MoffatPsf(Section):
    """A Moffat profile, I ~ (1 + r^2 / a^2)^-beta."""

    fwhm: PsfWidth
    """Arcsec."""
    beta: Annotated[float, within(least=2.0, most=10.0)]
    """Smaller is more light in the wings; from about 5 on it is close to a Gaussian."""


class PointSpreadFunction(Section):
    """One of a Gaussian, a Moffat profile, and a kernel from a file."""

    gaussian: Annotated[GaussianPsf | None, ADDED] = None
    moffat: Annotated[MoffatPsf | None, ADDED] = None
    file: Annotated[str | None, ADDED] = None
    """FITS image or .npy array; a relative path is one from the working folder."""
    oversampling: Annotated[int, within(least=1, most=64), ADDED] = 1
    """Samples of the file's kernel along each side of a pixel."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [kind for kind in (self.gaussian, self.moffat, self.file) if kind is not None]
        if len(given) != 1:
            raise ValueError("exactly one of gaussian, moffat and file must be given")
        if self.file is None and self.oversampling != 1:
            raise ValueError("oversampling is that of a kernel from a file, and file is not given")
        return self

    @property
    def width(self) -> Prior | None:
        """FWHM in arcsec; None for a kernel from a file."""
        shape = self.gaussian or self.moffat
        return shape.fwhm if shape is not None else None


class Instrument(Section):
    """Detector, PSF and exposure; frozen here because published tables change."""

    num_pix: Annotated[int, within(least=8, most=1024)]
    pixel_scale: Annotated[float, within(least=0.001, most=1.0, unit="arcsec")]
    """Arcsec."""
    psf_fwhm: Annotated[float | None, within(above=0.0, most=2.0, unit="arcsec"), ADDED] = None
    """Arcsec; the PSF is a Gaussian. Where not given, `psf` is."""
    psf_truncation: Annotated[
        float, within(above=0.0, most=10.0, unit="standard deviations of the PSF")
    ] = 5.0
    """Standard deviations at which the PSF is cut, where it is applied to pixel fluxes."""
    psf: Annotated[PointSpreadFunction | None, ADDED] = None
    """The PSF, where it is not a Gaussian of `psf_fwhm`."""
    psf_sampling: Annotated[Literal["pixel", "subpixel"], ADDED] = "pixel"
    """subpixel: a pixel's value is the integral over the pixel of brightness convolved with the
    PSF. pixel, as in version 1.0.0: the PSF is sampled at pixel centres and applied to the fluxes
    of pixels."""
    zero_point: Magnitude
    """Magnitude of one electron per second."""
    sky_brightness: Magnitude
    """Magnitude per square arcsec."""
    exposure_time: Seconds
    """Seconds, of one exposure."""
    num_exposures: Annotated[int, within(least=1)]
    read_noise: Annotated[float, within(least=0.0, unit="electrons")]
    """Electrons per pixel and read-out."""
    gain: Annotated[float, within(above=0.0, unit="electrons per ADU")]
    """Electrons per ADU; images are in electrons, so it only tells how to turn them into ADU."""

    @model_validator(mode="after")
    def _one_psf(self) -> Self:
        if (self.psf is None) == (self.psf_fwhm is None):
            raise ValueError("exactly one of psf_fwhm and psf must be given")
        if self.psf is not None and self.psf_sampling == "pixel":
            raise ValueError(
                "psf needs psf_sampling = subpixel; pixel, which is the default, is for psf_fwhm"
            )
        return self

    @property
    def psf_width(self) -> Prior | None:
        """FWHM of the PSF in arcsec; None for a kernel from a file."""
        if self.psf is not None:
            return self.psf.width
        return Prior.model_validate(self.psf_fwhm)
