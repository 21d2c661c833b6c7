"""Methods, one a file: how an encoder is trained.

base          what they share
probes        what frozen features say of the class, and whether they have collapsed
contrastive   NT-Xent between an image and its rotation, or its noisier self
byol          predict a moving average's view
simsiam       predict one's own other view
dino          a student and a teacher, and smaller views
supervised    the baseline, and finetuning
"""

from lensmodels.methods.base import Module, Pretraining, StageSettings
from lensmodels.methods.byol import BYOL
from lensmodels.methods.contrastive import Contrastive
from lensmodels.methods.dino import DINO
from lensmodels.methods.simsiam import SimSiam
from lensmodels.methods.supervised import Supervised

PRETRAINING: dict[str, type[Pretraining]] = {
    "contrastive-rotation": Contrastive,
    "contrastive-noise": Contrastive,
    "byol": BYOL,
    "simsiam": SimSiam,
    "dino": DINO,
}
"""Self-supervised methods by name."""

METHODS = ("supervised", *PRETRAINING)
"""Names of all methods."""

__all__ = [
    "BYOL",
    "DINO",
    "METHODS",
    "PRETRAINING",
    "Contrastive",
    "Module",
    "Pretraining",
    "SimSiam",
    "StageSettings",
    "Supervised",
]
