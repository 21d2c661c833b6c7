"""Shards: only what is laid out as ours are is read, and nothing is unpickled."""

import io
import json
import tarfile

import numpy as np
import pytest

from lensmodels.data.shard_source import LayoutError, parse_shard

NUM_PIX = 8


def npy(values, **options):
    file = io.BytesIO()
    np.save(file, values, **options)
    return file.getvalue()


def image(index):
    return np.full((NUM_PIX, NUM_PIX), index, "<f4")


def record(index, **values):
    row = {"sample": index, "label": 1, "axion_mass": None, "substructure_snr": 0.5 * index}
    return json.dumps({**row, **values}).encode().ljust(200)


def entries(count=3, start=5):
    """The members of a shard of `count` samples, from index `start` on: name and content."""
    rows = []
    for index in range(start, start + count):
        key = f"B-train-cdm-{index:08d}"
        rows += [(f"{key}.image.npy", npy(image(index))), (f"{key}.json", record(index))]
    return rows


def tar(members, kind=tarfile.REGTYPE):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            header = tarfile.TarInfo(name)
            header.size, header.type = len(content), kind
            archive.addfile(header, io.BytesIO(content))
    return file.getvalue()


def parse(content, group="train/cdm", start=5, count=3, num_pix=NUM_PIX):
    return parse_shard(content, group, np.arange(start, start + count), num_pix)


def test_images_and_columns_are_where_the_layout_says():
    content = tar(entries())
    stride, offset, columns = parse(content)
    for number, index in enumerate(range(5, 8)):
        pixels = np.frombuffer(content, "<f4", NUM_PIX**2, number * stride + offset)
        np.testing.assert_array_equal(pixels, np.full(NUM_PIX**2, index))
    assert columns["label"].tolist() == [1, 1, 1]
    assert columns["substructure_snr"].tolist() == [2.5, 3.0, 3.5]
    assert np.isnan(columns["axion_mass"]).all()


def changed(number, name=None, content=None):
    """Members of which one has another name or content."""
    members = entries()
    members[number] = (name or members[number][0], content or members[number][1])
    return members


def with_images(content):
    """Members whose images are all this content."""
    return [(name, content if name.endswith(".npy") else text) for name, text in entries()]


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        (changed(0, "B-train-cdm-00000005.image.pickle"), "is not named"),
        (changed(0, "../B-test-cdm-00000005.image.npy"), "is not named"),
        (changed(1, "B-train-cdm-00000006.json"), "is followed by"),
        (changed(2, "B-train-cdm-00000009.image.npy"), "not consecutive samples"),
        (changed(3, "B-train-cdm-00000006.pickle"), "not consecutive samples"),
        (with_images(npy(image(5).astype("<f8"))), "float64"),
        (with_images(npy(image(5)[:4])), r"of shape \(4, 8\)"),
        (with_images(npy(np.array([{}] * 64), allow_pickle=True)), "object"),
        (changed(0, content=b"\x80\x04" + npy(image(5))[2:]), "no npy file"),
        (changed(4, content=npy(image(7)[:4])), "not consecutive samples"),
        (changed(1, content=record(6)), "another sample"),
        (changed(1, content=record(5)[:30].ljust(200)), "damaged or lacks"),
        (changed(1, content=b"{}".ljust(200)), "damaged or lacks"),
        (changed(1, content=record(5, label="cdm")), "damaged or lacks"),
        (entries(2), "not consecutive samples"),
        (entries(4), "cut short"),
        ([], "no tar header"),
    ],
)
def test_what_is_not_laid_out_as_ours_is_refused(members, problem):
    with pytest.raises(LayoutError, match=problem):
        parse(tar(members))


def test_links_truncation_and_another_class_are_refused():
    with pytest.raises(LayoutError, match="no regular file"):
        parse(tar([(name, b"") for name, _ in entries()], kind=tarfile.SYMTYPE))
    content = tar(entries())
    for size in (0, 300, 512, 2000, len(content) // 4):
        with pytest.raises(LayoutError):
            parse(content[:size])
    with pytest.raises(LayoutError, match="is not named MODEL-train-axion"):
        parse(content, group="train/axion")


def test_a_flipped_bit_of_a_header_is_refused():
    content = tar(entries())
    stride = parse(content)[0]
    for place in (3, stride + 100, 2 * stride + 257):
        damaged = bytearray(content)
        damaged[place] ^= 4
        with pytest.raises(LayoutError):
            parse(bytes(damaged))
