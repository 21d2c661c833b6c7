"""What the archive holds of real telescope images: magnitudes, noise, position and orientation."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from lenssim.archive import open_archive
from lenssim.build.importers.cutouts import import_cutouts
from lenssim.cutouts.pixels import sky_scatter
from lenssim.cutouts.settings import CutoutSettings, parse_centre

from .conftest import REAL, cutout, dihedral_copies, flux_at

pytestmark = [
    pytest.mark.skipif(not REAL.is_dir(), reason="no folder of real images"),
    pytest.mark.usefixtures("plain_pictures"),
]

Q1 = REAL / "euclid_q1" / "102018665_NEG570040238507752998.fits"
HST = REAL / "hst_slacs" / "slacs2303+1422_image.fits"
ZERO_POINT = 25.72
"""AB magnitude of 1 e-/s in model B."""

PERCENT = 2.5 * np.log10(1.01)
"""Magnitudes."""


def imported(file, out, **settings):
    """The only image of the archive of a file."""
    archive = import_cutouts([file], out, settings=CutoutSettings(**settings))
    return open_archive(archive.location.url).dataset("train", "unlabelled").load().isel(sample=0)


def middle(image, pixel_scale, radius=1.5):
    """Centroid (x, y) of the light within some arcsec of the middle, pixels from the middle."""
    size = len(image)
    x, y = np.meshgrid(*2 * [np.arange(size) - 0.5 * (size - 1)])
    light = np.where(np.hypot(x, y) * pixel_scale <= radius, image, 0.0)
    return np.array([(x * light).sum(), (y * light).sum()]) / light.sum()


def overlaps(size, pixel_scale, new_size, new_scale):
    """Share of each pixel along an axis that falls in each new one about the same middle."""
    edges = (np.arange(size + 1) - 0.5 * size) * pixel_scale
    new = (np.arange(new_size + 1) - 0.5 * new_size) * new_scale
    common = np.minimum(edges[1:], new[1:, None]) - np.maximum(edges[:-1], new[:-1, None])
    return np.maximum(common, 0.0) / pixel_scale


@pytest.fixture(scope="module")
def euclid():
    with fits.open(Q1) as file:
        return file["VIS_BGSUB"].data.astype(float), file["VIS_BGSUB"].header


def test_a_euclid_cutout_keeps_its_magnitude_noise_and_position(euclid, tmp_path):
    own, header = euclid
    sample = imported(Q1, tmp_path / "archive", band="VIS")
    image = sample["image"].values.astype(float)
    # a circle 3" across
    magnitude = header["MAGZERO"] - 2.5 * np.log10(flux_at(own, 49.5, 49.5, 15))
    assert ZERO_POINT - 2.5 * np.log10(flux_at(image, 31.5, 31.5, 15)) == pytest.approx(
        magnitude, abs=PERCENT
    )
    assert sky_scatter(image) == pytest.approx(
        float(sample["flux_factor"]) * sky_scatter(own), rel=0.05
    )
    assert np.abs(middle(image, 0.1) - middle(own, 0.1)).max() < 0.5
    ra, dec = WCS(header).all_pix2world([[49.5, 49.5]], 0)[0]
    assert float(sample["ra"]) == pytest.approx(ra, abs=1e-7)
    assert float(sample["dec"]) == pytest.approx(dec, abs=1e-7)
    assert float(sample["pixel_scale"]) == pytest.approx(0.1, rel=1e-3)
    assert sample["psf"].values.sum() == pytest.approx(1, abs=1e-5)
    assert not sample["mask"].values.any()


def test_a_euclid_cutout_has_north_up_and_east_left(euclid, tmp_path):
    own, header = euclid
    sample = imported(Q1, tmp_path / "archive", band="VIS")
    # no pixel is moved but for the edges that are cut off
    expected = float(sample["flux_factor"]) * own[18:82, 18:82]
    np.testing.assert_allclose(sample["image"].values, expected, rtol=1e-5, atol=1e-6)
    wcs = WCS(header)
    ra, dec = wcs.all_pix2world([[49.5, 49.5]], 0)[0]
    around = [[ra, dec], [ra, dec + 1 / 3600], [ra + 1 / 3600 / np.cos(np.radians(dec)), dec]]
    start, north, east = wcs.all_world2pix(around, 0)
    angle = np.degrees(np.arctan2(-(north - start)[0], (north - start)[1]))
    assert abs(angle) < 1
    assert float(sample["north_angle"]) == pytest.approx(angle, abs=1e-3)
    assert (east - start)[0] < -9


def test_the_eight_copies_of_a_euclid_cutout_give_the_same_pixels(euclid, tmp_path):
    own, header = euclid
    images = []
    ra, dec = WCS(header).all_pix2world([[49.7, 49.3]], 0)[0]
    for pixels, copied in dihedral_copies(own, header):
        file = tmp_path / "copy.fits"
        fits.writeto(file, pixels, copied, overwrite=True)
        images.append(cutout(file, centre=parse_centre(f"{ra},{dec}")).image)
    for image in images[1:]:
        np.testing.assert_allclose(image, images[0], rtol=0, atol=1e-5 * images[0].max())


def test_a_hubble_image_without_a_header_keeps_its_flux_noise_and_position(tmp_path):
    sample = imported(
        HST,
        tmp_path / "archive",
        pixel_scale=0.05,
        unit="e-/s",
        noise=str(HST).replace("_image", "_noise_map"),
        psf=str(HST).replace("_image", "_psf"),
    )
    image, own = sample["image"].values.astype(float), fits.getdata(HST).astype(float)
    flux = flux_at(own, 140, 140, 1.5 / 0.05)
    assert flux_at(image, 31.5, 31.5, 1.5 / 0.101) == pytest.approx(flux, rel=0.01)
    assert np.abs(middle(image, 0.101) * 0.101 - middle(own, 0.05) * 0.05).max() < 0.5 * 0.05
    shares = overlaps(281, 0.05, 64, 0.101)
    expected = shares @ own @ shares.T
    np.testing.assert_allclose(image, expected, rtol=0, atol=1e-3 * expected.max())
    assert sky_scatter(image) == pytest.approx(sky_scatter(expected), rel=0.05)
    assert np.isnan(float(sample["zero_point"]))
    assert sample["resampled"] == 1
    assert sample["psf"].values.sum() == pytest.approx(1, abs=1e-5)
