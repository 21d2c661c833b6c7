"""Thirty kinds of bad input: one sentence each, and nothing written."""

import gzip

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner

from lenssim.cli import main

from .conftest import sky_header

IMAGE = np.random.default_rng(0).normal(0, 0.01, (80, 80)).astype(np.float32)
IMAGE[36:44, 36:44] += 1
GOOD = {"MAGZERO": 24.6}


def header(**cards):
    return sky_header(0.101, size=80, **{**GOOD, **cards})


def write_fits(folder, *extensions, name="bad.fits"):
    hdus = [fits.PrimaryHDU()]
    hdus += [fits.ImageHDU(array, cards, name=called) for array, called, cards in extensions]
    fits.HDUList(hdus).writeto(folder / name)
    return folder / name


def science(folder, image=IMAGE, cards=None, *more):
    return write_fits(folder, (image, "SCI", header() if cards is None else cards), *more)


def cut_short(folder):
    file = science(folder)
    file.write_bytes(file.read_bytes()[:12000])
    return file


def without(*keys):
    cards = header()
    for key in keys:
        del cards[key]
    return cards


def compressed_badly(folder):
    file = science(folder)
    broken = folder / "bad.fits.gz"
    broken.write_bytes(gzip.compress(file.read_bytes())[:-2000])
    file.unlink()
    return broken


def named(folder, name, content):
    (folder / name).write_bytes(content)
    return folder / name


def array(folder, values, **how):
    np.save(folder / "bad.npy", values, **how)
    return folder / "bad.npy"


def table(folder, text):
    science(folder)
    (folder / "bad.csv").write_text(text)
    return folder / "bad.csv"


def mosaic(folder):
    # 40,000 x 40,000 pixels would be a large file; what is asked for is outside of either
    return science(folder, np.zeros((900, 900), np.float32), header())


def all_tables(folder):
    column = fits.Column("flux", "D", array=[1.0])
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([column])]).writeto(
        folder / "bad.fits"
    )
    return folder / "bad.fits"


BANDS = [(IMAGE, f"{band}_BGSUB", header()) for band in ("VIS", "NIR_Y")]
WHOLE_NAN = np.full_like(IMAGE, np.nan)
NAN_MIDDLE = IMAGE.copy()
NAN_MIDDLE[30:50, 30:50] = np.nan
SCALED = header()
SCALED["BSCALE"], SCALED["BZERO"] = 0.0, 0.0

BAD = {
    "truncated": (cut_short, (), "is damaged or not a FITS file"),
    "no WCS": (
        lambda f: science(f, IMAGE, fits.Header(GOOD)), (), "give the --pixel-scale in arcsec",
    ),
    "singular WCS": (
        lambda f: science(f, IMAGE, header(CD1_1=0.0, CD1_2=0.0)), (), "pixel",
    ),
    "WCS of degrees a pixel": (
        lambda f: science(f, IMAGE, header(CD1_1=-1.0, CD2_2=1.0)), (), "does not tell its pixels",
    ),
    "cube": (lambda f: science(f, np.stack([IMAGE] * 3)), (), "has 3 axes (80 x 80 x 3)"),
    "one row": (lambda f: science(f, IMAGE[0]), (), "has 1 axes"),
    "wrong band": (
        lambda f: write_fits(f, *BANDS), ("--band", "F814W"), "no band F814W: it has VIS, NIR_Y",
    ),
    "several bands": (lambda f: write_fits(f, *BANDS), (), "2 images: VIS, NIR_Y; choose one by"),
    "wrong hdu": (science, ("--hdu", "VIS"), "holds no image VIS; it holds SCI (1)"),
    "band and hdu": (science, ("--hdu", "SCI", "--band", "VIS"), "give one of them"),
    "all NaN": (lambda f: science(f, WHOLE_NAN), (), "has no data"),
    "NaN in the middle": (lambda f: science(f, NAN_MIDDLE), (), "has no data in the middle"),
    "all sentinels": (lambda f: science(f, np.full_like(IMAGE, 1e16)), (), "has no data"),
    "blank": (lambda f: science(f, np.zeros_like(IMAGE)), (), "is blank: every pixel"),
    "all masked": (
        lambda f: science(f, IMAGE, None, (np.ones(IMAGE.shape, np.int16), "DQ", None)),
        (),
        "has no data",
    ),
    "zero exposure": (
        lambda f: science(f, IMAGE, header(EXPTIME=0.0)), (), "exposure time of 0 s",
    ),
    "integers of BSCALE 0": (
        lambda f: write_fits(f, (np.ones((80, 80), np.int16), "SCI", SCALED)), (), "is blank",
    ),
    "unknown unit": (
        lambda f: science(f, IMAGE, without("MAGZERO")), (), "states neither unit (BUNIT) nor zero",
    ),
    "counts without a zero point": (
        lambda f: science(f, IMAGE, header(MAGZERO="n/a", BUNIT="ADU")), (), "by --zero-point",
    ),
    "surface brightness of no area": (
        lambda f: array(f, IMAGE), ("--unit", "MJy/sr", "--pixel-scale", "0"), "must be above 0",
    ),
    "compressed and cut short": (compressed_badly, (), "cannot be decompressed"),
    "not a FITS": (lambda f: named(f, "bad.fits", b"<html>not found</html>" * 500), (), "damaged"),
    "empty file": (lambda f: named(f, "bad.fits", b""), (), "is damaged or not a FITS file"),
    "a picture": (lambda f: named(f, "bad.png", b"\x89PNG"), (), "of a format that is not read"),
    "a directory without images": (
        lambda f: (f / "empty").mkdir() or f / "empty", (), "a directory without .fits",
    ),
    "nothing there": (lambda f: f / "absent.fits", (), "does not exist"),
    "tables alone": (all_tables, (), "holds no image"),
    "a PSF alone": (
        lambda f: write_fits(f, (IMAGE, "PSF", None)), (), "not those of an image of the sky",
    ),
    "a large mosaic": (mosaic, (), "say where the lens is by --centre"),
    "a position outside": (science, ("--centre", "10.0,20.0"), "is outside of"),
    "a pixel outside": (science, ("--centre", "pixel:40000,3"), "is outside of"),
    "a centre of one number": (science, ("--centre", "10.0"), "write image, brightest, RA,DEC"),
    "an array of objects": (
        lambda f: array(f, np.array([{}], object), allow_pickle=True), (), "not an array of num",
    ),
    "an array of text": (lambda f: array(f, np.array([["a"]])), (), "not real numbers"),
    "an array of no pixel scale": (
        lambda f: array(f, IMAGE), ("--unit", "e-/s"), "give the --pixel-scale",
    ),
    "another pixel scale than the WCS's": (
        science, ("--pixel-scale", "0.05"), "by its WCS, not of --pixel-scale 0.05",
    ),
    "noise of another size": (
        lambda f: science(f, IMAGE, None, (np.ones((9, 9)), "SIZE", None)), ("--noise", "SIZE"),
        "has 9 x 9 pixels where",
    ),
    "noise that is not there": (science, ("--noise", "RMS"), "holds no image RMS"),
    "a PSF that sums to 0": (
        lambda f: science(f, IMAGE, None, (np.zeros((9, 9)), "PSF", None)), (), "is no PSF",
    ),
    "resampling that is not allowed": (
        lambda f: science(f, np.pad(IMAGE, 30), sky_header(0.05, size=140, **GOOD)),
        ("--resample", "never"),
        "has pixels of 0.05 arcsec where 0.101 are asked for",
    ),
    "a table without files": (lambda f: table(f, "name\nx\n"), (), "has no column file"),
    "a table without rows": (lambda f: table(f, "file\n"), (), "has no rows"),
    "a table of no numbers": (
        lambda f: table(f, "file,ra,dec\nbad.fits,here,there\n"), (), "row 1: here, there",
    ),
    "another model": (science, ("--model", "C"), "C"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_one_sentence_and_nothing_is_written(kind, tmp_path):
    make, options, sentence = BAD[kind]
    file = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / "archive"
    words = ["import-cutouts", str(file), "--out", str(out), *options]
    result = CliRunner().invoke(main, words)
    assert result.exit_code in (1, 2)
    [line] = [line for line in result.output.splitlines() if line.startswith("Error")]
    assert sentence in line
    assert "Unexpected" not in line
    assert len(line.removeprefix("Error: ").replace(str(tmp_path), "")) < 250
    assert sorted(tmp_path.rglob("*")) == before
