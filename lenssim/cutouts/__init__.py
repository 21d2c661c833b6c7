"""Cutouts of telescope images, brought to the pixels and the unit of a specification.

A file passes these stations, in this order:

settings      what is asked for, and the image that every cutout becomes
content       the bytes of a file, decompressed
fits_file     the images in a FITS file, by number, name and version
selection     which of them is the image, its noise, its mask and its PSF
header        unit, zero point and exposure time: the factor to e-/s
sky           pixel scale and orientation, from the WCS
pixels        masks, noise and the fill of what has no data
grid          north up, east left, the pixel scale: flips and turns, or drizzle
psf           the PSF recentred and normalised, and its width
reading       all of these, for one cutout

To add a kind of file: say in `selection` what its extensions are called, and in `header` how it
states its unit.
"""
