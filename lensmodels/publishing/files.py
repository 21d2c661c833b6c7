"""The files of a published model: those of its run, without paths of the machine that trained it.

Weights and measurements are the run's, byte for byte. In settings and metrics, a folder of the
machine is replaced by its name; URLs stay.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path, PurePath

from lensmodels.data.live_archive import PREFIX, is_live
from lensmodels.image_files.inputs import is_url
from lensmodels.runs import (
    ENCODER,
    MODEL,
    SCALING,
    RunConfig,
    read_config,
    write_config,
)
from lensmodels.runs.folder import HELD_OUT, SHIFTS_CSV, SHIFTS_JSON

METRICS, PREDICTIONS = "metrics.json", "predictions.csv"

_UNCHANGED = (SCALING, ENCODER, MODEL, *HELD_OUT)


def copy_files(run: Path, folder: Path) -> None:
    """Copies what belongs to a model from the folder of its run to another one.

    Args:
        run: folder of the run.
        folder: to fill; exists and is empty.
    """
    write_config(folder, without_local_paths(read_config(run)))
    wanted = [
        *_UNCHANGED,
        *([PREDICTIONS, SHIFTS_JSON, SHIFTS_CSV] if (run / MODEL).exists() else []),
    ]
    for name in wanted:
        if (run / name).exists():
            shutil.copyfile(run / name, folder / name)
    if (run / MODEL).exists():
        metrics = json.loads((run / METRICS).read_text())
        metrics["data"]["url"] = without_folders(metrics["data"]["url"])
        (folder / METRICS).write_text(json.dumps(metrics, indent=1, allow_nan=False) + "\n")


def without_local_paths(config: RunConfig) -> RunConfig:
    """Settings whose archives and runs on this machine are named without their folders."""
    data = config.data
    places = {
        "url": without_folders(data.url),
        "test_archive": data.test_archive and without_folders(data.test_archive),
        "cache_dir": None,
    }
    changes = {
        "data": data.model_copy(update=places),
        "pretrained": config.pretrained and without_folders(config.pretrained),
    }
    return config.model_copy(update=changes)


def without_folders(place: str) -> str:
    """The last part of a path of this machine; a URL or a model of a live source as it is."""
    if is_live(place):
        return f"{PREFIX}{PurePath(place.removeprefix(PREFIX)).name}"
    return place if is_url(place) else PurePath(place).name
