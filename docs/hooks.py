"""Hooks of mkdocs: pages that lie outside docs/, and reference pages made from the code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT, ROOT / "docs"):
    sys.path.insert(0, str(folder))

import generated  # noqa: E402 - from the folder beside this file

OUTSIDE = (
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "README.md",
    "CITATION.cff",
    "benchmarks/results/*.md",
    "experiments/results/**/*.md",
    "experiments/results/**/*.png",
    "datasets_cards/*.md",
)
"""Files of the repository that are pages or pictures of the site, as glob patterns."""


def on_files(files: Files, config: Any) -> Files:
    """Adds the files outside docs/ and the generated pages."""
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            uri = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, uri, abs_src_path=str(path)))
    for uri, text in generated.pages().items():
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lets links work on the site that are written for the repository."""
    uri = page.file.src_uri
    if uri in {"CONTRIBUTING.md", "CHANGELOG.md", "README.md"}:
        return markdown.replace("](docs/", "](").replace("](examples)", "](examples/explore.md)")
    if uri == "index.md":
        return markdown.replace("](../", "](")
    if uri.count("/") == 1 and (ROOT / "docs" / uri).exists():
        return markdown.replace("](../../", "](../")
    return markdown
