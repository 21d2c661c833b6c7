"""Pictures of galaxies as sources.

image_file   one image of a FITS or .npy file
catalogue    which pictures a folder holds, and where; their checksum
preparation  a picture without what is not the galaxy, ready for interpolation
library      the pictures of a specification: by split, and by number
"""

from lenssim.pictures.library import Library, open_library, with_checksum
from lenssim.pictures.preparation import Picture

__all__ = ["Library", "Picture", "open_library", "with_checksum"]
