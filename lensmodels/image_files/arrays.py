"""NumPy's formats: .npy, and .npz of one array."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmodels.errors import DataError


def read_array(name: str, content: bytes) -> NDArray[Any]:
    """The array of a .npy file, or the only one of a .npz file; nothing is unpickled.

    Args:
        name: of the file, for messages.
        content: of the file.

    Raises:
        DataError: if it holds anything else.
    """
    try:
        loaded = np.load(io.BytesIO(content), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            if len(loaded.files) == 1:
                return np.asarray(loaded[loaded.files[0]])
            held = ", ".join(loaded.files) or "none"
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile):
        # numpy's own message advises to unpickle the file
        raise DataError(
            f"{name} is not an array of numbers in NumPy's format; write it with numpy.save, from "
            "an array whose dtype is not object."
        ) from None
    raise DataError(
        f"{name} holds {len(loaded.files)} arrays ({held}) where one is read; write the images "
        "alone with numpy.save."
    )
