"""Reading the WebDataset shards of an archive, by their fixed layout.

A shard is a tar file of samples of one length: KEY.image.npy, then KEY.json padded with spaces,
KEY = MODEL-SPLIT-CLASS-%08d. When it is first needed it is read once whole: its checksum, every
header and every json are verified, and the columns kept. From then on, images are read by their
place alone. Nothing is unpickled: an image that is not plain float32 is refused.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import threading
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import fsspec
import numpy as np
from numpy.typing import NDArray

from lensmodels.data.files import replace_file
from lensmodels.data.source import COLUMN_TYPES, Columns, Images, Source
from lensmodels.errors import DataError
from lenssim.archive import Archive

SHARDS = "shards"

CHUNK_SIZE = 256
"""Images that are read at once."""

_BLOCK = tarfile.BLOCKSIZE
_DIGITS = 8
_CHECKSUM_FIELD = slice(148, 156)
_END_OF_ARCHIVE = 2 * _BLOCK
_NAME = re.compile(r"(?P<prefix>.+-)(?P<sample>\d{8})\.image\.npy")

Bytes = NDArray[np.uint8]


class LayoutError(ValueError):
    """A shard is not laid out as ours are."""


@dataclass(frozen=True)
class _Shard:
    """A verified shard: where its images lie, and its columns."""

    path: Path
    stride: int
    image_offset: int
    columns: Columns


def _padded(size: int) -> int:
    """Length of a tar member's data with its padding."""
    return -(-size // _BLOCK) * _BLOCK


def _header(content: bytes) -> tarfile.TarInfo:
    """A tar header, whose own checksum is verified."""
    try:
        header = tarfile.TarInfo.frombuf(content, "utf-8", "strict")
    except (tarfile.HeaderError, ValueError) as error:
        raise LayoutError(f"no tar header where one should be ({error})") from None
    if header.type != tarfile.REGTYPE:
        raise LayoutError(f"{header.name} is no regular file")
    return header


def first_sample(content: bytes, group: str) -> int:
    """Index of the sample whose image a tar header, (512 bytes), announces.

    Raises:
        LayoutError: where it is not an image of the group.
    """
    name = _header(content).name
    match = _NAME.fullmatch(name)
    if match is None or not match["prefix"].endswith(f"-{group.replace('/', '-')}-"):
        raise LayoutError(f"{name} is not named MODEL-{group.replace('/', '-')}-%08d.image.npy")
    return int(match["sample"])


def _digits(samples: NDArray[np.int64]) -> Bytes:
    """The indices as eight ASCII digits, (n, 8)."""
    powers = 10 ** np.arange(_DIGITS - 1, -1, -1)
    return (samples[:, None] // powers % 10 + ord("0")).astype(np.uint8)


def _check_alike(rows: Bytes, number: slice, samples: NDArray[np.int64]) -> None:
    """Whether all headers, (n, 512), are the first one but for the index and the checksum."""
    same = np.ones(_BLOCK, bool)
    same[number] = same[_CHECKSUM_FIELD] = False
    if (rows[:, same] != rows[0, same]).any() or (rows[:, number] != _digits(samples)).any():
        raise LayoutError("its members are not consecutive samples of one size")


def _npy_header(member: Bytes, num_pix: int) -> int:
    """Length of the header of an image in npy format.

    Raises:
        LayoutError: where it is anything but float32 of the expected shape: objects, too.
    """
    stream = io.BytesIO(member.tobytes())
    try:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise LayoutError(f"an image is in npy format {version}, not (1, 0)")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except LayoutError:
        raise
    except ValueError as error:
        raise LayoutError(f"an image is no npy file ({error})") from None
    if shape != (num_pix, num_pix) or fortran or dtype.str != "<f4":
        raise LayoutError(
            f"an image is {dtype} of shape {shape}, not float32 of shape {(num_pix, num_pix)}"
        )
    return stream.tell()


def parse_shard(
    content: bytes, group: str, samples: NDArray[np.int64], num_pix: int
) -> tuple[int, int, Columns]:
    """Verifies every header and json of a shard.

    Args:
        content: of the whole file.
        group: as in "train/cdm".
        samples: (n,) indices that it should hold, in order.
        num_pix: pixels a side that the images should have.

    Returns:
        Distance in bytes from one sample to the next, place of the first image's pixels, and the
        stored columns, each (n,).

    Raises:
        LayoutError: where anything is not as it should be.
    """
    first_sample(content[:_BLOCK], group)
    image = _header(content[:_BLOCK])
    json_at = _BLOCK + _padded(image.size)
    record = _header(content[json_at : json_at + _BLOCK])
    key = image.name.removesuffix(".image.npy")
    if record.name != f"{key}.json":
        raise LayoutError(f"{image.name} is followed by {record.name}, not by {key}.json")
    stride = json_at + _BLOCK + _padded(record.size)
    end = stride * len(samples)
    if len(content) < end + _END_OF_ARCHIVE or any(content[end:]):
        raise LayoutError(f"it is cut short or does not hold {len(samples)} samples")
    rows = np.frombuffer(content, np.uint8, end).reshape(len(samples), stride)
    number = slice(len(key.encode()) - _DIGITS, len(key.encode()))
    _check_alike(rows[:, :_BLOCK], number, samples)
    _check_alike(rows[:, json_at : json_at + _BLOCK], number, samples)
    header_size = _npy_header(rows[0, _BLOCK:json_at], num_pix)
    headers = rows[:, _BLOCK : _BLOCK + header_size]
    if image.size != header_size + 4 * num_pix**2 or (headers != headers[0]).any():
        raise LayoutError("its images are not all of one size")
    start = json_at + _BLOCK
    return (
        stride,
        _BLOCK + header_size,
        _parse_columns(rows[:, start : start + record.size], samples),
    )


def _parse_columns(rows: Bytes, samples: NDArray[np.int64]) -> Columns:
    """The stored columns from json texts, (n, length)."""
    try:
        values = json.loads(b"[" + b",".join(row.tobytes() for row in rows) + b"]")
        # null, where there is no axion, becomes NaN
        table = {
            name: np.array([row[name] for row in values], np.float64)
            for name in ("sample", *COLUMN_TYPES)
        }
    except (ValueError, KeyError, TypeError) as error:
        raise LayoutError(f"a json is damaged or lacks a column ({error})") from None
    if (table.pop("sample") != samples).any():
        raise LayoutError("a json is of another sample than its name says")
    return {name: values.astype(COLUMN_TYPES[name]) for name, values in table.items()}


class ShardSource(Source):
    """Groups of an archive, from its shards.

    Args:
        archive: that holds them.
        groups: names, as in "train/cdm".
        cache: folder for copies of a remote archive's shards, which are fetched whole.

    Raises:
        DataError: where a group has no shards, or they do not begin as ours do.
    """

    def __init__(self, archive: Archive, groups: list[str], cache: Path | None) -> None:
        counts = {name: record.count for name in groups if (record := archive.manifest.group(name))}
        super().__init__(counts, archive.manifest.frame.num_pix)
        self._archive = archive
        self._cache = cache
        self._names = {group: _shard_names(archive, group) for group in groups}
        self._bounds = _read_bounds(archive, self._names, counts)
        self._shards: dict[str, _Shard] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def edges(self, group: str) -> NDArray[np.int64]:
        """Where the chunks of a group begin, and its end."""
        bounds = self._bounds[group]
        starts = [np.arange(start, stop, CHUNK_SIZE) for start, stop in pairwise(bounds.tolist())]
        return np.concatenate([*starts, bounds[-1:]])

    def _read(self, group: str, start: int, stop: int, images: Images) -> Columns:
        number = self._number(group, start)
        shard = self._open(group, number)
        first = start - int(self._bounds[group][number])
        rows = slice(first, first + stop - start)
        offset = first * shard.stride
        size = (stop - start) * shard.stride
        content = np.fromfile(shard.path, np.uint8, size, offset=offset)
        if len(content) < size:
            raise LayoutError("it is cut short")
        images[:] = np.ndarray(
            images.shape,
            "<f4",
            buffer=content,
            offset=shard.image_offset,
            strides=(shard.stride, 4 * self.num_pix, 4),
        )
        return {name: values[rows] for name, values in shard.columns.items()}

    def _number(self, group: str, sample: int) -> int:
        """Number of the shard of a group that holds a sample."""
        return int(np.searchsorted(self._bounds[group], sample, side="right")) - 1

    def _open(self, group: str, number: int) -> _Shard:
        """A shard, verified when it is first asked for."""
        name = self._names[group][number]
        with self._locks[name]:
            if name not in self._shards:
                path, content = self._fetch(name)
                samples = np.arange(*self._bounds[group][number : number + 2])
                layout = parse_shard(content, group, samples, self.num_pix)
                self._shards[name] = _Shard(path, *layout)
            return self._shards[name]

    def _fetch(self, name: str) -> tuple[Path, bytes]:
        """The local copy of a shard and its content, which is what the manifest says."""
        location, record = self._archive.location, self._archive.manifest.files[name]
        path = Path(location.path(name)) if self._cache is None else self._cache / name
        if self._cache is not None and path.exists():
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == record.sha256:
                return path, content
        content = location.read(name)
        if hashlib.sha256(content).hexdigest() != record.sha256:
            raise LayoutError("its checksum is not the one in archive.json")
        if self._cache is not None:
            replace_file(path, content)
        return path, content

    def _place(self, group: str, start: int) -> str:
        return self._names[group][self._number(group, start)]


def _shard_names(archive: Archive, group: str) -> list[str]:
    prefix = f"{SHARDS}/{group}-"
    names = sorted(name for name in archive.manifest.files if name.startswith(prefix))
    if not names:
        raise DataError(
            f"{archive.location} has no shards of {group}; make them with "
            "`lenssim export --to webdataset` or read its Zarr store."
        )
    return names


def _read_bounds(
    archive: Archive, names: dict[str, list[str]], counts: dict[str, int]
) -> dict[str, NDArray[np.int64]]:
    """The first samples of a group's shards, and its count, from the head of each shard."""
    files, root = fsspec.core.url_to_fs(archive.location.url)
    paths = [name for group in names.values() for name in group]
    try:
        heads = files.cat_ranges([f"{root}/{path}" for path in paths], 0, _BLOCK, on_error="raise")
    except Exception as error:  # file systems raise what they like
        raise DataError(
            f"The shards of {archive.location} cannot be read: {str(error).rstrip('.')}."
        ) from error
    found = dict(zip(paths, heads, strict=True))
    bounds = {}
    for group, shards in names.items():
        starts = []
        for name in shards:
            try:
                starts.append(first_sample(found[name], group))
            except LayoutError as error:
                raise DataError(
                    f"{archive.location}/{name} is no shard of ours: {error}."
                ) from None
        edges = np.array([*starts, counts[group]])
        if edges[0] != 0 or (np.diff(edges) <= 0).any():
            raise DataError(
                f"The shards of {group} in {archive.location} do not follow one another; "
                "find which is missing with `lenssim verify` and export them again."
            )
        bounds[group] = edges
    return bounds
