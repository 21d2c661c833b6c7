"""Cutouts a second of `lenssim import-cutouts`, with and without resampling.

Files are made in the layout of a Euclid Q1 cutout (8 bands of image, PSF and RMS map, of which one
band is read) and in that of a drizzled Hubble image of half the pixel size. A hundred different
ones are linked under other names until there are enough, so that they are read from memory: what is
measured is decoding, conversion and writing. A second, smaller import gives what it costs to start;
the rate without it is the one of an import without end.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from lensmodels.reporting.measurements import write
from lensmodels.reporting.tables import markdown_table
from lenssim.build.importers.cutouts import import_cutouts
from lenssim.cutouts.settings import CutoutSettings

DIFFERENT = 100
"""Files that are not links."""

FEWER = 4
"""How many times smaller the second import is."""

Q1_BANDS = ("DES_G", "DES_R", "VIS", "DES_I", "DES_Z", "NIR_Y", "NIR_J", "NIR_H")


def sky_header(scale: float, size: int, index: int) -> fits.Header:
    """North up, with a zero point; every image at a place of its own."""
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRPIX1"] = header["CRPIX2"] = 0.5 * (size + 1)
    header["CRVAL1"], header["CRVAL2"] = 50 + 0.01 * index, -30.0
    header["CD1_1"], header["CD2_2"] = -scale / 3600, scale / 3600
    header["MAGZERO"] = 24.6
    return header


def lens(size: int, scale: float, generator: np.random.Generator) -> NDArray[np.float32]:
    """A ring with noise."""
    y, x = (np.mgrid[:size, :size] - 0.5 * (size - 1)) * scale
    ring = np.exp(-0.5 * ((np.hypot(x, y) - 1.2) / 0.15) ** 2)
    return (ring + generator.normal(0, 0.02, ring.shape)).astype(np.float32)


def star(size: int, scale: float) -> NDArray[np.float32]:
    """A PSF with a FWHM of 0.16 arcsec."""
    y, x = (np.mgrid[:size, :size] - 0.5 * (size - 1)) * scale
    return np.exp(-0.5 * (x**2 + y**2) / 0.068**2).astype(np.float32)


def write_q1(file: Path, index: int) -> None:
    """100 x 100 pixels of 0.1 arcsec in 8 bands, each with its PSF and RMS map."""
    generator = np.random.default_rng(index)
    hdus: list[Any] = [fits.PrimaryHDU()]
    for band in Q1_BANDS:
        header = sky_header(0.1, 100, index)
        hdus += [
            fits.ImageHDU(lens(100, 0.1, generator), header, name=f"{band}_BGSUB"),
            fits.ImageHDU(star(21, 0.1), name=f"{band}_PSF"),
            fits.ImageHDU(np.full((100, 100), 0.02, np.float32), header, name=f"{band}_RMS"),
        ]
    fits.HDUList(hdus).writeto(file)


def write_hubble(file: Path, index: int) -> None:
    """281 x 281 pixels of 0.05 arcsec, with error map, flags and PSF."""
    generator, header = np.random.default_rng(index), sky_header(0.05, 281, index)
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(lens(281, 0.05, generator), header, name="SCI"),
            fits.ImageHDU(np.full((281, 281), 0.02, np.float32), header, name="ERR"),
            fits.ImageHDU(np.zeros((281, 281), np.int16), header, name="DQ"),
            fits.ImageHDU(star(41, 0.05), name="PSF"),
        ]
    ).writeto(file)


def folder_of(folder: Path, make: Callable[[Path, int], None], count: int) -> Path:
    """A folder of so many files, of which `DIFFERENT` are not links."""
    folder.mkdir(parents=True)
    for index in range(count):
        file = folder / f"{index:06}.fits"
        if index < DIFFERENT:
            make(file, index)
        else:
            os.link(folder / f"{index % DIFFERENT:06}.fits", file)
    return folder


def cpu_seconds() -> float:
    """Of this process, and of those that it has started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def seconds(folder: Path, out: Path, workers: int, band: str | None) -> tuple[float, float]:
    """Of an import: by the clock, and of all processors."""
    start, cpu = time.perf_counter(), cpu_seconds()
    import_cutouts([folder], out, settings=CutoutSettings(band=band), workers=workers)
    return time.perf_counter() - start, cpu_seconds() - cpu


CASES: dict[str, tuple[Callable[[Path, int], None], str | None, float]] = {
    'Euclid Q1, 8 bands, 0.1": not resampled': (write_q1, "VIS", 200.0),
    'Hubble, 281 x 281 of 0.05": resampled': (write_hubble, None, 40.0),
}
"""What makes a file, the band that is read, and the rate that is aimed at."""


def measure(name: str, count: int, workers: int) -> dict[str, Any]:
    """Rates of one kind of files."""
    make, band, target = CASES[name]
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        times = []
        for part, images in (("fewer", count // FEWER), ("all", count)):
            folder = folder_of(root / part, make, images)
            times.append(seconds(folder, root / f"{part}-archive", workers, band))
        few, whole = times
    more = count - count // FEWER
    return {
        "files": name,
        "cutouts": count,
        "seconds": whole[0],
        "per_second": count / whole[0],
        "per_second_endless": more / (whole[0] - few[0]),
        "cpu_seconds_each": (whole[1] - few[1]) / more,
        "cpu_seconds_start": whole[1] - count * (whole[1] - few[1]) / more,
        "per_second_alone": count / (whole[1] / workers),
        "target": target,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cutouts", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    figures = []
    for name in CASES:
        load = os.getloadavg()[0]
        figures.append(measure(name, options.cutouts, options.workers) | {"load_before": load})
    rows = [
        [
            row["files"],
            f"{row['cutouts']:,}",
            f"{row['seconds']:.1f}",
            f"{row['per_second']:,.0f}",
            f"{row['per_second_endless']:,.0f}",
            f"{1e3 * row['cpu_seconds_each']:.1f}",
            f"{row['cpu_seconds_start']:.0f}",
            f"{row['per_second_alone']:,.0f}",
            f"> {row['target']:,.0f}",
            f"{row['load_before']:.1f}",
        ]
        for row in figures
    ]
    headings = [
        *["files", "cutouts", "seconds", "cutouts/s", "without the start"],
        *["CPU ms each", "CPU s to start", "cutouts/s by CPU time", "target"],
        "load before",
    ]
    write(
        "import_cutouts",
        f"`lenssim import-cutouts` of files to model B by {options.workers} processes: reading, "
        "conversion, noise, mask, PSF and the archive. The files are in memory. CPU time is that "
        "of all processes: the rate by it is that of as many processors with nothing else to do, "
        "start included. A load above their number says that others used them, too.",
        {"import_cutouts": figures},
        markdown_table(headings, rows),
        ["numpy", "astropy", "drizzle", "zarr"],
    )


if __name__ == "__main__":
    main()
