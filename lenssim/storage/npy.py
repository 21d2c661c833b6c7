"""Reading .npy files of unknown origin: numbers come out, nothing is executed.

numpy stores an array of objects as a pickle, which can run any code when it is loaded. Here a
pickle is first scanned, instruction by instruction, and then loaded with stand-ins in place of
numpy's own functions: what it can build is arrays of numbers and floats, never larger than the
file itself.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
import struct
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

MAX_SIZE = 32_000_000
"""Bytes of a file; an image is a hundredth of it."""

MAX_INSTRUCTIONS = 10_000
"""Of a pickle; an array of two objects takes a hundred."""

_NUMBER = re.compile(r"[<>|=]?(f[248]|[iu][1248])")
_OBJECT = re.compile(r"[<>|=]?O8?")

# What pickles of arrays consist of, in protocols 0 to 4. Instructions that reserve memory for
# what is not there (BYTEARRAY8), read buffers from outside or look up extensions are not among it.
_INSTRUCTIONS = frozenset(
    """
    PROTO FRAME STOP MARK POP POP_MARK MEMOIZE PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET
    GLOBAL STACK_GLOBAL REDUCE BUILD NONE NEWTRUE NEWFALSE INT LONG BININT BININT1 BININT2
    LONG1 FLOAT BINFLOAT STRING UNICODE BINUNICODE SHORT_BINUNICODE BINBYTES SHORT_BINBYTES
    BINBYTES8 TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_TUPLE EMPTY_LIST LIST APPEND APPENDS
    """.split()  # noqa: SIM905 - a page of quotes otherwise
)
_HEADERS: dict[tuple[int, int], Any] = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
}
_MEMO = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})


class UnsafeFileError(Exception):
    """A file holds something else than arrays of numbers; the message says what, as a clause."""


class _Dtype:
    """Stands in for numpy.dtype."""

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or not (_NUMBER.fullmatch(code) or _OBJECT.fullmatch(code)):
            raise UnsafeFileError(f"it holds values of type {_shown(code)}")
        self.code = code.lstrip("<>|=")
        self.order = "<"

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in {"<", ">", "|", "="}:
            raise UnsafeFileError("it describes a type in a way that numpy does not")
        if any(part is not None for part in state[2:5]):
            raise UnsafeFileError("it holds arrays of records")
        self.order = state[1]

    @property
    def holds_objects(self) -> bool:
        return self.code.startswith("O")

    def numpy(self) -> np.dtype[Any]:
        if self.holds_objects:
            raise UnsafeFileError("it holds an array of objects inside an array of objects")
        return np.dtype(f"{self.order}{self.code}")


class _Array:
    """Stands in for an array that numpy.core.multiarray._reconstruct begins."""

    def __init__(self, *_: object) -> None:
        self.state: tuple[Any, ...] | None = None

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _Dtype):
            raise UnsafeFileError("it describes an array in a way that numpy does not")
        self.state = state

    def parts(self) -> tuple[tuple[int, ...], _Dtype, bool, Any]:
        """Shape, type, whether the first axis varies fastest, and the content."""
        if self.state is None:
            raise UnsafeFileError("it holds an array without content")
        _, shape, dtype, is_fortran, content = self.state
        return _checked_shape(shape), dtype, bool(is_fortran), content

    def numbers(self) -> NDArray[Any]:
        shape, dtype, is_fortran, content = self.parts()
        numbers = dtype.numpy()  # refuses objects before the content is looked at
        if not isinstance(content, bytes):
            raise UnsafeFileError("it holds an array whose content is not bytes")
        return _numbers(content, numbers, shape, is_fortran=is_fortran)

    def objects(self) -> list[Any]:
        shape, dtype, _, content = self.parts()
        if not dtype.holds_objects or not isinstance(content, list):
            raise UnsafeFileError("its pickle is not an array of objects")
        if len(shape) != 1 or shape[0] != len(content):
            raise UnsafeFileError(f"its array has shape {shape} and {len(content)} objects")
        return content


class _ArrayType:
    """Stands in for the class numpy.ndarray, which a pickle names and nothing here calls."""

    def __init__(self, *_: object) -> None:
        raise UnsafeFileError("it calls numpy.ndarray")


def _scalar(dtype: object, content: object) -> float:
    """Stands in for numpy.core.multiarray.scalar."""
    if not isinstance(dtype, _Dtype) or not isinstance(content, bytes):
        raise UnsafeFileError("it describes a number in a way that numpy does not")
    return float(_numbers(content, dtype.numpy(), (), is_fortran=False)[()])


def _latin1(text: object, encoding: object) -> bytes:
    """Stands in for _codecs.encode, by which protocol 2, older than bytes, writes them."""
    if not isinstance(text, str) or encoding != "latin1":
        raise UnsafeFileError("it encodes something else than bytes")
    return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("_codecs", "encode"): _latin1,
}


class _Unpickler(pickle.Unpickler):
    """Finds the stand-ins, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _STAND_INS[module, name]
        except KeyError:
            raise UnsafeFileError(f"its pickle asks for {_shown(f'{module}.{name}')}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise UnsafeFileError("its pickle refers to something outside")


def read_npy(content: bytes) -> NDArray[Any] | list[Any]:
    """The content of a .npy file.

    Args:
        content: of the whole file.

    Returns:
        An array of numbers; or, from a one-dimensional array of objects, the list of them, each an
        array of numbers or a float.

    Raises:
        UnsafeFileError: where it holds anything else, or is damaged.
    """
    if len(content) > MAX_SIZE:
        raise UnsafeFileError(f"it is larger than {MAX_SIZE} bytes")
    stream = io.BytesIO(content)
    try:
        version = npy_format.read_magic(stream)
        read_header = _HEADERS.get(version)
        if read_header is None:
            raise UnsafeFileError(f"it has version {version[0]}.{version[1]} of the .npy format")
        header = read_header(stream)
    except UnsafeFileError:
        raise
    except Exception:
        # numpy parses a header as Python's literals, and a damaged one can fail in any of its ways
        raise UnsafeFileError("it is not a .npy file, or its header is damaged") from None
    shape, is_fortran, dtype = header
    rest = content[stream.tell() :]
    if dtype.hasobject:
        return _objects(rest)
    if dtype.fields is not None or not _NUMBER.fullmatch(dtype.str):
        raise UnsafeFileError(f"it holds values of type {_shown(dtype.str)}")
    return _numbers(rest, dtype, _checked_shape(shape), is_fortran=is_fortran)


def _objects(pickled: bytes) -> list[Any]:
    _scan(pickled)
    try:
        loaded = _Unpickler(io.BytesIO(pickled)).load()
    except UnsafeFileError:
        raise
    except Exception as error:
        # a damaged pickle can fail in any way that the instructions it is left with can
        raise UnsafeFileError(f"its pickle is damaged ({type(error).__name__})") from None
    if not isinstance(loaded, _Array):
        raise UnsafeFileError("its pickle is not an array of objects")
    return [_value(each) for each in loaded.objects()]


def _value(loaded: Any) -> Any:
    if isinstance(loaded, _Array):
        return loaded.numbers()
    if type(loaded) is float:
        return loaded
    raise UnsafeFileError(f"it holds {type(loaded).__name__} where an array or a float should be")


def _scan(pickled: bytes) -> None:
    """Refuses a pickle with an instruction that arrays do not need, or that claims memory.

    The C unpickler reserves memory for a memo as long as its highest index, so indices may not run
    ahead of the instructions; and for a string as long as it says that it is, which `genops` holds
    against what is there.
    """
    count = 0
    last = ""
    try:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(pickled), 1):
            last = instruction.name
            if count > MAX_INSTRUCTIONS:
                raise UnsafeFileError("its pickle holds far more than an image")
            if last not in _INSTRUCTIONS:
                raise UnsafeFileError(f"its pickle holds the instruction {last}")
            if last in _MEMO and int(argument or 0) > count:
                raise UnsafeFileError("its pickle claims more memory than it fills")
    except (ValueError, IndexError, KeyError, TypeError, struct.error, OverflowError):
        raise UnsafeFileError("its pickle is cut short or damaged") from None
    if last != "STOP":
        raise UnsafeFileError("its pickle is cut short or damaged")


def _checked_shape(shape: object) -> tuple[int, ...]:
    if (
        not isinstance(shape, tuple)
        or len(shape) > 8
        or not all(type(size) is int and size >= 0 for size in shape)
    ):
        raise UnsafeFileError("it holds an array without a proper shape")
    return shape


def _numbers(
    content: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], *, is_fortran: bool
) -> NDArray[Any]:
    """An array from its bytes, which must be exactly as many as shape and type say."""
    claimed = math.prod(shape) * dtype.itemsize
    if claimed != len(content):
        raise UnsafeFileError(
            f"its array of shape {shape} takes {claimed} bytes, and {len(content)} are there"
        )
    return np.frombuffer(content, dtype).reshape(shape, order="F" if is_fortran else "C")


def _shown(text: object) -> str:
    return repr(text)[:80]
