"""Streams of batches from an archive.

settings       which images, and how
scaling        raw images to the range that networks learn from
contract       what images must be for a model to mean anything
whitening      its principal components, brought to one variance
order          which image comes when: pure functions
source         what a stream reads from: zarr_source, shard_source
assembly       reading ahead and gathering batches
stream         one epoch after another, and resuming
cache          images kept in memory
datamodule     the parts of an archive as streams
unlabelled     further archives of a pretraining: their weights, and what they must be
mixing         batches of several archives
"""

from typing import TYPE_CHECKING

from lensmodels.data.contract import ImageContract, InstrumentFacts
from lensmodels.data.settings import CLASSES, GROUP_CLASSES, ClassName, DataSettings
from lenssim.lazy_names import lazy_names

if TYPE_CHECKING:
    from lensmodels.data.assembly import Batch
    from lensmodels.data.datamodule import LensDataModule
    from lensmodels.data.scaling import InputScaling
    from lensmodels.data.stream import BatchStream

__all__ = [
    "CLASSES",
    "GROUP_CLASSES",
    "Batch",
    "BatchStream",
    "ClassName",
    "DataSettings",
    "ImageContract",
    "InputScaling",
    "InstrumentFacts",
    "LensDataModule",
]

__getattr__ = lazy_names(
    __name__,
    {
        "Batch": "lensmodels.data.assembly",
        "BatchStream": "lensmodels.data.stream",
        "InputScaling": "lensmodels.data.scaling",
        "LensDataModule": "lensmodels.data.datamodule",
    },
)
"""Settings are checked before torch is imported, which takes seconds."""
