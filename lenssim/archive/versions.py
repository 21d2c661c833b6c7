"""The index of a published data set, versions.json: which versions it has, sorted."""

from __future__ import annotations

import json
import re
from typing import Any

from lenssim.errors import ArchiveError
from lenssim.storage.location import Location

INDEX = "versions.json"
"""File that lists the versions of a published data set."""

VERSION = re.compile(r"^\d+\.\d+\.\d+$", re.ASCII)


def published_versions(home: Location) -> list[dict[str, Any]]:
    """Entries of the index of a published data set; none if there is no index yet.

    Raises:
        ArchiveError: if there is one that cannot be understood.
    """
    try:
        content = home.read(INDEX)
    except FileNotFoundError:
        return []
    try:
        entries = json.loads(content)["versions"]
        if not all(VERSION.match(entry["version"]) for entry in entries):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise ArchiveError(f"{home}/{INDEX} is damaged or no index of ours.") from None
    return entries
