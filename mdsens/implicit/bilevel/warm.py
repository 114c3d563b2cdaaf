"""The adjoint equation of one outer step: what is asked of it, what it leaves, what it tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mdsens.linear import Projector


class Memory(NamedTuple):
    """What one adjoint solve leaves to the next.

    Attributes:
        adjoint: (n,) w.
        inverse: (n, n) M, an approximate inverse of A^T; None where n is too large for one.
        spent: iterations that count against M, ().
    """

    adjoint: jax.Array
    inverse: jax.Array | None
    spent: jax.Array


class AdjointInfo(NamedTuple):
    """What one adjoint solve took, and how it ended.

    Attributes:
        products: products with A^T, all of them: those of the Krylov method, those for true
            residuals, and n for an inverse.
        refreshed: whether the inverse was made anew.
        residual: |b - A^T w| / |b|.
        outcome: code of `mdsens.linear.Outcome`.
    """

    products: Any
    refreshed: Any
    residual: Any
    outcome: Any


NO_ADJOINT = AdjointInfo(products=0, refreshed=False, residual=float("nan"), outcome=0)


@dataclass(frozen=True)
class WarmImplicit:
    """The implicit derivative, by adjoint solves that start from the one before.

    GMRES with M as preconditioner up to `dense_limit` unknowns; beyond that nothing is
    preconditioned, and MINRES replaces GMRES for a symmetric A. The residual of A^T w = b itself is
    checked, so that a wrong promise of symmetry ends in DerivativeUndefined, not in a wrong number.

    Attributes:
        symmetric: A = A^T, as where F is a gradient.
        rtol: largest |b - A^T w| / |b| of a solve to full accuracy.
        projector: (x, theta) -> `Projector` onto the complement of the known null space of a
            symmetric A, in the order of `ravel_pytree(x)`; None where there is none.
        dense_limit: unknowns up to which M is kept (n^2 numbers, n products and 2 n^3 operations
            for a new one); 0 for none.
    """

    symmetric: bool = False
    rtol: float = 1e-10
    projector: Callable[[Any, Any], Projector] | None = None
    dense_limit: int = 1000

    def memory(self, n: int) -> Memory:
        """Where a first solve with n unknowns starts: w = 0, M = 1."""
        inverse = jnp.eye(n) if n <= self.dense_limit else None
        return Memory(jnp.zeros(n), inverse, jnp.zeros((), int))


WARM = WarmImplicit()
