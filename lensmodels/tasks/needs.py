"""What a task needs to know of the images of an archive, checked before any work is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lensmodels.errors import DataError
from lensmodels.tasks.settings import TaskSettings

if TYPE_CHECKING:
    from lenssim.archive import Archive
    from lenssim.spec import Split


def check_needs(
    task: TaskSettings, archive: Archive, splits: tuple[Split, ...] = ("train", "test")
) -> None:
    """Refuses an archive that does not state what a task is learned from or tested on.

    Args:
        task: which.
        archive: opened. Only imported images can lack a value.
        splits: whose images are used.

    Raises:
        DataError: if images have no axion mass and the task needs it, or it cannot be read.
    """
    if task.name != "axion-mass" or archive.manifest.imported is None:
        return
    import numpy as np

    from lenssim.archive import ArchiveError
    from lenssim.archive.content import scalar_blocks

    for split in splits:
        group = archive.manifest.group(f"{split}/axion")
        if group is None:
            continue
        try:
            blocks = list(scalar_blocks(archive, group, ["axion_mass"]))
        except ArchiveError as error:
            raise DataError(str(error)) from None
        unknown = int(sum(np.isnan(block["axion_mass"]).sum() for block in blocks))
        if unknown:
            raise DataError(
                f"{archive.location} does not state the axion mass of {unknown} of {group.count} "
                f"images of {group.name}, which the task axion-mass needs: train on the classes "
                "instead (--task classification), or let `lensmodels predict` say what a trained "
                "model makes of these images."
            )
