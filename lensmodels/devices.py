"""Which device computes."""

from __future__ import annotations

import torch

from lensmodels.errors import UsageError


def choose_device(name: str, count: int = 1) -> torch.device:
    """The device of a name; "auto" is a GPU if there is one.

    Args:
        name: "auto", "cpu" or "gpu".
        count: devices that work together.

    Raises:
        UsageError: if there are fewer GPUs than asked for.
    """
    if name not in ("auto", "cpu", "gpu"):
        raise UsageError(f"Device {name!r} is unknown; choose auto, cpu or gpu.")
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not available):
        return torch.device("cpu")
    if available < count:
        there = f"there are only {available}" if available else "there is none here"
        fewer = "fewer --devices, or " if count > 1 else ""
        raise UsageError(
            f"{count} GPU{'s were' if count > 1 else ' was'} asked for, and {there}; choose {fewer}"
            "--device cpu."
        )
    return torch.device("cuda")
