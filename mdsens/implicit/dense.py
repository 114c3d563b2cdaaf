"""Solving with a matrix of which nothing is known but its entries.

Gaussian elimination where A is regular. Where it is singular to rounding, the minimum-norm
(least-squares) solution x = A^+ b, from eigenvectors if A is symmetric, from singular vectors if
not. Which case it is depends on A alone, so that a batch of right-hand sides shares one answer.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import lu_factor, lu_solve

from mdsens.implicit.checked import arbitrary, where_needed
from mdsens.linear.accuracy import EPS, allowance

# Singular values below this fraction of the largest are rounding: products with A are good to about
# n eps.
CUTOFF = 1e-12
# Those between are neither: a condition number of 1e10 leaves few digits worth having in a
# derivative.
_REGULAR = 1e-10


# Compiled once per shape, so that eager derivatives do not compile anew at every call.
@partial(jax.jit, static_argnames="rtol")
def solve_matrix(matrix: jax.Array, b: jax.Array, rtol: float) -> jax.Array:
    """x = A^+ b for A (n, n) and b (n,); NaN where the residual betrays a failure, and where
    A is neither regular nor singular."""
    factor = lu_factor(matrix)
    singular = _smallest(factor, b.shape[0]) <= _REGULAR * jnp.linalg.norm(matrix)
    symmetric = _is_symmetric(matrix)
    x = _eliminate(matrix, factor, b)
    x = where_needed(singular & symmetric, lambda: _by_eigenvectors(matrix, b), x)
    x = where_needed(singular & ~symmetric, lambda: _by_singular_vectors(matrix, b), x)
    return jnp.where(_solves(matrix, x, b, rtol), x, jnp.nan)


def _eliminate(matrix: jax.Array, factor: tuple, b: jax.Array) -> jax.Array:
    x = lu_solve(factor, b)
    return x + lu_solve(factor, b - matrix @ x)


def _smallest(factor: tuple, n: int) -> jax.Array:
    """The smallest singular value of A, from above, by inverse iteration; 0 for a zero pivot."""

    def grow(_: Any, v: jax.Array) -> jax.Array:
        return lu_solve(factor, lu_solve(factor, v / jnp.linalg.norm(v), trans=1))

    growth = jnp.sqrt(jnp.linalg.norm(lax.fori_loop(0, 3, grow, arbitrary(n))))
    return jnp.where(jnp.isfinite(growth), 1 / growth, 0.0)


def _is_symmetric(matrix: jax.Array) -> jax.Array:
    scale = jnp.max(jnp.abs(matrix))
    return jnp.max(jnp.abs(matrix - matrix.T)) <= 100 * EPS * scale


def _by_eigenvectors(matrix: jax.Array, b: jax.Array) -> jax.Array:
    eigenvalues, vectors = jnp.linalg.eigh(0.5 * (matrix + matrix.T))
    inverse = _inverse(eigenvalues)
    x = vectors @ (inverse * (vectors.T @ b))
    return x + vectors @ (inverse * (vectors.T @ (b - matrix @ x)))


def _by_singular_vectors(matrix: jax.Array, b: jax.Array) -> jax.Array:
    left, values, right = jnp.linalg.svd(matrix)
    inverse = _inverse(values)
    x = right.T @ (inverse * (left.T @ b))
    return x + right.T @ (inverse * (left.T @ (b - matrix @ x)))


def _inverse(values: jax.Array) -> jax.Array:
    relative = jnp.abs(values) / jnp.max(jnp.abs(values))
    kept = relative > CUTOFF
    doubtful = jnp.any(kept & (relative <= _REGULAR))
    inverse = jnp.where(kept, 1 / jnp.where(kept, values, 1.0), 0.0)
    return jnp.where(doubtful, jnp.nan, inverse)


def _solves(matrix: jax.Array, x: jax.Array, b: jax.Array, rtol: float) -> jax.Array:
    r = b - matrix @ x
    norm, left = jnp.linalg.norm(matrix), jnp.linalg.norm(r)
    # A = 0 says nothing about x (the root of x^2 = theta at 0): no minimum-norm answer then.
    allowed = allowance(jnp.linalg.norm(b), jnp.linalg.norm(x), norm, rtol)
    orthogonal = (norm > 0) & (jnp.linalg.norm(matrix.T @ r) <= norm * allowed)
    return (left <= allowed) | orthogonal
