"""Read .npy files of unknown origin: numbers come out, nothing is executed.

numpy stores an array of objects as a pickle, which can run any code when it is loaded. Here the
instructions of a pickle are checked first; then it is loaded with stand-ins in place of numpy's
functions, which only keep what they are called with. numpy's own functions are not safe: its
arrays of objects read beyond a list that is shorter than their shape.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

MAX_SIZE = 32_000_000
"""Bytes of a file; an image takes a hundredth of it."""

MAX_INSTRUCTIONS = 10_000
"""Of a pickle; an array of two objects takes a hundred."""

_NUMBER = re.compile(r"[<>|=]?(f[248]|[iu][1248])")

# Of arrays in protocols 0 to 4. No instruction that hashes (nested tuples take exponential time),
# changes a function (dictionaries), reserves memory or refers to something outside.
_INSTRUCTIONS = frozenset(
    """
    PROTO FRAME STOP MARK POP POP_MARK MEMOIZE PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET
    GLOBAL STACK_GLOBAL REDUCE BUILD NONE NEWTRUE NEWFALSE INT LONG BININT BININT1 BININT2
    LONG1 FLOAT BINFLOAT STRING UNICODE BINUNICODE SHORT_BINUNICODE BINBYTES SHORT_BINBYTES
    BINBYTES8 TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_TUPLE EMPTY_LIST LIST APPEND APPENDS
    """.split()  # noqa: SIM905 - a page of quotes otherwise
)


class UnsafeFileError(Exception):
    """A file holds something else than arrays of numbers; the message says what, as a clause."""


class _Call:
    """Stands in for a function of numpy: keeps its arguments and the state of its result."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(_Call):
    """numpy.core.multiarray._reconstruct; state: version, shape, dtype, is Fortran, content."""


class _Dtype(_Call):
    """numpy.dtype; state: version, byte order, and parts that only records have."""


class _Scalar(_Call):
    """numpy.core.multiarray.scalar, of a dtype and its bytes."""


def _latin1(text: Any, encoding: Any) -> bytes:
    """Stands in for _codecs.encode, with which protocols 0 to 2 write bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise UnsafeFileError("it encodes something else than bytes")
    return text.encode("latin1")


_STAND_INS = {
    "numpy.ndarray": None,  # an argument of _reconstruct, never called
    "numpy.dtype": _Dtype,
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray._reconstruct": _Array,
    "numpy.core.multiarray.scalar": _Scalar,
    "numpy._core.multiarray.scalar": _Scalar,
    "_codecs.encode": _latin1,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (path := f"{module}.{name}") not in _STAND_INS:
            raise UnsafeFileError(f"its pickle asks for {path!r:.80}")
        return _STAND_INS[path]


def read_npy(content: bytes) -> NDArray[Any] | list[Any]:
    """Read the whole content of a .npy file.

    Returns:
        An array of numbers; or, from a one-dimensional array of objects, the list of them, each an
        array of numbers or a float.

    Raises:
        UnsafeFileError: if it holds anything else, or is damaged.
    """
    if len(content) > MAX_SIZE:
        raise UnsafeFileError(f"it is larger than {MAX_SIZE} bytes")
    try:
        stream = io.BytesIO(content)
        major, _ = npy_format.read_magic(stream)  # beyond 2 only for records
        read_header = getattr(npy_format, f"read_array_header_{major}_0")
        shape, is_fortran, dtype = read_header(stream)
    except Exception:  # numpy parses a header as Python's literals: a damaged one fails anyhow
        raise UnsafeFileError("it is not a .npy file, or its header is damaged") from None
    rest = content[stream.tell() :]
    try:
        if not dtype.hasobject:
            return _numbers(shape, dtype.str, is_fortran, rest)
        _check_instructions(rest)
        return _objects(_Unpickler(io.BytesIO(rest)).load())
    except UnsafeFileError:
        raise
    except Exception as error:  # a damaged pickle fails in any way that its instructions can
        raise UnsafeFileError(f"its content is damaged ({error!r:.80})") from None


def _check_instructions(pickled: bytes) -> None:
    """Refuse a pickle that is cut short (`genops` raises), or that arrays are not written as."""
    for count, (instruction, argument, _) in enumerate(pickletools.genops(pickled), 1):
        if instruction.name not in _INSTRUCTIONS:
            raise UnsafeFileError(f"its pickle holds the instruction {instruction.name}")
        if count > MAX_INSTRUCTIONS:
            raise UnsafeFileError("its pickle holds far more than an image")
        # the C unpickler reserves a memo as long as its highest index
        if instruction.name.endswith("PUT") and int(argument or 0) > count:
            raise UnsafeFileError("its pickle claims more memory than it fills")


def _objects(loaded: Any) -> list[Any]:
    if not isinstance(loaded, _Array):
        raise UnsafeFileError("its pickle is not an array of objects")
    _, shape, dtype, _, content = loaded.state
    if not dtype.arguments[0].startswith("O") or shape != (len(content),):
        raise UnsafeFileError("its pickle is not a one-dimensional array of objects")
    return [_value(item) for item in content]


def _value(item: Any) -> NDArray[Any] | float:
    if type(item) is float:
        return item
    if isinstance(item, _Scalar):
        dtype, content = item.arguments
        return float(_numbers((), _code(dtype), False, content)[()])
    if isinstance(item, _Array):
        _, shape, dtype, is_fortran, content = item.state
        return _numbers(shape, _code(dtype), bool(is_fortran), content)
    raise UnsafeFileError(f"it holds {type(item).__name__} where an array or a float should be")


def _code(dtype: _Dtype) -> str:
    """Code of a type, such as "<f8"; not formatted, as nested tuples take exponential time."""
    code, order = dtype.arguments[0], dtype.state[1]
    if code.startswith("O"):
        raise UnsafeFileError("it holds an array of objects inside an array of objects")
    return "".join((order, code.lstrip("<>|=")))


def _numbers(shape: Any, code: str, is_fortran: bool, content: bytes) -> NDArray[Any]:
    """An array from its bytes, which must be exactly as many as shape and type say."""
    if not _NUMBER.fullmatch(code):
        raise UnsafeFileError(f"it holds values of type {code!r:.80}")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise UnsafeFileError("it holds an array without a proper shape")
    claimed = math.prod(shape) * np.dtype(code).itemsize
    if claimed != len(content):
        raise UnsafeFileError(
            f"its array of shape {shape!s:.80} takes {claimed} bytes, and {len(content)} are there"
        )
    return np.frombuffer(content, code).reshape(shape, order="F" if is_fortran else "C")
