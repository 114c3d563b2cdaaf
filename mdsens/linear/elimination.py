"""Gaussian elimination of a sparse matrix, three ways behind one face."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import qdldl
import scipy.sparse as sp
from scipy.sparse.linalg import SuperLU, splu


class Elimination(Protocol):
    """A factorised matrix A (n, n)."""

    def solve(self, b: np.ndarray) -> np.ndarray:
        """A^-1 b for b (n,) or (n, c)."""
        ...

    @property
    def negatives(self) -> int:
        """Number of negative eigenvalues of A; -1 where the pivots do not tell."""
        ...


class Lu:
    """By SuperLU; a symmetric elimination has the pivots of L D L^T, which count by Sylvester's law."""

    def __init__(self, lu: SuperLU) -> None:
        self._lu = lu

    def solve(self, b: np.ndarray) -> np.ndarray:
        return self._lu.solve(b)

    @property
    def negatives(self) -> int:
        if not np.array_equal(self._lu.perm_r, self._lu.perm_c):
            return -1
        return int(np.sum(self._lu.U.diagonal() < 0))


class Ldl:
    """L D L^T by QDLDL, with pivots as they come."""

    def __init__(self, matrix: sp.csc_matrix) -> None:
        self._solver = qdldl.Solver(sp.triu(matrix, format="csc"), upper=True)
        pivots = self._solver.factors()[1]
        self.negatives = int(np.sum(pivots < 0))

    def solve(self, b: np.ndarray) -> np.ndarray:
        columns = b.reshape(len(b), -1).T
        return np.stack([self._solver.solve(c) for c in columns], axis=1).reshape(b.shape)


def symmetric(matrix: sp.csc_matrix) -> Elimination | None:
    """Pivots on the diagonal: L D L^T in disguise."""
    options = {"SymmetricMode": True}
    try:
        return Lu(splu(matrix, "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options))
    except RuntimeError:  # SuperLU's word for a zero pivot
        return None


def pivoting(matrix: sp.csc_matrix) -> Elimination | None:
    """Partial pivoting, with the ordering that bounds the fill whatever the pivots."""
    try:
        return Lu(splu(matrix, "COLAMD", diag_pivot_thresh=1.0))
    except RuntimeError:
        return None


def lean(matrix: sp.csc_matrix) -> Elimination | None:
    """Half of the numbers, one by one: a third of the memory, twice the time."""
    try:
        return Ldl(matrix)
    except (RuntimeError, ValueError):  # QDLDL's words for a zero pivot
        return None
