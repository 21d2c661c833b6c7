"""lensmodels: learn substructure classes and axion masses from archives of lens images.

Data flows one way: an archive is streamed (`data`), its images are seen through views, a method
trains an encoder on them, a task puts a head on it, and the evaluation reports.

open_stream      an archive as batches
build_encoder    an encoder with random weights
load_encoder     the encoder of a run and the scaling of its input
load_model       the model of a run
predict_images   predictions on an array of images
embed_images     features of an array of images
run_config       settings of a run
train            pretrain, finetune and evaluate
publish          upload a model with a card
"""

from __future__ import annotations

from lenssim.lazy_names import lazy_names

_HOMES = {
    "__version__": "lenssim.version",
    **dict.fromkeys(
        (
            "build_encoder",
            "embed_images",
            "open_stream",
            "predict_images",
            "run_config",
            "train",
        ),
        "lensmodels.api",
    ),
    "publish": "lensmodels.publishing",
    "load_encoder": "lensmodels.runs",
    "load_model": "lensmodels.runs",
    "RunConfig": "lensmodels.runs",
    "LensmodelsError": "lensmodels.errors",
}

__getattr__ = lazy_names(__name__, _HOMES)
"""Imports a public name when it is first used: torch takes seconds."""


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
