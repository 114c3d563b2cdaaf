"""A matrix on the host, made ready to be solved with many times."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import norm as sparse_norm

from mdsens.errors import InputError
from mdsens.linear.accuracy import allowance
from mdsens.linear.ground import HostProjector
from mdsens.linear.operator import Operator
from mdsens.linear.outcome import Outcome, SolveInfo, summary
from mdsens.linear.precision import require_float64
from mdsens.linear.projector import Projector


class Inverse(ABC):
    """(P A P)^+, by its action.

    Attributes:
        matrix: A, (n, n), sparse.
        projector: P.
        rtol: largest relative residual accepted.
        norm: the 1-norm of A.
    """

    method: str

    def __init__(
        self, matrix: sp.csc_array | sp.csr_array, projector: HostProjector, rtol: float
    ) -> None:
        self.matrix, self.projector, self.rtol = matrix, projector, rtol
        self.norm = float(sparse_norm(matrix, 1))

    @cached_property
    def inertia(self) -> int:
        """Number of negative eigenvalues of P A P; -1 where it is not known."""
        return -1

    @abstractmethod
    def _approximate(self, b: np.ndarray, rtol: float) -> tuple[np.ndarray, int, np.ndarray]:
        """(x, iterations, outcomes) for projected columns b (n, c); CONVERGED is still checked."""

    def solve(self, rhs: np.ndarray, rtol: float | None = None) -> tuple[np.ndarray, SolveInfo]:
        """Minimum-norm x of P A P x = P b for rhs (n,) or (n, c); NaN in columns that fail.

        Args:
            rtol: another relative residual to be content with.
        """
        x, residual, iterations, outcome = self.attempt(rhs, self.rtol if rtol is None else rtol)
        told = jnp.asarray(residual), iterations, jnp.asarray(outcome)
        return x, summary(*told, self.method, self.inertia)

    def attempt(
        self, rhs: np.ndarray, rtol: float
    ) -> tuple[np.ndarray, np.ndarray, int, np.ndarray]:
        """(x, residuals, iterations, outcomes) without any JAX, for callbacks of compiled code."""
        b = self.projector(rhs if rhs.ndim == 2 else rhs[:, None])
        x, iterations, outcome = self._approximate(b, rtol)
        left, size = np.linalg.norm(b - self.product(x), axis=0), np.linalg.norm(b, axis=0)
        allowed = allowance(size, np.linalg.norm(x, axis=0), self.norm, rtol, np)
        missed = (outcome == Outcome.CONVERGED) & ~(left <= allowed)
        outcome = np.where(missed, Outcome.NOT_CONVERGED, outcome)
        outcome = np.where(np.all(np.isfinite(b), axis=0), outcome, Outcome.NOT_FINITE)
        x[:, outcome != Outcome.CONVERGED] = np.nan
        return x.reshape(rhs.shape), left / np.where(size > 0.0, size, 1.0), iterations, outcome

    def renewed(self, matrix: Any, projector: Projector, rtol: float) -> Inverse | None:
        """The same for a matrix nearby, if what was made of this one serves there as well."""
        return None

    def product(self, x: np.ndarray) -> np.ndarray:
        """P A P x for x (n,) or (n, c)."""
        return self.projector(self.matrix @ self.projector(x))


class HostSolver(ABC):
    """Solves with an assembled matrix, in eager code only."""

    @abstractmethod
    def factorize(self, matrix: Any, projector: Projector) -> Inverse:
        """What is made of the matrix once, for all right-hand sides."""

    def solve(
        self, operator: Operator, rhs: jax.Array, projector: Projector
    ) -> tuple[jax.Array, SolveInfo]:
        """Minimum-norm solution for rhs (n,) or (n, c); NaN in columns that failed.

        Raises:
            InputError: the operator has no assembled matrix.
        """
        if operator.matrix is None:
            raise InputError("this solver needs an operator with an assembled matrix")
        require_float64(rhs)
        x, info = self.factorize(operator.matrix, projector).solve(np.asarray(rhs))
        return jnp.asarray(x), info
