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
    r"\b_may_pass\b": "is_transient",
    r"the words were wrong": "usage error",
    r"manifest\.frame": "manifest.model",
}

IN_ARCHIVES = 'f"{long_name} (NaN where there is none)",'
"""Written into every archive, whose bytes do not change."""

OLD_KEY = 'validation_alias=AliasChoices("study_encoder", "stands_for")'
"""Files of before have the old key."""


def test_words_that_were_given_up_stay_out():
    files = [
        *ROOT.glob("lenssim/**/*.py"),
        *ROOT.glob("lenssim/**/*.yaml"),
        *ROOT.glob("lensmodels/**/*.py"),
        *ROOT.glob("lensmodels/**/*.html"),
        *ROOT.glob("benchmarks/*.py"),
        *ROOT.glob("experiments/*.py"),
        *ROOT.glob("examples/*.py"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("*.md"),
    ]
    assert len(files) > 250
    held = [
        f"{path.relative_to(ROOT)}:{number}: write {better}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if line.strip() not in (IN_ARCHIVES, OLD_KEY)
        for pattern, better in GIVEN_UP.items()
        if re.search(pattern, line)
    ]
    assert not held, "\n".join(held)
