"""Before torch is imported: usage errors at once, and a sentence where packages are missing."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lensmodels import startup

IMPORTS = """
import sys
from lensmodels.cli import main
class Blocked:
    def find_spec(self, name, *_):
        assert name.split(".")[0] not in ("torch", "timm", "lightning"), f"{name} is imported"
sys.meta_path.insert(0, Blocked())
main(sys.argv[1:])
"""


def run(*words, code=IMPORTS):
    """A command in a process of its own, in which importing torch is an error."""
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["--version"]])
def test_help_needs_no_torch(words):
    done = run(*words)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["train", "--out", "RUN"], 2, "--data"),
        (["train", "--data", "nowhere", "--out", "RUN"], 1, "nowhere"),
        (["train", "--data", "DATA", "--out", "FILE"], 2, "is a file"),
        (["train", "--data", "DATA", "--labels", "7", "--out", "RUN"], 2, "data.labels"),
        (["train", "--data", "DATA", "--lr", "-1", "--out", "RUN"], 2, "learning_rate"),
        (["train", "--data", "DATA", "--lr", "inf", "--out", "RUN"], 2, "learning_rate"),
        (["train", "--data", "DATA", "--set", "moons=3", "--out", "RUN"], 2, "moons"),
        (["train", "--data", "DATA", "--views", "none.yaml", "--out", "RUN"], 2, "none.yaml"),
        (["train", "--data", "DATA", "--method", "byol", "--out", "HELD"], 2, "--resume"),
        (["train", "--resume", "--out", "RUN"], 2, "not a run"),
        (["pretrain", "--data", "nowhere", "--out", "RUN"], 1, "nowhere"),
        (["finetune", "--out", "RUN"], 2, "--from"),
        (["finetune", "--from", "nowhere", "--out", "RUN"], 2, "not a run"),
        (["evaluate", "nowhere"], 2, "not a run"),
        (["predict", "nowhere", "x.npy", "--out", "x.csv"], 2, "not a run"),
        (["embed", "nowhere", "--data", "DATA", "--out", "x.parquet"], 2, "not a run"),
        (["report", "nowhere", "--out", "RUN"], 2, "at least two"),
        (["report", "nowhere", "neither", "--out", "RUN"], 2, "not a run"),
        (["study"], 2, "--grid"),
        (["study", "--grid", "moons"], 2, "moons"),
    ],
)
def test_usage_errors_need_no_torch(words, code, message, lenses, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "held" / "checkpoints").mkdir(parents=True)
    places = {
        "DATA": lenses,
        "FILE": tmp_path / "file",
        "HELD": tmp_path / "held",
        "RUN": tmp_path / "run",
    }
    done = run(*(places.get(word, word) for word in words))
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "is imported" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3  # of which click's own has two of usage
    assert not (tmp_path / "run").exists()


def test_a_missing_package_is_one_sentence(lenses, tmp_path):
    code = "import sys; sys.modules['torch'] = None\n"
    code += "from lensmodels.cli import main; main(sys.argv[1:])"
    done = run("train", "--data", lenses, "--out", tmp_path / "run", code=code)
    assert done.returncode == 1
    assert done.stderr == (
        "Error: lensmodels needs torch, which is not installed: install it with "
        "pip install 'lenssim[models]'.\n"
    )
    assert not (tmp_path / "run").exists()


def test_every_package_of_the_extra_is_looked_for():
    names = {"scikit-learn": "sklearn", "umap-learn": "umap"}
    lines = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    extra = tomllib.loads(lines)["project"]["optional-dependencies"]["models"]
    packages = {re.match(r"[\w-]+", line)[0] for line in extra}
    optional = {"umap"}  # its figure is
    assert {names.get(name, name) for name in packages} - optional == set(startup.PACKAGES)


def test_other_processes_than_the_first_announce_nothing(monkeypatch, capsys):
    startup.announce("testing")
    monkeypatch.setenv("LOCAL_RANK", "1")
    startup.announce("testing again")
    assert capsys.readouterr().err == "testing ...\n"
