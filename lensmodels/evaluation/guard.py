"""Watching the images that a model is run on: which are unlike those that it was trained on."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from torch import Tensor
from tqdm import tqdm

from lensmodels.data import ImageContract, InstrumentFacts
from lensmodels.runs import RunConfig
from lenssim.archive import Manifest

BLANK = "blank: every pixel has the same value"


class ImageGuard:
    """Says which images are far from a run's training set: a column of text, and a summary.

    Args:
        config: of the run.
    """

    def __init__(self, config: RunConfig) -> None:
        self.contract: ImageContract | None = (
            None if config.measured is None else config.measured.contract
        )
        self._images = 0
        self._problems: dict[str, list[str]] = {}
        self._notes: dict[str, list[str]] = {}

    def check(
        self, source: str, index: Sequence[int], images: Tensor, besides: Sequence[str] = ()
    ) -> list[str]:
        """Warnings of some images.

        Args:
            source: where they come from.
            index: of each in its source, (n,).
            images: shape (n, 1, height, width), e-/s per pixel.
            besides: what is wrong with all of them.

        Returns:
            For each image its warnings, joined by "; "; an empty text if there are none.
        """
        self._images += len(images)
        flat = images.flatten(1)
        is_blank = (flat.amin(1) == flat.amax(1)).tolist()
        departures = (
            self.contract.departures(images)
            if self.contract is not None
            else [[] for _ in range(len(images))]
        )
        column = []
        for number, blank, departures_of_image in zip(index, is_blank, departures, strict=True):
            place = f"{source}, image {number}"
            texts = [*besides]
            if blank:
                texts.append(BLANK)
                self._problems.setdefault(BLANK, []).append(place)
            else:
                for departure in departures_of_image:
                    texts.append(str(departure))
                    self._problems.setdefault(departure.problem, []).append(place)
            column.append("; ".join(texts))
        return column

    def check_archive(self, name: str, manifest: Manifest) -> list[str]:
        """How an archive's instrument differs from the contract; noted for the summary, too."""
        if self.contract is None:
            return []
        differences = self.contract.differences(InstrumentFacts.of_archive(manifest))
        for difference in differences:
            self._notes.setdefault(difference, []).append(name)
        return differences

    def note(self, source: str, text: str) -> None:
        """Keeps for the summary what was assumed of an input."""
        self._notes.setdefault(text, []).append(source)

    def summary(self, run: str, table: str | None) -> list[str]:
        """Sentences for the terminal, each kind of problem once.

        Args:
            run: how the run is called.
            table: file with the column `warnings`; None if there is none.
        """
        lines = []
        if self.contract is None:
            lines.append(
                f"Note: {run} does not say what its training images were (pixel scale, unit, "
                "noise), so images are not held against them; train it again to keep that."
            )
        lines += [f"Note: {text} ({_named(sources)})." for text, sources in self._notes.items()]
        lines += [
            f"Warning: {len(places):,} of {self._images:,} images: {problem} ({_first_of(places)})."
            for problem, places in self._problems.items()
        ]
        if self._problems:
            where = "" if table is None else f"; the column warnings of {table} names them"
            lines.append(
                f"Warning: results for images unlike the training set are not to be trusted{where}."
            )
        return lines

    def report(self, run: str, table: str | None = None) -> None:
        """Prints the summary to stderr, beside a progress bar if there is one."""
        for line in self.summary(run, table):
            tqdm.write(line, file=sys.stderr)


def _named(sources: Sequence[str]) -> str:
    return sources[0] if len(sources) == 1 else f"{len(sources):,} files, first: {sources[0]}"


def _first_of(places: Sequence[str]) -> str:
    return places[0] if len(places) == 1 else f"first: {places[0]}"
