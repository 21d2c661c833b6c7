"""Streams of batches from an archive.

settings     which images, and how
scaling      raw images to the range that networks learn from
datamodule   the splits of an archive as loaders of batches
"""

from lensmodels.data.datamodule import Batch, LensDataModule
from lensmodels.data.scaling import InputScaling
from lensmodels.data.settings import CLASSES, ClassName, DataSettings

__all__ = ["CLASSES", "Batch", "ClassName", "DataSettings", "InputScaling", "LensDataModule"]
