"""Words that the project has given up stay out of names, docstrings, messages and pages."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent

GIVEN_UP = {
    r"dearest": "max_cost",
    r"\bbeads?\b": "point_masses",
    r"stands_for": "a name for what it is",
    r"let_go": "release",
    r"\b_?(LEAST|MOST|MAXIMUM)_": "MIN_ or MAX_",
    r"\bis_real\b": "is_significant",
    r"\breal difference": "significant difference",
    r"where there is none": "if there is none",
    r"gone on with": "resumed",
    r"is nothing beside": "is negligible against",
    r"\bWRONG_WORDS\b": "EXIT_USAGE",
}

IN_ARCHIVES = 'f"{long_name} (NaN where there is none)",'
"""Written into every archive, whose bytes do not change."""


def test_words_that_were_given_up_stay_out():
    files = [
        # an edit in rendering/ compiles all kernels again
        *(path for path in ROOT.glob("lenssim/**/*.py") if path.parent.name != "rendering"),
        *ROOT.glob("lenssim/**/*.yaml"),
        *ROOT.glob("examples/*.py"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("*.md"),
    ]
    assert len(files) > 100
    held = [
        f"{path.relative_to(ROOT)}:{number}: write {better}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if line.strip() != IN_ARCHIVES
        for pattern, better in GIVEN_UP.items()
        if re.search(pattern, line)
    ]
    assert not held, "\n".join(held)
