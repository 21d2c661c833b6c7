"""What the images can tell at best of the axion mass, from a table that is shipped.

The table, cramer_rao.json, is made by experiments/information.py with the simulator; here it is
only read. It holds for exactly one specification, so it is found by that one's hash.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TABLE = Path(__file__).with_name("cramer_rao.json")


@dataclass(frozen=True)
class InformationLimit:
    """The information on log10(m / eV) in the images of a specification.

    Only the angle of the vortex and the position of the source are unknown besides the mass: what
    the data set varies.

    Attributes:
        log10_mass: rising, (n,).
        bound: Cramer-Rao bound, the least scatter of an unbiased estimate, dex, (n,).
        limit_by_mass: RMSE of the estimate that is best over the prior, at each true mass, dex,
            (n,).
        limit: its RMSE over the whole prior, dex.
    """

    log10_mass: NDArray[np.float64]
    bound: NDArray[np.float64]
    limit_by_mass: NDArray[np.float64]
    limit: float

    def rms_bound(self, low: float, high: float) -> float:
        """Root mean square of the Cramer-Rao bound between two log10(m / eV), dex."""
        return self._rms(self.bound, low, high)

    def rms_limit(self, low: float, high: float) -> float:
        """RMSE of the best estimate over the prior between two log10(m / eV), dex."""
        return self._rms(self.limit_by_mass, low, high)

    def _rms(self, curve: NDArray[np.float64], low: float, high: float) -> float:
        inside = (self.log10_mass > low) & (self.log10_mass < high)
        masses = np.concatenate([[low], self.log10_mass[inside], [high]])
        squared = np.interp(masses, self.log10_mass, curve**2)
        return float(np.sqrt(np.trapezoid(squared, masses) / (high - low)))


def information_limit(spec_sha256: str) -> InformationLimit | None:
    """The limit for a specification, by its hash; None if it was not computed."""
    for entry in _table():
        if entry["spec_sha256"] == spec_sha256:
            limit = entry["limit"]
            (best,) = (entry for entry in limit["favours"] if entry["favour"] == 1)
            return InformationLimit(
                np.array(entry["log10_mass"]),
                np.array(entry["data_set"]["bound"]),
                np.array(limit["by_mass"]),
                best["whole"],
            )
    return None


@lru_cache(maxsize=1)
def _table() -> list[dict[str, Any]]:
    return json.loads(TABLE.read_text())
