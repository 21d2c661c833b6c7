"""The audit of an archive, from the command to its card."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import lenssim
from lenssim.archive.audit_record import AUDIT, AuditRecord
from lenssim.audit import record_audit, why_not_recorded
from lenssim.audit.features import read_features, systems_of
from lenssim.audit.measurement_errors import measurement_errors
from lenssim.build.description import describe
from lenssim.cli import main
from lenssim.observation import noise_sigma, pixel_noise
from lenssim.population import draw_system, random_stream
from lenssim.simulation import smooth_system

IMAGES = 100

B_1_0_0 = Path(__file__).parents[1] / "specifications_1_0_0" / "B.yaml"

PASSED = AuditRecord(
    auc=0.5,
    standard_error=0.01,
    limit=3.0,
    passed=True,
    images={"axion": IMAGES, "no_sub": IMAGES},
    seed=0,
    features=[],
)


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def version_1(tmp_path_factory):
    """An archive whose substructure's mass is taken out of the halo, as in version 1.0.0."""
    folder = tmp_path_factory.mktemp("audit") / "B"
    options = {"classes": ["axion", "no_sub"], "train": IMAGES, "test": 0}
    lenssim.generate(B_1_0_0, **options, out=folder)
    return folder


@pytest.fixture
def copied(version_1, tmp_path):
    return Path(shutil.copytree(version_1, tmp_path / "copy"))


def test_version_1_fails_by_its_rings_and_says_so_everywhere(copied):
    audited = run("audit", copied, "--json")
    assert audited.exit_code == 1
    assert "fails the leak audit" in audited.stderr
    assert "ring_radius (axion, AUC 1.000)" in audited.stderr
    found = AuditRecord.model_validate_json(audited.stdout)
    assert not found.passed
    assert found.auc > 0.9
    assert [leak.name for leak in found.leaks] == ["ring_radius"]
    assert found.ring_excess["axion"] == pytest.approx(0.005, rel=0.1)
    assert found.ring_excess["no_sub"] == 0.0
    ring = next(feature for feature in found.features if feature.name == "ring_radius")
    assert ring.measurement_error == pytest.approx(1.07e-4, rel=0.2)
    assert (copied / AUDIT).read_text() == audited.stdout
    card = (copied / "README.md").read_text()
    assert "## Leak audit" in card
    assert f"**{found.auc:.4f} +- {found.standard_error:.4f}**" in card
    verified = run("verify", copied)
    assert verified.exit_code == 0, verified.output
    (copied / AUDIT).write_text("{}")
    assert f"{AUDIT}: has" in run("verify", copied).stderr


def test_an_audit_is_of_the_archive_as_it_was(copied):
    record_audit(copied, PASSED)
    assert AUDIT in lenssim.open_archive(copied).manifest.files
    assert "is passed" in " ".join((copied / "README.md").read_text().split())
    archive = lenssim.generate(B_1_0_0, ["cdm"], train=2, test=0, out=copied)
    describe(copied)
    assert AUDIT not in lenssim.open_archive(copied).manifest.files
    assert not (copied / AUDIT).exists()
    assert archive.location.exists("README.md")
    assert "## Leak audit" not in (copied / "README.md").read_text()


def test_a_file_of_the_user_is_not_replaced(copied):
    (copied / AUDIT).write_text("my own notes")
    refused = run("audit", copied)
    assert refused.exit_code == 1
    assert "is damaged or no audit of ours" in refused.stderr
    assert (copied / AUDIT).read_text() == "my own notes"


def test_a_published_version_stays_as_it_is(version_1, tmp_path):
    lenssim.publish(version_1, tmp_path, version="1.0.0")
    published = lenssim.open_archive(tmp_path / "1.0.0")
    assert "is a published version, which never changes" in why_not_recorded(published)
    with pytest.raises(lenssim.ArchiveError, match="published version"):
        record_audit(tmp_path / "1.0.0", PASSED)
    assert not (tmp_path / "1.0.0" / AUDIT).exists()


def test_too_few_images_or_classes_are_refused(tmp_path):
    lenssim.generate("B", ["cdm"], train=2, test=0, out=tmp_path)
    alone = run("audit", tmp_path)
    assert alone.exit_code == 2
    assert "an audit compares classes" in alone.stderr
    lenssim.generate("B", ["no_sub"], train=2, test=0, out=tmp_path)
    few = run("audit", tmp_path)
    assert few.exit_code == 2
    assert "2 images of class cdm are too few" in few.stderr


def test_columns_give_back_the_systems_that_were_drawn(version_1):
    archive = lenssim.open_archive(version_1)
    record = archive.record("train", "axion")
    rows = archive.dataset("train", "axion").isel(sample=slice(3, 5)).load()
    columns = {str(name): rows[name].values for name in rows.data_vars}
    for index, system in zip(
        (3, 4), systems_of(archive, record, range(3, 5), columns), strict=True
    ):
        stream = random_stream(0, "B", "train", "axion", index, "population")
        drawn = draw_system(archive.spec, "axion", stream)
        assert system.smooth_theta_e == pytest.approx(drawn.smooth_theta_e, rel=1e-12)
        assert system.vortex_angle == drawn.vortex_angle
        assert system.source_x == drawn.source_x


def test_photon_noise_of_the_substructures_own_light_is_no_leak(tmp_path):
    overrides = ["substructure.f_sub=0.1", "substructure.cdm.radius_min=2"]
    archive = lenssim.generate(
        "A", ["cdm"], train=32, test=0, out=tmp_path, overrides=overrides, workers=1
    )
    features = read_features(archive, 32, workers=1, seed=0)
    scatter = features.image_values[:, features.statistics.index("border_scatter")]
    is_border = np.ones((64, 64), bool)
    is_border[4:-4, 4:-4] = False

    spec = archive.spec

    def variance(systems):
        sigma = noise_sigma(lenssim.render(systems, spec), pixel_noise(spec.instrument))
        return (sigma**2)[:, is_border].mean(1)

    streams = [random_stream(0, "A", "train", "cdm", index, "population") for index in range(32)]
    systems = [draw_system(spec, "cdm", stream) for stream in streams]
    smooth = variance([smooth_system(system) for system in systems])
    error = 1 / np.sqrt(is_border.sum() * len(systems))
    assert np.mean(scatter**2 / smooth) == pytest.approx(1, abs=4 * error)
    assert abs(np.mean(variance(systems) / smooth) - 1) > 8 * error


def test_the_error_of_a_magnitude_is_that_of_counted_photons():
    spec = lenssim.load_spec("B", ["instrument.read_noise=0", "instrument.sky_brightness=40"])
    system = draw_system(spec, "no_sub", random_stream(0, "B", "train", "no_sub", 0, "population"))
    image = lenssim.render(system, spec)
    photons = image.sum() * spec.instrument.exposure_time * spec.instrument.num_exposures
    errors = measurement_errors([system], spec, {"source_magnitude": 1e3})
    # with the position and the radius of the ring free, it can only be larger
    least = 2.5 / np.log(10) / np.sqrt(photons)
    assert least < errors["source_magnitude"] < 3 * least


def test_the_error_of_a_radius_does_not_depend_on_how_it_varies():
    spec = lenssim.load_spec("B")
    system = draw_system(spec, "no_sub", random_stream(0, "B", "train", "no_sub", 0, "population"))
    for spread in (0.0, 1e-15, 0.3):
        errors = measurement_errors([system], spec, {"ring_radius": spread})
        assert 5e-5 < errors["ring_radius"] < 2e-4


def test_a_ring_neutral_archive_passes(tmp_path):
    lenssim.generate("B", ["axion", "no_sub"], train=IMAGES, test=0, out=tmp_path)
    audited = run("audit", tmp_path)
    assert audited.exit_code == 0, audited.stderr
    assert "macro AUC 0." in audited.stdout
    found = AuditRecord.model_validate_json((tmp_path / AUDIT).read_bytes())
    assert found.passed
    assert found.ring_excess["axion"] < 1e-12
    names = [feature.name for feature in found.features]
    assert names[:3] == ["ring_radius", "source_x", "source_y"]
    assert "the audit is passed" in " ".join((tmp_path / "README.md").read_text().split())
