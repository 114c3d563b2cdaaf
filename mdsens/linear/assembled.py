"""Conjugate gradients on an assembled matrix: host only, nothing to compile.

    S A S y = S b,   x = S y,   S = |D|^-1/2,   D the diagonal blocks of A

Scaling beforehand is block-Jacobi preconditioning at no cost per iteration. In packings one product
with the assembled matrix takes a fifth of the time of a matrix-free one. What was tried beyond, for
10 000 spheres and 10 000 discs, one right-hand side to 1e-10; times are ratios to the first line
(0.55 and 0.48 s on a busy core), setup included:

|                                             | spheres: iterations, time | discs               |
|---------------------------------------------|---------------------------|---------------------|
| block-Jacobi                                | 460, 1                    | 1164, 1             |
| + rigid motions of clumps as a coarse space | 454 to 475, 1.5 or more   | 515 to 634, 0.8-1.2 |
| + the same, smoothed                        | 367 to 416, 2.2 or more   | 428 to 530, 0.7-1.1 |
| smoothed aggregation (pyamg)                | 126, 4.6                  | 118, 2.0            |
| incomplete LU (SuperLU), drop 1e-3          | over 600, 70 or more      | 68, 1.0             |

In 3D the softest modes are not long waves but a continuum of disordered ones, which no coarse
space of this kind knows; in 2D the factorisation of `mdsens.linear.sparse` is quicker than any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.linalg import get_blas_funcs

from mdsens.linear.ground import HostProjector, on_host
from mdsens.linear.inverse import HostSolver, Inverse
from mdsens.linear.outcome import Outcome
from mdsens.linear.precision import require_float64
from mdsens.linear.preconditioner import scaling
from mdsens.linear.projector import Projector

# Curvature p.Ap / p.p below this fraction of |A| is rounding, not information.
_FLAT = 1e-13
_ROUNDS = 5
_axpy, _scal = get_blas_funcs(("axpy", "scal"), dtype=np.float64)


@dataclass(frozen=True)
class AssembledCG(HostSolver):
    """P A P x = P b by conjugate gradients on a sparse matrix. Host only: eager code.

    Good for minima in 3D, where factors fill in: A positive definite on the complement of the null
    space. Negative curvature ends a solve with INDEFINITE, vanishing curvature with SINGULAR.

    Hestenes & Stiefel 1952, doi:10.6028/jres.049.044.

    Attributes:
        rtol: largest true relative residual accepted.
        block: unknowns per particle.
    """

    rtol: float = 1e-10
    block: int = 1

    def factorize(self, matrix: Any, projector: Projector) -> ScaledMatrix:
        """The matrix, scaled once for all right-hand sides."""
        require_float64(matrix)
        return ScaledMatrix(compact(matrix), on_host(projector), self.rtol, self.block)


class ScaledMatrix(Inverse):
    """S A S without its inactive rows."""

    method = "cg"

    def __init__(
        self, matrix: sp.csr_array, projector: HostProjector, rtol: float, block: int
    ) -> None:
        super().__init__(matrix, projector, rtol)
        self._scale = scaling(matrix, projector.mask, block)
        self._scaled = compact(self._scale @ matrix @ self._scale)

    def _approximate(self, b: np.ndarray, rtol: float) -> tuple[np.ndarray, int, np.ndarray]:
        columns = [self._column(v, rtol) for v in b.T]
        x, iterations, outcome = zip(*columns, strict=True)
        return np.stack(x, axis=1), max(iterations), np.array(outcome)

    def _column(self, b: np.ndarray, rtol: float) -> tuple[np.ndarray, int, Outcome]:
        """Runs of CG, each for what the true residual says is left."""
        size, x, count = float(np.max(np.abs(b), initial=0.0)), np.zeros_like(b), 0
        if size == 0.0 or not np.isfinite(size):
            return x, 0, Outcome.CONVERGED
        unit = b / size
        goal = rtol * float(np.linalg.norm(unit))
        r, outcome = unit, Outcome.CONVERGED
        for _ in range(_ROUNDS):
            before = float(np.linalg.norm(r))
            tol = min(max(0.5 * goal / before, 1e-15), 0.1)
            y, more, outcome = _conjugate_gradients(
                self._scaled, self._scale @ r, tol, 5 * b.size + 100
            )
            x, count = x + self.projector(self._scale @ y), count + more
            r = unit - self.product(x)
            left = np.linalg.norm(r)
            # A run that thought it saw a null mode was wrong if the residual could be reduced.
            if outcome is Outcome.SINGULAR and left < 0.5 * before:
                outcome = Outcome.CONVERGED
            if left <= goal or outcome is not Outcome.CONVERGED or left >= 0.5 * before:
                break
        return size * x, count, outcome


def _conjugate_gradients(
    a: sp.csr_array, b: np.ndarray, tol: float, limit: int
) -> tuple[np.ndarray, int, Outcome]:
    """One run from zero until the recursive residual is below tol |b|."""
    x, r, p = np.zeros_like(b), b.copy(), b.copy()
    rr = float(r @ r)
    target, norm = tol**2 * rr, 0.0
    for k in range(limit):
        if rr <= target:
            return x, k, Outcome.CONVERGED
        ap = a @ p
        curvature, length = float(p @ ap), float(p @ p)
        norm = max(norm, float(ap @ ap) / length)
        if abs(curvature) <= _FLAT * norm**0.5 * length:
            return x, k, Outcome.SINGULAR
        if curvature < 0.0:
            return x, k, Outcome.INDEFINITE
        x, r = _axpy(p, x, a=rr / curvature), _axpy(ap, r, a=-rr / curvature)
        before, rr = rr, float(r @ r)
        p = _axpy(r, _scal(rr / before, p))
    return x, limit, Outcome.CONVERGED


def compact(matrix: Any) -> sp.csr_array:
    """By rows and with short indices: a product is bound by memory."""
    a = sp.csr_array(matrix)
    if a.nnz < 2**31:
        a.indices, a.indptr = a.indices.astype(np.int32), a.indptr.astype(np.int32)
    return a
