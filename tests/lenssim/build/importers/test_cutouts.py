"""Telescope images become an archive without labels."""

import csv
import json

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner

from lenssim.archive import open_archive
from lenssim.archive.integrity import file_problems, group_problems
from lenssim.build.importers import cutouts
from lenssim.build.importers.cutouts import import_cutouts
from lenssim.cli import main
from lenssim.cutouts.settings import CutoutSettings
from lenssim.errors import ImportFileError, UsageError

pytestmark = pytest.mark.usefixtures("plain_pictures")


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def sky_header(index=0, scale=0.101):
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRPIX1"] = header["CRPIX2"] = 40.5
    header["CRVAL1"], header["CRVAL2"] = 50 + 0.01 * index, -30.0
    header["CD1_1"], header["CD2_2"] = -scale / 3600, scale / 3600
    header["MAGZERO"] = 24.6
    return header


def write(file, index=0, **how):
    pixels = np.random.default_rng(index).normal(0, 0.01, (80, 80)).astype(np.float32)
    pixels[36:44, 36:44] += 1 + index
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(pixels, sky_header(index, **how), name="SCI"),
            fits.ImageHDU(np.full((80, 80), 0.01, np.float32), name="ERR"),
            fits.ImageHDU(np.outer(np.hanning(13)[1:-1], np.hanning(13)[1:-1]), name="PSF"),
        ]
    ).writeto(file)
    return file


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "survey").mkdir()
    for index in range(5):
        write(tmp_path / "survey" / f"{index}.fits", index)
    return tmp_path / "survey"


def test_a_folder_becomes_an_archive(folder, tmp_path):
    out = tmp_path / "archive"
    result = run("import-cutouts", folder, "--out", out, "--licence", "CC-BY-4.0")
    assert result.exit_code == 0, result.output
    assert "5 images (unlabelled)" in result.output
    archive = open_archive(out)
    [record] = archive.manifest.groups
    assert (record.name, record.count) == ("train/unlabelled", 5)
    dataset = archive.dataset("train", "unlabelled").load()
    assert dataset["image"].attrs["units"] == "e-/s"
    assert dataset["image"].shape == dataset["noise"].shape == (5, 64, 64)
    assert (dataset["label"].values == -1).all()
    factor = 10 ** (0.4 * (25.72 - 24.6))
    for index in range(5):
        assert float(dataset["image"][index].max()) == pytest.approx(factor * (1 + index), rel=0.05)
    assert dataset["noise"].values == pytest.approx(0.01 * factor)
    assert dataset["psf"].values.sum(axis=(1, 2)) == pytest.approx(1)
    assert dataset["ra"].values == pytest.approx(50 + 0.01 * np.arange(5))
    assert not dataset["resampled"].values.any()
    assert np.isnan(dataset["lens_theta_e"].values).all()
    assert not file_problems(archive, workers=1)
    assert not group_problems(archive, record)
    with (out / "sources.csv").open() as rows:
        sources = list(csv.DictReader(rows))
    assert [row["file"] for row in sources] == [str(folder / f"{n}.fits") for n in range(5)]
    assert sources[0]["noise"].endswith("[ERR]")
    assert "-1" in run("info", out).output
    values = json.loads(run("info", out, "--json").output)
    assert values["imported"]["cutouts"]["instrument"].startswith("B ")


def test_what_cannot_be_taken_is_listed_with_the_reason(folder, tmp_path):
    (folder / "2.fits").write_bytes((folder / "2.fits").read_bytes()[:9000])
    result = run("import-cutouts", folder, "--out", tmp_path / "archive")
    assert result.exit_code == 0
    assert "1 of 5 images were left out" in result.output
    with (tmp_path / "archive" / "refused.csv").open() as rows:
        [row] = csv.DictReader(rows)
    assert row["file"] == str(folder / "2.fits")
    assert "is damaged" in row["reason"]
    dataset = open_archive(tmp_path / "archive").dataset("train", "unlabelled")
    assert dataset["file"].values.tolist() == [0, 1, 2, 3]


def test_images_without_noise_map_or_psf_are_counted(folder, tmp_path):
    """A file that ends with a whole extension may have lost those that followed."""
    with fits.open(folder / "3.fits") as file:
        whole = fits.HDUList(file[:2])
        whole.writeto(folder / "3.fits", overwrite=True)
    result = run("import-cutouts", folder, "--out", tmp_path / "archive")
    assert result.exit_code == 0
    assert "1 of 5 images have no noise map, 1 of 5 images have no PSF: a fit" in result.output


@pytest.mark.parametrize("cut", [2880 + 400, 2880 * 2 - 80, 2880 * 12 + 400])
def test_a_file_that_ends_in_a_header_is_left_out(folder, tmp_path, cut):
    """astropy reads it as a file without that extension."""
    content = (folder / "2.fits").read_bytes()
    (folder / "2.fits").write_bytes(content[:cut])
    result = run("import-cutouts", folder, "--out", tmp_path / "archive")
    assert "1 of 5 images were left out" in result.output
    assert "is damaged" in result.output


def test_nothing_is_written_if_no_image_can_be_taken(folder, tmp_path):
    result = run("import-cutouts", folder, "--band", "VIS", "--out", tmp_path / "archive")
    assert result.exit_code != 0
    assert "None of 5 images can be taken. The first:" in result.output
    assert not (tmp_path / "archive").exists()


def test_an_import_that_was_cut_short_goes_on(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(cutouts, "BLOCK", 2)
    whole = import_cutouts([folder], tmp_path / "whole")
    calls = []
    read = cutouts.read_block

    def stop_at_third(*arguments):
        calls.append(arguments[5])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return read(*arguments)

    monkeypatch.setattr(cutouts, "read_block", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        import_cutouts([folder], tmp_path / "cut", name="survey", workers=1)
    monkeypatch.setattr(cutouts, "read_block", read)
    done = import_cutouts([folder], tmp_path / "cut", name="survey")
    assert done.manifest.files == whole.manifest.files
    # and a third call finds nothing to do
    again = import_cutouts([folder], tmp_path / "cut", name="survey")
    assert again.manifest == done.manifest


def test_other_options_are_another_data_set(folder, tmp_path):
    import_cutouts([folder], tmp_path / "archive")
    with pytest.raises(UsageError, match="choose another --out"):
        import_cutouts([folder], tmp_path / "archive", settings=CutoutSettings(zero_point=25.0))


def test_a_table_of_positions_in_a_mosaic(tmp_path):
    rng = np.random.default_rng(0)
    mosaic = rng.normal(0, 0.01, (400, 500)).astype(np.float32)
    places = [(100, 120), (300, 200), (430, 330)]
    for x, y in places:
        mosaic[y - 2 : y + 3, x - 2 : x + 3] += 1
    header = sky_header()
    fits.PrimaryHDU(mosaic, header).writeto(tmp_path / "mosaic.fits")
    from astropy.wcs import WCS

    rows = ["ra,dec"]
    for x, y in [*places, (900, 100)]:
        ra, dec = WCS(header).all_pix2world([[x, y]], 0)[0]
        rows.append(f"{ra:.8f},{dec:.8f}")
    (tmp_path / "lenses.csv").write_text("\n".join(rows))
    notes = []
    archive = import_cutouts(
        [tmp_path / "mosaic.fits"],
        tmp_path / "archive",
        positions=tmp_path / "lenses.csv",
        note=notes.append,
    )
    dataset = archive.dataset("train", "unlabelled").load()
    assert dataset.sizes["sample"] == 3
    assert "is outside of" in notes[0]
    for image in dataset["image"].values:
        assert image[30:35, 30:35].mean() > 1
    assert dataset["file_x"].values == pytest.approx([100, 300, 430], abs=0.01)


def test_a_table_names_files_with_noise_and_psf(tmp_path):
    for index in range(2):
        write(tmp_path / f"{index}.fits", index)
        pixels = fits.getdata(tmp_path / f"{index}.fits", "SCI")
        fits.writeto(tmp_path / f"{index}_image.fits", pixels)
        fits.writeto(tmp_path / f"{index}_rms.fits", np.full((80, 80), 0.02 + 0.01 * index))
    (tmp_path / "list.csv").write_text(
        "file,x,y,noise\n0_image.fits,39.5,39.5,0_rms.fits\n1_image.fits,39.5,39.5,1_rms.fits\n"
    )
    settings = CutoutSettings(unit="e-/s", pixel_scale=0.101)
    archive = import_cutouts([tmp_path / "list.csv"], tmp_path / "archive", settings=settings)
    noise = archive.dataset("train", "unlabelled")["noise"].values
    assert noise[0] == pytest.approx(0.02)
    assert noise[1] == pytest.approx(0.03)


def test_a_stack_in_an_npy_file_is_one_image_a_plane(tmp_path):
    stack = np.random.default_rng(0).normal(0, 1, (3, 70, 70))
    np.save(tmp_path / "stack.npy", stack)
    settings = CutoutSettings(unit="e-/s", pixel_scale=0.101)
    archive = import_cutouts([tmp_path / "stack.npy"], tmp_path / "archive", settings=settings)
    images = archive.dataset("train", "unlabelled")["image"].values
    np.testing.assert_allclose(images, stack[:, 3:67, 3:67], rtol=1e-6)


def test_a_single_refusal_is_its_own_message(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((70, 70)))
    with pytest.raises(ImportFileError, match=r"a\.npy does not state its pixel scale"):
        import_cutouts([tmp_path / "a.npy"], tmp_path / "archive")


def write_mosaic(file, index, places):
    """A mosaic with a lens at each of some pixels; `index` moves it by 36 arcsec on the sky."""
    pixels = np.random.default_rng(index).normal(0, 0.01, (200, 200)).astype(np.float32)
    for x, y in places:
        pixels[y - 2 : y + 3, x - 2 : x + 3] += 1
    header = sky_header(index)
    fits.PrimaryHDU(pixels, header).writeto(file)
    from astropy.wcs import WCS

    return WCS(header).all_pix2world(places, 0)


@pytest.fixture
def mosaics(tmp_path):
    """Two mosaics beside each other, each with two lenses, and where these are on the sky."""
    (tmp_path / "tiles").mkdir()
    places = [[(60, 60), (120, 110)], [(80, 130), (130, 70)]]
    return tmp_path / "tiles", [
        write_mosaic(tmp_path / "tiles" / f"{index}.fits", index, places[index])
        for index in range(2)
    ]


def test_positions_are_found_in_the_mosaic_that_holds_them(mosaics, tmp_path):
    tiles, positions = mosaics
    first, second = positions
    mixed = [second[1], first[0], (180.0, 45.0), second[0], first[1]]
    rows = ["ra,dec", *(f"{ra:.8f},{dec:.8f}" for ra, dec in mixed)]
    (tmp_path / "lenses.csv").write_text("\n".join(rows))
    notes = []
    archive = import_cutouts(
        [tiles], tmp_path / "archive", positions=tmp_path / "lenses.csv", note=notes.append
    )
    dataset = archive.dataset("train", "unlabelled").load()
    assert dataset["file_x"].values == pytest.approx([130, 60, 80, 120], abs=0.01)
    assert dataset["file"].values.tolist() == [0, 1, 0, 1]  # in order of appearance
    assert (dataset["image"].values[:, 30:35, 30:35].mean(axis=(1, 2)) > 1).all()
    assert "RA 180.000000, Dec 45.000000 is in none of the 2 images" in notes[0]
    assert archive.manifest.imported.source_files == 2


def test_a_row_of_positions_names_its_mosaic(mosaics, tmp_path):
    tiles, _ = mosaics
    table = tmp_path / "lenses.csv"
    table.write_text("file,x,y\n1.fits,80,130\ntiles/0.fits,60,60\n")
    archive = import_cutouts([tiles], tmp_path / "archive", positions=table)
    dataset = archive.dataset("train", "unlabelled").load()
    assert dataset["file_x"].values.tolist() == [80, 60]
    assert (dataset["image"].values[:, 30:35, 30:35].mean(axis=(1, 2)) > 1).all()
    table.write_text("file,x,y\n2.fits,80,130\n")
    with pytest.raises(UsageError, match=r"row 1: 2\.fits is none of the images"):
        import_cutouts([tiles], tmp_path / "other", positions=table)


def test_a_mosaic_without_a_wcs_cannot_be_searched(mosaics, tmp_path):
    tiles, _ = mosaics
    fits.writeto(tiles / "2.fits", np.zeros((200, 200)))
    (tmp_path / "lenses.csv").write_text("ra,dec\n50.0,-30.0\n")
    with pytest.raises(ImportFileError, match=r"2\.fits has no WCS to find positions by"):
        import_cutouts([tiles], tmp_path / "archive", positions=tmp_path / "lenses.csv")
