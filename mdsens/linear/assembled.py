"""Conjugate gradients on an assembled matrix: host only, nothing to compile.

    S A S y = S b,   x = S y,   S = |D|^-1/2,   D the diagonal blocks of A

Scaling beforehand is block-Jacobi preconditioning at no cost per iteration, and symmetric
Gauss-Seidel on top of it costs no more products (`mdsens.linear.sweeps`). In packings one product
with the assembled matrix takes a fifth of the time of a matrix-free one. What else was tried, for
10 000 spheres and 10 000 discs, one right-hand side to 1e-10; times are ratios to the first line
(0.28 s for spheres on a quiet core), setup included:

|                                              | spheres: iterations, time | discs               |
|----------------------------------------------|---------------------------|---------------------|
| block-Jacobi                                 | 495, 1                    | 1255, 1             |
| symmetric Gauss-Seidel, 7 colours            | 228, 0.55-0.65            | 580, 0.65-0.9      |
| the same, factors 1.2 and 1.4                | 230, 252                  |                     |
| the same, in the order of a narrow band      | 206, 0.95                 |                     |
| six right-hand sides as a block              | 176, 1.1 (of 6 by one)    |                     |
| + rigid motions of clumps as a coarse space  | 454 to 475, 1.5 or more   | 515 to 634, 0.8-1.2 |
| + the same, smoothed                         | 367 to 416, 2.2 or more   | 428 to 530, 0.7-1.1 |
| smoothed aggregation (pyamg)                 | 126, 4.6                  | 118, 2.0            |
| incomplete LU (SuperLU), drop 1e-3           | over 600, 70 or more      | 68, 1.0             |

Rows that begin with + are block-Jacobi with more. Fewer, mixed colours (4 to 5, or chunks) cost 290
to 330 iterations. Single precision inside refinement saves nothing: products of one vector are bound
by latency, not by memory.
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
from mdsens.linear.lanczos import HostFunction
from mdsens.linear.outcome import Outcome
from mdsens.linear.precision import require_float64
from mdsens.linear.preconditioner import scaling
from mdsens.linear.projector import Projector
from mdsens.linear.sweeps import compact, sweeps

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
    """S A S without its inactive rows, between the sweeps of Gauss-Seidel."""

    method = "cg"

    def __init__(
        self, matrix: sp.csr_array, projector: HostProjector, rtol: float, block: int
    ) -> None:
        super().__init__(matrix, projector, rtol)
        self._scale = scaling(matrix, projector.mask, block)
        scaled = sp.csr_array(self._scale @ matrix @ self._scale)
        scaled.eliminate_zeros()
        self._swept = sweeps(scaled, block)

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
                self._swept, self._swept.enter(self._scale @ r), tol, 5 * b.size + 100
            )
            x += self.projector(self._scale @ self._swept.leave(y))
            count += more
            r = unit - self.product(x)
            left = np.linalg.norm(r)
            # A run that thought it saw a null mode was wrong if the residual could be reduced.
            if outcome is Outcome.SINGULAR and left < 0.5 * before:
                outcome = Outcome.CONVERGED
            if left <= goal or outcome is not Outcome.CONVERGED or left >= 0.5 * before:
                break
        return size * x, count, outcome


def _conjugate_gradients(
    product: HostFunction, b: np.ndarray, tol: float, limit: int
) -> tuple[np.ndarray, int, Outcome]:
    """One run from zero until the recursive residual is below tol |b|."""
    x, r, p = np.zeros_like(b), b.copy(), b.copy()
    rr = float(r @ r)
    target, norm = tol**2 * rr, 0.0
    for k in range(limit):
        if rr <= target:
            return x, k, Outcome.CONVERGED
        ap = product(p)
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
