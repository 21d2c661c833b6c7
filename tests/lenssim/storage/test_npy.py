"""Reading .npy files of unknown origin: what is taken, and that nothing is ever executed."""

import io
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lenssim.storage.npy import UnsafeFileError, read_npy

IMAGE = np.arange(64.0).reshape(8, 8) / 7.0


def saved(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def pair(image=IMAGE, mass=1.5e-23):
    objects = np.empty(2, dtype=object)
    objects[:] = [image, mass]
    return objects


def with_pickle(pickled, shape=(2,)):
    """A .npy file of objects whose pickle is this one."""
    buffer = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + pickled


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", "<f2", "<i4", "|u1"])
def test_plain_arrays(dtype):
    array = IMAGE.astype(dtype)
    read = read_npy(saved(array))
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("order", ["C", "F"])
def test_orders(order):
    image = np.asarray(np.arange(12.0).reshape(3, 4), order=order)
    np.testing.assert_array_equal(read_npy(saved(image)), image)
    [read, _] = read_npy(saved(pair(image)))
    np.testing.assert_array_equal(read, image)


@pytest.mark.parametrize("mass", [1.5e-23, np.float64(1.5e-23)])
@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("home", [b"numpy._core", b"numpy.core"])
def test_image_and_mass_of_every_protocol_and_both_numpys(mass, protocol, home):
    pickled = pickle.dumps(pair(mass=mass), protocol)
    if protocol < 4:  # names are lines of text, of any length
        pickled = pickled.replace(b"numpy._core", home)
    elif home == b"numpy.core":
        new, old = b"numpy._core.multiarray", b"numpy.core.multiarray"
        pickled = pickled.replace(b"\x8c" + bytes([len(new)]) + new, b"\x8c" + bytes([21]) + old)
        # the frame is one byte shorter
        [length] = struct.unpack("<Q", pickled[3:11])
        pickled = pickled[:3] + struct.pack("<Q", length - 1) + pickled[11:]
    [image, read] = read_npy(with_pickle(pickled))
    np.testing.assert_array_equal(image, IMAGE)
    assert type(read) is float
    assert read == 1.5e-23


class Attack:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize(
    "make",
    [
        lambda path: (os.system, f"touch {path}"),
        lambda path: (eval, f"open({str(path)!r}, 'w')"),
        lambda path: (subprocess.check_output, ["touch", str(path)]),
        lambda path: (np.load, str(path)),
        lambda path: (np.fromfile, str(path)),
        lambda path: (bytearray, 10**12),
    ],
)
def test_no_code_runs(tmp_path, protocol, make):
    victim = tmp_path / "victim"
    for loot in (Attack(*make(victim)), pair(IMAGE, Attack(*make(victim)))):
        with pytest.raises(UnsafeFileError, match=r"asks for|instruction"):
            read_npy(with_pickle(pickle.dumps(loot, protocol)))
    assert not victim.exists()


def test_the_attack_is_real(tmp_path):
    victim = tmp_path / "victim"
    content = saved(pair(IMAGE, Attack(os.system, f"touch {victim}")))
    np.load(io.BytesIO(content), allow_pickle=True)
    assert victim.exists()


def test_names_beside_the_allowed_ones_are_refused():
    for name in (b"numpy\nload", b"numpy.core.multiarray\nfromfile", b"numpy\nndarray.tofile"):
        with pytest.raises(UnsafeFileError, match="asks for"):
            read_npy(with_pickle(b"c" + name + b"\n."))


def test_calling_the_stand_in_of_ndarray_is_refused():
    huge = b"cnumpy\nndarray\n(I1000000000000\nt\x85R."
    with pytest.raises(UnsafeFileError):
        read_npy(with_pickle(huge))


def test_the_codec_encodes_bytes_only():
    with pytest.raises(UnsafeFileError, match="encodes"):
        read_npy(with_pickle(b"c_codecs\nencode\n(Va\nVzip\ntR."))


CLAIMS = {
    # so many that they fit into what the process may have: the memo fills 800 MB
    "memo": b"\x80\x04Nr" + struct.pack("<I", 50_000_000) + b".",
    "memo, as text": b"Np50000000\n.",
    "memo, beyond all bounds": b"Np99999999999\n.",
    "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.",
    "bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**36) + b"x.",
    "text": b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"x.",
    "frame": b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"N.",
    "number": b"\x80\x02\x8b" + struct.pack("<i", 2**30) + b"x.",
    "instructions": b"N0" * 100_000 + b"N.",
    "extension": b"\x80\x02\x82\x01.",
    "outside": b"Pname\n.",
}

LIMITED = """
import resource, sys
from lenssim.storage.npy import UnsafeFileError, read_npy
resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
content = sys.stdin.buffer.read()
try:
    read_npy(content)
except UnsafeFileError as error:
    print("refused:", error)
# not getrusage, whose peak a process inherits from the one that started it
[peak] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(peak.split()[1]) // 1024)
"""


def read_within_limits(content):
    """What reading says, and its peak memory in MB, in a process of little memory."""
    run = subprocess.run(
        [sys.executable, "-c", LIMITED], input=content, capture_output=True, check=False
    )
    assert run.returncode == 0, run.stderr.decode()
    *said, peak = run.stdout.decode().splitlines()
    return " ".join(said), int(peak)


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")


@needs_proc
@pytest.mark.parametrize("claim", CLAIMS)
def test_claims_of_memory_are_refused_before_it_is_taken(claim):
    said, peak = read_within_limits(with_pickle(CLAIMS[claim]))
    assert said.startswith("refused:")
    assert peak < 200


@needs_proc
def test_a_header_that_claims_a_huge_array_is_refused():
    buffer = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)}
    np.lib.format.write_array_header_1_0(buffer, header)
    said, peak = read_within_limits(buffer.getvalue() + b"\0" * 64)
    assert "8000000000000 bytes, and 64 are there" in said
    assert peak < 200


@needs_proc
def test_a_pickled_array_that_claims_to_be_huge_is_refused():
    pickled = pickle.dumps(pair(), 2)
    claim = pickled.replace(b"K\x08K\x08\x86", b"J\x00\x00\x00\x40J\x00\x00\x00\x40\x86")
    assert claim != pickled
    said, peak = read_within_limits(with_pickle(claim))
    assert "bytes, and 512 are there" in said
    assert peak < 200


# a pair of the level before at each of 100 levels: its text or its hash would never end
NESTED = b")q\x000" + 100 * b"h\x00h\x00\x86q\x000" + b"h\x00"
LENGTH_1 = b"K\x01\x85"


def pickled_dtype(code, order):
    return b"cnumpy\ndtype\n(" + code + b"tR(K\x03" + order + b"NNNtb"


def pickled_array(shape, dtype, content):
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01"
        + shape
        + dtype
        + b"\x89"
        + content
        + b"tb"
    )


OBJECT, NUMBER = pickled_dtype(b"VO8\n", b"V|\n"), pickled_dtype(b"Vf8\n", b"V<\n")
EIGHT_BYTES = b"c_codecs\nencode\n(V12345678\nVlatin1\ntR"


def with_one_object(pickled):
    return with_pickle(b"\x80\x02" + pickled_array(LENGTH_1, OBJECT, b"]" + pickled + b"a") + b".")


def test_a_pickle_written_by_hand_is_read():
    [read] = read_npy(with_one_object(pickled_array(LENGTH_1, NUMBER, EIGHT_BYTES)))
    np.testing.assert_array_equal(read, np.frombuffer(b"12345678", "<f8"))


@pytest.mark.parametrize(
    "pickled",
    {
        "object": NESTED,
        "code": pickled_array(LENGTH_1, pickled_dtype(NESTED, b"V<\n"), EIGHT_BYTES),
        "order": pickled_array(LENGTH_1, pickled_dtype(b"Vf8\n", NESTED), EIGHT_BYTES),
        "shape": pickled_array(NESTED, NUMBER, EIGHT_BYTES),
        "content": pickled_array(LENGTH_1, NUMBER, NESTED),
        "size": pickled_array(b"J\xff\xff\xff\x7f" + NESTED + b"\x86", NUMBER, EIGHT_BYTES),
    }.values(),
)
def test_nested_tuples_are_refused_at_once(pickled):
    with pytest.raises(UnsafeFileError):
        read_npy(with_one_object(pickled))


def test_arrays_of_objects_inside_are_refused():
    with pytest.raises(UnsafeFileError, match="objects inside"):
        read_npy(saved(pair(image=pair())))
    inner = np.empty((), dtype=object)
    inner[()] = IMAGE
    with pytest.raises(UnsafeFileError, match="objects inside"):
        read_npy(saved(pair(mass=inner)))


@pytest.mark.parametrize("mass", ["1e-23", 1, None, [1.0], b"x", {"m": 1.0}, True, 1 + 2j])
def test_anything_else_than_arrays_and_floats_is_refused(mass):
    with pytest.raises(UnsafeFileError):
        read_npy(saved(pair(mass=mass)))


@pytest.mark.parametrize(
    "array",
    [
        np.array(["text"]),
        np.array([b"bytes"]),
        np.array([1 + 2j]),
        np.zeros(2, dtype=[("a", "f8"), ("b", "O")]),
        np.zeros(2, dtype=[("a", "f8")]),
        np.array(["2020-01-01"], dtype="M8[D]"),
        np.array([[1.0, None]], dtype=object),
    ],
)
def test_other_types_are_refused(array):
    with pytest.raises(UnsafeFileError):
        read_npy(saved(array))


def test_a_file_cut_anywhere_is_refused():
    for content in (saved(pair()), saved(IMAGE)):
        for length in range(len(content)):
            with pytest.raises(UnsafeFileError):
                read_npy(content[:length])


def test_a_file_with_flipped_bytes_is_read_or_refused():
    content = saved(pair())
    generator = np.random.default_rng(0)
    for _ in range(2000):
        damaged = bytearray(content)
        for place in generator.integers(len(content), size=generator.integers(1, 4)):
            damaged[place] = generator.integers(256)
        try:
            read = read_npy(bytes(damaged))
        except UnsafeFileError:
            continue
        values = read if isinstance(read, list) else [read]
        assert all(isinstance(value, float | np.ndarray) for value in values)


def test_a_large_file_is_refused():
    with pytest.raises(UnsafeFileError, match="larger"):
        read_npy(b"\0" * 33_000_000)
