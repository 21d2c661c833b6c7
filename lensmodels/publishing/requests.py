"""What `publish` is asked for, checked before torch is imported."""

from __future__ import annotations

import os
from pathlib import Path

from lensmodels.errors import LensmodelsError, UsageError
from lensmodels.reporting.requests import require_evaluated
from lensmodels.runs import MODEL, RunConfig, require_encoder
from lenssim.errors import ArchiveError
from lenssim.storage.location import Location


def check_publication(run: Path, url: str | os.PathLike[str]) -> RunConfig:
    """Refuse a publication that cannot be made.

    Args:
        run: folder of a run.
        url: folder or URL that will hold the model.

    Returns:
        Settings of the run.

    Raises:
        UsageError: if the run has no trained encoder, has a model that was not evaluated, or the
            place cannot be a folder.
        LensmodelsError: if the place cannot be opened or written.
    """
    config = require_encoder(run)
    if (run / MODEL).exists():
        require_evaluated(run)
    try:
        location = Location(url)
        location.check_writable()
    except ArchiveError as error:
        raise LensmodelsError(str(error)) from None
    if location.local_folder is not None and Path(location.local_folder).resolve() == run.resolve():
        raise UsageError(f"{run} is the run itself: name another folder or URL to publish to.")
    return config
