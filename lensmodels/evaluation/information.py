"""What the images can tell at best of the axion mass, from a table that is shipped.

The table, cramer_rao.json, is made by benchmarks/information.py with the simulator; here it is
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
        limit_lens_unknown: the same where the Einstein radius of the halo and the mass of the
            vortex are unknown too.
    """

    log10_mass: NDArray[np.float64]
    bound: NDArray[np.float64]
    limit_by_mass: NDArray[np.float64]
    limit: float
    limit_lens_unknown: float

    def rms_bound(self, low: float, high: float) -> float:
        """Root mean square of the Cramer-Rao bound between two log10(m / eV), dex."""
        masses = np.linspace(low, high, 51)
        bound = np.exp(np.interp(masses, self.log10_mass, np.log(self.bound)))
        return float(np.sqrt(np.mean(bound**2)))


def information_limit(spec_sha256: str) -> InformationLimit | None:
    """The limit for a specification, by its hash; None where it was not computed."""
    for entry in _table():
        if entry["spec_sha256"] == spec_sha256:
            known = entry["data_set"]
            return InformationLimit(
                np.array(entry["log10_mass"]),
                np.array(known["bound"]),
                np.array(known["limit_by_mass"]),
                known["limit"],
                entry["lens"]["limit"],
            )
    return None


@lru_cache(maxsize=1)
def _table() -> list[dict[str, Any]]:
    return json.loads(TABLE.read_text())
