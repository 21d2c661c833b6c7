"""The commands as a person types them: what they print, and their exit codes."""

import json

import pytest
from click.testing import CliRunner

from lenssim.cli import main

GENERATE = ["generate", "--train", "4", "--test", "2"]


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "B"
    result = run(*GENERATE, "--out", folder)
    assert result.exit_code == 0, result.output
    return folder


def test_generate_says_where_the_archive_is(archive):
    result = run(*GENERATE, "--out", archive)
    assert result.exit_code == 0
    assert "train/cdm: 4 images, complete already." in result.stdout
    assert result.stdout.splitlines()[-1].startswith(f"{archive}: 18 images (axion, cdm, no_sub), ")


def test_generate_takes_the_documented_options(tmp_path):
    result = run(
        *["generate", "--model", "A", "--class", "axion", "--class", "no_sub"],
        *["--train", "2", "--test", "0", "--out", tmp_path, "--seed", "5", "--workers", "1"],
        *["--engine", "lenstronomy", "--set", "sampling.tolerance=null"],
        *["--set", "sampling.subsamples=1"],
    )
    assert result.exit_code == 0, result.output
    held = json.loads(run("info", tmp_path, "--json").stdout)
    assert held["seed"] == 5
    assert held["engine"] == "lenstronomy"
    assert held["spec"]["sampling"] == {"tolerance": None, "subsamples": 1}
    assert [group["class"] for group in held["groups"]] == ["axion", "no_sub"]


def test_generate_writes_to_archives_model_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*GENERATE, "--class", "no_sub").exit_code == 0
    assert (tmp_path / "archives" / "B" / "archive.json").exists()


def test_generate_takes_a_users_file(tmp_path):
    spec = tmp_path / "wide.yaml"
    spec.write_text(run("specs", "B").stdout.replace("name: B", "name: wide"))
    out = tmp_path / "out"
    assert run(*GENERATE, "--model", spec, "--class", "no_sub", "--out", out).exit_code == 0
    assert json.loads(run("info", out, "--json").stdout)["spec"]["name"] == "wide"


def test_info_is_a_table(archive):
    result = run("info", archive)
    assert result.exit_code == 0
    for word in ("train", "test", "axion", "cdm", "no_sub", "seed 0", "spec sha256"):
        assert word in result.stdout


def test_preview_writes_a_picture(archive, tmp_path):
    picture = tmp_path / "new" / "preview.png"
    result = run("preview", archive, "--out", picture)
    assert result.exit_code == 0, result.output
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_specs_lists_and_prints(tmp_path):
    listing = run("specs").stdout
    assert [line.split()[0] for line in listing.splitlines()] == [
        "A",
        "A-deeplense",
        "A-wide",
        "B",
        "B-deeplense",
        "B-faithful",
        "B-wide",
    ]
    printed = run("specs", "A").stdout
    assert "pixel_scale: 0.08" in printed


@pytest.mark.parametrize(
    "words",
    [
        ["generate", "--train", "-5"],
        ["generate", "--class", "foo"],
        ["generate", "--model", "C"],
        ["generate", "--engine", "slow"],
        ["generate", "--set", "lens.nothing=1"],
        ["generate", "--set", "substructure.f_sub=1.5"],
        ["generate", "--workers", "0", "--train", "1"],
        ["generate", "--scheduler", "garbage", "--train", "1"],
        ["generate", "--nonsense"],
        ["specs", "C"],
        ["nonsense"],
        ["preview"],
    ],
)
def test_wrong_words_are_exit_code_2_and_no_traceback(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*words)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert "Error" in result.stderr


@pytest.mark.parametrize("text", ["- a list\n", "a: &a [1]\nb: *a\n", "a: ["])
def test_a_file_that_is_no_specification_is_exit_code_2(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    result = run("generate", "--model", path)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1


def test_another_seed_is_exit_code_2_and_told(archive):
    result = run(*GENERATE, "--out", archive, "--seed", "1")
    assert result.exit_code == 2
    assert "seed is 0 there and 1 here" in result.stderr


def test_each_phase_is_said_and_the_last_line_is_what_was_made(tmp_path):
    out = tmp_path / "new"
    result = run("generate", "--class", "no_sub", "--train", "3", "--test", "0", "--out", out)
    assert result.stderr.splitlines() == ["drawing the picture", "writing tables and card"]
    assert result.stdout.startswith(f"{out}: 3 images (no_sub), ")
    result = run("export", out, "--to", "webdataset")
    assert result.stderr.splitlines()[-1] == "writing tables and card"
    assert result.stdout.startswith(f"{out}: 3 images (no_sub), ")
    result = run("verify", out, "--deep", "1")
    assert "checking columns of train/no_sub\n" in result.stderr
    assert "rendering 1 images of train/no_sub again\n" in result.stderr
    result = run("publish", out, tmp_path / "published")
    assert result.stderr == "reading it back\n"
    assert result.stdout.startswith(f"{tmp_path}/published/2.0.0: 3 images (no_sub), ")


def test_classes_that_are_repeated_are_made_once(tmp_path):
    words = ["--class", "no_sub", "--class", "no_sub", "--train", "2", "--test", "0"]
    result = run("generate", *words, "--out", tmp_path / "a")
    assert result.stdout.startswith(f"{tmp_path}/a: 2 images (no_sub), ")


def test_what_is_not_there_is_exit_code_1_and_one_sentence(tmp_path):
    for words in (["info", tmp_path], ["preview", tmp_path, "--out", tmp_path / "p.png"]):
        result = run(*words)
        assert result.exit_code == 1
        assert "is not an archive" in result.stderr
        assert result.stderr.count("\n") == 1


def test_an_unwritable_folder_is_exit_code_1(tmp_path):
    (tmp_path / "file").write_text("")
    result = run(*GENERATE, "--out", tmp_path / "file" / "below")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in result.output


def test_an_error_nobody_foresaw_is_one_sentence_unless_debugging(archive, monkeypatch):
    def fail(*_):
        raise RuntimeError("a broken thing")

    monkeypatch.setattr("lenssim.archive.open_archive", fail)
    result = run("info", archive)
    assert result.exit_code == 1
    assert "a broken thing" in result.stderr
    assert "--debug" in result.stderr
    assert isinstance(run("--debug", "info", archive).exception, RuntimeError)
