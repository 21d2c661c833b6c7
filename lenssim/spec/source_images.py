"""Pictures of galaxies that sources are made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import model_validator

from lenssim.spec.priors import Prior, matching, within
from lenssim.spec.section import ADDED, Section


class SourceImages(Section):
    """A folder of pictures; written in YAML as a path, or as a section with further keys.

    They replace the Sersic ellipse. Each image draws one picture and the angle by which it is
    turned; magnitude, position and size are drawn as elsewhere, `n_sersic`, `e1` and `e2` are not
    used. A picture keeps its own noise and its own PSF: see `lenssim.pictures`.
    """

    folder: str
    """Folder of .npy and FITS files, or of a catalogue as GalSim has it for COSMOS, or that
    catalogue itself; a relative path is one from the working folder."""
    sha256: Annotated[
        str | None, matching("[0-9a-f]{64}", "64 hexadecimal digits, or be left out"), ADDED
    ] = None
    """Checksum of the pictures; filled in when an archive is made. Others are refused."""
    pixel_scale: Annotated[float | None, within(above=0.0, most=10.0, unit="arcsec"), ADDED] = None
    """Arcsec, where the files do not say it."""
    psf_fwhm: Annotated[float | None, within(above=0.0, most=10.0, unit="arcsec"), ADDED] = None
    """FWHM of the PSF in the pictures, arcsec, if it is known. It stays in them; what it amounts to
    in the source plane is the column source_picture_fwhm."""
    scale: Annotated[Prior | None, within(least=0.01, most=100.0), ADDED] = None
    """Size over that of the picture on the sky. Where not given, pictures are scaled to the
    half-light radius source.r_sersic."""
    test_fraction: Annotated[float, within(above=0.0, below=1.0), ADDED] = 0.2
    """Share of the galaxies that are in the test split alone, chosen by their numbers."""
    exclude: Annotated[tuple[int, ...], ADDED] = ()
    """Numbers of galaxies that are left out."""

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, value: Any) -> Any:
        return {"folder": value} if isinstance(value, str) else value
