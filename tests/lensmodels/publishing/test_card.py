"""The card says what the files say, in the form that the hub reads."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from huggingface_hub import ModelCard

from lensmodels.encoders import Encoder, EncoderSettings
from lensmodels.evaluation.out_of_distribution import load_home_scores
from lensmodels.evaluation.shifts import HOME
from lensmodels.publishing import publish
from lensmodels.publishing.card import timm_lines
from lensmodels.runs import read_config, write_config
from lensmodels.runs.folder import SHIFTS_JSON
from lensmodels.runs.weights import save_encoder
from lenssim.archive import open_archive
from lenssim.archive.card import data_fingerprint

BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("lensmodels", "lenssim"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
import torch
"""


@pytest.fixture(scope="module")
def made(held_out, tmp_path_factory):
    """Run, metrics and published folder of each task."""
    folders = {}

    def make(task):
        if task not in folders:
            run, metrics = held_out(task)
            folders[task] = run, metrics, tmp_path_factory.mktemp("published") / task
            publish(run, folders[task][2], licence="mit")
        return folders[task]

    return make


@pytest.mark.parametrize(
    ("task", "pipeline", "score"),
    [("classification", "image-classification", "macro_auc"), ("axion-mass", None, "rmse_dex")],
)
def test_the_hub_reads_its_front_matter(task, pipeline, score, made):
    _, metrics, folder = made(task)
    data = ModelCard.load(folder / "README.md").data
    assert (data.license, data.library_name, data.pipeline_tag) == ("mit", "lensmodels", pipeline)
    assert {"gravitational-lensing", "supervised"} <= set(data.tags)
    results = data.eval_results
    assert results[0].metric_value == pytest.approx(metrics[score])
    assert results[0].dataset_name == "B, test split"


def test_it_names_the_specification_and_the_data(made, lenses):
    text = (made("classification")[2] / "README.md").read_text()
    manifest = open_archive(lenses).manifest
    assert f"| specification, SHA-256 | {manifest.spec_sha256} |" in text
    assert f"| data, SHA-256 | {data_fingerprint(manifest)} |" in text
    assert "| data model | B 1.0.0, seed 0 |" in text


def test_it_says_where_the_model_must_not_be_used(made):
    run, metrics, folder = made("classification")
    text = (folder / "README.md").read_text()
    limits = text[text.index("## Where it must not be used") :]
    home = load_home_scores(run)
    low, high = home.limits()
    noise = home.names.index("noise")
    assert f"| {low[noise]:.4g} | {high[noise]:.4g} |" in limits
    assert "90% of the prediction sets" in limits
    temperature = metrics["calibration"]["temperature"]
    assert f"scaled by a temperature of {temperature:.2f}" in text


def test_a_run_that_measured_nothing_says_so(made, tmp_path):
    shutil.copytree(made("classification")[0], tmp_path / "run")
    for name in ("out_of_distribution.safetensors", "calibration.safetensors"):
        (tmp_path / "run" / name).unlink()
    publish(tmp_path / "run", tmp_path / "published")
    text = (tmp_path / "published" / "README.md").read_text()
    assert "**Nothing flags such images**" in text
    assert "**Its probabilities are not calibrated**" in text


def test_scores_on_shifted_images_are_in_it_if_they_were_measured(made, tmp_path):
    run, _, folder = made("classification")
    assert "Shifted images" not in (folder / "README.md").read_text()
    shutil.copytree(run, tmp_path / "run")
    row = {"images": 60, "macro_auc": 0.62, "ci95": [0.5, 0.7], "expected_calibration_error": 0.3}
    row |= {"mean_probability": 0.9, "flagged": 0.31, "flagged_by_pixels": 0.31}
    found = {"task": "classification", "specification": {"name": "B"}, "images_per_class": 20}
    found["rows"] = [row | {"shift": HOME.name}, row | {"shift": "theta_E + 2%"}]
    (tmp_path / "run" / SHIFTS_JSON).write_text(json.dumps(found))
    publish(tmp_path / "run", tmp_path / "published")
    text = (tmp_path / "published" / "README.md").read_text()
    assert "## Shifted images" in text and "theta_E + 2% (31% flagged, macro AUC 0.620)" in text
    assert "| theta_E + 2% | 60 | 0.620 (0.500 to 0.700) | 0.300 | 0.900 | 31.0% | 31.0% |" in text
    assert (tmp_path / "published" / SHIFTS_JSON).exists()


def test_encoders_of_timm_load_without_this_project(tmp_path):
    """In a process in which neither package can be imported, with the same features."""
    images = torch.randn(3, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    code, expected = [BLOCKED, f"images = torch.load('{tmp_path}/images.pt')"], {}
    torch.save(images, tmp_path / "images.pt")
    for name, settings in {
        "test_resnet": {},
        "test_vit": {"patch_size": 8},
        "test_convnext": {"arguments": {"depths": [1, 1, 1, 1]}},
    }.items():
        encoder = Encoder(EncoderSettings(name=name, **settings), 64).eval()
        save_encoder(tmp_path, encoder)
        file = tmp_path / f"{name}.safetensors"
        (tmp_path / "encoder.safetensors").rename(file)
        with torch.inference_mode():
            expected[name] = encoder(images)
        lines = timm_lines(encoder, str(file))
        assert len(lines.replace("\n\n", "\n").splitlines()) == 3
        code += [lines, f"torch.save(features.detach(), '{tmp_path}/{name}.pt')"]
    subprocess.run([sys.executable, "-c", "\n".join(code)], check=True)
    for name, features in expected.items():
        torch.testing.assert_close(
            torch.load(tmp_path / f"{name}.pt"), features, rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize(
    "settings", [{"name": "equivariant"}, {"name": "test_resnet", "small_stem": True}]
)
def test_networks_that_timm_alone_does_not_make_have_no_such_lines(settings):
    assert timm_lines(Encoder(EncoderSettings(**settings), 64)) is None


def test_an_archive_that_is_gone_is_not_described(made, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(made("classification")[0], run)
    config = read_config(run)
    moved = config.data.model_copy(update={"url": str(tmp_path / "gone" / "B")})
    write_config(run, config.model_copy(update={"data": moved}))
    publish(run, tmp_path / "published")
    text = (tmp_path / "published" / "README.md").read_text()
    assert "no longer where the run was trained" in text
    assert json.loads((run / "metrics.json").read_text())["data"]["sha256"] in text
