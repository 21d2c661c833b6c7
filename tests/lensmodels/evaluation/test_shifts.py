"""Shift tests: sets that depart in one thing, the same for every run, and what a model makes."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from lensmodels.cli import main
from lensmodels.data import DataSettings
from lensmodels.errors import DataError, UsageError
from lensmodels.evaluation.requests import check_shifts
from lensmodels.evaluation.shift_testing import (
    FIRST_SAMPLE,
    measure_shifts,
    read_shifts,
    remove_stale_shifts,
    simulate,
)
from lensmodels.evaluation.shifts import HOME, SHIFTS, Shift, moved, scaled
from lensmodels.reporting.plots import draw_shifts
from lensmodels.reporting.run_page import write_report
from lensmodels.reporting.shift_tables import (
    shift_sentences,
    shift_table,
    terminal_text,
    text_table,
)
from lensmodels.runs import read_config, write_config
from lenssim.configuration.key_values import differences
from lenssim.errors import SpecError
from lenssim.spec import CLASSES, load_spec
from lenssim.spec.loading import shipped_specs

CHANGED = {
    "Einstein radius 2% larger": {"lens.einstein_mass", "lens.velocity_dispersion"},
    "shear 0.03 higher": {"lens.gamma1"},
    "source two magnitudes fainter": {"source.magnitude"},
    "PSF 20% wider": {"instrument.psf_fwhm", "instrument.psf"},
    "half a pixel aside": {"lens.x", "lens.y", "source.x", "source.y"},
    "exposure four times as long": {"instrument.exposure_time"},
    "exposure a quarter as long": {"instrument.exposure_time"},
    "lens light of magnitude 20": {"lens.light"},
    "multipoles of 2%": {"lens.m3", "lens.m4"},
    "instrument of model A": {"instrument"},
    "instrument of model B": {"instrument"},
    "lenses of model B-wide": {"lens", "source", "selection"},
}
"""Keys that a shift may change, themselves or below them."""


def by_name(name):
    return next(shift for shift in SHIFTS if shift.name == name)


def is_within(key, keys):
    return any(key == above or key.startswith(f"{above}.") for above in keys)


@pytest.mark.parametrize("model", shipped_specs())
def test_a_shift_changes_one_thing_of_every_model(model):
    spec = load_spec(model)
    unchanged = []
    for shift in SHIFTS:
        try:
            shifted = shift.specification(spec)
        except SpecError:  # their distances hold for one pair of redshifts alone
            assert (model[2:], shift.name) == ("deeplense", "lenses of model B-wide")
            continue
        if shifted is None:
            unchanged.append(shift.name)
            continue
        assert shifted.name == spec.name and shifted.instrument.num_pix == spec.instrument.num_pix
        before, after = (given.model_dump(mode="json") for given in (spec, shifted))
        keys = {key for key, *_ in differences(before, after)}
        if shift.values is None:
            assert not keys
        else:
            assert keys and all(is_within(key, CHANGED[shift.name]) for key in keys)
    # a model does not depart from itself
    assert set(unchanged) <= {f"instrument of model {model}", "lenses of model B-wide"}
    assert (f"instrument of model {model}" in unchanged) == (model in ("A", "B"))
    assert ("lenses of model B-wide" in unchanged) == (model == "B-wide")


def test_names_of_shifts_are_unique_and_the_first_is_none():
    names = [shift.name for shift in SHIFTS]
    assert len(set(names)) == len(names)
    assert SHIFTS[0] is HOME and HOME.values is HOME.pixels is None


@pytest.fixture(scope="module")
def spec():
    return load_spec("B", ["instrument.num_pix=16"])


@pytest.fixture(scope="module")
def at_home(spec):
    return simulate(spec, CLASSES, 2)


def test_images_are_the_same_every_time_and_beyond_those_of_archives(spec, at_home):
    again = simulate(spec, CLASSES, 1)
    np.testing.assert_array_equal(again.images, at_home.images[:3])
    assert at_home.images.shape == (6, 16, 16)
    assert at_home.columns["label"].tolist() == [0, 1, 2, 0, 1, 2]
    assert FIRST_SAMPLE > 2**32


def test_shifts_of_the_specification_reach_the_images(spec, at_home):
    fainter = simulate(by_name("source two magnitudes fainter").specification(spec), CLASSES, 2)
    noise = at_home.images.std()
    np.testing.assert_array_equal(fainter.columns["axion_mass"], at_home.columns["axion_mass"])
    brighter = at_home.images.sum(axis=(1, 2)) / fainter.images.sum(axis=(1, 2))
    np.testing.assert_allclose(brighter, 10**0.8, rtol=0.1)
    aside = simulate(by_name("half a pixel aside").specification(spec), CLASSES, 2)
    assert np.abs(aside.images - at_home.images).max() > noise


def test_shifts_of_the_pixels(spec, at_home):
    images = at_home.images
    adu = by_name("ADU in place of e-/s").pixels(images, spec)
    np.testing.assert_allclose(adu, images * 4 * 566.0 / 3.1, rtol=1e-5)
    scaled_images = by_name("scaled to [0, 1]").pixels(images, spec)
    assert scaled_images.min(axis=(1, 2)).tolist() == [0] * 6
    assert scaled_images.max(axis=(1, 2)).tolist() == [1] * 6
    first, second = (by_name("sky noise alone").pixels(images, spec) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert abs(first.mean()) < 0.2 * first.std()
    assert not by_name("blank images").pixels(images, spec).any()
    np.testing.assert_array_equal(at_home.images, images)


TESTED = [
    HOME,
    *(by_name(name) for name in ("PSF 20% wider", "ADU in place of e-/s", "blank images")),
    Shift("impossible", moved("substructure.f_sub", 2.0)),
]


@pytest.fixture(scope="module")
def tested(held_out, contract, tmp_path_factory):
    """An evaluated run with 108 validation images, and what its shift tests gave."""
    run = tmp_path_factory.mktemp("shifts") / "run"
    shutil.copytree(held_out("classification")[0], run)
    config = read_config(run)
    measured = config.measured.model_copy(update={"contract": contract})
    write_config(run, config.model_copy(update={"measured": measured}))
    return run, measure_shifts(run, 4, out=run, shifts=TESTED)


def test_score_calibration_and_flags_of_every_shift(tested):
    _, found = tested
    rows = {row["shift"]: row for row in found["rows"]}
    assert list(rows) == [shift.name for shift in TESTED[:-1]]
    assert all(row["images"] == 12 for row in rows.values())
    assert rows["no shift"]["flagged"] < 0.5
    assert 0 <= rows["no shift"]["macro_auc"] <= 1 and len(rows["no shift"]["ci95"]) == 2
    assert rows["ADU in place of e-/s"]["flagged_by_pixels"] == 1
    blank = rows["blank images"]
    assert (blank["flagged"], blank["macro_auc"], blank["expected_calibration_error"]) == (
        1,
        None,
        None,
    )
    assert blank["share_of_that_class"] == 1
    # stated by the archive of such images, and by no pixel
    assert rows["PSF 20% wider"]["flagged"] == 1
    assert rows["PSF 20% wider"]["flagged_by_pixels"] < 0.5


def test_a_shift_that_the_specification_does_not_allow_is_left_out_with_its_reason(tested):
    _, found = tested
    assert list(found["left_out"]) == ["impossible"]
    assert "substructure.f_sub" in found["left_out"]["impossible"]


def test_files_hold_the_rows(tested):
    run, found = tested
    assert json.loads((run / "shifts.json").read_text()) == found == read_shifts(run)
    table = pd.read_csv(run / "shifts.csv")
    assert table["shift"].tolist() == [row["shift"] for row in found["rows"]]
    assert table["ci95_low"][0] == pytest.approx(found["rows"][0]["ci95"][0])


def test_a_test_is_repeatable(tested, tmp_path):
    run, found = tested
    again = measure_shifts(run, 4, out=tmp_path, shifts=TESTED[:2])
    assert again["rows"] == found["rows"][:2]


def test_page_and_picture_show_every_shift(tested):
    run, found = tested
    page = write_report(run).read_text()
    assert "Shifted test sets" in page and "2 of 3 shifted" not in page
    assert all(row["shift"] in page for row in found["rows"])
    _, *panels = (axes.get_xlabel() for axes in draw_shifts(found).axes)
    assert panels == ["expected calibration error", "share flagged"]
    assert "blank images" in terminal_text(run) and "impossible is left out" in terminal_text(run)


def test_table_and_sentence(tested):
    _, found = tested
    table = shift_table(found)
    text = text_table(table)
    assert len({line.index("12") for line in text.splitlines()[1:]}) == 1
    assert "blank images" in text and "\N{EN DASH}" in text
    [sentence] = shift_sentences(found)
    assert "3 of 3 shifted test sets are flagged" in sentence.text and not sentence.is_warning
    missed = json.loads(json.dumps(found))
    missed["rows"][1] |= {"flagged": 0.25, "macro_auc": 0.0}
    [sentence] = shift_sentences(missed)
    assert "2 of 3" in sentence.text and "PSF 20% wider (25% flagged" in sentence.text
    assert sentence.is_warning
    assert shift_sentences(None) == []


def test_tests_of_another_model_are_removed(tested, tmp_path):
    run, found = tested
    for sha256, kept in ((found["model_sha256"], True), ("0" * 64, False)):
        (tmp_path / "shifts.json").write_text(json.dumps(found | {"model_sha256": sha256}))
        remove_stale_shifts(tmp_path, run)
        assert (tmp_path / "shifts.json").exists() == kept


def test_shifts_of_the_axion_mass(held_out, tmp_path):
    run, _ = held_out("axion-mass")
    found = measure_shifts(run, 4, out=tmp_path, shifts=TESTED[:1] + TESTED[2:4])
    rows = {row["shift"]: row for row in found["rows"]}
    assert rows["no shift"]["images"] == 4
    assert rows["no shift"]["rmse_dex"] > 0 and 0 <= rows["no shift"]["coverage_90"] <= 1
    assert rows["blank images"]["rmse_dex"] is None
    assert rows["blank images"]["mean_width_dex"] > 0
    assert "RMSE, dex" in shift_table(found).headings


@pytest.mark.slow
def test_the_command_writes_table_picture_and_page(held_out, tmp_path):
    run, _ = held_out("classification")
    out = tmp_path / "out"
    words = ["evaluate", str(run), "--shifts", "--shift-images", "2", "--out", str(out)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(out / "report.html")
    assert "blank images" in result.stderr and "by pixels alone" in result.stderr
    found = read_shifts(out)
    assert len(found["rows"]) >= len(SHIFTS) - 2 and not found["left_out"]
    assert (out / "plots" / "shifts.png").exists()
    page = (out / "report.html").read_text()
    assert "Shifted test sets" in page and "Einstein radius 2% larger" in page
    result = CliRunner().invoke(main, ["evaluate", str(run), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert (out / "plots" / "shifts.png").exists()  # kept: they are of this model


@pytest.fixture
def changed(make_run):
    """Makes a run whose data settings are changed."""

    def change(**settings):
        run = make_run(name="changed")
        config = read_config(run)
        data = DataSettings.model_validate(config.data.model_dump() | settings)
        write_config(run, config.model_copy(update={"data": data}))
        return run

    return change


def test_a_run_on_residuals_is_refused(changed):
    with pytest.raises(UsageError, match="learned from residuals"):
        check_shifts(changed(input="residual"))


def test_a_run_whose_archive_is_gone_is_refused(changed, tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        check_shifts(changed(url=str(tmp_path / "nowhere")))


def test_size_without_shifts_is_refused(make_run):
    result = CliRunner().invoke(main, ["evaluate", str(make_run()), "--shift-images", "5"])
    assert result.exit_code == 2
    assert "give --shifts, too" in result.stderr


def test_a_prior_that_cannot_be_scaled_is_named():
    with pytest.raises(SpecError, match="cannot be scaled or moved"):
        Shift("larger sources", scaled("source.r_sersic", 2.0)).specification(load_spec("B-wide"))
