"""x = A^+ b for a symmetric A with an unknown null space, from products alone.

MINRES solves A x = b where b lies in the range of A. Where it leaves a residual, b reaches into the
null space (a cotangent that is not translation invariant does), and two consistent systems give the
minimum-norm answer:

    A z = A b    (z is b without its part in the null space),    A x = z

All of it is refined until the true residual is small, or orthogonal to the range.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from mdsens.implicit.checked import Wanted, refine_unknown
from mdsens.linear.minres import minimum_residuals

Matvec = Callable[[jax.Array], jax.Array]
# MINRES leaves a relative residual below this one unless b has a part in the null space.
_CONSISTENT = 1e-6
_TOL = 1e-13


def minimum_norm(matvec: Matvec, b: jax.Array, wanted: Wanted) -> tuple[jax.Array, jax.Array]:
    """(x, whether it is right) for symmetric A and b (n,)."""
    solve = _stages(matvec, b.size)
    return refine_unknown(matvec, matvec, solve, b, wanted._replace(aim=wanted.rtol))


class _Stage(NamedTuple):
    number: jax.Array
    rhs: jax.Array
    x: jax.Array


def _stages(matvec: Matvec, n: int) -> Matvec:
    limit = 5 * n + 100

    def minres(r: jax.Array) -> jax.Array:
        size = jnp.linalg.norm(r)
        unit = r / jnp.where(size > 0, size, 1.0)
        return size * minimum_residuals(matvec, lambda y: y, unit, jnp.asarray(_TOL), limit).x

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
