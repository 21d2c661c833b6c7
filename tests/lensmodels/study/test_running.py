"""Running a grid, interrupting it, splitting it, and reporting it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from lensmodels.cli import main
from lensmodels.data import CLASSES
from lensmodels.errors import LensmodelsError
from lensmodels.study import load_grid
from lensmodels.study.at_once import run_at_once
from lensmodels.study.results import collect, read_results

ONE_FAMILY = "B_simsiam_*"


def run(*words):
    return CliRunner().invoke(main, ["study", *map(str, words)])


def outcome(folder):
    """What must not depend on how a grid was run: metrics and predictions."""
    return {
        cell_result.cell: (cell_result.metrics, cell_result.predicted.tolist())
        for cell_result in read_results(folder / "results")
    }


@pytest.fixture(scope="module")
def whole(lenses, tmp_path_factory):
    """The grid in one go."""
    out = tmp_path_factory.mktemp("grid")
    result = run("--grid", "smoke", "--data", f"B={lenses}", "--out", out, "--device", "cpu")
    assert result.exit_code == 0, result.output
    return out


def test_every_cell_has_its_record(whole):
    results = read_results(whole / "results")
    assert {cell_result.cell for cell_result in results} == set(load_grid("smoke").all_cells())
    for cell_result in results:
        record = cell_result.record
        assert record["versions"]["torch"] and record["hardware"]["device"]
        assert len(record["metrics"]["data"]["sha256"]) == 64
        assert record["minutes"]["finetune"] > 0
        assert (record["minutes"]["pretrain"] is None) == cell_result.cell.is_baseline
        assert "url" not in json.dumps(record)
        if cell_result.cell.is_baseline:
            assert record["pretraining"] is None
        else:
            assert "embedding_std" in record["pretraining"]["figures"]
            # of the images of all classes, whatever the task: 108 in batches of 16
            assert record["pretraining"]["settings"]["data"]["classes"] == list(CLASSES)
            assert record["pretraining"]["settings"]["pretrain"]["epochs"] == 1


def test_a_pretraining_is_shared(whole):
    assert sorted(entry.name for entry in (whole / "pretrained").iterdir()) == [
        "B_dino_vit", "B_simsiam_resnet",
    ]  # fmt: skip


@pytest.mark.slow
def test_each_seed_of_the_pretraining_is_another_pretraining(lenses, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "extends: smoke\nrows: [{method: simsiam, encoder: resnet}]\n"
        "cells: [{models: [B], baselines: [], pretrain_seeds: [0, 1]}]\n"
    )
    result = run("--grid", file, "--data", f"B={lenses}", "--out", tmp_path, "--device", "cpu")
    assert result.exit_code == 0, result.output
    first, second = read_results(tmp_path / "results")
    assert {first.cell.pretrain_seed, second.cell.pretrain_seed} == {0, 1}
    for each in (first, second):
        pretraining = each.record["pretraining"]
        assert pretraining["settings"]["seed"] == each.cell.pretrain_seed
        assert each.record["settings"]["seed"] == each.cell.seed == 0
    assert first.record["pretraining"]["figures"] != second.record["pretraining"]["figures"]


def test_what_is_done_is_skipped(whole, lenses):
    before = {file: file.stat().st_mtime_ns for file in (whole / "results").iterdir()}
    result = run("--grid", "smoke", "--data", f"B={lenses}", "--out", whole, "--device", "cpu")
    assert "18 of 18 cells are done" in result.output
    assert before == {file: file.stat().st_mtime_ns for file in (whole / "results").iterdir()}


def test_parts_merge_to_the_whole(whole, lenses, tmp_path):
    for part in (1, 2):
        result = run(
            "--grid", "smoke", "--data", f"B={lenses}", "--out", tmp_path / str(part),
            "--shard", f"{part}/2", "--only", "*seed-0", "--device", "cpu",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
    shutil.copytree(tmp_path / "2", tmp_path / "1", dirs_exist_ok=True)
    expected = {cell: found for cell, found in outcome(whole).items() if cell.seed == 0}
    assert outcome(tmp_path / "1") == expected


@pytest.mark.parametrize(
    "sign", ["pretrained/B_simsiam_resnet/checkpoints/pretrain.ckpt", "results/B_simsiam*.parquet"]
)
def test_a_killed_grid_ends_as_an_undisturbed_one(whole, lenses, tmp_path, sign):
    words = ["--grid", "smoke", "--data", f"B={lenses}", "--out", str(tmp_path)]
    words += ["--only", ONE_FAMILY, "--device", "cpu"]
    # as many threads as here, as sums in another order are other sums
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "lensmodels", "study", *words], env=environment
    ) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob(sign)) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    result = run(*words)
    assert result.exit_code == 0, result.output
    expected = {cell: found for cell, found in outcome(whole).items() if cell.method == "simsiam"}
    assert outcome(tmp_path) == expected


def test_a_folder_and_its_data_may_be_moved(whole, lenses, tmp_path):
    moved, archive = tmp_path / "grid", tmp_path / "archive"
    shutil.copytree(whole, moved)
    shutil.copytree(lenses, archive)
    victim = next((moved / "results").glob("B_simsiam_resnet_class*seed-1.parquet"))
    victim.unlink()
    result = run("--grid", "smoke", "--data", f"B={archive}", "--out", moved, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert outcome(moved) == outcome(whole)


def test_a_result_of_other_settings_is_refused(whole, lenses, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("extends: smoke\nfinetune_steps: 3\n")
    result = run("--grid", file, "--data", f"B={lenses}", "--out", whole, "--device", "cpu")
    assert result.exit_code == 2
    assert "was made with recipe.finetune_steps 2, not 3; delete it" in result.output


def test_a_report_of_other_settings_is_refused(whole, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("extends: smoke\nfinetune_steps: 3\n")
    result = run("report", whole, "--grid", file, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "was made with recipe" in result.output
    assert not (tmp_path / "out").exists()


def test_a_cell_that_fails_does_not_keep_the_others_from_being_run(lenses, tmp_path):
    """A rate at which the loss of one method is no number any more."""
    file = tmp_path / "mine.yaml"
    file.write_text(
        "extends: smoke\nset_method: {dino: {pretrain.learning_rate: 1.0e+30}}\n"
        "cells: [{models: [B], baselines: []}]\npretrain_steps: 20\n"
        "rows: [{method: dino, encoder: vit}, {method: simsiam, encoder: resnet}]\n"
    )
    result = run("--grid", file, "--data", f"B={lenses}", "--out", tmp_path, "--device", "cpu")
    assert result.exit_code == 1
    assert "1 of 2 cells failed: B_dino_vit" in result.output and "lower --lr" in result.output
    assert [cell_result.cell.method for cell_result in read_results(tmp_path / "results")] == [
        "simsiam"
    ]


def test_a_model_that_no_cell_has_is_refused(lenses, tmp_path):
    result = run("--grid", "smoke", "--data", f"b={lenses}", "--out", tmp_path)
    assert result.exit_code == 2 and "No cell is of model b" in result.output


def test_no_cell_is_begun_after_the_time(lenses, tmp_path):
    words = ("--grid", "smoke", "--data", f"B={lenses}", "--out", tmp_path, "--seconds", "0")
    result = run(*words, "--device", "cpu")
    assert result.exit_code == 0
    assert "\n0 of 18 cells are done" in f"\n{result.output}"


def test_a_cell_that_would_not_be_done_in_time_is_passed_over(whole, lenses, tmp_path):
    """Judged by what is done: everything took minutes, and there are two seconds."""
    shutil.copytree(whole / "results", tmp_path / "results")
    for result in read_results(tmp_path / "results"):
        result.record["minutes"]["finetune"] = 10.0
        collect([result], tmp_path / "results" / f"{result.cell.name}.parquet")
    next((tmp_path / "results").glob("B_simsiam*seed-1.parquet")).unlink()
    words = ("--grid", "smoke", "--data", f"B={lenses}", "--out", tmp_path, "--seconds", "2")
    result = run(*words, "--device", "cpu")
    assert "17 of 18 cells are done" in result.output


def test_the_report_shows_ours_beside_theirs(whole, tmp_path):
    result = run("report", whole, "--grid", "smoke", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    page, text = (tmp_path / "report.html").read_text(), (tmp_path / "report.md").read_text()
    for expected in (
        "0.984",
        "0.996",
        "SimSiam",
        "test_resnet, in the place of",
        "50% of the labels",
        "Cramér-Rao",
    ):
        assert expected in page and expected in text
    assert "http" not in page.split("</style>")[1]
    figures = {file.stem for file in (tmp_path / "figures").iterdir()}
    assert {"figure_2_B_resnet", "labels_B_resnet", "auc_by_snr_B_vit", "cost_B"} <= figures


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--grid", "smoke"], 2, "--data"),
        (["--grid", "smoke", "--data", "B", "--out", "x"], 2, "MODEL=DIR_OR_URL"),
        (["--grid", "smoke", "--shard", "3/2", "--list"], 2, "K/N"),
        (["--grid", "smoke", "--only", "C_*", "--list"], 2, "C_*"),
        (["--list"], 2, "--grid"),
        (["--grid", "nonsense", "--list"], 2, "laptop"),
    ],
)
def test_wrong_words_are_refused_in_a_sentence(words, code, said):
    result = run(*words)
    assert result.exit_code == code
    assert said in result.output and "Traceback" not in result.output


def test_an_archive_of_another_model_is_refused(lenses, tmp_path):
    result = run("--grid", "laptop", "--data", f"A={lenses}", "--out", tmp_path)
    assert result.exit_code == 1 and "is of model B, not A" in result.output


def test_a_small_archive_is_refused_with_the_command_that_makes_one(lenses, tmp_path):
    result = run("--grid", "laptop", "--data", f"B={lenses}", "--out", tmp_path)
    assert result.exit_code == 1 and "lenssim generate --model B --train 2000" in result.output


def test_a_report_of_nothing_is_refused(tmp_path):
    result = run("report", tmp_path, "--grid", "smoke")
    assert result.exit_code == 2 and "no results" in result.output


def test_collected_cells_have_the_scores_of_their_predictions(whole, tmp_path):
    table = tmp_path / "cells.parquet"
    for _ in range(2):  # the second time, cells are added to those of the table
        result = run("collect", whole, "--out", table)
        assert result.exit_code == 0 and "18 cells" in result.output
    collected = {cell_result.cell: cell_result for cell_result in read_results(table)}
    for cell_result in read_results(whole / "results"):
        mine = collected[cell_result.cell]
        assert mine.metrics == cell_result.metrics and mine.images == cell_result.images
        assert (mine.truth is None) == (mine.cell.task == "classification" or mine.cell.seed > 0)
        for name, score in cell_result.scores.items():
            assert mine.scores[name].value == score.value
            np.testing.assert_array_equal(mine.scores[name].resamples, score.resamples)
    first, second = (
        (tmp_path / name, run("report", folder, "--grid", "smoke", "--out", tmp_path / name))
        for name, folder in (("from-cells", whole), ("from-table", tmp_path))
    )
    reports = [(folder / "report.md").read_text() for folder, _ in (first, second)]
    assert reports[0] == reports[1]


@pytest.mark.parametrize("name", ["report.md", "report.html", "figures/cost_B.png"])
def test_a_report_replaces_no_file_of_another_origin(whole, name, tmp_path):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    result = run("report", whole, "--grid", "smoke", "--out", tmp_path)
    assert result.exit_code == 2 and f"{name} of another origin" in result.output
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]
    assert file.read_text() == "mine"


def test_a_report_is_replaced_by_the_next_beside_other_pictures(whole, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "mine.png").write_text("mine")
    for _ in range(2):
        assert run("report", whole, "--grid", "smoke", "--out", tmp_path).exit_code == 0
        (tmp_path / "figures" / "cost_A.png").write_text("of a model no longer among the results")
    assert run("report", whole, "--grid", "smoke", "--out", tmp_path).exit_code == 0
    assert (tmp_path / "figures" / "mine.png").read_text() == "mine"
    assert not (tmp_path / "figures" / "cost_A.png").exists()


@pytest.mark.parametrize("name", ["cells.csv", "mine.parquet"])
def test_cells_are_collected_into_parquet_tables_of_results_only(whole, name, tmp_path):
    table = tmp_path / name
    pd.DataFrame({"mine": [1]}).to_parquet(table)
    before = table.read_bytes()
    result = run("collect", whole, "--out", table)
    assert result.exit_code == 2 and "Traceback" not in result.output
    assert table.read_bytes() == before


def test_a_damaged_result_is_named(whole, tmp_path):
    shutil.copytree(whole / "results", tmp_path / "results")
    victim = next((tmp_path / "results").glob("*.parquet"))
    victim.write_bytes(victim.read_bytes()[:100])
    result = run("report", tmp_path, "--grid", "smoke")
    assert result.exit_code == 1 and victim.stem in result.output


def run_study_script(seconds, out, grid, **variables):
    script = Path(__file__).parents[3] / "experiments" / "study_gpu.sh"
    words = {"GRID": str(grid), "MODELS": "B", "PYTHON": sys.executable} | variables
    finished = subprocess.run(
        [script, str(seconds), out], env=os.environ | words, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.slow
def test_the_script_for_a_gpu_brings_home_what_it_ran_and_nothing_else(tmp_path):
    grid = tmp_path / "one-cell.yaml"
    grid.write_text(
        "extends: smoke\nrows: [{method: simsiam, encoder: resnet}]\n"
        "cells: [{models: [B], baselines: []}]\n"
    )
    tables = run_study_script(600, tmp_path / "out", grid)
    assert "| SimSiam | resnet |" in tables
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"cells.parquet", "report.md"}
    [made] = read_results(tmp_path / "out" / "cells.parquet")
    assert made.cell.name == "B_simsiam_resnet_classification_labels-1_seed-0"


@pytest.mark.slow
def test_the_script_for_a_gpu_goes_on_from_what_is_there(whole, tmp_path):
    work = tmp_path / "work"
    shutil.copytree(whole / "results", work / "study" / "results")
    before = outcome(work / "study")
    tables = run_study_script(0, tmp_path / "out", "smoke", WORK=str(work))
    assert "| SimSiam | resnet |" in tables
    assert outcome(work / "study") == before


def test_several_cells_at_once_are_those_of_one_after_the_other(whole, lenses, tmp_path):
    words = ["--grid", "smoke", "--data", f"B={lenses}", "--out", str(tmp_path), "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-m", "lensmodels", "study", *words, "--jobs", "2", "--only", "*resnet*"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = {cell: found for cell, found in outcome(whole).items() if cell.encoder == "resnet"}
    assert outcome(tmp_path) == expected
    assert f"{len(expected)} of {len(expected)} cells are done" in done.stdout
    assert {result.record["hardware"]["jobs"] for result in read_results(tmp_path / "results")} == {
        2
    }
    assert "epoch" not in done.stderr and list((tmp_path / "logs").glob("*.txt"))


class Stub:
    """A runner whose pretraining fails for one family, and whose cells leave a file."""

    def __init__(self, out):
        self.out = out

    def pretrain(self, cell):
        if cell.method == "dino":
            raise LensmodelsError("It collapsed.")
        (self.out / cell.family).touch()

    def finetune(self, cell):
        assert cell.is_baseline or (self.out / cell.family).exists()
        (self.out / cell.name).touch()


def test_cells_wait_for_their_pretraining_and_fail_with_it(tmp_path):
    cells = load_grid("smoke").all_cells()
    late = {cell for cell in cells if cell.task == "axion-mass"}
    begun, ended = [], {}
    run_at_once(
        Stub(tmp_path),
        cells,
        3,
        has_time=lambda cell: cell not in late,
        begin=begun.append,
        end=lambda cell, error: ended.update({cell: error}),
    )
    failed = {cell for cell, error in ended.items() if error is not None}
    assert failed == {cell for cell in cells if cell.method == "dino"} - late
    assert {str(ended[cell]) for cell in failed} == {"It collapsed."}
    assert set(ended) == set(cells) - late
    done = set(ended) - failed
    assert set(begun) == done and all((tmp_path / cell.name).exists() for cell in done)


class Killed(Stub):
    """A runner that a lack of memory ends."""

    def finetune(self, cell):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_lost_is_a_sentence(tmp_path):
    cells = [cell for cell in load_grid("smoke").all_cells() if cell.is_baseline]
    with pytest.raises(LensmodelsError, match="fewer --jobs"):
        run_at_once(
            Killed(tmp_path),
            cells,
            2,
            has_time=lambda cell: True,
            begin=lambda cell: None,
            end=lambda cell, error: None,
        )
