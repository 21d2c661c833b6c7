"""Before torch is imported: usage errors at once, and a sentence where packages are missing."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import lenssim
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


@pytest.fixture(scope="module")
def trained(make_run):
    """A run with a model that was not tested."""
    return make_run()


@pytest.fixture(scope="module")
def untested(tmp_path_factory):
    """An archive without test images."""
    out = tmp_path_factory.mktemp("untested") / "B"
    lenssim.generate("B", out=out, train=2, test=0)
    return out


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
        (["train", "--data", "DATA", "--logger", "wandb", "--out", "RUN"], 2, "pip install wandb"),
        (["train", "--config", "none.yaml", "--out", "RUN"], 2, "none.yaml"),
        (["train", "--data", "DATA", "--views", "none.yaml", "--out", "RUN"], 2, "none.yaml"),
        (["train", "--data", "DATA", "--method", "byol", "--out", "HELD"], 2, "--resume"),
        (["train", "--resume", "--out", "RUN"], 2, "not a run"),
        (["pretrain", "--data", "nowhere", "--out", "RUN"], 1, "nowhere"),
        (["finetune", "--out", "RUN"], 2, "--from"),
        (["finetune", "--from", "nowhere", "--out", "RUN"], 2, "not a run"),
        (["evaluate", "nowhere"], 2, "not a run"),
        (["predict", "nowhere", "x.npy", "--out", "x.csv"], 2, "not a run"),
        (["embed", "nowhere", "--data", "DATA", "--out", "x.parquet"], 2, "not a run"),
        (["evaluate", "TRAINED", "--data", "nowhere"], 1, "nowhere does not exist"),
        (["evaluate", "TRAINED", "--data", "FILE"], 2, "format that is not read"),
        (["evaluate", "TRAINED", "--out", "FILE"], 2, "is a file"),
        (["evaluate", "TRAINED", "--out", "OTHERS"], 2, "holds other files"),
        (["evaluate", "TRAINED", "--data", "UNTESTED"], 1, "lenssim generate --test N"),
        (["predict", "TRAINED", "nowhere.npy", "--out", "RUN.csv"], 1, "does not exist"),
        (["predict", "TRAINED", "FILE", "--out", "RUN.csv"], 2, "format that is not read"),
        (["predict", "TRAINED", "DATA", "--out", "RUN.txt"], 2, ".csv or .parquet"),
        (["predict", "TRAINED", "DATA", "--out", ""], 2, "it is empty"),
        (["predict", "TRAINED", "DATA", "--hdu", "SCI", "--out", "RUN.csv"], 2, "--hdu"),
        (["predict", "TRAINED", "OTHERS", "--out", "RUN.csv"], 1, "archive.json"),
        (["embed", "TRAINED", "--data", "nowhere", "--out", "RUN.zarr"], 1, "does not exist"),
        (["embed", "TRAINED", "--data", "DATA", "--out", "RUN.csv"], 2, ".parquet or .zarr"),
        (["embed", "TRAINED", "--data", "DATA", "--out", "OTHERS.zarr"], 2, "earlier output"),
        (["report", "nowhere", "--out", "RUN"], 2, "at least two"),
        (["report", "nowhere", "neither", "--out", "RUN"], 2, "not a run"),
        (["report", "TRAINED", "TRAINED", "--out", "RUN"], 2, "lensmodels evaluate"),
        (["study"], 2, "--grid"),
        (["study", "--grid", "moons"], 2, "moons"),
        (["study", "--grid", "smoke", "--data", "B=nowhere", "--out", "RUN"], 1, "nowhere"),
        (["study", "--grid", "study", "--data", "A=DATA", "--out", "RUN"], 1, "not A"),
        (["study", "--grid", "smoke", "--data", "B=DATA", "--out", "FILE"], 2, "is a file"),
        (["study", "report", "nowhere", "--grid", "smoke"], 2, "holds no results"),
        (["study", "collect", "OTHERS", "--out", "RUN.parquet"], 2, "holds no results"),
    ],
)
def test_usage_errors_need_no_torch(words, code, message, lenses, trained, untested, tmp_path):
    (tmp_path / "file.png").touch()
    (tmp_path / "held" / "checkpoints").mkdir(parents=True)
    for name in ("others", "others.zarr"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.txt").touch()
    places = {
        "DATA": lenses,
        "FILE": tmp_path / "file.png",
        "HELD": tmp_path / "held",
        "OTHERS": tmp_path / "others",
        "RUN": tmp_path / "run",
        "TRAINED": trained,
        "UNTESTED": untested,
    }
    names = "|".join(places)
    given = [re.sub(rf"\b({names})\b", lambda found: str(places[found[0]]), word) for word in words]
    done = run(*given)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "is imported" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) <= 3  # of which click's own has two of usage
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
    optional = {"umap", "webdataset", "lenssim"}  # its figure; shards elsewhere; image files
    assert {names.get(name, name) for name in packages} - optional == set(startup.PACKAGES)


def test_other_processes_than_the_first_announce_nothing(monkeypatch, capsys):
    startup.announce("testing")
    monkeypatch.setenv("LOCAL_RANK", "1")
    startup.announce("testing again")
    assert capsys.readouterr().err == "testing ...\n"


def test_ctrl_c_while_a_command_line_is_imported_is_one_line():
    code = """
import sys
from lensmodels.__main__ import main
class Interrupted:
    def find_spec(self, name, *_):
        if name == "click":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
main()
"""
    done = run("--help", code=code)
    assert (done.returncode, done.stderr) == (1, "Stopped.\n")


def test_a_program_imports_nothing_before_it_is_ready_for_ctrl_c():
    code = "import sys; before = set(sys.modules); import lensmodels.__main__, lenssim.__main__; "
    code += "print(*sorted(name.split('.')[0] for name in set(sys.modules) - before))"
    imported = set(run(code=code).stdout.split()) - set(sys.stdlib_module_names)
    assert imported <= {"lensmodels", "lenssim"}


@pytest.mark.parametrize(
    "module", ["cli", "settings", "runs", "study", "methods", "tasks", "views", "data"]
)
def test_module_is_imported_without_torch(module):
    code = (
        f"import sys, lensmodels.{module}; print(*{{'torch', 'numpy', 'zarr'}} & {{*sys.modules}})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize("package", ["data", "encoders", "methods", "runs", "tasks", "views"])
def test_every_public_name_of_a_lazy_package_is_found(package):
    from importlib import import_module

    module = import_module(f"lensmodels.{package}")
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name
