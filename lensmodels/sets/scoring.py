"""Scores of a set model by the number of images, and what they are compared with.

Three ways to say which dark matter N images show are scored on the same sets: the set model; the
sum over the images of the log posteriors of a classifier of single images, with the prior counted
once; and a bound, of a classifier that is told the pattern of each image's substructure
(`evaluation.detection_bound`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lensmodels.data import ClassName
from lensmodels.evaluation.detection_bound import set_bound
from lensmodels.sets.learning import Targets
from lensmodels.sets.set_model import SetModel
from lensmodels.sets.universes import EmbeddedImages, SetDraws, Universe
from lensmodels.statistics.auc import binary_auc

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SETS = 200
"""Sets of each universe and size; they share images where there are fewer."""

RESAMPLES = 20
"""Bootstrap resamples of the images of a universe, for the standard error of an AUC."""

NO_SUB: ClassName = "no_sub"

Evidence = Callable[[IntArray], FloatArray]
"""Of sets, places of images (b, N), the log of posterior over prior of each class, (b, classes)."""


def set_evidence(model: SetModel, images: EmbeddedImages) -> Evidence:
    """What a set model says of sets; its prior is the same for every class."""
    with torch.inference_mode():
        hidden, attention = model.images(images.features)

    @torch.inference_mode()
    def evidence(places: IntArray) -> FloatArray:
        outputs = model.of_places(hidden, attention, torch.from_numpy(places))
        return torch.log_softmax(outputs.logits, dim=1).double().numpy()

    return evidence


def summed_evidence(model: SetModel, images: EmbeddedImages) -> Evidence:
    """The sum over the images of a set of what a model says of each alone.

    log p(c | x_1 ... x_N) = sum of (log p(c | x_i) - log p(c)) + log p(c), up to a constant, of
    images that are independent given the class. The model's prior is even, so its term is the same
    for every class.
    """
    with torch.inference_mode():
        logits = model(images.features[:, None]).logits
        single = torch.log_softmax(logits, dim=1).double().numpy()
    return lambda places: single[places].sum(axis=1)


def score_sets(
    evidence: Mapping[str, Evidence],
    images: EmbeddedImages,
    sizes: Sequence[int],
    *,
    seed: int = 0,
    sets: int = SETS,
    resamples: int = RESAMPLES,
) -> list[dict[str, Any]]:
    """AUC of every universe with substructure against the one without, by the size of the sets.

    Args:
        evidence: by the name of what gives it.
        images: test images.
        sizes: of the sets.
        seed: of the sets.
        sets: of each universe and size.
        resamples: of the images of a universe.

    Returns:
        One entry a size and universe: size, class, f_sub, axion_mass (eV or None), images (of the
        universe), bound (AUC, None if the refit S/N is not known), and by the name of each
        evidence the AUC and its standard error over the choice of the test images,
        NAME_auc and NAME_error.
    """
    draws = SetDraws(images, seed)
    empty = draws.names.index(NO_SUB)
    rows = []
    for size in sizes:
        for universe, without in _pairs(images.universes):
            members = images.universes[universe]
            column = draws.names.index(universe.class_name)
            others = images.universes[without]
            row = {
                "size": size,
                **_described(universe),
                "images": len(members),
                "bound": _bound(images.snr[members], size, seed),
            }
            compare = _Comparison(draws, sets, size, column, empty)
            for name, given in evidence.items():
                row[f"{name}_auc"] = compare.auc(given, members, others)
                again = [
                    compare.auc(given, draws.resampled(members), draws.resampled(others))
                    for _ in range(resamples)
                ]
                row[f"{name}_error"] = float(np.std(again, ddof=1)) if resamples > 1 else None
            rows.append(row)
    return rows


def parameter_errors(
    model: SetModel,
    images: EmbeddedImages,
    sizes: Sequence[int],
    *,
    seed: int = 0,
    sets: int = SETS,
) -> list[dict[str, Any]]:
    """Errors of the parameters of universes, by the size of the sets.

    Args:
        model: that estimates them.
        images: test images.
        sizes: of the sets.
        seed: of the sets.
        sets: of each size and universe.

    Returns:
        One entry a size, class and parameter: size, class, parameter, rmse_dex, and prior_dex, the
        error of the mean of all universes. Parameters with one value have none.
    """
    draws = SetDraws(images, seed)
    with torch.inference_mode():
        hidden, attention = model.images(images.features)
    rows = []
    for size in sizes:
        for name in [name for name in draws.names if name != NO_SUB]:
            found, true = [], []
            for universe, members in images.universes.items():
                if universe.class_name != name:
                    continue
                places = torch.from_numpy(draws.of(members, sets, size))
                with torch.inference_mode():
                    found.append(model.of_places(hidden, attention, places).parameters)
                true.append(Targets.of([universe] * sets, draws.names).parameters)
            for parameter, error, spread in _errors(torch.cat(found), torch.cat(true)):
                rows.append(
                    {
                        "size": size,
                        "class": name,
                        "parameter": parameter,
                        "rmse_dex": error,
                        "prior_dex": spread,
                    }
                )
    return rows


@dataclass(frozen=True)
class _Comparison:
    """Sets of two universes, ranked by the evidence for one class over that for no substructure.

    Attributes:
        draws: of the sets.
        sets: of each universe.
        size: of the sets.
        column, empty: of the class, and of no substructure, in the evidence.
    """

    draws: SetDraws
    sets: int
    size: int
    column: int
    empty: int

    def auc(self, evidence: Evidence, members: IntArray, others: IntArray) -> float:
        """AUC of sets of some images against sets of others."""
        found = [evidence(self.draws.of(part, self.sets, self.size)) for part in (members, others)]
        return binary_auc(*(part[:, self.column] - part[:, self.empty] for part in found))


def _errors(found: Tensor, true: Tensor) -> Iterator[tuple[str, float, float]]:
    """Parameters that vary, with the error of an estimate and of the mean, dex."""
    for column, name in enumerate(("f_sub", "axion_mass")):
        values = true[:, column]
        spread = float(values.std(correction=0))
        if spread > 0:
            error = float((found[:, column] - values).square().mean().sqrt())
            yield name, error, spread


def _pairs(universes: Mapping[Universe, IntArray]) -> Iterator[tuple[Universe, Universe]]:
    """Each universe with substructure, and the one without that was selected alike."""
    empty = {each.f_sub: each for each in universes if each.class_name == NO_SUB}
    for universe in universes:
        if universe.class_name != NO_SUB and universe.f_sub in empty:
            yield universe, empty[universe.f_sub]


def _described(universe: Universe) -> dict[str, Any]:
    return {
        "class": universe.class_name,
        "f_sub": universe.f_sub,
        "axion_mass": universe.axion_mass,
    }


def _bound(snr: FloatArray, size: int, seed: int) -> float | None:
    return None if np.isnan(snr).any() else set_bound(snr, size, seed=seed)
