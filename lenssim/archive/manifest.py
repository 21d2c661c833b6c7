"""The manifest, archive.json: what an archive holds, from what it was made, and every checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from lenssim.archive.column import Column
from lenssim.archive.optional_columns import OPTIONAL_COLUMNS
from lenssim.archive.schema import (
    FORMAT_VERSION,
    FORMATS,
    UNKNOWN_UNITS,
    Format,
    columns_of,
)
from lenssim.errors import ArchiveError, SpecError
from lenssim.spec import (
    NAME_PATTERN,
    SPLITS,
    Specification,
    Split,
    SubstructureClass,
    spec_from_mapping,
)
from lenssim.storage.location import Location

MANIFEST = "archive.json"
IMAGES = "images.zarr"
SHARDS = "shards"
FITS = "fits"
"""Zarr store of what was fitted to the images, group by group as in `IMAGES`."""
SOURCES = "sources.csv"
"""Where each imported cutout comes from, a row an image: files, extensions, conversions."""
REFUSED = "refused.csv"
"""Images that an import left out, a row each, with the reason."""
CHECKSUM = "manifest_sha256"
"""Last key of archive.json: the SHA-256 of everything before it, so that it can be trusted."""

LICENCE = "CC-BY-4.0"
NOT_STATED = "not stated by its source"
"""Licence of imported images, if nobody says more."""

_BETWEEN_PLATFORMS = "; "


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


MAX_COUNT = 10**8
"""Images in a group; more than that is a mistake, or meant to exhaust a reader's memory."""


class GroupRecord(_Record):
    """One complete group: its split, class, number of images, and what they are stored as."""

    split: Split
    substructure_class: SubstructureClass = Field(alias="class")
    count: int = Field(ge=1, le=MAX_COUNT)
    shard_size: int = Field(ge=1, le=MAX_COUNT)
    """Images in a file, but for the last one."""
    formats: tuple[Format, ...] = ("zarr",)
    extra_columns: tuple[str, ...] = ()
    """Optional columns of the schema that the group has."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    @property
    def name(self) -> str:
        """Path of the group in the Zarr store, as in "train/cdm"."""
        return f"{self.split}/{self.substructure_class}"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that the group has, in the order of the schema."""
        return columns_of(self.substructure_class, self.extra_columns)

    @field_validator("extra_columns")
    @classmethod
    def _known_columns(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = {column.name for column in OPTIONAL_COLUMNS}
        for name in names:
            if name not in known:
                raise ValueError(f"the column {name!r} is not one that this version knows")
        return names

    @model_serializer(mode="wrap")
    def _without_no_columns(self, serialise: SerializerFunctionWrapHandler) -> Any:
        values = serialise(self)
        if not values.get("extra_columns", True):
            del values["extra_columns"]
        return values

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.count // self.shard_size)

    def samples(self, shard: int) -> range:
        """Sample indices of a shard."""
        first = shard * self.shard_size
        return range(first, min(first + self.shard_size, self.count))


class CutoutRecord(_Record):
    """What telescope images were converted to, and by which settings."""

    instrument: str = Field(min_length=1, max_length=100)
    """Specification whose pixels and zero point the images were brought to."""
    zero_point: float = Field(gt=0, lt=100)
    """AB magnitude of 1 e-/s."""
    psf_pix: int = Field(ge=0, le=1023)
    """Pixels on a side of the PSFs; 0 where the group has none."""
    settings: dict[str, str | float | None]
    """What the files did not say."""


class ImportRecord(_Record):
    """Where imported images come from, in place of a specification."""

    name: str = Field(pattern=NAME_PATTERN)
    layout: Literal["deeplense", "cutouts"]
    """What the source looked like: a folder of .npy files a class, or images of telescopes."""
    listing_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of what `sha256sum` prints for the source's files, sorted by path."""
    source_files: int = Field(ge=1)
    num_pix: int = Field(ge=8, le=1024)
    pixel_scale: float | None = Field(default=None, gt=0, le=1)
    """Arcsec; None if it is not known."""
    licence: str = Field(min_length=1, max_length=200)
    folders: dict[str, SubstructureClass] | None = None
    """Folders of the source and their classes, where their names are not those of the classes."""
    cutouts: CutoutRecord | None = None
    """What telescope images were converted to."""

    @property
    def has_own_splits(self) -> bool:
        """Whether the source was in train and test images before it was imported."""
        return any("/" in folder for folder in self.folders or ())

    @model_serializer(mode="wrap")
    def _without_plain_folders(self, serialise: SerializerFunctionWrapHandler) -> Any:
        values = serialise(self)
        for key in ("folders", "cutouts"):
            if values.get(key, ...) is None:
                del values[key]
        return values


@dataclass(frozen=True)
class ModelInfo:
    """What every group of an archive shares: its name, and the grid of its images.

    `version` and `pixel_scale` (arcsec) are None if they are not known, as of imported images.
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
    platform: str | None = None
    """What the images were simulated on: the same one gives the same bits. Several are joined."""
    imported: ImportRecord | None = None
    groups: list[GroupRecord] = []
    files: dict[str, FileRecord] = {}

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    @field_validator("files")
    @classmethod
    def _paths_stay_inside(cls, files: dict[str, FileRecord]) -> dict[str, FileRecord]:
        for path in files:
            if not is_inside(path):
                raise ValueError(f"the path {path!r} leaves the archive")
        return files

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
        for key in ("spec_sha256", "spec", "platform", "imported"):
            if values.get(key, ...) is None:
                del values[key]
        return values

    def __repr__(self) -> str:
        return f"Manifest\n{self.summary()}"

    __str__ = __repr__

    def summary(self) -> str:
        """What the archive holds and what it was made from, in a few lines."""
        size = self.size / 1e6
        lines: dict[str, str] = {
            split: ", ".join(
                f"{group.substructure_class} {group.count:,}"
                for group in self.groups
                if group.split == split
            )
            for split in SPLITS
        }
        formats = [name for name in FORMATS if any(name in group.formats for group in self.groups)]
        lines |= {
            "images": self._image_grid(),
            "stored as": ", ".join(formats),
            "files": f"{len(self.files):,}, {size:,.1f} MB",
            "made by": f"lenssim {self.generator_version}, engine {self.engine}, seed {self.seed}",
            "spec": f"sha256 {self.spec_sha256}" if self.imported is None else "none, imported",
            "licence": self.imported.licence if self.imported is not None else LICENCE,
        }
        return "\n".join(f"  {name + ':':10s} {text}" for name, text in lines.items() if text)

    def _image_grid(self) -> str:
        try:
            model = self.model
        except SpecError:
            return "the specification is damaged"
        scale = "" if model.pixel_scale is None else f" of {model.pixel_scale:g} arcsec"
        name = f"model {model.name} {model.version}" if self.imported is None else model.name
        return f"{name}, {model.num_pix} x {model.num_pix} pixels{scale}"

    def specification(self) -> Specification:
        """The resolved specification, validated.

        Raises:
            ArchiveError: if the images were imported, so that there is none.
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
    def model(self) -> ModelInfo:
        """Name, version and image grid."""
        if self.imported is not None:
            source = self.imported
            return ModelInfo(source.name, None, source.num_pix, source.pixel_scale, source.licence)
        spec = self.specification()
        instrument = spec.instrument
        return ModelInfo(
            spec.name, spec.version, instrument.num_pix, instrument.pixel_scale, LICENCE
        )

    @property
    def image_unit(self) -> str:
        """Unit of a pixel's value; "unknown" where the source of imported images says none."""
        is_known = self.imported is None or self.imported.cutouts is not None
        return "e-/s" if is_known else UNKNOWN_UNITS

    @property
    def dimensions(self) -> dict[str, int]:
        """Length of each dimension that the groups share."""
        cutouts = self.imported.cutouts if self.imported is not None else None
        psf_pix = 0 if cutouts is None else cutouts.psf_pix
        num_pix = self.model.num_pix
        return {"y": num_pix, "x": num_pix, "psf_y": psf_pix, "psf_x": psf_pix}

    def files_of(self, *prefixes: str) -> dict[str, FileRecord]:
        """Records of the files whose path begins with one of the prefixes."""
        return {path: record for path, record in self.files.items() if path.startswith(prefixes)}

    def has_fits(self, name: str) -> bool:
        """Whether the smooth model was fitted to the images of a group, as in "train/cdm"."""
        return f"{FITS}/{name}/zarr.json" in self.files

    def group(self, name: str) -> GroupRecord | None:
        """The record of a group, as in "train/cdm"; None if it is not complete."""
        return next((group for group in self.groups if group.name == name), None)


def joined_platforms(platforms: Iterable[str | None]) -> str | None:
    """Platforms, some of them joined or not known, as one text; None if none is known."""
    known = {
        platform for joined in platforms if joined for platform in joined.split(_BETWEEN_PLATFORMS)
    }
    return _BETWEEN_PLATFORMS.join(sorted(known)) or None


def is_inside(path: str) -> bool:
    """Whether a path from a manifest names a file below the archive, in its plainest form."""
    parts = path.split("/")
    return "\\" not in path and "\0" not in path and not {"", ".", ".."} & set(parts)


def read_manifest(location: Location) -> Manifest | None:
    """The manifest of an archive; None if there is none.

    Raises:
        ArchiveError: if there is one that cannot be read or understood, or was changed.
    """
    try:
        content = location.read(MANIFEST)
    except FileNotFoundError:
        return None
    if content.lstrip().startswith(b"<"):
        raise ArchiveError(
            f"{location}/{MANIFEST} is a web page, not a manifest: check the address, and whether "
            "its server asks for a login."
        )
    damaged = ArchiveError(f"{location}/{MANIFEST} is damaged or no manifest of ours.")
    try:
        values = json.loads(content)
        version = str(values["format_version"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise damaged from None
    if version.partition(".")[0] != FORMAT_VERSION.partition(".")[0]:
        raise ArchiveError(f"{location} has format {version}; this version reads {FORMAT_VERSION}.")
    values.pop(CHECKSUM, None)
    try:
        manifest = Manifest.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ArchiveError(
            f"{location}/{MANIFEST} is damaged or no manifest of ours: {where}: {first['msg']}."
        ) from None
    if content != _sealed(values):
        raise damaged
    return manifest


def write_manifest(location: Location, manifest: Manifest) -> None:
    """Writes archive.json, whole, with a checksum of itself."""
    location.write(MANIFEST, _sealed(manifest.model_dump(mode="json", by_alias=True)))


def _text(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=1)


def _sealed(values: dict[str, Any]) -> bytes:
    """Content of archive.json: the values, and as the last of them the checksum of the others."""
    checksum = hashlib.sha256(_text(values).encode()).hexdigest()
    return (_text({**values, CHECKSUM: checksum}) + "\n").encode()
