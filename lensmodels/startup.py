"""What happens before torch is imported, and what a command announces while it works."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

from lensmodels.errors import LensmodelsError, UsageError

PACKAGES = (
    "torch",
    "lightning",
    "timm",
    "lightly",
    "kornia",
    "crepes",
    "sklearn",
    "safetensors",
    "tensorboard",
    "pandas",
    "pyarrow",
    "tqdm",
)
"""Packages of the extra `models` that every command needs, as they are imported."""

_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


def announce(phase: str) -> None:
    """Say on stderr what begins now; nothing on other processes than the first."""
    say(f"{phase} ...")


def say(sentence: str) -> None:
    """Print a sentence on stderr; nothing on other processes than the first."""
    if all(os.environ.get(name, "0") == "0" for name in _RANKS):
        print(sentence, file=sys.stderr, flush=True)


def check_logger(logger: str) -> None:
    """Refuse a logger whose package is not installed.

    Raises:
        UsageError: saying how to install it.
    """
    if logger == "wandb" and find_spec("wandb") is None:
        raise UsageError(
            "Logging to Weights & Biases needs wandb, which is not installed: install it with pip "
            "install wandb, or leave out --logger."
        )


def load_packages() -> None:
    """Check that all packages are there, and announce the seconds that importing them takes.

    Raises:
        LensmodelsError: naming those that are not installed.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        they = ("is", "it") if len(missing) == 1 else ("are", "them")
        raise LensmodelsError(
            f"lensmodels needs {', '.join(missing)}, which {they[0]} not installed: install "
            f"{they[1]} with pip install 'lenssim[models]'."
        )
    if "torch" not in sys.modules:
        announce("loading PyTorch")
