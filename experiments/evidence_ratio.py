"""Estimates how well the classes of B-wide can be told apart at best.

    python experiments/evidence_ratio.py [--images 80] [--templates 50 100 200 400]

The best classifier is the ratio of the evidences of the three true models. For images of the
specification, and to first order in the substructure:

1. Signals of substructure drawn for the image's own lens, many of each class ("templates"), in
   units of the noise, without what the 19 parameters of the smooth lens, its multipoles and the
   source can imitate. Signal and template never share a draw.
2. The evidence ratio of a class to no substructure is the mean over its signals s of
   exp(d s - s^2 / 2), d the data treated in the same way. Two estimates of this mean, in equal
   parts: the mean over the templates, right for weak signals; and normal signals of the templates'
   covariance, in a range of strengths, for signals that are too strong to resemble any template.

Each is a proper mixture of signals, too few of which make the estimate too low; that the
classifier is told the lens makes it too high. Scores with fewer templates, the first of the same
ones, show how far the estimate still rises. So "evidence" is an estimate, and "pattern known" (the
classifier is told a pattern, the true one where there is one) a bound from above. The smooth lens
is taken as unknown without a prior, and its effect as linear.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from lensmodels.evaluation.evidence import TABLE
from lensmodels.evaluation.summary import RESOLVED
from lensmodels.reporting.measurements import write
from lensmodels.reporting.tables import markdown_table
from lensmodels.statistics.auc import macro_auc
from lenssim import LensSystem, load_spec, random_stream
from lenssim.errors import UsageError
from lenssim.lens_fit import smooth_derivatives
from lenssim.lens_fit.refit import RELATIVE_CUT
from lenssim.observation import noise_sigma, pixel_noise
from lenssim.population.draw import draw_lens, populated
from lenssim.population.lens_and_source import SmoothLens
from lenssim.simulation import REFIT_COARSENESS, measure_arc, render, smooth_system
from lenssim.spec import Sampling, Specification, SubstructureClass
from lenssim.storage.atomic import replacing

FloatArray = NDArray[np.float64]

CLASSES: tuple[SubstructureClass, ...] = ("axion", "cdm", "no_sub")
SIGNALS: tuple[SubstructureClass, ...] = ("axion", "cdm")
RAYS = Sampling(subsamples=3)
"""The same grid of rays for every signal: they are signals of one well-defined instrument."""

STRENGTHS = 24
"""Of the normal signals: quantiles of the templates' own."""

NOISES = 20
"""Draws of the noise of an image."""

REFIT_SNR_OF = ("all", "test", "none")
"""Values of `observation.refit_snr`."""

LIMITS = (0.0, 5.0, 10.0)
"""Refit S/N above which images with substructure are scored."""


@dataclass(frozen=True)
class Image:
    """The evidence ratios of one image under several draws of the noise.

    Attributes:
        label: index of its class in `CLASSES`.
        snr: refit S/N of its own substructure.
        axion_mass: eV, or NaN.
        known: log evidence ratio of axion and cdm to no_sub with the pattern known, (noise, 2).
        by_templates: the same of the mixture, by how many templates of each class are in it.
    """

    label: int
    snr: float
    axion_mass: float
    known: FloatArray
    by_templates: Mapping[int, FloatArray]

    def evidence(self, templates: int) -> FloatArray:
        """Log evidence ratios of the mixture of so many templates a class, (noise, 2)."""
        return self.by_templates[templates]


class Templates:
    """Signals of one class for one lens."""

    def __init__(self, signals: FloatArray) -> None:
        self.signals = signals
        self.squares = np.einsum("ij,ij->i", signals, signals)
        norms = np.sqrt(self.squares)
        unit = signals / np.maximum(norms, 1e-12)[:, np.newaxis]
        variance, vectors = np.linalg.eigh(unit @ unit.T / len(unit))
        kept = variance > 1e-9 * variance[-1]
        self.variance = variance[kept]
        scale = np.sqrt(len(unit) * self.variance)[:, np.newaxis]
        self.axes = (vectors[:, kept].T @ unit) / scale
        self.strengths = np.quantile(norms, (np.arange(STRENGTHS) + 0.5) / STRENGTHS)

    def log_evidence(self, data: FloatArray) -> FloatArray:
        """Log of the evidence ratio to no substructure of data (noise, pixel); (noise,)."""
        resembling = data @ self.signals.T - 0.5 * self.squares
        of_templates = logsumexp(resembling, axis=1) - np.log(len(self.signals))
        along = (data @ self.axes.T) ** 2
        gain = self.strengths[:, np.newaxis] ** 2 * self.variance
        normal = 0.5 * (along @ (gain / (1.0 + gain)).T - np.log1p(gain).sum(axis=1))
        of_normal = logsumexp(normal, axis=1) - np.log(STRENGTHS)
        return np.asarray(np.logaddexp(of_templates, of_normal) - np.log(2.0))


class SmoothImage:
    """The image of a smooth lens, and what its 19 parameters can imitate, to first order.

    Attributes:
        sigma: noise of each pixel, e-/s, (y, x).
    """

    def __init__(
        self, lens: LensSystem, spec: Specification, widths: FloatArray | None = None
    ) -> None:
        """
        Args:
            lens: without substructure.
            spec: of the image.
            widths: as of `measure`.
        """
        self.spec = spec
        self.image = render(lens, spec, sampling=RAYS)
        self.sigma = noise_sigma(self.image, pixel_noise(spec.instrument))
        slopes = (
            smooth_derivatives(lens, spec, multipoles=True, coarseness=REFIT_COARSENESS)
            / self.sigma
        ).reshape(-1, self.sigma.size)
        if widths is None:
            slopes /= np.linalg.norm(slopes, axis=1, keepdims=True)
            _, singular, directions = np.linalg.svd(slopes, full_matrices=False)
            self._directions = directions[singular > RELATIVE_CUT * singular[0]]
            self._taken = np.ones(len(self._directions))
        else:
            slopes *= widths[:, np.newaxis]
            _, singular, self._directions = np.linalg.svd(slopes, full_matrices=False)
            self._taken = 1.0 - 1.0 / np.sqrt(1.0 + singular**2)

    def left(self, rows: FloatArray) -> FloatArray:
        """Rows, (n, pixel), in the metric in which noise and unknown lens together are white."""
        return rows - ((rows @ self._directions.T) * self._taken) @ self._directions

    def signal_of(self, system: LensSystem) -> FloatArray:
        """What the substructure of a system adds that the smooth lens cannot imitate, (pixel,).

        In units of the noise.
        """
        image = render(system, self.spec, sampling=RAYS)
        return np.asarray(self.left(((image - self.image) / self.sigma).reshape(1, -1))[0])


def draw_signals(
    lens: SmoothLens,
    spec: Specification,
    name: SubstructureClass,
    count: int,
    generator: np.random.Generator,
    around: SmoothImage,
) -> FloatArray:
    """Signals of a class for one lens, (count, pixel)."""
    signals: list[FloatArray] = []
    while len(signals) < count:
        try:
            system = populated(spec, lens, spec.substructure.f_sub, name, generator)
        except UsageError:  # more mass than the lens has
            continue
        signals.append(around.signal_of(system))
    return np.array(signals)


def by_templates(
    signals: Iterable[FloatArray], data: FloatArray, counts: Sequence[int]
) -> dict[int, FloatArray]:
    """Log evidence ratios to no substructure, by how many templates of each class are used.

    Args:
        signals: of each class, (template, pixel); the first so many of them are the templates.
        data: in units of the noise, without what the smooth lens can imitate, (noise, pixel).
        counts: templates of each class.

    Returns:
        (noise, class) for each count.
    """
    classes = list(signals)
    return {
        count: np.stack([Templates(each[:count]).log_evidence(data) for each in classes], axis=1)
        for count in counts
    }


def measure(
    job: tuple[SubstructureClass, int],
    *,
    model: str,
    templates: Sequence[int],
    widths: FloatArray | None = None,
) -> Image:
    """The evidence ratios of image `index` of the test split of a class.

    Args:
        job: class and index.
        model: name of a specification, or its file.
        templates: signals of each class: how many there are in each estimate of the evidence, all
            of which begin with the same ones.
        widths: standard deviations of normal priors of the smooth parameters, in the order of
            `lens_fit.parameters.ALL_NAMES`; nothing is known of them if not given.
    """
    name, index = job
    spec = load_spec(model)
    stream = random_stream(0, spec.name, "test", name, index, "population")
    lens, f_sub = draw_lens(spec, stream, measure_arc, "test")
    system = populated(spec, lens, f_sub, name, stream)
    generator = np.random.default_rng([CLASSES.index(name), index])
    around = SmoothImage(smooth_system(system), spec, widths)
    drawn = {
        each: draw_signals(lens, spec, each, max(templates), generator, around) for each in SIGNALS
    }
    own = np.zeros(around.sigma.size) if name == "no_sub" else around.signal_of(system)
    white = generator.standard_normal((NOISES, own.size))
    data = own + (around.left(white) if widths is None else white)
    known = []
    for each in SIGNALS:
        pattern = own if each == name else drawn[each][0]
        known.append(data @ pattern - 0.5 * pattern @ pattern)
    return Image(
        CLASSES.index(name),
        float(np.linalg.norm(own)),
        float(system.axion_mass) if name == "axion" else np.nan,
        np.stack(known, axis=1),
        by_templates(drawn.values(), data, templates),
    )


Ratios = Callable[[Image], FloatArray]
"""Log evidence ratios of an image, (noise, 2): which of its estimates to score."""


def scores(images: Sequence[Image], of: Ratios) -> dict[str, float]:
    """AUC by what is asked, of one estimate of the evidence ratios."""
    labels = np.array([image.label for image in images])
    snr = np.array([image.snr for image in images])
    mass = np.array([image.axion_mass for image in images])
    ratios = np.stack([of(image) for image in images])  # (image, noise, 2)
    no_sub = labels == CLASSES.index("no_sub")
    found: dict[str, float] = {}

    def score(chosen: NDArray[np.bool_], columns: list[int]) -> float:
        """Macro AUC, of classes with equal priors."""
        logs = np.concatenate([ratios[..., columns], np.zeros_like(ratios[..., :1])], axis=2)
        posteriors = softmax(logs[chosen], axis=2)
        present = [*columns, CLASSES.index("no_sub")]
        relabelled = np.searchsorted(present, np.repeat(labels[chosen], NOISES))
        value = macro_auc(relabelled, posteriors.reshape(-1, len(present)))
        return float("nan") if value is None else value

    for limit in LIMITS:
        chosen = no_sub | (snr > limit)
        found[f"all > {limit:g}"] = score(chosen, [0, 1])
        for column, name in enumerate(SIGNALS):
            found[f"{name} > {limit:g}"] = score(chosen & (no_sub | (labels == column)), [column])
    found["long vortices"] = score(no_sub | (mass < 10.0**RESOLVED), [0])
    return found


def with_errors(
    images: Sequence[Image], of: Ratios, resamples: int = 200
) -> dict[str, list[float]]:
    """Scores and their standard errors, by drawing images of each class again."""
    generator = np.random.default_rng(0)
    values = scores(images, of)
    classes = [[image for image in images if image.label == k] for k in range(len(CLASSES))]
    again: list[dict[str, float]] = []
    for _ in range(resamples):
        sample = [
            group[i] for group in classes for i in generator.integers(len(group), size=len(group))
        ]
        again.append(scores(sample, of))
    return {
        name: [value, float(np.nanstd([each[name] for each in again], ddof=1))]
        for name, value in values.items()
    }


def ship(model: str, auc: dict[str, list[float]]) -> None:
    """Puts the AUC of a model, with errors, into the table that lensmodels reads.

    Of which images an archive keeps the refit S/N changes its hash, and not its images.
    """
    spec = load_spec(model)
    hashes = [load_spec(model, [f"observation.refit_snr={of}"]).sha256 for of in REFIT_SNR_OF]
    entries = json.loads(TABLE.read_text()) if TABLE.exists() else []
    entries = [entry for entry in entries if entry["spec_sha256"] != hashes]
    entries.append({"model": spec.name, "version": spec.version, "spec_sha256": hashes, "auc": auc})
    with replacing(TABLE) as scratch:
        scratch.write_text(json.dumps(entries, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="B-wide")
    parser.add_argument("--images", type=int, default=80, help="of each class")
    parser.add_argument(
        "--templates",
        type=int,
        nargs="+",
        default=[50, 100, 200, 400],
        help="of each class for each image",
    )
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    jobs = [(name, index) for index in range(options.images) for name in CLASSES]
    run = partial(measure, model=options.model, templates=options.templates)
    with ProcessPoolExecutor(options.workers) as pool:
        images = list(pool.map(run, jobs))
    estimates = {
        f"evidence, {count} templates": with_errors(
            images, partial(Image.evidence, templates=count)
        )
        for count in options.templates
    }
    best = f"evidence, {max(options.templates)} templates"
    known = with_errors(images, lambda image: image.known)
    ship(options.model, estimates[best])
    shown = {**estimates, "pattern known": known}
    rows = [
        [name, *(f"{kind[name][0]:.3f} ± {kind[name][1]:.3f}" for kind in shown.values())]
        for name in known
    ]
    write(
        "evidence_ratio",
        f"AUC on {options.model} of the ratio of the true models' evidences, estimated by a sum "
        "over signals of each class (templates) and a normal approximation, and a bound "
        f"from above, where the pattern is known. {options.images} images a class, {NOISES} draws "
        "of the noise. Above a refit S/N; all is the macro AUC, a class is against no_sub.",
        {
            "images": options.images,
            "templates": max(options.templates),
            "scores": {"evidence": estimates[best], "known": known},
            "by_templates": {
                count: estimates[f"evidence, {count} templates"] for count in options.templates
            },
        },
        markdown_table(["images", *shown], rows),
        ["numpy", "scipy"],
    )


if __name__ == "__main__":
    main()
