"""The examples run, from any folder, with smaller sizes than they show."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
WITH_TORCH = ("few_labels", "own_loop", "train")

SMALLER = (
    (r"TRAIN = \d+", "TRAIN = 8"),
    (r"IMAGES = \d+", "IMAGES = 2"),
    (r"BATCH = \d+, \d+, \d+, \d+", "BATCH = 24, 12, 1, 8"),
    (r"LABELS = \(.*\)", "LABELS = (8,)"),
)
"""Sizes in the examples, and what the tests run in their place."""


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path.stem in WITH_TORCH))
        for path in EXAMPLES
    ],
)
def test_an_example_runs_from_anywhere(example, tmp_path):
    text = example.read_text()
    smaller = text
    for pattern, replacement in SMALLER:
        smaller = re.sub(pattern, replacement, smaller)
    assert smaller != text
    (tmp_path / "example.py").write_text(smaller)
    folder = tmp_path / "anywhere"
    folder.mkdir()
    run = subprocess.run(
        [sys.executable, "../example.py"],
        cwd=folder,
        env=os.environ | {"MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout
    assert not list(folder.iterdir())


def test_every_example_is_a_notebook_in_percent_format_and_linked_in_the_docs():
    site = (FOLDER.parent / "mkdocs.yml").read_text()
    for example in EXAMPLES:
        assert example.read_text().startswith("# %% [markdown]\n# # ")
        assert f"examples/{example.stem}.md\n" in site
