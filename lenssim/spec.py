"""The specification of a data set: every number and prior that decides what its images show.

A specification is a YAML file with the keys of `Specification`. `load_spec` reads one that ships
with the package ("A", "B", "A-deeplense", "B-deeplense") or a user's own, and raises `SpecError`,
in one sentence that names the key, its value and what is allowed, where something is wrong.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    ValidationError,
    model_serializer,
    model_validator,
)

from lenssim.errors import SpecError
from lenssim.key_values import alternatives, parse_key_value, schema_at, set_key
from lenssim.yaml_reading import format_yaml, parse_yaml, read_yaml

SubstructureClass = Literal["axion", "cdm", "no_sub"]
CLASSES: tuple[SubstructureClass, ...] = get_args(SubstructureClass)
"""Substructure classes in the order of their labels: 0 axion, 1 cdm, 2 no_sub."""

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""What names a data set, in archives, files and random streams."""

NAME_WORDS = "up to 64 letters, digits, dots, hyphens and underscores, with a letter or digit first"

MAXIMUM_SUBHALOS = 100_000
"""Subhalos that an image may have room for, when it is specified and when it is read."""

_UNLIKELY_DEVIATIONS = 10.0
"""Standard deviations beyond which a normal draw is taken never to fall (p < 1e-23)."""


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Prior(_Section):
    """A number, or the distribution that one image's value is drawn from.

    Written in YAML as a plain number or as one of `{uniform: [low, high]}`,
    `{log_uniform: [low, high]}`, `{normal: [mean, sd]}`, `{poisson: mean}`, `{choice: [..]}`.
    """

    kind: Literal["fixed", "uniform", "log_uniform", "normal", "poisson", "choice"]
    parameters: tuple[float, ...]

    @model_validator(mode="before")
    @classmethod
    def _from_yaml(cls, value: Any) -> Any:
        if isinstance(value, Prior):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float | dict):
            raise ValueError(f"must be a number or a distribution: {_DISTRIBUTIONS}")
        if not isinstance(value, dict):
            return {"kind": "fixed", "parameters": (float(value),)}
        if len(value) != 1:
            raise ValueError(f"must name one distribution: {_DISTRIBUTIONS}")
        [(kind, parameters)] = value.items()
        if kind not in _CHECKS:
            raise ValueError(f"must be a number or a distribution: {_DISTRIBUTIONS}")
        if not isinstance(parameters, list | tuple):
            parameters = [parameters]
        if not all(
            isinstance(p, int | float) and not isinstance(p, bool) and math.isfinite(p)
            for p in parameters
        ):
            raise ValueError(f"{kind} takes finite numbers: {_DISTRIBUTIONS}")
        is_valid, rule = _CHECKS[kind]
        if not is_valid(parameters):
            raise ValueError(f"{kind} takes {rule}")
        return {"kind": kind, "parameters": tuple(float(p) for p in parameters)}

    @model_serializer
    def _to_yaml(self) -> Any:
        if self.kind == "fixed":
            return self.parameters[0]
        if self.kind == "poisson":
            return {"poisson": self.parameters[0]}
        return {self.kind: list(self.parameters)}

    def __str__(self) -> str:
        """The prior as it is written in YAML."""
        return json.dumps(self._to_yaml()).replace('"', "")

    @property
    def support(self) -> tuple[float, float]:
        """Smallest and largest value that can be drawn (a normal's reaches ten deviations)."""
        low = self.parameters[0]
        if self.kind == "normal":
            reach = _UNLIKELY_DEVIATIONS * self.parameters[1]
            return low - reach, low + reach
        if self.kind == "poisson":
            return 0.0, float(poisson_bound(low))
        return min(self.parameters), max(self.parameters)

    def draw(self, generator: np.random.Generator) -> float:
        """One value; a fixed prior takes nothing from the generator."""
        first, last = self.parameters[0], self.parameters[-1]
        match self.kind:
            case "fixed":
                return first
            case "uniform":
                return first + (last - first) * generator.random()
            case "log_uniform":
                return min(first * (last / first) ** generator.random(), last)
            case "normal":
                return first + last * generator.standard_normal()
            case "poisson":
                return float(min(generator.poisson(first), poisson_bound(first)))
            case "choice":
                return self.parameters[int(generator.integers(len(self.parameters)))]


_CHECKS = {
    "uniform": (lambda p: len(p) == 2 and p[0] < p[1], "[low, high] with low < high"),
    "log_uniform": (
        lambda p: len(p) == 2 and 0 < p[0] < p[1],
        "[low, high] with 0 < low < high",
    ),
    "normal": (lambda p: len(p) == 2 and p[1] > 0, "[mean, sd] with sd > 0"),
    "poisson": (lambda p: len(p) == 1 and 0 <= p[0] <= 1e5, "one mean between 0 and 100000"),
    "choice": (lambda p: len(p) > 0, "a list of at least one number"),
}
_DISTRIBUTIONS = (
    "{uniform: [low, high]}, {log_uniform: [low, high]}, {normal: [mean, sd]}, "
    "{poisson: mean} or {choice: [..]}"
)


def poisson_bound(mean: float) -> int:
    """A count that a Poisson draw does not exceed in practice (probability below 1e-15).

    Arrays of subhalos are this long, so that one image does not depend on how many others are
    made; draws are cut there. Bennett's inequality, P(N >= mean + t) <= exp(-t^2 / (2 mean +
    2 t / 3)), solved for t at 1e-15.
    """
    log_probability = 15 * math.log(10)
    third = log_probability / 3
    return math.ceil(mean + third + math.sqrt(third**2 + 2 * mean * log_probability))


@dataclass(frozen=True)
class _Range:
    """A check of a value's range, with what it allows in words, for messages and documentation."""

    allowed: str
    check: Callable[[Any], Any]

    def __call__(self, value: Any) -> Any:
        return self.check(value)


def _within(
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
    unit: str = "",
) -> AfterValidator:
    """Validator that holds a number, or a prior's whole support, inside a range."""
    bounds = [
        (above, lambda low, high: low > above, "greater than"),
        (least, lambda low, high: low >= least, "at least"),
        (below, lambda low, high: high < below, "less than"),
        (most, lambda low, high: high <= most, "at most"),
    ]
    active = [(holds, f"{words} {bound:g}") for bound, holds, words in bounds if bound is not None]
    allowed = " and ".join(words for _, words in active) + (f" {unit}" if unit else "")

    def check(value: Prior | float) -> Prior | float:
        low, high = value.support if isinstance(value, Prior) else (value, value)
        if not all(holds(low, high) for holds, _ in active):
            raise ValueError(f"must be {allowed}")
        return value

    return AfterValidator(_Range(allowed, check))


def _matching(pattern: str, words: str) -> AfterValidator:
    """Validator that holds a text to a pattern, which the words describe."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {words}")
        return text

    return AfterValidator(check)


Redshift = Annotated[float, _within(above=0.0)]
Length = Annotated[float, _within(above=0.0, unit="arcsec")]
Seconds = Annotated[float, _within(above=0.0, unit="seconds")]
Magnitude = Annotated[float, _within(least=0.0, most=40.0, unit="mag")]
SubhaloMass = Annotated[float, _within(least=1.0, most=1e16, unit="solar masses")]
Fraction = Annotated[Prior, _within(least=0.0, below=1.0)]
Ellipticity = Annotated[Prior, _within(above=-0.7, below=0.7)]
Angle = Annotated[Prior, _within(least=-2 * math.pi, most=2 * math.pi, unit="radians")]
Position = Annotated[Prior, _within(least=-10.0, most=10.0, unit="arcsec")]
Mass = Annotated[Prior, _within(above=0.0, most=1e16, unit="solar masses")]


class Cosmology(_Section):
    """Flat Lambda-CDM: Hubble constant in km/s/Mpc, matter and baryon densities."""

    H0: Annotated[float, _within(above=0.0, unit="km/s/Mpc")]
    Om0: Annotated[float, _within(above=0.0, most=1.0)]
    Ob0: Annotated[float, _within(least=0.0, most=1.0)]
    distances: Literal["angular_diameter", "luminosity_difference"] = "angular_diameter"
    """What enters the lensing formulae; luminosity_difference is what DeepLenseSim does."""

    @model_validator(mode="after")
    def _matter_holds_baryons(self) -> Self:
        if self.Ob0 > self.Om0:
            raise ValueError(
                f"Ob0 = {self.Ob0:g} must be at most Om0 = {self.Om0:g}, which contains it"
            )
        return self


class Lens(_Section):
    """The main halo, centred on the image, and the external shear."""

    redshift: Redshift
    einstein_mass: Mass
    """Mass inside the Einstein radius, solar masses, substructure included."""
    e1: Ellipticity
    e2: Ellipticity
    gamma1: Ellipticity
    gamma2: Ellipticity
    deflections_for_redshift: Redshift | None = None
    """Source redshift that the Einstein radii are taken to hold for, where it is not the
    source's own: every deflection is then rescaled, as lenstronomy's z_source_convention does."""


class Source(_Section):
    """A Sersic ellipse in the source plane, in lenstronomy's conventions."""

    redshift: Redshift
    x: Position
    y: Position
    magnitude: Annotated[Prior, _within(least=0.0, most=40.0, unit="mag")]
    r_sersic: Annotated[Prior, _within(least=0.01, most=10.0, unit="arcsec")]
    n_sersic: Annotated[Prior, _within(least=0.3, most=8.0)]
    e1: Ellipticity
    e2: Ellipticity


class Vortex(_Section):
    """Axion class: one uniform line mass."""

    axion_mass: Annotated[Prior, _within(least=1e-26, most=1e-18, unit="eV")]
    mass: Mass | None = None
    """Solar masses; where not given, f_sub times the Einstein mass."""
    length_at_1e_22_ev: Length | None = None
    """Arcsec, for a length that goes as 1/axion_mass; where not given, the length is the
    de Broglie wavelength h / (m sigma_v)."""
    point_masses: Annotated[int, _within(least=2, most=10_000)] | None = None
    """Where given, this many equal point masses, ends included, instead of a line."""
    angle: Angle
    x: Position
    y: Position


class Subhalos(_Section):
    """CDM class: point masses with a power-law mass function in an annulus."""

    count: Annotated[Prior, _within(least=0.0, most=MAXIMUM_SUBHALOS)] | None = None
    """Number of subhalos, rounded; where not given, Poisson with the mean that puts f_sub of
    the Einstein mass into them."""
    slope: Annotated[float, _within(least=-5.0, most=5.0)]
    """d N / d M ~ M^slope."""
    mass_min: SubhaloMass
    mass_max: SubhaloMass
    radius_min: Annotated[float, _within(least=0.0, unit="arcsec")]
    radius_max: Length
    radial: Literal["uniform_in_area", "uniform_in_radius"]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.mass_min >= self.mass_max:
            raise ValueError(
                f"mass_min = {self.mass_min:g} must be below mass_max = {self.mass_max:g}"
            )
        if self.radius_min >= self.radius_max:
            raise ValueError(
                f"radius_min = {self.radius_min:g} must be below radius_max = {self.radius_max:g}"
            )
        return self

    @property
    def mean_mass(self) -> float:
        """Mean of the mass function dN/dM ~ M^slope between its limits, in solar masses."""

        def moment(power: float) -> float:
            exponent = self.slope + power + 1
            if abs(exponent) < 1e-12:
                return math.log(self.mass_max / self.mass_min)
            return (self.mass_max**exponent - self.mass_min**exponent) / exponent

        return moment(1) / moment(0)


class Substructure(_Section):
    """What the two classes with substructure hold."""

    f_sub: Fraction | None = None
    """Fraction of the Einstein mass in substructure, the same for both classes."""
    within_einstein_mass: bool
    """Whether the substructure's mass is taken out of the main halo."""
    axion: Vortex
    cdm: Subhalos

    @model_validator(mode="after")
    def _mass_known(self) -> Self:
        if self.f_sub is None and (self.axion.mass is None or self.cdm.count is None):
            raise ValueError("f_sub must be given, or both axion.mass and cdm.count")
        return self


class Instrument(_Section):
    """Detector, PSF and exposure; frozen here because published tables change."""

    num_pix: Annotated[int, _within(least=8, most=1024)]
    pixel_scale: Annotated[float, _within(least=0.001, most=1.0, unit="arcsec")]
    """Arcsec."""
    psf_fwhm: Annotated[float, _within(above=0.0, most=2.0, unit="arcsec")]
    """Arcsec; the PSF is a Gaussian."""
    psf_truncation: Annotated[
        float, _within(above=0.0, most=10.0, unit="standard deviations of the PSF")
    ] = 5.0
    """Standard deviations at which the PSF is cut."""
    zero_point: Magnitude
    """Magnitude of one electron per second."""
    sky_brightness: Magnitude
    """Magnitude per square arcsec."""
    exposure_time: Seconds
    """Seconds, of one exposure."""
    num_exposures: Annotated[int, _within(least=1)]
    read_noise: Annotated[float, _within(least=0.0, unit="electrons")]
    """Electrons per pixel and read-out."""
    gain: Annotated[float, _within(above=0.0, unit="electrons per ADU")]
    """Electrons per ADU; images are in electrons, so it only tells how to turn them into ADU."""


class Observation(_Section):
    """What is done to the noise-free image."""

    noise: bool
    flux_factor: Annotated[float, _within(above=0.0)] = 1.0
    """Factor on the whole image: 2 in the DeepLenseSim variants, which add the model to itself."""


class Sampling(_Section):
    """How the surface brightness is integrated over a pixel: one of the two."""

    tolerance: Annotated[float, _within(above=0.0, most=1.0)] | None = None
    """Adaptive: error allowed in a pixel, in units of its noise."""
    subsamples: Annotated[int, _within(least=1, most=64)] | None = None
    """Fixed: a regular grid of this many samples along each side of a pixel."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.tolerance is None) == (self.subsamples is None):
            raise ValueError(
                "exactly one of tolerance and subsamples must be given, and the other null"
            )
        return self


class Specification(_Section):
    """A data set, completely: with a seed, it decides every bit of every image."""

    name: Annotated[str, _matching(NAME_PATTERN, NAME_WORDS)]
    """Names the model in archives and keys its random streams."""
    version: Annotated[str, _matching(r"\d+\.\d+\.\d+", "three numbers, as in 1.0.0")]
    description: str
    cosmology: Cosmology
    lens: Lens
    source: Source
    substructure: Substructure
    instrument: Instrument
    observation: Observation
    sampling: Sampling

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.source.redshift <= self.lens.redshift:
            raise ValueError(
                f"source.redshift = {self.source.redshift:g} must be above "
                f"lens.redshift = {self.lens.redshift:g}"
            )
        convention = self.lens.deflections_for_redshift
        if convention is not None and convention <= self.lens.redshift:
            raise ValueError(
                f"lens.deflections_for_redshift = {convention:g} must be above "
                f"lens.redshift = {self.lens.redshift:g}"
            )
        if self.substructure.within_einstein_mass:
            self._check_masses()
        if self.subhalo_bound > MAXIMUM_SUBHALOS:
            raise ValueError(
                f"substructure.cdm.mass_min = {self.substructure.cdm.mass_min:g}, with "
                f"substructure.f_sub = {self.substructure.f_sub} and "
                f"lens.einstein_mass = {self.lens.einstein_mass}, makes up to "
                f"{self.subhalo_bound} subhalos an image, of which at most {MAXIMUM_SUBHALOS} "
                "are allowed"
            )
        return self

    def _check_masses(self) -> None:
        """Refuses substructure that outweighs the lens which contains it."""
        vortex, subhalos = self.substructure.axion, self.substructure.cdm
        lightest_halo = self.lens.einstein_mass.support[0]
        limit = f"must be below lens.einstein_mass = {self.lens.einstein_mass}, which contains"
        if vortex.mass is not None and vortex.mass.support[1] >= lightest_halo:
            raise ValueError(f"substructure.axion.mass = {vortex.mass} {limit} it")
        if subhalos.count is None and subhalos.mass_min >= lightest_halo:
            raise ValueError(f"substructure.cdm.mass_min = {subhalos.mass_min:g} {limit} it")
        if subhalos.count is not None and self.subhalo_bound * subhalos.mass_min >= lightest_halo:
            raise ValueError(
                f"substructure.cdm.count = {subhalos.count} times "
                f"substructure.cdm.mass_min = {subhalos.mass_min:g} {limit} them"
            )

    @property
    def subhalo_bound(self) -> int:
        """The number of subhalos that no image of the cdm class exceeds."""
        subhalos = self.substructure.cdm
        if subhalos.count is not None:
            return round(subhalos.count.support[1])
        assert self.substructure.f_sub is not None  # `Substructure` is validated
        largest = self.substructure.f_sub.support[1] * self.lens.einstein_mass.support[1]
        return poisson_bound(largest / subhalos.mean_mass)

    @property
    def sha256(self) -> str:
        """Hash of the canonical form: JSON with sorted keys and no white space."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_yaml(self) -> str:
        """The specification as YAML that `load_spec` reads back to an equal one."""
        return format_yaml(self.model_dump(mode="json"))


def shipped_specs() -> list[str]:
    """Names of the specifications that come with the package, sorted."""
    folder = resources.files("lenssim") / "specs"
    return sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".yaml"))


def load_spec(name_or_path: str | Path, overrides: Iterable[str] = ()) -> Specification:
    """Reads a specification and validates it.

    Args:
        name_or_path: name of a shipped specification, or path of a YAML file.
        overrides: `KEY=VALUE` strings; KEY is dotted ("substructure.f_sub"), VALUE is YAML.

    Returns:
        The validated specification.

    Raises:
        SpecError: with one sentence that names the key, the value and what is allowed.
    """
    origin = str(name_or_path)
    if origin in shipped_specs():
        text = (resources.files("lenssim") / "specs" / f"{origin}.yaml").read_text("utf-8")
        values = parse_yaml(text, origin, SpecError)
    else:
        values = _read_user_file(Path(origin))
    if not isinstance(values, dict):
        raise SpecError(f"{origin} must be a mapping of keys to values, not {_kind(values)}.")
    for override in overrides:
        key, value = parse_key_value(override, "substructure.f_sub=0.02", SpecError)
        set_key(values, key, value, SpecError)
    return spec_from_mapping(values, origin)


def spec_from_mapping(values: dict[str, Any], origin: str = "specification") -> Specification:
    """Validates a mapping with the keys of `Specification`; raises `SpecError` as `load_spec`."""
    try:
        return Specification.model_validate(values)
    except ValidationError as error:
        raise SpecError(_one_sentence(error, origin)) from None


def _read_user_file(path: Path) -> Any:
    if path.suffix not in {".yaml", ".yml"}:
        try:
            path.stat()
        except FileNotFoundError:
            raise SpecError(
                f"There is no specification '{path}': use one of {', '.join(shipped_specs())}, "
                "or the path of a YAML file."
            ) from None
        except OSError:
            pass  # the attempt to read it says why it cannot be read
    return read_yaml(path, SpecError)


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", type(None): "empty"}
    return names.get(type(value), f"a {type(value).__name__}")


def _one_sentence(error: ValidationError, origin: str) -> str:
    """The first thing wrong; a misspelt key comes before the one that is then missing."""
    unknown = ("extra_forbidden", "invalid_key")  # the second: a number as a key
    errors = error.errors()
    first = next((each for each in errors if each["type"] in unknown), errors[0])
    path = [str(part) for part in first["loc"]]
    key = ".".join(path) or "the whole"
    if first["type"] in unknown:
        return f"{origin}: unknown key '{key}'{alternatives(path, Specification)}."
    if first["type"] == "missing":
        return f"{origin}: key '{key}' is missing."
    value = first["input"]
    if first["type"] == "value_error":
        message = first["msg"].removeprefix("Value error, ")
        if isinstance(value, dict) and len(value) != 1:  # of a section, whose keys it names
            return f"{origin}: {f'{key}: ' if path else ''}{message}."
    else:
        message = _allowed(first["type"], path, first.get("ctx", {})) or first["msg"]
    shown = f"{value:g}" if isinstance(value, float) else json.dumps(value, default=str)
    if isinstance(value, dict):
        shown = shown.replace('"', "")
    link = " " if message.startswith("must be") else ": "
    return f"{origin}: {key} = {shown}{link}{message}."


def _allowed(kind: str, path: list[str], context: dict[str, Any]) -> str | None:
    """What a value of the wrong type must be instead, by pydantic's name for the error."""
    if kind == "model_type":
        section = schema_at(Specification, path) or Specification
        return f"must be a section with the keys {', '.join(section.model_fields)}"
    if kind == "literal_error":
        return f"must be {context['expected']}"
    for beginning, words in _TYPES.items():
        if kind.startswith(beginning):
            return f"must be {words}"
    return None


_TYPES = {
    "finite_number": "a finite number",
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "string": "a text, in quotes",
}
"""What a value must be, by what the name of pydantic's error begins with."""
