"""Solving with a matrix too large to write down, of which nothing is known.

Symmetric A: MINRES for the minimum-norm answer. Others: whatever is given for them, of which
restarted GMRES with refinement is the one that needs no matrix.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import gmres

from mdsens.implicit.checked import (
    Wanted,
    arbitrary,
    refine_unknown,
    spectral_norm,
    transposed,
    where_needed,
)
from mdsens.implicit.minimum_norm import minimum_norm

Matvec = Callable[[jax.Array], jax.Array]
_RESTART = 60


def solve_matrix_free(
    matvec: Matvec, b: jax.Array, wanted: Wanted, unsymmetric: Callable[[], jax.Array]
) -> jax.Array:
    """x = A^+ b for symmetric A, `unsymmetric()` for others; b (n,); NaN where it misses."""
    transpose = transposed(matvec, b)
    norm = spectral_norm(matvec, transpose, b)
    symmetric = _looks_symmetric(matvec, transpose, b, norm)
    x = jnp.full_like(b, jnp.nan)
    x = where_needed(symmetric, lambda: _or_nan(*minimum_norm(matvec, b, wanted)), x)
    return where_needed(~symmetric, unsymmetric, x)


def solve_by_gmres(matvec: Matvec, b: jax.Array, wanted: Wanted) -> jax.Array:
    """x = A^-1 b for b (n,); NaN where the residual misses, as it does at large condition."""
    return _or_nan(*refine_unknown(matvec, transposed(matvec, b), _gmres(matvec), b, wanted))


def _or_nan(x: jax.Array, good: jax.Array) -> jax.Array:
    return jnp.where(good, x, jnp.nan)


def _gmres(matvec: Matvec) -> Matvec:
    def solve(r: jax.Array) -> jax.Array:
        restart = min(_RESTART, r.size)
        return gmres(matvec, r, tol=1e-6, atol=0.0, restart=restart, maxiter=200)[0]

    return solve


def _looks_symmetric(
    matvec: Matvec, transpose: Matvec, like: jax.Array, norm: jax.Array
) -> jax.Array:
    """Whether A v = A^T v to rounding for one arbitrary v."""
    v = arbitrary(like.size, seed=2.0)
    difference = jnp.linalg.norm(matvec(v) - transpose(v))
    return difference <= 1e-12 * norm * jnp.linalg.norm(v)
