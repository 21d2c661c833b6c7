"""The README and the documentation: the site builds, and what they show runs.

What the README says was measured is what benchmarks/results hold.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

PAGES = (
    "README.md",
    *sorted(f"docs/{page.relative_to(ROOT / 'docs')}" for page in ROOT.glob("docs/*/*.md")),
)

SMALLER = (
    (r"--train \d{4,}", "--train 24"),
    (r"--test \d+", "--test 12"),
    (r"--pretrain-epochs \d+", "--pretrain-epochs 1"),
    (r"--finetune-epochs \d+", "--finetune-epochs 1"),
    (r"--batch-size \d+", "--batch-size 16"),
    (r"batch_size=\d+", "batch_size=16"),
)
"""Sizes in the pages, and what the tests run in their place."""


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of the blocks of a page that can be run: those marked bash or python."""
    text = (ROOT / page).read_text()
    found = re.findall(r"^```(bash|python)\n(.*?)^```", text, re.M | re.S)
    for pattern, smaller in SMALLER:
        found = [(language, re.sub(pattern, smaller, block)) for language, block in found]
    return found


def commands(block: str) -> list[str]:
    """The commands of a shell block, without installing anything."""
    lines = re.sub(r"\\\n\s*", "", block).splitlines()
    skipped = ("pip ", "git ", "make ", "pre-commit ", "#")
    return [line for line in lines if line.strip() and not line.startswith(skipped)]


@pytest.mark.timeout(600)
def test_the_site_builds_without_a_warning(tmp_path):
    finished = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "WARNING" not in finished.stderr
    page = (tmp_path / "reference" / "specification" / "index.html").read_text()
    assert "lens.einstein_mass" in page and "solar masses" in page


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_the_commands_of_a_page_run(page, tmp_path):
    """In the order of the page, in one empty folder."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": programs, "MPLBACKEND": "agg"}
    for language, block in blocks(page):
        steps = commands(block) if language == "bash" else [f"python -c {shlex.quote(block)}"]
        for step in steps:
            finished = subprocess.run(
                ["bash", "-c", step], cwd=tmp_path, env=environment, capture_output=True, text=True,
                check=False,
            )  # fmt: skip
            assert finished.returncode == 0, f"{step}\n{finished.stdout}\n{finished.stderr}"


@pytest.mark.parametrize("entrance", ["README.md", "docs/index.md", "mkdocs.yml"])
def test_every_page_can_be_found_from(entrance):
    text = (ROOT / entrance).read_text()
    pages = [page.removeprefix("docs/") for page in PAGES if page != "README.md"]
    assert not [page for page in pages if page not in text]


def test_the_readme_is_a_screen_and_a_half():
    assert len((ROOT / "README.md").read_text().splitlines()) < 110


PROGRAM = Path(__file__).parent.parent / "benchmarks" / "readme.py"


def test_figures_in_the_readme_are_those_of_the_results():
    command = [sys.executable, str(PROGRAM), "--check"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
