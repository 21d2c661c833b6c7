"""Cutouts of telescope images, brought to the pixels and the unit of a specification.

A file passes these stations, in this order:

settings      what is asked for, and the image that every cutout becomes
content       the bytes of a file, decompressed
plain_fits    the HDUs of a FITS file of plain images, decoded when they are asked for
fits_file     the images in a FITS file, by number, name and version
selection     which of them is the image, its noise, its mask and its PSF
stored_image  that image and what goes with it, as stored
header        unit, zero point and exposure time: the factor to e-/s
sky           pixel scale and orientation, from the WCS
footprint     which of several images holds a position
position      where a cutout lies in its file, and the pixels about it
pixels        masks, noise and the fill of what has no data
grid          north up, east left, the pixel scale: flips and turns, or drizzle
psf           the PSF recentred and normalised, and its width
reading       all of these, for one cutout

To add a kind of file: say in `selection` what its extensions are called, and in `header` how it
states its unit.
"""
