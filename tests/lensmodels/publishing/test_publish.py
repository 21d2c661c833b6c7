"""A published model is the run that it came from, whole or not at all, wherever it lies."""

import json
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import lensmodels
from lensmodels import training
from lensmodels.cli import main
from lensmodels.errors import LensmodelsError, UsageError
from lensmodels.evaluation import predict
from lensmodels.options import pretrained_options
from lensmodels.publishing import publish
from lensmodels.runs import MODEL, load_model, local_run, read_config, save_model
from lensmodels.runs.published import LISTING
from lensmodels.settings import config_from_options
from lenssim.archive import open_archive
from lenssim.storage.location import Location


@pytest.fixture(scope="module")
def run(held_out):
    return held_out("classification")[0]


@pytest.fixture
def memory():
    """URL of a remote folder of this process."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield "memory://models/lenses"
    files.store.clear()


@pytest.fixture
def image_file(lenses, tmp_path):
    file = tmp_path / "images.npy"
    np.save(file, open_archive(lenses).dataset("test", "cdm")["image"].values)
    return file


def other_model(run, folder):
    """A run like another one, with other weights."""
    shutil.copytree(run, folder)
    model = load_model(folder)
    with torch.no_grad():
        model.head.weight.add_(1.0)
    save_model(folder, model, read_config(folder))
    return folder


@pytest.mark.parametrize("place", ["folder", "memory", "hub"])
def test_a_published_model_predicts_as_its_run(place, run, image_file, tmp_path, request):
    if place == "folder":
        url = str(tmp_path / "published")
    elif place == "memory":
        url = request.getfixturevalue("memory")
    else:
        request.getfixturevalue("hub")
        url = "hf://someone/lenses"
    assert publish(run, url) == url
    expected = predict(run, [image_file], tmp_path / "expected.csv", force=True)
    found = predict(url, [image_file], tmp_path / "found.csv", force=True)
    assert "set_90" in found and "novelty" in found
    pd.testing.assert_frame_equal(found, expected, rtol=0, atol=1e-6)


def test_the_commands_take_the_url_in_place_of_a_run(run, memory, image_file, tmp_path):
    def command(*words):
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert result.exit_code == 0, result.output
        return result.stdout

    assert command("publish", run, memory, "--licence", "mit") == f"{memory}\n"
    found, expected = tmp_path / "found.csv", tmp_path / "expected.csv"
    assert command("predict", memory, image_file, "--out", found) == f"{found}\n"
    command("predict", run, image_file, "--out", expected)
    assert found.read_text() == expected.read_text()


def test_an_evaluation_of_a_published_model_needs_a_folder_of_its_own(run, memory):
    publish(run, memory)
    result = CliRunner().invoke(main, ["evaluate", memory])
    assert result.exit_code == 2
    assert "name an --out" in result.output


def test_a_pretrained_encoder_is_published_and_finetuned(lenses, run, memory, tmp_path):
    pretrained = tmp_path / "pretrained"
    shutil.copytree(run, pretrained)
    for name in (MODEL, "metrics.json", "predictions.csv"):
        (pretrained / name).unlink()
    publish(pretrained, memory)
    encoder, scaling = lensmodels.load_encoder(memory)
    expected, _ = lensmodels.load_encoder(run)
    images = torch.from_numpy(open_archive(lenses).dataset("test", "axion")["image"].values)
    with torch.inference_mode():
        scaled = scaling(images[:, None])
        torch.testing.assert_close(encoder(scaled), expected(scaled))
    begun = pretrained_options(memory, str(lenses)) | {"finetune_epochs": 1, "frozen": True}
    out = tmp_path / "finetuned"
    training.train(config_from_options(begun | {"batch_size": 64, "workers": 0}), out)
    assert read_config(out).pretrained == memory
    finetuned = load_model(out).encoder
    with torch.inference_mode():
        torch.testing.assert_close(finetuned(scaled), expected(scaled))


def test_a_model_that_was_not_evaluated_is_refused(run, tmp_path):
    untested = tmp_path / "untested"
    shutil.copytree(run, untested)
    (untested / "metrics.json").unlink()
    with pytest.raises(UsageError, match="lensmodels evaluate"):
        publish(untested, tmp_path / "published")
    assert not (tmp_path / "published").exists()


def test_no_folder_of_this_machine_is_published(run, lenses, tmp_path):
    publish(run, tmp_path / "published")
    for file in (tmp_path / "published").iterdir():
        for folder in (lenses.parent, tmp_path, run.parent):
            assert str(folder).encode() not in file.read_bytes(), file.name
    assert read_config(tmp_path / "published").data.url == lenses.name


def test_another_model_replaces_one_only_with_overwrite(run, memory, image_file, tmp_path):
    publish(run, memory)
    publish(run, memory)  # the same is there already
    before = predict(memory, [image_file], tmp_path / "before.csv", force=True)
    other = other_model(run, tmp_path / "other")
    with pytest.raises(UsageError, match=r"holds another model.* add --overwrite"):
        publish(other, memory)
    again = predict(memory, [image_file], tmp_path / "again.csv", force=True)
    pd.testing.assert_frame_equal(again, before)
    publish(other, memory, overwrite=True)
    after = predict(memory, [image_file], tmp_path / "after.csv", force=True)
    expected = predict(other, [image_file], tmp_path / "expected.csv", force=True)
    pd.testing.assert_frame_equal(after, expected, rtol=0, atol=1e-6)
    assert not np.allclose(after["p_cdm"], before["p_cdm"])


def test_files_of_something_else_and_the_run_itself_are_left_alone(run, tmp_path):
    precious = tmp_path / "README.md"
    precious.write_text("notes")
    with pytest.raises(UsageError, match=r"holds another README\.md"):
        publish(run, tmp_path)
    assert precious.read_text() == "notes"
    with pytest.raises(UsageError, match="is the run itself"):
        publish(run, run)


def test_a_publication_that_was_cut_short_is_no_model_and_is_resumed(run, memory, monkeypatch):
    upload, seen = Location.upload, []

    def dies(self, source, relative):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(relative)
        upload(self, source, relative)

    monkeypatch.setattr(Location, "upload", dies)
    with pytest.raises(KeyboardInterrupt):
        publish(run, memory)
    with pytest.raises(UsageError, match=f"it has no {LISTING}"):
        local_run(memory)
    again = []
    monkeypatch.setattr(
        Location, "upload", lambda self, file, path: again.append(path) or upload(self, file, path)
    )
    publish(run, memory)
    assert not set(again) & set(seen)
    load_model(memory)


def test_the_hub_gets_one_commit(run, hub):
    publish(run, "hf://someone/lenses")
    [names] = hub.commits
    assert {LISTING, MODEL, "README.md", "config.yaml", "metrics.json"} <= set(names)
    publish(run, "hf://someone/lenses")
    assert len(hub.commits) == 1


def test_a_copy_is_fetched_once_and_again_where_it_is_damaged(run, memory, cache, monkeypatch):
    publish(run, memory)
    folder = local_run(memory)
    assert folder.is_relative_to(cache)
    fetched, blocks = [], Location.blocks

    def counted(self, relative, size):
        if not self.is_local:
            fetched.append(relative)
        return blocks(self, relative, size)

    monkeypatch.setattr(Location, "blocks", counted)
    assert local_run(memory) == folder
    assert not fetched
    content = bytearray((folder / MODEL).read_bytes())
    content[-1] ^= 1
    (folder / MODEL).write_bytes(content)
    local_run(memory)
    assert fetched == [MODEL]


def test_a_damaged_publication_is_refused(run, memory):
    publish(run, memory)
    files = fsspec.filesystem("memory")
    path = f"{memory}/{MODEL}"
    content = files.cat_file(path)
    files.pipe_file(path, content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(LensmodelsError, match=f"{MODEL} is damaged.*{LISTING}"):
        local_run(memory)
    files.rm(path)
    with pytest.raises(LensmodelsError, match=f"{MODEL} is missing"):
        local_run(memory)


@pytest.mark.parametrize("name", ["../evil", "/evil", ".hidden", "a/b"])
def test_a_listing_cannot_name_a_file_elsewhere(name, memory, tmp_path):
    record = {"size": 1, "sha256": "0" * 64}
    listing = json.dumps({"files": {name: record}}).encode()
    fsspec.filesystem("memory").pipe_file(f"{memory}/{LISTING}", listing)
    with pytest.raises(LensmodelsError, match="damaged"):
        local_run(memory)


def test_a_url_without_a_model_is_a_usage_error(memory):
    with pytest.raises(UsageError, match="not a published model"):
        local_run(memory)
    assert local_run("runs/first") == Path("runs/first")
