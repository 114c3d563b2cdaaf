"""Sparse factorisation on the host: one factor, many right-hand sides.

SuperLU in its symmetric mode, chosen by measurement (scripts/bench/sparse_solvers.py; one core,
seconds for one factorisation of a spring network, and for one solve in brackets):

|                          | 2D N=1000      | 2D N=10000    | 3D N=1000     | 3D N=4000   |
|--------------------------|----------------|---------------|---------------|-------------|
| qdldl                    | 0.003 (0.0001) | 0.07 (0.002)  | 0.24 (0.002)  | 9.4 (0.02)  |
| cholespy (CHOLMOD)       | 0.005 (0.0001) | 0.09 (0.001)  | 0.16 (0.001)  | 4.6 (0.015) |
| SuperLU, symmetric mode  | 0.005 (0.0003) | 0.10 (0.004)  | 0.15 (0.002)  | 4.1 (0.02)  |
| SuperLU, partial pivots  | 0.008 (0.0004) | 0.22 (0.006)  | 0.29 (0.003)  | 4.4 (0.03)  |

It handles indefinite matrices, shows its pivots, and can fall back to partial pivoting where the
diagonal fails. But it keeps L and U, copies them while they grow, and needs more than 17 GB for a
packing of a million discs, where qdldl does with 4 (9 while its pivots are read) and 7 minutes.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from mdsens.errors import InputError
from mdsens.linear.elimination import Elimination, lean, pivoting, symmetric
from mdsens.linear.ground import HostProjector, on_host
from mdsens.linear.inverse import HostSolver, Inverse
from mdsens.linear.outcome import Outcome
from mdsens.linear.precision import require_float64
from mdsens.linear.projector import Projector

_ROUNDS = 4
# A factor serves another matrix that differs by this fraction: three rounds of refinement are then
# enough, and eigenvalues right to 1e-3 remain so.
_NEAR, _POWER_STEPS = 1e-4, 3
# More unknowns are factorised by qdldl.
_LARGE = 600_000
# Null modes that differ by less are the same.
_SAME = 1e-10


@dataclass(frozen=True)
class SparseDirect(HostSolver):
    """P A P x = P b by sparse factorisation. Host only: eager code, assembled matrix.

    Good for 2D (fill grows like n log n) and for 3D up to a few thousand particles (it grows like
    n^(4/3), the work like n^2). Right for indefinite matrices too.

    Attributes:
        rtol: largest relative residual accepted.
        cutoff: smallest |eigenvalue|, relative to |A|, that does not count as zero.
    """

    rtol: float = 1e-10
    cutoff: float = 1e-11

    def factorize(self, matrix: Any, projector: Projector) -> SparseFactor:
        """Factorise once; a matrix that is singular beyond its known null space is said so."""
        require_float64(matrix)
        return SparseFactor(sp.csc_array(matrix), on_host(projector), self.rtol, self.cutoff)


class SparseFactor(Inverse):
    """L U = A without its inactive and grounded rows.

    Attributes:
        outcome: CONVERGED, or SINGULAR where the factorisation broke down.
    """

    method = "sparse"

    def __init__(
        self, matrix: sp.csc_array, projector: HostProjector, rtol: float, cutoff: float
    ) -> None:
        super().__init__(matrix, projector, rtol)
        self._cutoff = cutoff
        self._factor, self.outcome = self._factorize()

    def _approximate(self, b: np.ndarray, rtol: float) -> tuple[np.ndarray, int, np.ndarray]:
        x = np.full_like(b, np.nan)
        if self.outcome is Outcome.CONVERGED:
            x = self._refined(b, rtol)
        return x, 0, np.full(b.shape[1], self.outcome)

    def apply(self, b: np.ndarray) -> np.ndarray:
        """One unrefined solve, b (n,) or (n, c); NaN if the factorisation broke down."""
        if not len(self.projector.kept):
            return np.zeros_like(b)
        x = np.full_like(b, np.nan)
        if self._factor is None:
            return x
        x[...] = 0.0
        x[self.projector.kept] = self._factor.solve(self.projector(b)[self.projector.kept])
        return self.projector(x)

    def renewed(self, matrix: Any, projector: Projector, rtol: float) -> SparseFactor | None:
        """This factor at the service of a matrix A' near A; None where it is not near enough.

        What counts is rho, the spectral radius of A^+ (A' - A), here by power iteration: solves are
        refined with A' and gain a factor rho each round, no eigenvalue has changed its sign if
        rho < 1, and none has moved by more than rho of itself if A is definite.
        """
        there = on_host(projector)
        same = np.array_equal(there.kept, self.projector.kept) and np.allclose(
            there.basis, self.projector.basis, rtol=0.0, atol=_SAME
        )
        if not same or self.outcome is not Outcome.CONVERGED:
            return None
        renewed = copy(self)
        renewed.matrix, renewed.rtol = sp.csc_array(matrix), rtol
        apart = renewed.matrix - self.matrix
        v = np.random.default_rng(0).normal(size=len(there.mask))
        for _ in range(_POWER_STEPS):
            v = self.apply(apart @ (v / max(np.linalg.norm(v), 1e-300)))
        return renewed if np.linalg.norm(v) <= _NEAR else None

    @cached_property
    def inertia(self) -> int:
        """Number of negative eigenvalues of P A P; -1 where the pivots do not tell."""
        if not len(self.projector.kept):
            return 0
        return -1 if self._factor is None else self._factor.negatives

    def shifted(self, shift: float) -> SparseFactor:
        """The factor of A - shift, for shift < 0: no null mode left, so nothing is grounded."""
        p = self.projector
        free = HostProjector(p.mask, p.basis, p.active, p.active)
        moved = self.matrix - shift * sp.eye_array(len(p.mask), format="csc")
        return SparseFactor(sp.csc_array(moved), free, self.rtol, self._cutoff)

    def _factorize(self) -> tuple[Elimination | None, Outcome]:
        kept = self.projector.kept
        reduced = sp.csc_matrix(self.matrix[kept][:, kept])
        if not np.all(np.isfinite(self.matrix.data)):
            return None, Outcome.NOT_FINITE
        if not len(kept):
            # Everything is fixed or loose: zero is the solution of whatever is asked.
            return None, Outcome.CONVERGED
        if not np.all(abs(reduced).max(axis=0).toarray()):
            return None, Outcome.SINGULAR
        for eliminate in (lean,) if len(kept) > _LARGE else (symmetric, pivoting):
            try:
                self._factor = eliminate(reduced)
            except MemoryError as error:
                raise InputError(
                    f"solver: the sparse factor of {len(kept)} unknowns does not fit into memory; "
                    'take a larger machine, or solver = "cg"'
                ) from error
            if self._factor is None:
                continue
            smallest, residual = self._probe()
            if residual < 1e-2:
                sound = smallest > self._cutoff * self.norm
                return self._factor, Outcome.CONVERGED if sound else Outcome.SINGULAR
        return None, Outcome.SINGULAR

    def _probe(self) -> tuple[float, float]:
        """Smallest |eigenvalue|, from above, by inverse iteration, and how well b was solved for.

        A residual that refinement cannot shrink means that the pivots grew out of bounds.
        """
        v = self.projector(np.random.default_rng(0).normal(size=len(self.projector.mask)))
        v /= max(np.linalg.norm(v), 1e-300)
        growth, residual = 1.0, 0.0
        for _ in range(3):
            x = self.apply(v)
            growth = float(np.linalg.norm(x))
            if not np.isfinite(growth):
                return 0.0, np.inf
            residual = max(residual, float(np.linalg.norm(v - self.product(x))))
            v = x / max(growth, 1e-300)
        return 1.0 / max(growth, 1e-300), residual

    def _refined(self, b: np.ndarray, rtol: float) -> np.ndarray:
        x = self.apply(b)
        for _ in range(_ROUNDS):
            r = b - self.product(x)
            if np.all(np.linalg.norm(r, axis=0) <= 0.01 * rtol * np.linalg.norm(b, axis=0)):
                break
            x = x + self.apply(r)
        return x
