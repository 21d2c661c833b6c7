import shutil

import numpy as np
import pytest
from click.testing import CliRunner

import lenssim
from lenssim.build import fit as fitting
from lenssim.cli import main
from lenssim.errors import ArchiveError, UsageError
from lenssim.lens_fit.parameters import FIT_NAMES

COUNT = 5


@pytest.fixture(scope="session")
def unfitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fits") / "wide"
    spec = ["observation.refit_snr=none"]
    lenssim.generate("B-wide", ["no_sub"], train=COUNT, test=2, out=folder, overrides=spec)
    return folder


@pytest.fixture(scope="session")
def fitted(unfitted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fits") / "fitted"
    shutil.copytree(unfitted, folder)
    lenssim.fit(folder, workers=2)
    return folder


@pytest.fixture
def copy(unfitted, tmp_path):
    return shutil.copytree(unfitted, tmp_path / "copy")


def test_fits_of_an_archive_are_those_of_its_images(fitted):
    archive = lenssim.open_archive(fitted)
    fits = archive.fits("train", "no_sub").load()
    row = archive.dataset("train", "no_sub").isel(sample=3).load()
    alone = lenssim.fit_image(row["image"].values, archive.spec, psf_fwhm=float(row["psf_fwhm"]))
    assert list(fits["parameter"].values) == list(alone.names)
    np.testing.assert_array_equal(fits["value"].values[3], alone.values)
    np.testing.assert_array_equal(fits["residual"].values[3], alone.residual)
    assert fits["converged"].values.sum() >= COUNT - 1
    assert np.median(fits["reduced_chi_square"]) == pytest.approx(1.0, abs=0.08)
    found = fits["value"].sel(parameter="lens_theta_e").values
    truth = archive.dataset("train", "no_sub")["lens_theta_e"].values
    np.testing.assert_allclose(found, truth, rtol=0.03)
    assert fits.attrs["spec_sha256"] == archive.manifest.spec_sha256
    assert fits.attrs["fit_settings"]["multipoles"] is True


def test_fits_are_verified(fitted, tmp_path):
    assert not lenssim.verify(fitted).problems
    damaged = shutil.copytree(fitted, tmp_path / "damaged")
    file = next(damaged.glob("fits/train/no_sub/residual/c/0/0/0"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    assert any("residual" in problem.place for problem in lenssim.verify(damaged).problems)


def test_interrupted_fit_goes_on_and_gives_the_same(copy, fitted, monkeypatch):
    monkeypatch.setattr(fitting, "FILE_SIZE", 2)

    def stop_after(images):
        def advance(_):
            nonlocal images
            images -= 1
            if images < 0:
                raise KeyboardInterrupt

        return advance

    with pytest.raises(KeyboardInterrupt):
        lenssim.fit(copy, workers=1, splits=["train"], progress=stop_after(3))
    assert not lenssim.open_archive(copy).manifest.has_fits("train/no_sub")
    made = []
    lenssim.fit(copy, workers=1, splits=["train"], progress=made.append)
    assert 0 < sum(made) <= COUNT - 2  # threads take the files in any order
    again, whole = (
        lenssim.open_archive(folder).fits("train", "no_sub").load() for folder in (copy, fitted)
    )
    np.testing.assert_array_equal(again["residual"], whole["residual"])
    assert not lenssim.verify(copy).problems


def test_fits_by_other_settings_are_replaced_only_when_asked(fitted, tmp_path):
    folder = shutil.copytree(fitted, tmp_path / "other")
    result = CliRunner().invoke(main, ["fit", str(folder), "--no-multipoles", "--split", "test"])
    assert result.exit_code == 2
    assert "--overwrite" in result.output
    result = CliRunner().invoke(
        main, ["fit", str(folder), "--no-multipoles", "--split", "test", "--overwrite"]
    )
    assert result.exit_code == 0, result.output
    archive = lenssim.open_archive(folder)
    assert archive.fits("test", "no_sub").sizes["parameter"] == 15
    assert archive.fits("train", "no_sub").sizes["parameter"] == 19
    assert not lenssim.verify(folder).problems


def test_light_of_the_lens_is_fitted_when_asked(copy):
    """Fits without it are those of before there was a choice."""
    runner = CliRunner()
    dark = runner.invoke(main, ["fit", str(copy), "--split", "test"])
    assert dark.exit_code == 0, dark.output
    assert (
        "lens_light" not in lenssim.open_archive(copy).fits("test", "no_sub").attrs["fit_settings"]
    )
    refused = runner.invoke(main, ["fit", str(copy), "--split", "test", "--lens-light"])
    assert refused.exit_code != 0
    assert "--overwrite" in refused.output
    lit = runner.invoke(main, ["fit", str(copy), "--split", "test", "--lens-light", "--overwrite"])
    assert lit.exit_code == 0, lit.output
    fits = lenssim.open_archive(copy).fits("test", "no_sub").load()
    assert list(fits["parameter"].values) == list(FIT_NAMES)
    assert fits.attrs["fit_settings"]["lens_light"] is True


@pytest.mark.parametrize("count", [1, 127, 128, 129, 200, 255, 256, 4000])
def test_files_of_fits_hold_whole_chunks(unfitted, count):
    record = lenssim.open_archive(unfitted).manifest.groups[0]
    layout = fitting.fit_layout(record.model_copy(update={"count": count}))
    assert layout.record.shard_size % layout.chunk_size == 0
    assert layout.chunk_size <= 128


def test_complete_fits_are_left(fitted):
    made = []
    lenssim.fit(fitted, progress=made.append)
    assert not made


def test_images_made_anew_lose_their_fits(fitted, tmp_path):
    folder = shutil.copytree(fitted, tmp_path / "anew")
    options = {"train": COUNT, "test": 2, "out": folder, "overwrite": True}
    lenssim.generate("B-wide", ["no_sub"], overrides=["observation.refit_snr=none"], **options)
    archive = lenssim.open_archive(folder)
    assert not archive.manifest.has_fits("train/no_sub")
    assert not (folder / "fits" / "train").exists()
    assert not lenssim.verify(folder).problems


def test_archive_without_fits_says_how_to_make_them(unfitted):
    with pytest.raises(ArchiveError, match="lenssim fit"):
        lenssim.open_archive(unfitted).fits("train", "no_sub")


def test_instrument_of_another_size_is_refused(unfitted):
    small = lenssim.load_spec("B", ["instrument.num_pix=32"])
    with pytest.raises(UsageError, match="64 pixels"):
        lenssim.fit(unfitted, instrument=small)
