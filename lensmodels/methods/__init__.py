"""Methods, one a file: how an encoder is trained.

settings      which there are, how long and how fast each trains, and what it has to set besides
supervision   which of them learn from what only a simulator knows
registry      methods of pretraining by name
base          what they share
average       a teacher that is the moving average of its student
probes        what frozen features say of the class, and whether they have collapsed
contrastive   NT-Xent between an image and its rotation, or its noisier self
byol          predict a moving average's view
simsiam       predict one's own other view
dino          a student and a teacher, and smaller views
vicreg        two views alike, the outputs spread and uncorrelated
esvit         DINO, and the same for every region
mae           paint the patches that the encoder does not see
smooth_twin   paint what the substructure changes, which a simulator knows
macro         tell the parameters of lens and source, which a simulator knows
supervised    the baseline, and finetuning
"""

from typing import TYPE_CHECKING

from lensmodels.methods.settings import METHODS, StageSettings
from lenssim.lazy_names import lazy_names

if TYPE_CHECKING:
    from lensmodels.methods.base import Module, Pretraining
    from lensmodels.methods.byol import BYOL
    from lensmodels.methods.contrastive import Contrastive
    from lensmodels.methods.dino import DINO
    from lensmodels.methods.esvit import EsViT
    from lensmodels.methods.macro import Macro
    from lensmodels.methods.mae import MAE
    from lensmodels.methods.registry import PRETRAINING
    from lensmodels.methods.simsiam import SimSiam
    from lensmodels.methods.smooth_twin import SmoothTwin
    from lensmodels.methods.supervised import Supervised
    from lensmodels.methods.vicreg import VICReg

__all__ = [
    "BYOL",
    "DINO",
    "MAE",
    "METHODS",
    "PRETRAINING",
    "Contrastive",
    "EsViT",
    "Macro",
    "Module",
    "Pretraining",
    "SimSiam",
    "SmoothTwin",
    "StageSettings",
    "Supervised",
    "VICReg",
]

__getattr__ = lazy_names(
    __name__,
    {
        "BYOL": "lensmodels.methods.byol",
        "Contrastive": "lensmodels.methods.contrastive",
        "DINO": "lensmodels.methods.dino",
        "EsViT": "lensmodels.methods.esvit",
        "MAE": "lensmodels.methods.mae",
        "Macro": "lensmodels.methods.macro",
        "Module": "lensmodels.methods.base",
        "PRETRAINING": "lensmodels.methods.registry",
        "Pretraining": "lensmodels.methods.base",
        "SimSiam": "lensmodels.methods.simsiam",
        "SmoothTwin": "lensmodels.methods.smooth_twin",
        "Supervised": "lensmodels.methods.supervised",
        "VICReg": "lensmodels.methods.vicreg",
    },
)
"""Settings are checked before torch is imported, which takes seconds."""
