"""Residuals of simulated images: what an image shows beyond the same lens without substructure."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import lenssim

_TOLERANCE = 0.01
"""Difference of an image from the same one rendered again, as a share of the RMS of its residual,
up to which they are the same: platforms round differently."""


def residuals(
    url: str, table: pd.DataFrame, images: NDArray[np.float32]
) -> NDArray[np.float64] | None:
    """Images minus their smooth lens, which has the same source and total mass, e-/s.

    The smooth lens is rendered again from the archive's specification and seed.

    Args:
        url: of the archive.
        table: columns split, class and sample of its images, (k,).
        images: e-/s, (k, height, width).

    Returns:
        (k, height, width); None if the archive was imported, or this version of lenssim renders
        other images than it holds.
    """
    manifest = lenssim.open_archive(url).manifest
    if manifest.imported is not None:
        return None
    spec = manifest.specification()
    smooth = []
    for (_, row), image in zip(table.iterrows(), images, strict=True):
        simulation = lenssim.simulate(
            spec,
            row["class"],
            int(row["sample"]),
            seed=manifest.seed,
            split=row["split"],
            engine_name=manifest.engine,
        )
        twin = lenssim.render(lenssim.smooth_system(simulation.system), spec, manifest.engine)
        difference = np.sqrt(np.mean((image - simulation.image) ** 2))
        if difference > _TOLERANCE * np.sqrt(np.mean((image - twin) ** 2)):
            return None
        smooth.append(twin)
    return images - np.array(smooth)
