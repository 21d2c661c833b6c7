"""Files of a run that belong to the model it holds: tensors, and the hash of that model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lensmodels.runs import MODEL
from lenssim.storage.atomic import replacing

_HASH = "model_sha256"


def save_of_model(
    run: Path, name: str, tensors: Mapping[str, Tensor], about: Mapping[str, str]
) -> None:
    """Writes tensors beside the model that they were measured with.

    Args:
        run: folder of the run.
        name: of the file.
        tensors: by name.
        about: text by name, kept with them.
    """
    contiguous = {key: value.contiguous() for key, value in tensors.items()}
    with replacing(run / name) as scratch:
        save_file(contiguous, scratch, {**about, _HASH: model_hash(run)})


def load_of_model(run: Path, name: str) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """What `save_of_model` wrote; None if there is nothing for the model that the run holds.

    Args:
        run: folder of the run.
        name: of the file.

    Returns:
        The tensors, and the text that was kept with them.
    """
    try:
        with safe_open(run / name, "pt") as file:
            about = file.metadata() or {}
            if about.get(_HASH) != model_hash(run):
                return None
            return {key: file.get_tensor(key) for key in file.keys()}, about  # noqa: SIM118
    except (OSError, SafetensorError):
        return None


def model_hash(run: Path) -> str:
    """SHA-256 of a run's model.safetensors."""
    with (run / MODEL).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
