"""Buffers are used again, and never while somebody holds them."""

import numpy as np
import torch

from lensmodels.data.buffers import ImageBuffers


def test_memory_comes_back_when_its_last_view_is_gone():
    buffers = ImageBuffers(4, 2, kept=1)
    first = buffers.take(3)
    address = first.ctypes.data
    view = torch.from_numpy(first)[1:, None]
    del first
    other = buffers.take(4)
    assert other.ctypes.data != address
    del view
    assert buffers.take(4).ctypes.data == address


def test_no_more_is_kept_than_asked_for():
    buffers = ImageBuffers(4, 2, kept=2)
    held = [buffers.take(4) for _ in range(5)]
    assert len({array.ctypes.data for array in held}) == 5
    held.clear()
    assert len(buffers._free) == 2


def test_a_buffer_is_float32_of_the_size_asked_for():
    array = ImageBuffers(4, 3, kept=1).take(2)
    assert (array.shape, array.dtype) == ((2, 3, 3), np.float32)
    assert array.flags.c_contiguous
    assert array.flags.writeable
