"""Solving with a matrix too large to write down, of which nothing is known.

Symmetric A: MINRES. Where that leaves a residual, b reaches into the null space of A (a cotangent
that is not translation invariant does), and two consistent systems give the minimum-norm answer:

    A z = A b    (z is b without its part in the null space),    A x = z

Others: restarted GMRES. All refined until the true residual is small, or orthogonal to the range.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.sparse.linalg import gmres

from mdsens.implicit.checked import arbitrary, refine_unknown, spectral_norm, transposed
from mdsens.linear.minres import minimum_residuals

Matvec = Callable[[jax.Array], jax.Array]
_RESTART = 60
_ROUNDS = 6
# MINRES leaves a relative residual below this one unless b has a part in the null space.
_CONSISTENT = 1e-6


class _Stage(NamedTuple):
    number: jax.Array
    rhs: jax.Array
    x: jax.Array


def solve_matrix_free(matvec: Matvec, b: jax.Array, rtol: float) -> jax.Array:
    """x = A^+ b for symmetric A, A^-1 b for others; b (n,); NaN where the residual misses."""
    transpose = transposed(matvec, b)
    norm = spectral_norm(matvec, transpose, b)

    def symmetric() -> jax.Array:
        return _checked(matvec, matvec, _minimum_norm(matvec, b), b, rtol)

    def general() -> jax.Array:
        return _checked(matvec, transpose, _gmres(matvec), b, rtol)

    return lax.cond(_looks_symmetric(matvec, transpose, b, norm), symmetric, general)


def _checked(
    matvec: Matvec, transpose: Matvec, solve: Matvec, b: jax.Array, rtol: float
) -> jax.Array:
    x, good = refine_unknown(matvec, transpose, solve, b, rtol, _ROUNDS)
    return jnp.where(good, x, jnp.nan)


def _minimum_norm(matvec: Matvec, like: jax.Array) -> Matvec:
    limit = 5 * like.size + 100

    def minres(r: jax.Array) -> jax.Array:
        size = jnp.linalg.norm(r)
        unit = r / jnp.where(size > 0, size, 1.0)
        return size * minimum_residuals(matvec, lambda y: y, unit, jnp.asarray(1e-12), limit).x

    def solve(b: jax.Array) -> jax.Array:
        # One loop, so that MINRES is compiled once: A x = b, then A z = A b, then A x = z.
        def next_stage(s: _Stage) -> _Stage:
            x = minres(s.rhs)
            left = jnp.linalg.norm(b - matvec(x))
            consistent = (s.number == 0) & (left <= _CONSISTENT * jnp.linalg.norm(b))
            rhs = jnp.where(s.number == 0, matvec(b), x)
            return _Stage(jnp.where(consistent, 3, s.number + 1), rhs, x)

        start = _Stage(jnp.asarray(0), b, jnp.zeros_like(b))
        return lax.while_loop(lambda s: s.number < 3, next_stage, start).x

    return solve


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
