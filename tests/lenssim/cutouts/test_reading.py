"""Images of files as cutouts: flux, orientation, noise, masks and PSF."""

import numpy as np
import pytest
from astropy.io import fits

from lenssim.cutouts import stored_image
from lenssim.cutouts.pixels import sky_scatter

from .conftest import cutout, dihedral_copies, flux_at, sky_header


@pytest.mark.parametrize("scale", [0.1, 0.07, 0.2])
@pytest.mark.parametrize("size", [(60, 60), (61, 60)])
def test_the_eight_copies_of_a_file_give_the_same_pixels(image, write, scale, size):
    pixels = np.pad(image, ((0, size[0] - 60), (0, size[1] - 60)))
    header = sky_header(scale, MAGZERO=25.72)
    cutouts = [
        cutout(write("copy.fits", (array, "SCI", copied)), centre=None or _at(header))
        for array, copied in dihedral_copies(pixels, header)
    ]
    assert len({each.placement.flip for each in cutouts}) == 8
    for each in cutouts[1:]:
        np.testing.assert_allclose(
            each.image, cutouts[0].image, rtol=0, atol=1e-5 * cutouts[0].image.max()
        )


def _at(header):
    from lenssim.cutouts.settings import Centre

    return Centre("sky", header["CRVAL1"], header["CRVAL2"])


def test_north_is_up_and_east_is_left(write):
    # a star to the north and a brighter one to the east of the middle, by the WCS alone
    header = sky_header(0.1, angle=90, is_mirrored=True, MAGZERO=25.72)
    from astropy.wcs import WCS

    wcs = WCS(header)
    image = np.zeros((60, 60))
    step = 1.0 / 3600
    for north, east, flux in ((1, 0, 1.0), (0, 1, 2.0)):
        ra = header["CRVAL1"] + east * step / np.cos(np.radians(header["CRVAL2"]))
        x, y = wcs.all_world2pix([[ra, header["CRVAL2"] + north * step]], 0)[0].round().astype(int)
        image[y, x] = flux
    upright = cutout(write("turned.fits", (image, "SCI", header)), centre=_at(header)).image
    y, x = np.unravel_index(upright.argmax(), upright.shape)
    assert x < 8
    assert abs(y - 15.5) <= 1
    upright[y, x] = 0
    y, x = np.unravel_index(upright.argmax(), upright.shape)
    assert y > 24
    assert abs(x - 15.5) <= 1


@pytest.mark.parametrize(("scale", "angle"), [(0.05, 0), (0.05, 33), (0.1, 33), (0.17, 0)])
def test_resampling_conserves_the_flux_of_a_source(write, scale, angle):
    size = 140
    y, x = np.mgrid[:size, :size] - 0.5 * (size - 1)
    width = 0.25 / scale
    image = np.exp(-0.5 * (x**2 + y**2) / width**2)
    header = sky_header(scale, angle, size, MAGZERO=25.72)
    made = cutout(write("source.fits", (image, "SCI", header)))
    assert made.placement.resampled
    own = flux_at(image, 69.5, 69.5, 1.2 / scale)
    assert flux_at(made.image.astype(float), 15.5, 15.5, 12) == pytest.approx(own, rel=2e-3)


def test_an_angle_that_is_no_quarter_turn_is_resampled_to_north_up(write):
    size = 100
    header = sky_header(0.1, 30, size, MAGZERO=25.72)
    from astropy.wcs import WCS

    wcs = WCS(header)
    x0, y0 = wcs.all_world2pix([[header["CRVAL1"], header["CRVAL2"] + 0.8 / 3600]], 0)[0]
    y, x = np.mgrid[:size, :size]
    image = np.exp(-0.5 * ((x - x0) ** 2 + (y - y0) ** 2) / 1.5**2)
    made = cutout(write("north.fits", (image, "SCI", header))).image.astype(float)
    grid = np.mgrid[:32, :32]
    y, x = ((axis * made).sum() / made.sum() for axis in grid)
    assert (x, y) == pytest.approx((15.5, 23.5), abs=0.02)


def test_noise_follows_the_pixels(image, write):
    header = sky_header(0.1, MAGZERO=24.6)
    rms = np.full((60, 60), 0.01)
    rms[30, 30] = 1e16
    file = write("a.fits", (image, "SCI", header), (rms, "ERR", None))
    made = cutout(file)
    assert made.masked.sum() == 1
    assert np.isnan(made.noise[made.masked]).all()
    expected = 0.01 * 10 ** (0.4 * 1.12)
    assert made.noise[~made.masked] == pytest.approx(expected, rel=1e-6)
    for kind, values in (
        ("VAR", np.full((60, 60), 1e-4)),
        ("IVAR", np.full((60, 60), 1e4)),
        ("WHT", np.full((60, 60), 570.0)),
    ):
        other = cutout(write("b.fits", (image, "SCI", header), (values, kind, None)))
        tolerance = 0.05 if kind == "WHT" else 1e-6  # its scale is that of the sky
        assert other.noise == pytest.approx(expected, rel=tolerance)


def test_resampled_noise_is_the_scatter_of_the_resampled_sky(write):
    noise = np.random.default_rng(1).normal(0, 0.01, (200, 200))
    noise[100, 100] += 1.0
    header = sky_header(0.05, size=200, MAGZERO=25.72)
    rms = np.full(noise.shape, 0.01, np.float32)
    made = cutout(write("sky.fits", (noise, "SCI", header), (rms, "ERR", None)))
    scatter = sky_scatter(made.image.astype(float))
    # 32 x 32 pixels tell it to 2%
    assert float(np.median(made.noise)) == pytest.approx(scatter, rel=0.07)


def test_pixels_without_data_are_masked_and_filled(image, write):
    holed = image.astype(np.float32)
    holed[25:28, 40:42] = np.nan
    holed[:, :16] = 1e16
    dq = np.zeros((60, 60), np.int16)
    dq[20, 20] = 4
    file = write("a.fits", (holed, "SCI", sky_header(MAGZERO=25.72)), (dq, "DQ", None))
    made = cutout(file)
    # the cutout begins at pixel 14
    assert made.masked[:, :2].all()
    assert made.masked[11:14, 26:28].all()
    assert made.masked[6, 6]
    assert made.masked.sum() == 64 + 6 + 1
    assert np.isfinite(made.image).all()
    whole = cutout(write("b.fits", (image, "SCI", sky_header(MAGZERO=25.72)))).image
    assert np.abs(made.image - whole).max() < 0.2 * whole.max()
    assert made.masked_share == pytest.approx(71 / 1024)


def test_a_psf_is_centred_normalised_and_turned(image, write):
    y, x = np.mgrid[:21, :21] - 10.0
    psf = np.exp(-0.5 * ((x - 0.4) ** 2 / 1.2**2 + (y + 0.3) ** 2 / 2.0**2))
    header = sky_header(0.1, angle=90, MAGZERO=25.72)
    made = cutout(write("a.fits", (image, "SCI", header), (0.9 * psf, "PSF", None)))
    assert made.psf.sum() == pytest.approx(1)
    grid = np.indices(made.psf.shape)
    middle = [float((axis * made.psf).sum()) for axis in grid]
    assert middle == pytest.approx([10, 10], abs=0.02)
    widths = [np.sqrt(float(((axis - 10) ** 2 * made.psf).sum())) for axis in grid]
    assert widths == pytest.approx([1.2, 2.0], rel=0.02)  # its long axis has turned, too
    assert made.psf_fwhm == pytest.approx(0.1 * 2.355 * np.sqrt(1.2 * 2.0), rel=0.02)


def test_the_psf_of_a_resampled_image_has_its_pixels(image, write):
    y, x = np.mgrid[:41, :41] - 20.0
    psf = np.exp(-0.5 * (x**2 + y**2) / 4.0**2)
    header = sky_header(0.05, MAGZERO=25.72)
    made = cutout(write("a.fits", (np.pad(image, 20), "SCI", header), (psf, "PSF", None)))
    assert made.psf.shape == (21, 21)
    assert made.psf_fwhm == pytest.approx(0.05 * 2.355 * 4, rel=0.03)


def test_the_centre_of_a_cutout(image, write):
    header = sky_header(MAGZERO=25.72)
    file = write("a.fits", (image, "SCI", header))
    from lenssim.cutouts.settings import Centre, parse_centre

    brightest = cutout(file, centre=Centre("brightest"))
    # the bright source is at (35.5, 28.5)
    assert (brightest.x, brightest.y) == pytest.approx((35.5, 28.5), abs=1)
    by_pixel = cutout(file, centre=parse_centre("pixel:35,28"))
    assert np.unravel_index(by_pixel.image.argmax(), (32, 32)) == pytest.approx((16, 16), abs=1)
    position = parse_centre(f"{by_pixel.ra},{by_pixel.dec}")
    np.testing.assert_array_equal(cutout(file, centre=position).image, by_pixel.image)


def test_big_endian_scaled_integers_and_compressed_files(image, tmp_path):
    header = sky_header(MAGZERO=25.72)
    expected = cutout_of(fits.PrimaryHDU(image.astype(">f8"), header), tmp_path / "a.fits.gz")
    integers = fits.PrimaryHDU(np.round((image - 2.0) / 2e-4).astype(np.int16), header)
    integers.header["BSCALE"], integers.header["BZERO"] = 2e-4, 2.0
    for name, hdu in (
        ("integers.fits", integers),
        (
            "a.fits.fz",
            fits.CompImageHDU(image.astype(np.float32), header, compression_type="GZIP_2"),
        ),
    ):
        made = cutout_of(hdu, tmp_path / name)
        np.testing.assert_allclose(made.image, expected.image, atol=1e-3)


def cutout_of(hdu, file):
    hdus = [hdu] if isinstance(hdu, fits.PrimaryHDU) else [fits.PrimaryHDU(), hdu]
    fits.HDUList(hdus).writeto(file)
    return cutout(file)


def test_a_bare_array_needs_its_unit_and_pixel_scale(image, tmp_path):
    np.save(tmp_path / "a.npy", image)
    made = cutout(tmp_path / "a.npy", unit="e-/s", pixel_scale=0.1)
    np.testing.assert_allclose(made.image, image[14:46, 14:46], rtol=1e-6)


def test_a_large_file_is_mapped_and_gives_the_same_cutout(image, write, monkeypatch):
    file = write("a.fits", (image, "SCI", sky_header(MAGZERO=25.72)))
    read = cutout(file)
    monkeypatch.setattr(stored_image, "LARGE", 1000)
    mapped = cutout(file)
    np.testing.assert_array_equal(mapped.image, read.image)
    assert mapped.file == read.file


def test_a_webb_mosaic(write):
    size, scale = 200, 0.03
    y, x = np.mgrid[:size, :size] - 0.5 * (size - 1)
    image = np.exp(-0.5 * (x**2 + y**2) / 8.0**2).astype(np.float32)
    area = (scale / 206264.806) ** 2
    header = sky_header(scale, 20, size, BUNIT="MJy/sr", PIXAR_SR=area)
    error = np.full(image.shape, 0.01, np.float32)
    file = write(
        "jw_i2d.fits",
        (image, "SCI", header),
        (error, "ERR", None),
        (np.ones((size, size), np.int32), "CON", None),
        (np.ones((size, size), np.float32), "WHT", None),
        (error**2, "VAR_POISSON", None),
        primary=fits.Header({"TELESCOP": "JWST"}),
    )
    made = cutout(file)
    jansky = flux_at(image.astype(float), 99.5, 99.5, 1.2 / scale) * 1e6 * area
    magnitude = -2.5 * np.log10(jansky / 3631)
    electrons = flux_at(made.image.astype(float), 15.5, 15.5, 12)
    assert 25.72 - 2.5 * np.log10(electrons) == pytest.approx(magnitude, abs=2e-3)
    assert made.parts["noise"].endswith("[ERR]")
