"""The declared shifts: test sets that depart from the training specification in one thing each.

To add one: a line in `SHIFTS`. It names what is shifted and says how, by new values of keys of the
specification (`scaled`, `moved`, `replaced`, or a function of the specification that returns values
by key), or by a function of the simulated images (`pixels`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenssim.configuration.key_values import set_key
from lenssim.errors import SpecError
from lenssim.spec import Prior, Specification, load_spec, spec_from_mapping
from lenssim.spec.shifted_priors import moved_prior, scaled_prior

Images = NDArray[np.float32]
Values = Mapping[str, Any]
"""New values, as in YAML, by dotted key."""

ChangeValues = Callable[[Specification], Values]
ChangePixels = Callable[[Images, Specification], Images]


@dataclass(frozen=True)
class Shift:
    """A test set that departs from the training specification in one thing.

    Attributes:
        name: what is shifted, in words.
        values: new values of keys of the specification; None to keep all.
        pixels: what is done to the images, (n, height, width), e-/s; None to keep them.
        has_lens: whether the images still show lenses, of which a class can be right.
    """

    name: str
    values: ChangeValues | None = None
    pixels: ChangePixels | None = None
    has_lens: bool = True

    def specification(self, spec: Specification) -> Specification | None:
        """The specification of the shifted images; None if the shift changes nothing in it.

        Args:
            spec: that the model was trained on.

        Raises:
            SpecError: if the specification cannot be changed like this.
        """
        if self.values is None:
            return spec
        mapping = spec.model_dump(mode="json")
        for key, value in self.values(spec).items():
            set_key(mapping, key, value, SpecError)
        shifted = spec_from_mapping(mapping, self.name)
        return None if shifted == spec else shifted


def scaled(key: str, factor: float) -> ChangeValues:
    """The value of a key, or its prior, multiplied by a factor above 0."""

    def values(spec: Specification) -> Values:
        return {key: scaled_prior(_prior(spec, key), factor).model_dump(mode="json")}

    return values


def moved(key: str, offset: float) -> ChangeValues:
    """The value of a key, or its prior, plus an offset."""

    def values(spec: Specification) -> Values:
        return {key: moved_prior(_prior(spec, key), offset).model_dump(mode="json")}

    return values


def replaced(values: Values) -> ChangeValues:
    """New values of keys, whatever they were."""
    return lambda _: values


def _prior(spec: Specification, key: str) -> Prior:
    """The value of a key as a prior."""
    return Prior.model_validate(reduce(getattr, key.split("."), spec))


def larger_einstein_radius(factor: float) -> ChangeValues:
    """Einstein radii multiplied by a factor: theta_E grows as M^(1/2), or as sigma_v^2."""

    def values(spec: Specification) -> Values:
        if spec.lens.einstein_mass is not None:
            return scaled("lens.einstein_mass", factor**2)(spec)
        return scaled("lens.velocity_dispersion", math.sqrt(factor))(spec)

    return values


def wider_psf(factor: float) -> ChangeValues:
    """The FWHM of the PSF multiplied by a factor.

    Raises:
        SpecError: if the PSF is from a file.
    """

    def values(spec: Specification) -> Values:
        psf = spec.instrument.psf
        if psf is None:
            return scaled("instrument.psf_fwhm", factor)(spec)
        if psf.file is not None:
            raise SpecError("The PSF is from a file, which has no width to change.")
        shape = "gaussian" if psf.gaussian is not None else "moffat"
        return scaled(f"instrument.psf.{shape}.fwhm", factor)(spec)

    return values


def aside(pixels: float) -> ChangeValues:
    """Lens and source moved together along both axes, by a number of pixels."""

    def values(spec: Specification) -> Values:
        keys = ["lens.x", "lens.y"]
        if spec.source.position.disc is None:
            keys += ["source.x", "source.y"]
        offset = pixels * spec.instrument.pixel_scale
        return {key: value for name in keys for key, value in moved(name, offset)(spec).items()}

    return values


def instrument_of(model: str) -> ChangeValues:
    """The instrument of a shipped specification, with as many pixels as before."""

    def values(spec: Specification) -> Values:
        instrument = load_spec(model).instrument.model_dump(mode="json")
        return {"instrument": instrument | {"num_pix": spec.instrument.num_pix}}

    return values


def sections_of(model: str, *names: str) -> ChangeValues:
    """Whole sections of a shipped specification."""

    def values(spec: Specification) -> Values:
        sections = load_spec(model).model_dump(mode="json")
        return {name: sections[name] for name in names}

    return values


def to_adu(images: Images, spec: Specification) -> Images:
    """ADU of the stacked exposures."""
    instrument = spec.instrument
    return to_adu_per_second(images, spec) * instrument.exposure_time * instrument.num_exposures


def to_adu_per_second(images: Images, spec: Specification) -> Images:
    """ADU/s."""
    return images / np.float32(spec.instrument.gain)


def to_unit_range(images: Images, _: Specification) -> Images:
    """Each image scaled to [0, 1] by its own extremes, as those of the DeepLense sets are."""
    low, high = images.min(axis=(1, 2), keepdims=True), images.max(axis=(1, 2), keepdims=True)
    return (images - low) / np.maximum(high - low, np.finfo(np.float32).tiny)


def to_noise(images: Images, _: Specification) -> Images:
    """Noise of the sky alone, as high as in each image, the same every time."""
    import torch

    from lensmodels.data.scaling import image_statistics

    noise = image_statistics(torch.from_numpy(images)[:, None])["noise"].numpy()
    drawn = np.random.default_rng(0).standard_normal(images.shape, dtype=np.float32)
    return drawn * noise[:, None, None].astype(np.float32)


def to_nothing(images: Images, _: Specification) -> Images:
    """Blank images."""
    return np.zeros_like(images)


_LENS_LIGHT = {"magnitude": 20.0, "r_sersic": 0.5, "n_sersic": 4.0, "e1": 0.1, "e2": 0.0}

_MULTIPOLES = {
    f"lens.m{order}": {"amplitude": 0.02, "angle": {"uniform": [0.0, 2 * math.pi / order]}}
    for order in (3, 4)
}

HOME = Shift("no shift")
"""The same specification, with images of its own that no training has."""

SHIFTS: tuple[Shift, ...] = (
    HOME,
    Shift("Einstein radius 2% larger", larger_einstein_radius(1.02)),
    Shift("shear 0.03 higher", moved("lens.gamma1", 0.03)),
    Shift("source two magnitudes fainter", moved("source.magnitude", 2.0)),
    Shift("PSF 20% wider", wider_psf(1.2)),
    Shift("half a pixel aside", aside(0.5)),
    Shift("exposure four times as long", scaled("instrument.exposure_time", 4.0)),
    Shift("exposure a quarter as long", scaled("instrument.exposure_time", 0.25)),
    Shift("lens light of magnitude 20", replaced({"lens.light": _LENS_LIGHT})),
    Shift("multipoles of 2%", replaced(_MULTIPOLES)),
    Shift("instrument of model A", instrument_of("A")),
    Shift("instrument of model B", instrument_of("B")),
    Shift("lenses of model B-wide", sections_of("B-wide", "lens", "source", "selection")),
    Shift("ADU in place of e-/s", pixels=to_adu),
    Shift("ADU/s in place of e-/s", pixels=to_adu_per_second),
    Shift("scaled to [0, 1]", pixels=to_unit_range),
    Shift("negative images", pixels=lambda images, _: -images),
    Shift("sky noise alone", pixels=to_noise, has_lens=False),
    Shift("blank images", pixels=to_nothing, has_lens=False),
)
"""Every shift, in the order of the table. The first is none, for comparison."""
