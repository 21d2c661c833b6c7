"""The manifest, archive.json: what an archive holds, from what it was made, and every checksum."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lenssim.archive.location import Location
from lenssim.archive.schema import FORMAT_VERSION
from lenssim.errors import ArchiveError
from lenssim.spec import Specification, Split, SubstructureClass, spec_from_mapping

MANIFEST = "archive.json"
IMAGES = "images.zarr"
LICENCE = "CC-BY-4.0"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FileRecord(_Record):
    """Size in bytes and SHA-256 of one file."""

    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @classmethod
    def of(cls, content: bytes | memoryview) -> FileRecord:
        """The record of a file with this content."""
        return cls(size=len(content), sha256=hashlib.sha256(content).hexdigest())


class GroupRecord(_Record):
    """One complete group: its split, class and number of images."""

    split: Split
    substructure_class: SubstructureClass = Field(alias="class")
    count: int = Field(ge=1)

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    @property
    def name(self) -> str:
        """Path of the group in the Zarr store, as in "train/cdm"."""
        return f"{self.split}/{self.substructure_class}"


class Manifest(_Record):
    """Content of archive.json. Only groups that are complete are in it."""

    format_version: str = FORMAT_VERSION
    generator_version: str
    engine: Literal["fast", "lenstronomy"]
    seed: int = Field(ge=0)
    spec_sha256: str
    spec: dict[str, Any]
    groups: list[GroupRecord] = []
    files: dict[str, FileRecord] = {}

    def specification(self) -> Specification:
        """The resolved specification, validated."""
        return spec_from_mapping(self.spec, f"the specification in {MANIFEST}")

    def group(self, name: str) -> GroupRecord | None:
        """The record of a group, as in "train/cdm"; None where it is not complete."""
        return next((group for group in self.groups if group.name == name), None)


def read_manifest(location: Location) -> Manifest | None:
    """The manifest of an archive; None where there is none.

    Raises:
        ArchiveError: where there is one that cannot be read or understood.
    """
    try:
        content = location.read(MANIFEST)
    except FileNotFoundError:
        return None
    try:
        manifest = Manifest.model_validate(json.loads(content))
    except (ValidationError, ValueError):
        raise ArchiveError(f"{location}/{MANIFEST} is damaged or no manifest of ours.") from None
    if manifest.format_version.split(".")[0] != FORMAT_VERSION.split(".")[0]:
        raise ArchiveError(
            f"{location} has format {manifest.format_version}; this version reads {FORMAT_VERSION}."
        )
    return manifest


def write_manifest(location: Location, manifest: Manifest) -> None:
    """Writes archive.json, whole."""
    values = manifest.model_dump(mode="json", by_alias=True)
    location.write(MANIFEST, (json.dumps(values, indent=1) + "\n").encode())
