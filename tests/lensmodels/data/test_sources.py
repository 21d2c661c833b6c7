"""Sources of streams: chunks are those that zarr reads, shards pass their columns on."""

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ShardingCodec

import lenssim
from lensmodels.data import DataSettings, LensDataModule
from lensmodels.data.shard_source import DamagedShardError, stored_columns
from lensmodels.data.zarr_source import PlainChunks

SAMPLES = range(5, 8)


def scalars(**values):
    return [
        {"sample": index, "label": 1, "axion_mass": None, "substructure_snr": 0.5 * index} | values
        for index in SAMPLES
    ]


def test_what_is_no_number_becomes_nan():
    columns = stored_columns(scalars(), SAMPLES)
    assert columns["label"].tolist() == [1, 1, 1]
    assert columns["substructure_snr"].tolist() == [2.5, 3.0, 3.5]
    assert np.isnan(columns["axion_mass"]).all()


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([{}] * 3, "lacks a column"),
        (scalars(label="cdm"), "damaged or lacks"),
        ([3, 4, 5], "damaged or lacks"),
        (scalars(sample=9), "another sample"),
    ],
)
def test_what_is_not_ours_is_refused(rows, problem):
    with pytest.raises(DamagedShardError, match=problem):
        stored_columns(rows, SAMPLES)


def test_further_columns_are_those_of_the_archive_and_nan_if_it_has_none(either, archive):
    settings = DataSettings(url=str(either), batch_size=5, workers=0, num_pix=16, cache="memory")
    data = LensDataModule(settings, columns=("lens_theta_e", "source_x", "lens_slope"))
    data.setup()
    batch = next(iter(data.test_dataloader()))
    expected = lenssim.open_archive(archive).dataset("test", "axion").isel(sample=slice(5))
    for name in ("lens_theta_e", "source_x"):
        np.testing.assert_array_equal(batch[name], expected[name].values.astype(np.float32))
    assert batch["lens_slope"].isnan().all()
    train = next(iter(data.train_dataloader()))  # from the cache
    assert train["source_x"].isfinite().all()


SHAPE = (19, 4, 4)
PLAIN = (BytesCodec(endian="little"), Crc32cCodec())


def stored(folder, *, codecs=PLAIN, location="end", dtype="float32", chunks=(3, 4, 4)):
    """An array in files of six images and chunks of three."""
    sharding = ShardingCodec(chunk_shape=chunks, codecs=codecs, index_location=location)
    array = zarr.create(
        shape=SHAPE, dtype=dtype, chunks=(6, 4, 4), codecs=[sharding], store=str(folder)
    )
    array[:] = np.random.default_rng(0).random(SHAPE)
    return array


@pytest.mark.parametrize("location", ["start", "end"])
def test_every_run_of_every_chunk_is_what_zarr_reads(tmp_path, location):
    array = stored(tmp_path, location=location)
    chunks = PlainChunks.of(tmp_path, array)
    for first in range(0, 19, 3):
        for start in range(first, min(first + 3, 19)):
            for stop in range(start + 1, min(first + 3, 19) + 1):
                images = np.empty((stop - start, 4, 4), np.float32)
                chunks.read(start, stop, images)
                np.testing.assert_array_equal(images, array[start:stop])


@pytest.mark.parametrize("location", ["start", "end"])
@pytest.mark.parametrize("start", [0, 3])
def test_no_flipped_byte_goes_unnoticed(tmp_path, location, start):
    chunk = range(start, start + 3)
    file = tmp_path / "c/0/0/0"
    array = stored(tmp_path, location=location)
    expected, content = array[start : start + 3], file.read_bytes()
    unnoticed = 0
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1
        file.write_bytes(damaged)
        images = np.empty((3, 4, 4), np.float32)
        try:
            PlainChunks.of(tmp_path, array).read(chunk.start, chunk.stop, images)
        except ValueError:
            continue
        np.testing.assert_array_equal(images, expected)
        unnoticed += 1
    assert unnoticed == 3 * 64 + 4  # the other chunk of the file, which was not read


def test_what_zarr_has_to_decode_is_left_to_it(tmp_path):
    compressed = (BytesCodec(endian="little"), BloscCodec(), Crc32cCodec())
    big_endian = (BytesCodec(endian="big"), Crc32cCodec())
    unchecked = (BytesCodec(endian="little"),)
    for number, codecs in enumerate((compressed, big_endian, unchecked)):
        assert PlainChunks.of(tmp_path, stored(tmp_path / str(number), codecs=codecs)) is None
    assert PlainChunks.of(tmp_path, stored(tmp_path / "f8", dtype="float64")) is None
    assert PlainChunks.of(tmp_path, stored(tmp_path / "cut", chunks=(3, 2, 4))) is None
