"""Self-supervised methods by name."""

from __future__ import annotations

from lensmodels.methods.base import Pretraining
from lensmodels.methods.byol import BYOL
from lensmodels.methods.contrastive import Contrastive
from lensmodels.methods.dino import DINO
from lensmodels.methods.simsiam import SimSiam

PRETRAINING: dict[str, type[Pretraining]] = {
    "contrastive-rotation": Contrastive,
    "contrastive-noise": Contrastive,
    "byol": BYOL,
    "simsiam": SimSiam,
    "dino": DINO,
}
"""Self-supervised methods by name."""
