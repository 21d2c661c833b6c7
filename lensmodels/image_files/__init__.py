"""Images in files, local or remote: .npy, .npz and FITS.

inputs         what an input is, by its name: an image file or an archive
reading        the images of a file, by `lenssim.cutouts` where they have to be converted
"""

from typing import TYPE_CHECKING

from lensmodels.image_files.inputs import Input, InputKind, check_is_archive, classify_input
from lenssim.lazy_names import lazy_names

if TYPE_CHECKING:
    from lensmodels.image_files.reading import ImageFile, read_images

__all__ = [
    "ImageFile",
    "Input",
    "InputKind",
    "check_is_archive",
    "classify_input",
    "read_images",
]

__getattr__ = lazy_names(
    __name__, dict.fromkeys(("ImageFile", "read_images"), "lensmodels.image_files.reading")
)
"""Inputs are checked before astropy is imported, which takes a second."""
