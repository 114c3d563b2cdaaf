"""Symmetric Gauss-Seidel preconditioning at the price of a product.

    A = L + D + L^T,   M = (1 + L)(1 + L^T)
    (1 + L)^-1 A (1 + L^T)^-1 y = t + (1 + L)^-1 (y + (D - 2) t),   t = (1 + L^T)^-1 y

for A scaled so that its diagonal blocks D are units wherever possible. Both sweeps together touch
every entry of A once, as a product does (Eisenstat's trick). Blocks come ordered by colours, no two
neighbours alike, so that each sweep is a handful of sparse products.

Eisenstat 1981, doi:10.1137/0902001; colours: Jones & Plassmann 1993, doi:10.1137/0914041.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sp

# Entries of D - 1 below this are rounding.
_UNIT = 1e-12
Slabs = tuple[tuple[slice, sp.csr_array], ...]


@dataclass(frozen=True, eq=False)
class Sweeps:
    """A between its two sweeps, in the order of colours.

    Attributes:
        order: (n,) unknowns by colour.
        lower, upper: rows of -L and -L^T by colour, with the columns before and after them.
        excess: D - 1, empty if all blocks are units.
    """

    order: np.ndarray
    lower: Slabs
    upper: Slabs
    excess: sp.csr_array

    def enter(self, b: np.ndarray) -> np.ndarray:
        """(1 + L)^-1 b for b (n,) as given: the right-hand side."""
        return self._forward(b[self.order])

    def leave(self, y: np.ndarray) -> np.ndarray:
        """(1 + L^T)^-1 y in the order of A: the solution."""
        x = np.empty_like(y)
        x[self.order] = self._backward(y)
        return x

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """(1 + L)^-1 A (1 + L^T)^-1 y."""
        t = self._backward(y)
        rest = y - t
        if self.excess.nnz:
            rest += self.excess @ t
        t += self._forward(rest)
        return t

    def _forward(self, b: np.ndarray) -> np.ndarray:
        x = b.copy()
        for rows, slab in self.lower:
            x[rows] += slab @ x[: rows.start]
        return x

    def _backward(self, b: np.ndarray) -> np.ndarray:
        x = b.copy()
        for rows, slab in self.upper:
            x[rows] += slab @ x[rows.stop :]
        return x


def sweeps(matrix: sp.csr_array, block: int) -> Sweeps:
    """For a symmetric matrix (n, n) whose diagonal blocks of `block` unknowns have been scaled."""
    colours = np.repeat(_colours(matrix, block), block)[: len(matrix.indptr) - 1]
    order = np.argsort(colours, kind="stable")
    matrix = sp.csr_array(matrix[order][:, order])
    colours = colours[order]
    spans = [slice(*ends) for ends in pairwise((0, *np.cumsum(np.bincount(colours))))]
    return Sweeps(
        order,
        tuple((s, compact(-matrix[s, : s.start])) for s in spans[1:]),
        tuple((s, compact(-matrix[s, s.stop :])) for s in spans[-2::-1]),
        _excess(matrix, colours),
    )


def _excess(matrix: sp.csr_array, colours: np.ndarray) -> sp.csr_array:
    """D - 1 where A has entries: empty rows may count as units, since nothing happens there."""
    entries = matrix.tocoo()
    own = colours[entries.row] == colours[entries.col]
    there = entries.row[own], entries.col[own]
    excess = entries.data[own] - (there[0] == there[1])
    kept = np.abs(excess) > _UNIT
    return compact(sp.coo_array((excess[kept], (there[0][kept], there[1][kept])), matrix.shape))


def _colours(matrix: sp.csr_array, block: int) -> np.ndarray:
    """(m,) a colour for each block of unknowns, unlike those of all blocks coupled to it.

    Colour after colour, each for as many blocks as can be, those with most neighbours first.
    """
    size = len(matrix.indptr) - 1
    count = -(-size // block)
    starts = np.pad(matrix.indptr, (0, count * block - size), mode="edge")
    whole = sp.csr_array((matrix.data, matrix.indices, starts), shape=(count * block,) * 2)
    blocks = whole.tobsr((block, block))
    a, b = np.repeat(np.arange(count), np.diff(blocks.indptr)), blocks.indices
    a, b = a[a != b], b[a != b]
    rank = np.bincount(a, minlength=count) + np.random.default_rng(0).random(count)
    colours, colour = np.full(count, -1), 0
    while np.any(colours < 0):
        free = colours < 0
        while np.any(free):
            highest = np.full(count, -1.0)
            np.maximum.at(highest, a, np.where(free, rank, -1.0)[b])
            chosen = free & (rank > highest)
            colours[chosen] = colour
            free &= ~chosen
            free[a[chosen[b]]] = False
        colour += 1
    return colours


def compact(matrix: sp.sparray) -> sp.csr_array:
    """By rows and with short indices: a product is bound by memory."""
    a = sp.csr_array(matrix)
    if a.nnz < 2**31:
        a.indices, a.indptr = a.indices.astype(np.int32), a.indptr.astype(np.int32)
    return a
