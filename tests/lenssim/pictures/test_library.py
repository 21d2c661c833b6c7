"""Folders and catalogues of pictures: numbers, splits, checksums, and what is refused."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from lenssim.errors import SpecError
from lenssim.pictures import open_library, with_checksum
from lenssim.pictures.catalogue import read_catalogue
from lenssim.pictures.library import split_position
from lenssim.population import random_stream
from lenssim.simulation import draw_system
from lenssim.spec import SourceImages, load_spec

REAL = Path(os.environ.get("LENSSIM_REAL_IMAGES", Path(__file__).parents[4] / "shared" / "real"))
COSMOS = REAL / "cosmos"


def images(folder, **keys):
    return SourceImages(folder=str(folder), **({"pixel_scale": 0.03} | keys))


def specification(folder, more=""):
    return load_spec("B", [f"source.images={{folder: {folder}, pixel_scale: 0.03{more}}}"])


def catalogue(folder, galaxies, **changes):
    """A catalogue in GalSim's layout of pictures in one file, as `(number, pixels)`."""
    units = [fits.PrimaryHDU()]
    units += [fits.ImageHDU(pixels.astype(">f4")) for _, pixels in galaxies]
    fits.HDUList(units).writeto(folder / "images.fits")
    count = len(galaxies)
    columns = {
        "IDENT": [number for number, _ in galaxies],
        "GAL_FILENAME": ["images.fits"] * count,
        "GAL_HDU": list(range(1, count + 1)),
        "PIXEL_SCALE": [0.03] * count,
        "NOISE_MEAN": [0.01] * count,
        "NOISE_VARIANCE": [1e-6] * count,
        "stamp_flux": [float(pixels.astype("f4").sum()) for _, pixels in galaxies],
    } | changes
    kinds = {"IDENT": "J", "GAL_FILENAME": "32A", "GAL_HDU": "J"}
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column(name, kinds.get(name, "D"), array=np.array(values))
            for name, values in columns.items()
            if values is not None
        ]
    )
    table.writeto(folder / "real_galaxy_catalog_9.fits")


def test_a_galaxy_is_in_one_split_by_its_number_alone(picture_folder, tmp_path):
    library = open_library(images(picture_folder))
    train, test = library.galaxies("train"), library.galaxies("test")
    assert sorted([*train, *test]) == list(range(100, 112))
    assert set(test) == {n for n in range(100, 112) if split_position(n) < 0.2} and len(test)
    for number in (*train[:2], *test[:2]):
        shutil.copy(picture_folder / f"{number}.npy", tmp_path)
    smaller = open_library(images(tmp_path))
    assert set(smaller.galaxies("train")) <= set(train)
    assert set(smaller.galaxies("test")) <= set(test)


def test_images_of_a_split_draw_its_galaxies_only(picture_folder):
    spec = specification(picture_folder)
    library = open_library(spec.source.images)
    for split in ("train", "test"):
        drawn = {
            draw_system(
                spec, "no_sub", random_stream(0, "B", split, "no_sub", i, "population"), split
            ).source_galaxy
            for i in range(60)
        }
        assert drawn <= set(library.galaxies(split).tolist())
        assert len(drawn) >= 2


def test_the_checksum_names_the_pictures(picture_folder, tmp_path):
    place = tmp_path / "galaxies"
    shutil.copytree(picture_folder, place)
    spec = with_checksum(specification(place))
    assert len(spec.source.images.sha256) == 64
    assert with_checksum(spec) == spec
    assert load_spec("B").sha256 != spec.sha256 != specification(place).sha256
    np.save(place / "103.npy", np.load(place / "104.npy"))
    with pytest.raises(SpecError, match="holds other pictures than the specification names"):
        with_checksum(spec)
    shutil.rmtree(place)
    with pytest.raises(SpecError, match="does not exist: give the folder"):
        with_checksum(spec)


def test_galsims_layout_is_read_with_scale_background_and_noise(picture_folder, tmp_path):
    picture = np.load(picture_folder / "100.npy")
    catalogue(tmp_path, [(97475, picture + 0.01), (169753, 2 * picture + 0.01)])
    entries = {entry.galaxy: entry for entry in read_catalogue(str(tmp_path)).entries}
    assert entries[169753].pixels() == pytest.approx(2 * picture + 0.01, abs=1e-6)
    assert (entries[97475].pixel_scale, entries[97475].background) == (0.03, 0.01)
    library = open_library(SourceImages(folder=str(tmp_path / "real_galaxy_catalog_9.fits")))
    plain = open_library(images(picture_folder)).picture(100)
    # the same galaxy but for the level that counts as noise
    assert library.picture(97475).half_light_radius == pytest.approx(
        plain.half_light_radius, rel=0.01
    )


def test_units_of_a_part_of_a_catalogue_are_found_by_their_flux(picture_folder, tmp_path):
    first, second = np.load(picture_folder / "100.npy"), 2 * np.load(picture_folder / "101.npy")
    catalogue(tmp_path, [(1, first), (2, second)], GAL_HDU=[2, 2])
    entries = {entry.galaxy: entry for entry in read_catalogue(str(tmp_path)).entries}
    assert entries[1].pixels() == pytest.approx(first, abs=1e-6)
    assert entries[2].pixels() == pytest.approx(second, abs=1e-6)


def test_a_catalogue_that_names_another_galaxys_picture_is_refused(picture_folder, tmp_path):
    picture = np.load(picture_folder / "100.npy")
    catalogue(tmp_path, [(1, picture), (2, 2 * picture)], stamp_flux=[1.0, 2.0])
    with pytest.raises(SpecError, match="unit 1 is not the picture of galaxy 1"):
        read_catalogue(str(tmp_path)).entries[0].pixels()


def test_a_catalogue_without_its_files_or_scale_is_refused(picture_folder, tmp_path):
    catalogue(tmp_path, [(1, np.load(picture_folder / "100.npy"))], PIXEL_SCALE=None)
    with pytest.raises(SpecError, match=r"give source\.images\.pixel_scale"):
        open_library(SourceImages(folder=str(tmp_path))).picture(1)
    (tmp_path / "images.fits").unlink()
    with pytest.raises(SpecError, match=r"names the file images\.fits, which is not beside it"):
        open_library(SourceImages(folder=str(tmp_path), exclude=(5,)))


def test_the_header_of_a_fits_file_gives_the_pixel_scale(picture_folder, tmp_path):
    pixels = np.load(picture_folder / "100.npy")
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 31, "CRPIX2": 31})
    for key, scale in (("CD1_1", -0.03), ("CD2_2", 0.03)):
        header[key] = scale / 3600
    fits.PrimaryHDU(pixels, header).writeto(tmp_path / "a.fits")
    fits.PrimaryHDU(pixels, fits.Header({"PIXSCALE": 0.06})).writeto(tmp_path / "b.fits")
    library = open_library(SourceImages(folder=str(tmp_path), test_fraction=1e-9))
    radii = {library.picture(int(n)).half_light_radius for n in library.galaxies("train")}
    assert max(radii) == pytest.approx(2 * min(radii), rel=1e-6)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "holds no picture"),
        ({"1.npy": b"not an array"}, "cannot be read"),
        ({"1.fits": b"SIMPLE  = not"}, "cannot be read"),
    ],
)
def test_an_empty_or_unreadable_folder_is_refused(tmp_path, content, words):
    for name, text in content.items():
        (tmp_path / name).write_bytes(text)
    with pytest.raises(SpecError, match=words) as caught:
        open_library(images(tmp_path, exclude=(3,))).picture(1)
    assert str(caught.value).endswith(".")


def test_a_galaxy_twice_and_an_unknown_one_are_refused(picture_folder, tmp_path):
    with pytest.raises(SpecError, match="holds no galaxy 77"):
        open_library(images(picture_folder)).picture(77)
    for name in ("107.npy", "0107.npy"):
        shutil.copy(picture_folder / "107.npy", tmp_path / name)
    with pytest.raises(SpecError, match=r"holds galaxy 107 twice, in 0107\.npy and 107\.npy"):
        open_library(images(tmp_path))


def test_a_split_without_galaxies_is_refused_with_what_would_do(picture_folder):
    library = open_library(
        images(picture_folder, exclude=tuple(range(102, 112)), test_fraction=0.001)
    )
    with pytest.raises(SpecError, match="choose it between") as caught:
        library.galaxies("test")
    low, high = (float(word) for word in str(caught.value)[:-1].split("between ")[1].split(" and "))
    for fraction in (low + 1e-3, high):
        some = open_library(
            images(picture_folder, exclude=tuple(range(102, 112)), test_fraction=fraction)
        )
        assert len(some.galaxies("train")) == len(some.galaxies("test")) == 1
    alone = open_library(images(picture_folder, exclude=tuple(range(101, 112)), test_fraction=1e-9))
    assert alone.galaxies("train").tolist() == [100]
    with pytest.raises(SpecError, match="one galaxy, which leaves none for the test split"):
        alone.galaxies("test")


@pytest.mark.skipif(not COSMOS.is_dir(), reason="needs the sample of COSMOS galaxies")
def test_the_sample_of_cosmos_galaxies_is_read():
    library = open_library(SourceImages(folder=str(COSMOS)))
    radii = [library.picture(galaxy).half_light_radius for galaxy in (97475, 169753)]
    # hlr of its fits catalogue, of the Sersic model without the PSF: 0.366 and 0.304
    assert 0.36 < radii[0] < 0.40
    assert 0.30 < radii[1] < 0.36
