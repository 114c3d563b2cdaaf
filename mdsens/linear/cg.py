"""Conjugate gradients for positive (semi)definite matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from mdsens.linear.krylov import Krylov, solve_columns
from mdsens.linear.operator import Operator
from mdsens.linear.outcome import Outcome, SolveInfo
from mdsens.linear.projector import Projector
from mdsens.linear.refinement import Matvec, Step

# Curvature p.Ap / p.p below this fraction of |A| is rounding, not information.
_FLAT = 1e-13


@dataclass(frozen=True)
class CG(Krylov):
    """Projected, block-Jacobi preconditioned conjugate gradients. Traceable.

    Good for minima: A positive definite on the complement of the null space. Negative curvature
    along a search direction ends the solve with INDEFINITE, vanishing curvature with SINGULAR; x is
    NaN in both cases. A saddle can pass unnoticed if its negative direction is absent from the
    right-hand side, and then x is right all the same.

    Hestenes & Stiefel 1952, doi:10.6028/jres.049.044.
    """

    def solve(
        self, operator: Operator, rhs: jax.Array, projector: Projector
    ) -> tuple[jax.Array, SolveInfo]:
        """Minimum-norm solution for rhs (n,) or (n, c); NaN in columns that failed."""
        return solve_columns(conjugate_gradients, self, operator, rhs, projector, "cg")


class _State(NamedTuple):
    x: jax.Array
    r: jax.Array
    p: jax.Array
    rz: jax.Array
    norm: jax.Array
    k: jax.Array
    outcome: jax.Array


def conjugate_gradients(
    matvec: Matvec, precondition: Matvec, b: jax.Array, tol: jax.Array, limit: int
) -> Step:
    """One run of CG from zero until the recursive residual is below tol |b|."""
    target = tol * jnp.linalg.norm(b)

    def unfinished(s: _State) -> jax.Array:
        going = (s.outcome == Outcome.CONVERGED) & (s.k < limit)
        return going & (jnp.linalg.norm(s.r) > target)

    def advance(s: _State) -> _State:
        ap = matvec(s.p)
        curvature = s.p @ ap
        length = s.p @ s.p
        norm = jnp.maximum(s.norm, jnp.sqrt((ap @ ap) / length))
        outcome = _judge(curvature / length, norm)
        healthy = outcome == Outcome.CONVERGED
        alpha = jnp.where(healthy, s.rz / jnp.where(healthy, curvature, 1.0), 0.0)
        r = s.r - alpha * ap
        z = precondition(r)
        rz = r @ z
        return _State(s.x + alpha * s.p, r, z + (rz / s.rz) * s.p, rz, norm, s.k + 1, outcome)

    z = precondition(b)
    start = _State(jnp.zeros_like(b), b, z, b @ z, jnp.zeros(()), jnp.asarray(0), jnp.asarray(0))
    end = lax.while_loop(unfinished, advance, start)
    return Step(end.x, end.k, end.outcome, end.norm)


def _judge(rayleigh: jax.Array, norm: jax.Array) -> jax.Array:
    flat = jnp.abs(rayleigh) <= _FLAT * norm
    downhill = jnp.where(rayleigh < 0, Outcome.INDEFINITE, Outcome.CONVERGED)
    return jnp.where(flat, Outcome.SINGULAR, downhill)
