"""An estimate of what the best classifier has, from a table.

The ratio of the evidences of the true models is the best classifier of all. The table,
evidence_ratio.json, has its AUC, estimated by experiments/evidence_ratio.py with the
simulator; here it is only read. It holds for exactly one specification, so it is found by that
one's hash, whichever images have a refit S/N.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("evidence_ratio.json")

ALL_IMAGES = "all > 0"
"""Name of the macro AUC over all images, whatever their refit S/N."""


def evidence_ratio_auc(spec_sha256: str) -> tuple[float, float] | None:
    """Macro AUC of the evidence ratio over all images of a specification, estimated.

    Args:
        spec_sha256: hash of the specification.

    Returns:
        The AUC and its standard error over the choice of images; None if it was not computed.
    """
    for entry in _table():
        if spec_sha256 in entry["spec_sha256"]:
            value, error = entry["auc"][ALL_IMAGES]
            return float(value), float(error)
    return None


@lru_cache(maxsize=1)
def _table() -> list[dict[str, Any]]:
    return json.loads(TABLE.read_text())
