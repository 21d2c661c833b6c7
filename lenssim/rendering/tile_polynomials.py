"""Polynomials on the square tiles of an image, from values at Chebyshev nodes.

Squares come in `LEVELS` sizes, each half the one before; the smallest are the tiles. A function
that is sampled on squares of every size, where each is fine enough for a part of it, becomes one
polynomial a tile.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lenssim.compilation import inlined, kernel

FloatArray = NDArray[np.float64]

LEVELS = 3
"""Sizes of squares: a tile, two and four tiles a side."""

TERMS = 8
"""Terms of the polynomials in each direction."""

ORDERS = (6, 8)
"""Numbers of Chebyshev nodes in each direction."""


def _chebyshev_nodes(order: int) -> FloatArray:
    return -np.cos((2 * np.arange(order) + 1) * math.pi / (2 * order))


def _node_grids() -> FloatArray:
    """The nodes of each order on the square [-1, 1]^2, row by row, shape (orders, 2, terms^2)."""
    grids = np.zeros((len(ORDERS), 2, TERMS**2))
    for grid, order in zip(grids, ORDERS, strict=True):
        v, u = np.meshgrid(*(_chebyshev_nodes(order),) * 2, indexing="ij")
        grid[:, : order**2] = u.ravel(), v.ravel()
    return grids


def _to_powers(order: int) -> FloatArray:
    """Matrix from values at the nodes to coefficients of powers, shape (order, order)."""
    powers_at_nodes = np.vander(_chebyshev_nodes(order), increasing=True)
    return np.asarray(np.linalg.inv(powers_at_nodes), dtype=np.float64)


def _halving_matrices() -> FloatArray:
    """Matrices that re-expand powers of u about the halves of [-1, 1], shape (2, terms, terms)."""
    matrices = np.zeros((2, TERMS, TERMS))
    for half, offset in enumerate((-0.5, 0.5)):
        for old in range(TERMS):
            for new in range(old + 1):
                matrices[half, new, old] = math.comb(old, new) * offset ** (old - new) / 2**new
    return matrices


NODES = _node_grids()
"""Nodes of each order on the square [-1, 1]^2, shape (orders, (u, v), TERMS^2), padded with 0."""

_TO_POWERS_6, _TO_POWERS_8 = (_to_powers(order) for order in ORDERS)
_HALVING = _halving_matrices()


@kernel
def tile_polynomials(values, is_used, blocks):
    """Polynomials of the tiles, those of the larger squares re-expanded about each of them.

    Args:
        values: two components at the Chebyshev nodes of all squares, row by row, those of the
            largest squares first, shape (squares, orders, 2, TERMS^2); an order of n fills n^2.
        is_used: which of them are not all zero, shape (squares, orders).
        blocks: largest squares along each side.

    Returns:
        Coefficients [t, c, j, i] of u^i v^j, with (u, v) in [-1, 1]^2 over the tile t, shape
        (tiles, 2, TERMS, TERMS).
    """
    parents = np.zeros((blocks * blocks, 2, TERMS, TERMS))
    first = 0
    for level in range(LEVELS):
        side = blocks << level
        series = np.zeros((side * side, 2, TERMS, TERMS))
        for square in range(side * side):
            for component in range(2):
                polynomial = series[square, component]
                if level > 0:
                    row, column = square // side, square % side
                    parent = parents[(row // 2) * (side // 2) + column // 2, component]
                    _transform_8(_HALVING[row % 2], parent, _HALVING[column % 2], polynomial)
                if is_used[first + square, 0]:
                    at_nodes = values[first + square, 0, component, :36].reshape(6, 6)
                    _transform_6(_TO_POWERS_6, at_nodes, _TO_POWERS_6, polynomial)
                if is_used[first + square, 1]:
                    at_nodes = values[first + square, 1, component].reshape(8, 8)
                    _transform_8(_TO_POWERS_8, at_nodes, _TO_POWERS_8, polynomial)
        first += side * side
        parents = series
    return parents


def _transform_of(length):
    """A function whose loops have a length that the compiler knows."""

    @inlined
    def transform(rows, matrix, columns, result):
        """Adds rows matrix columns^T to the result; all but that have the shape (length,) * 2."""
        product = np.empty((length, length))
        for j in range(length):
            for i in range(length):
                total = 0.0
                for k in range(length):
                    total += matrix[j, k] * columns[i, k]
                product[j, i] = total
        for j in range(length):
            for i in range(length):
                total = 0.0
                for k in range(length):
                    total += rows[j, k] * product[k, i]
                result[j, i] += total

    return transform


_transform_6, _transform_8 = (_transform_of(order) for order in ORDERS)


@inlined
def evaluate_polynomial(series, u, v, out):
    """Values of one polynomial, by Horner's rule.

    Args:
        series: coefficients [j, i] of u^i v^j, shape (TERMS, TERMS).
        u, v: positions in [-1, 1]^2, shape (n,).
        out: receives the values, shape (n,).
    """
    for i in range(u.shape[0]):
        out[i] = 0.0
    for j in range(TERMS - 1, -1, -1):
        # in registers, so that the compiler need not read them again after each result
        c_0, c_1, c_2, c_3 = series[j, 0], series[j, 1], series[j, 2], series[j, 3]
        c_4, c_5, c_6, c_7 = series[j, 4], series[j, 5], series[j, 6], series[j, 7]
        for i in range(u.shape[0]):
            row = c_7
            for c in (c_6, c_5, c_4, c_3, c_2, c_1, c_0):
                row = row * u[i] + c
            out[i] = out[i] * v[i] + row
