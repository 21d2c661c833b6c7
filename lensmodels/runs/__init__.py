"""Runs: the folder of what was trained, and how.

config.yaml            every setting, and what was measured on the train split
scaling.safetensors    the tensors of the input scaling, where it whitens
encoder.safetensors    the encoder: as pretrained, or of the model if nothing was
model.safetensors      encoder and head, finetuned
set_model.safetensors  of sets of images, on the frozen encoder
out_of_distribution.safetensors      what validation images look like to the model
calibration.safetensors              what it predicts of them
checkpoints/           state of the training, to resume from
logs/                  CSV and TensorBoard
published.json         of a published model: its other files, with their SHA-256
metrics.json, predictions.csv, plots/, report.html      of the evaluation
"""

from typing import TYPE_CHECKING

from lensmodels.runs.config import (
    CALIBRATION,
    CHECKPOINTS,
    CONFIG,
    ENCODER,
    LOGS,
    MODEL,
    OUT_OF_DISTRIBUTION,
    SCALING,
    SET_MODEL,
    Measured,
    Precision,
    RunConfig,
    read_config,
    require_encoder,
    require_model,
    require_several,
    write_config,
)
from lenssim.lazy_names import lazy_names

if TYPE_CHECKING:
    from lensmodels.runs.published import local_run
    from lensmodels.runs.weights import (
        build_model,
        load_encoder,
        load_model,
        load_scaling,
        save_encoder,
        save_model,
        write_measured,
    )

__all__ = [
    "CALIBRATION",
    "CHECKPOINTS",
    "CONFIG",
    "ENCODER",
    "LOGS",
    "MODEL",
    "OUT_OF_DISTRIBUTION",
    "SCALING",
    "SET_MODEL",
    "Measured",
    "Precision",
    "RunConfig",
    "build_model",
    "load_encoder",
    "load_model",
    "load_scaling",
    "local_run",
    "read_config",
    "require_encoder",
    "require_model",
    "require_several",
    "save_encoder",
    "save_model",
    "write_config",
    "write_measured",
]

__getattr__ = lazy_names(
    __name__,
    dict.fromkeys(set(__all__) - set(globals()), "lensmodels.runs.weights")
    | {"local_run": "lensmodels.runs.published"},
)
"""Settings are checked before torch is imported, which takes seconds."""
