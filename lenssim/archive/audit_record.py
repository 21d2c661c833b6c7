"""audit.json: the result of the leak audit of an archive, which its card shows."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lenssim.errors import ArchiveError
from lenssim.storage.location import Location

AUDIT = "audit.json"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AuditedFeature(_Record):
    """One feature, and how well it alone tells a class from the others."""

    name: str
    origin: Literal["column", "image"]
    measurement_error: float | None
    """Standard deviation of the error added to a column, in its unit; None if there is none."""
    tells: str
    """The class that it tells best."""
    by: Literal["value", "spread"]
    """Whether that class has other values, or values of another distance from the median."""
    auc: float
    standard_error: float
    p_value: float
    """Two-sided, after Holm's correction over all features and classes."""


class AuditRecord(_Record):
    """Content of audit.json."""

    auc: float
    """Macro AUC of gradient boosting on all features together, cross-validated; 0.5 is chance."""
    standard_error: float
    limit: float
    """Standard errors that the AUC may be from 0.5."""
    passed: bool
    images: dict[str, int]
    """Images of each class."""
    seed: int
    features: list[AuditedFeature]
    ring_excess: dict[str, float] = Field(default_factory=dict)
    """For each class, the largest relative difference of an image's ring radius from its lens's."""
    with_substructure: float | None = None
    """Macro AUC with image statistics that the substructure itself has changed; None if there
    are no other."""
    not_rendered: bool = False
    """Whether the images were imported, so that the substructure's own signal is in them."""

    @property
    def deviation(self) -> float:
        """Standard errors that the AUC is from 0.5; infinite if they are told perfectly."""
        distance = self.auc - 0.5
        if self.standard_error == 0.0:
            return math.copysign(math.inf, distance) if distance else 0.0
        return distance / self.standard_error

    @property
    def leaks(self) -> list[AuditedFeature]:
        """Features that alone tell a class."""
        return [feature for feature in self.features if feature.p_value < MAX_P]

    def to_bytes(self) -> bytes:
        """Content of the file."""
        return (self.model_dump_json(indent=1) + "\n").encode()


MAX_P = 0.0027
"""P value of three standard errors, below which a feature alone is a leak."""


def read_audit(location: Location) -> AuditRecord | None:
    """The audit of an archive; None if it was not audited.

    Raises:
        ArchiveError: if there is an audit.json that is not ours.
    """
    try:
        content = location.read(AUDIT)
    except FileNotFoundError:
        return None
    try:
        return AuditRecord.model_validate_json(content)
    except ValidationError:
        raise ArchiveError(f"{location}/{AUDIT} is damaged or no audit of ours.") from None
