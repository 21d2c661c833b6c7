"""Folders of runs: a new run replaces no file of another origin."""

import pytest

from lensmodels import training
from lensmodels.errors import LensmodelsError
from lensmodels.runs import read_config
from lensmodels.runs.folder import DESCRIBED
from lensmodels.settings import config_from_options
from lenssim.errors import UsageError


@pytest.fixture
def begin(lenses):
    """Begins a run on the small archive."""

    def new_run(run, **options):
        config = config_from_options({"data": str(lenses), "encoder": "test_resnet", **options})
        return training.begin(config, run, resume=False)

    return new_run


@pytest.mark.parametrize(
    "name",
    ["config.yaml", "metrics.json", "predictions.csv", "plots/a.png", "report.html", "logs/a.log"],
)
def test_new_run_replaces_no_file_of_another_origin(name, tmp_path, begin):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine: true\n")
    with pytest.raises(UsageError, match=f"holds {name.partition('/')[0]} of another origin"):
        begin(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]
    assert file.read_text() == "mine: true\n"


def test_new_run_does_not_replace_the_test_of_another_run(tmp_path, begin):
    begin(tmp_path, seed=1)
    (tmp_path / DESCRIBED).write_text("runs/byol\n")
    with pytest.raises(UsageError, match="another origin"):
        begin(tmp_path)
    assert read_config(tmp_path).seed == 1


def test_run_that_had_only_begun_may_begin_anew_beside_other_files(tmp_path, begin):
    (tmp_path / "notes.txt").write_text("mine")
    begin(tmp_path, seed=1)
    begin(tmp_path, seed=2)
    assert read_config(tmp_path).seed == 2
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_folder_of_checkpoints_of_another_origin_is_refused(tmp_path, begin):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(LensmodelsError, match="choose another --out"):
        begin(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoints"]


def test_file_as_the_folder_of_a_run_is_named(tmp_path, begin):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="file is a file"):
        begin(tmp_path / "file")
