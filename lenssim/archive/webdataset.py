"""WebDataset shards: plain tar files with two members a sample, the same bytes every time.

A sample is `KEY.image.npy`, its pixels, and `KEY.json`, every column of the schema that holds one
number an image: the keys are the same for all classes, and a value is null where the class has no
such column or it is NaN. KEY is MODEL-SPLIT-CLASS-%08d. Headers hold no time, user or path of the
machine that wrote them. The JSON is filled up with blanks to one length a shard, so all samples of
a shard take the same number of bytes: it is built, and checked, as one array.
"""

from __future__ import annotations

import io
import json
import math
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenssim.archive.column import BASE_COLUMNS
from lenssim.archive.manifest import MAX_COUNT, SHARDS, GroupRecord
from lenssim.archive.optional_columns import OPTIONAL_COLUMNS
from lenssim.errors import ArchiveError

Bytes = NDArray[np.uint8]

_DIGITS = len(str(MAX_COUNT - 1))
_CHECKSUM_FIELD = slice(148, 154)
_PIXELS = np.dtype("<f4")


def shard_path(record: GroupRecord, shard: int) -> str:
    """Path of a shard in the archive, as in "shards/train/cdm-000000.tar"."""
    return f"{SHARDS}/{record.name}-{shard:06d}.tar"


def key_prefix(model: str, record: GroupRecord) -> str:
    """A group's keys without their sample index, as in "B-train-cdm-".

    A dot in the model's name becomes an underscore: readers take what follows the first dot of a
    member's name for its kind.
    """
    return f"{model.replace('.', '_')}-{record.split}-{record.substructure_class}-"


def encode_shard(
    model: str, record: GroupRecord, samples: range, columns: Mapping[str, NDArray[Any]]
) -> Bytes:
    """A shard as the bytes of its file.

    Args:
        model: name of the data set.
        record: the group.
        samples: sample indices of the shard.
        columns: every column of the group's class, for these samples; "image" in e-/s of shape
            (n, y, x).

    Returns:
        Content of the tar file, shape (size,).
    """
    texts = _scalars_as_json(record, samples, columns)
    width = -(-max(len(text) for text in texts) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    images = np.ascontiguousarray(columns["image"], dtype=_PIXELS)
    layout = _ShardLayout(model, record, samples, images.shape[1:], width)
    content = np.zeros(layout.size, dtype=np.uint8)
    rows = content[: layout.rows_size].reshape(len(samples), layout.stride)
    for part, header in layout.headers():
        rows[:, part] = header
    rows[:, layout.pixels] = images.reshape(len(samples), -1).view(np.uint8)
    blanks = b"".join(text.ljust(width) for text in texts)
    rows[:, layout.json] = np.frombuffer(blanks, dtype=np.uint8).reshape(len(samples), width)
    return content


@dataclass(frozen=True)
class ShardParts:
    """What a shard holds, and where its pixels lie.

    Attributes:
        stride: bytes from one sample to the next.
        pixel_offset: of the first sample's pixels, bytes from the beginning of the file.
        scalars: one mapping a sample, None if a value is not a number.
    """

    stride: int
    pixel_offset: int
    scalars: list[dict[str, Any]]


def parse_shard(
    content: bytes | memoryview, model: str, record: GroupRecord, samples: range, num_pix: int
) -> ShardParts:
    """Checks every header of a shard and reads its scalars; nothing in it is executed.

    Args:
        content: of the tar file.
        model: name of the data set.
        record: the group.
        samples: sample indices that the shard should hold.
        num_pix: pixels on a side.

    Returns:
        Where the pixels of each sample lie, and its scalars.

    Raises:
        ArchiveError: if the content is anything else than what `encode_shard` writes.
    """
    shape = (num_pix, num_pix)
    width = _json_width(content, _ShardLayout(model, record, samples, shape, 0))
    layout = _ShardLayout(model, record, samples, shape, width)
    if len(content) != layout.size:
        raise ArchiveError(f"it has {len(content)} bytes instead of {layout.size}")
    array = np.frombuffer(content, dtype=np.uint8)
    rows = array[: layout.rows_size].reshape(len(samples), layout.stride)
    for part, header in layout.headers():
        wrong = np.flatnonzero((rows[:, part] != header).any(axis=1))
        if wrong.size:
            raise ArchiveError(f"sample {samples[int(wrong[0])]} is not where it should be")
    try:
        scalars = [json.loads(row.tobytes()) for row in rows[:, layout.json]]
    except ValueError:
        raise ArchiveError("it holds text that is not JSON") from None
    return ShardParts(layout.stride, layout.pixels.start, scalars)


def pixels_of(
    content: Bytes | bytes | memoryview, parts: ShardParts, count: int, num_pix: int
) -> NDArray[np.float32]:
    """View of the pixels of samples that follow one another, e-/s, (count, num_pix, num_pix).

    Args:
        content: bytes of the samples, from the beginning of the first.
        parts: of their shard.
        count: samples.
        num_pix: pixels on a side.

    Returns:
        A view of the same memory.
    """
    return np.ndarray(
        (count, num_pix, num_pix),
        _PIXELS,
        buffer=content,
        offset=parts.pixel_offset,
        strides=(parts.stride, num_pix * _PIXELS.itemsize, _PIXELS.itemsize),
    )


class _ShardLayout:
    """Where the parts of a sample lie in its `stride` bytes, and of what headers they consist."""

    def __init__(
        self,
        model: str,
        record: GroupRecord,
        samples: range,
        shape: tuple[int, ...],
        json_width: int,
    ) -> None:
        self._prefix = key_prefix(model, record)
        self._samples = samples
        self._npy = _npy_header(shape)
        pixels_size = math.prod(shape) * _PIXELS.itemsize
        self._npy_size = len(self._npy) + pixels_size
        start = tarfile.BLOCKSIZE + len(self._npy)
        self.pixels = slice(start, start + pixels_size)
        self.json_header = tarfile.BLOCKSIZE + _whole_blocks(self._npy_size)
        start = self.json_header + tarfile.BLOCKSIZE
        self.json = slice(start, start + json_width)
        self.stride = self.json.stop
        self.rows_size = len(samples) * self.stride
        # two empty blocks end a tar file, which is filled up to a whole record
        ended = self.rows_size + 2 * tarfile.BLOCKSIZE
        self.size = -(-ended // tarfile.RECORDSIZE) * tarfile.RECORDSIZE

    def headers(self) -> list[tuple[slice, Bytes]]:
        """Parts of a sample that are known without its values, each with its bytes.

        Returns:
            Places in the sample, and bytes of shape (samples, size) or (size,).
        """
        json_width = self.json.stop - self.json.start
        image_end = tarfile.BLOCKSIZE + len(self._npy)
        return [
            (slice(0, tarfile.BLOCKSIZE), self._tar_headers(".image.npy", self._npy_size)),
            (slice(tarfile.BLOCKSIZE, image_end), np.frombuffer(self._npy, dtype=np.uint8)),
            (
                slice(self.json_header, self.json.start),
                self._tar_headers(".json", json_width),
            ),
        ]

    def _tar_headers(self, ending: str, size: int) -> Bytes:
        """One header a sample: the first one's, with the other indices and checksums put in."""
        info = tarfile.TarInfo(f"{self._prefix}{0:0{_DIGITS}d}{ending}")
        info.size = size
        template = info.tobuf(tarfile.USTAR_FORMAT)
        headers = np.tile(np.frombuffer(template, dtype=np.uint8), (len(self._samples), 1))
        powers = 10 ** np.arange(_DIGITS - 1, -1, -1)
        digits = np.arange(self._samples.start, self._samples.stop)[:, None] // powers % 10
        start = len(self._prefix)
        headers[:, start : start + _DIGITS] += digits.astype(np.uint8)
        # the checksum is the sum of the header's bytes, six octal digits
        checksums = int(template[_CHECKSUM_FIELD], 8) + digits.sum(axis=1)
        octal = checksums[:, None] >> (3 * np.arange(5, -1, -1)) & 7
        headers[:, _CHECKSUM_FIELD] = octal + ord("0")
        return headers


def _json_width(content: bytes | memoryview, layout: _ShardLayout) -> int:
    """Length of the JSON members, from the first one's header."""
    header = bytes(content[layout.json_header : layout.json_header + tarfile.BLOCKSIZE])
    try:
        size = tarfile.TarInfo.frombuf(header, "ascii", "strict").size
    except (tarfile.TarError, UnicodeDecodeError):
        raise ArchiveError("it is not a tar file of ours") from None
    if not 0 < size <= len(content) or size % tarfile.BLOCKSIZE:
        raise ArchiveError("it is not a tar file of ours")
    return size


def _whole_blocks(size: int) -> int:
    """Bytes that a member takes: whole blocks."""
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _npy_header(shape: tuple[int, ...]) -> bytes:
    """What an .npy file of float32 pixels begins with."""
    file = io.BytesIO()
    description = {"descr": _PIXELS.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, description)
    return file.getvalue()


def _scalars_as_json(
    record: GroupRecord, samples: range, columns: Mapping[str, NDArray[Any]]
) -> list[bytes]:
    """One JSON object a sample: its index, and every column that holds one number an image.

    Tools that infer one table schema for all shards need the same keys in all of them.
    """
    everywhere = (*BASE_COLUMNS, *(named for named in record.columns if named in OPTIONAL_COLUMNS))
    names = [column.name for column in everywhere if column.is_scalar]
    own = {column.name for column in record.columns}
    nothing = [math.nan] * len(samples)
    values = [columns[name].tolist() if name in own else nothing for name in names]
    keys = ["sample", *names]
    encode = json.JSONEncoder(allow_nan=False).encode
    return [
        encode(dict(zip(keys, map(_number_or_none, row), strict=True))).encode()
        for row in zip(samples, *values, strict=True)
    ]


def _number_or_none(value: float) -> float | None:
    """The value; None for NaN, which JSON does not have."""
    return None if math.isnan(value) else value
