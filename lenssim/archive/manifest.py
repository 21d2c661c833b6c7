"""The manifest, archive.json: what an archive holds, from what it was made, and every checksum."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from lenssim.archive.location import Location
from lenssim.archive.schema import FORMAT_VERSION
from lenssim.errors import ArchiveError
from lenssim.spec import NAME_PATTERN, Specification, Split, SubstructureClass, spec_from_mapping

MANIFEST = "archive.json"
IMAGES = "images.zarr"
LICENCE = "CC-BY-4.0"
NOT_STATED = "not stated by its source"
"""Licence of imported images, where nobody says more."""


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


class ImportRecord(_Record):
    """Where imported images come from, in place of a specification."""

    name: str = Field(pattern=NAME_PATTERN)
    layout: Literal["deeplense"]
    """What the source looked like: a folder of .npy files a class."""
    listing_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of what `sha256sum` prints for the source's files, sorted by path."""
    source_files: int = Field(ge=1)
    num_pix: int = Field(ge=8, le=1024)
    pixel_scale: float | None = Field(default=None, gt=0, le=1)
    """Arcsec; None where it is not known."""
    licence: str = Field(min_length=1, max_length=200)


@dataclass(frozen=True)
class Frame:
    """What every group of an archive shares: its name, and the grid of its images.

    `version` and `pixel_scale` (arcsec) are None where they are not known, as of imported images.
    """

    name: str
    version: str | None
    num_pix: int
    pixel_scale: float | None
    licence: str


class Manifest(_Record):
    """Content of archive.json. Only groups that are complete are in it.

    Simulated images have a specification; imported ones say in `imported` where they come from.
    The seed decides the images, or which of the imported ones are test images.
    """

    format_version: str = FORMAT_VERSION
    generator_version: str
    engine: Literal["fast", "lenstronomy", "imported"]
    seed: int = Field(ge=0)
    spec_sha256: str | None = None
    spec: dict[str, Any] | None = None
    imported: ImportRecord | None = None
    groups: list[GroupRecord] = []
    files: dict[str, FileRecord] = {}

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        is_imported = self.engine == "imported"
        if (self.imported is not None) != is_imported or (self.spec is None) != is_imported:
            raise ValueError("exactly one of spec and imported must be given, as engine says")
        if (self.spec_sha256 is None) != is_imported:
            raise ValueError("spec and spec_sha256 must be given together")
        return self

    @model_serializer(mode="wrap")
    def _without_the_other_origin(self, serialise: SerializerFunctionWrapHandler) -> Any:
        values = serialise(self)
        for key in ("spec_sha256", "spec", "imported"):
            if values.get(key, ...) is None:
                del values[key]
        return values

    def specification(self) -> Specification:
        """The resolved specification, validated.

        Raises:
            ArchiveError: where the images were imported, so that there is none.
        """
        if self.spec is None:
            raise ArchiveError(
                f"The images of {self.name} were imported: they have no specification."
            )
        return spec_from_mapping(self.spec, f"the specification in {MANIFEST}")

    @property
    def name(self) -> str:
        """Name of the model, or of what was imported."""
        return self.imported.name if self.imported is not None else (self.spec or {})["name"]

    @property
    def frame(self) -> Frame:
        """Name and image grid."""
        if self.imported is not None:
            source = self.imported
            return Frame(source.name, None, source.num_pix, source.pixel_scale, source.licence)
        spec = self.specification()
        instrument = spec.instrument
        return Frame(spec.name, spec.version, instrument.num_pix, instrument.pixel_scale, LICENCE)

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
