"""Which device computes, and an error of one sentence if its memory runs out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lensmodels.errors import LensmodelsError, UsageError


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


@contextmanager
def enough_memory(what: str, advice: str) -> Iterator[None]:
    """Raise an error of one sentence if memory of the host or of a GPU runs out.

    Args:
        what: it runs out with, as in "batches of 64 images".
        advice: what to do.

    Raises:
        LensmodelsError: in place of what torch or Python raises.
    """
    error = LensmodelsError(f"Memory ran out with {what}; {advice}.")
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise error from None
    except RuntimeError as raised:  # of the host's memory torch has no error of its own
        if "can't allocate memory" in str(raised) or "out of memory" in str(raised):
            raise error from None
        raise
