"""Memory that runs out, as an error of one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lensmodels.errors import LensmodelsError


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
