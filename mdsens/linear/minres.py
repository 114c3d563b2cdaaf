"""Minimum residuals for indefinite matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from mdsens.linear.accuracy import EPS
from mdsens.linear.krylov import Krylov, solve_columns
from mdsens.linear.operator import Operator
from mdsens.linear.outcome import Outcome, SolveInfo
from mdsens.linear.projector import Projector
from mdsens.linear.refinement import Matvec, Step

# |A r| / |r| below this fraction of |A| means that what is left of r lies in a null space, or that
# this run has come as close as rounding lets MINRES come to a least-squares solution: sqrt(eps).
# Going on would blow x up. The refinement decides which: it restarts, and sees whether r shrinks.
_FLAT = 1e-8


@dataclass(frozen=True)
class MINRES(Krylov):
    """Projected, preconditioned minimum residuals. Traceable.

    Good for saddles, and for any symmetric A that is nonsingular on the complement of the null
    space; a right-hand side that reaches into an unexplained null mode ends with NaN and SINGULAR
    (NOT_CONVERGED where bad conditioning hides the reason).

    Paige & Saunders 1975, doi:10.1137/0712047.
    """

    def solve(
        self, operator: Operator, rhs: jax.Array, projector: Projector
    ) -> tuple[jax.Array, SolveInfo]:
        """Minimum-norm solution for rhs (n,) or (n, c); NaN in columns that failed."""
        return solve_columns(minimum_residuals, self, operator, rhs, projector, "minres")


class _State(NamedTuple):
    """Two Lanczos vectors, two search directions and the running QR of the tridiagonal matrix."""

    x: jax.Array
    r_old: jax.Array
    r: jax.Array
    y: jax.Array
    w_old: jax.Array
    w: jax.Array
    beta_old: jax.Array
    beta: jax.Array
    cos: jax.Array
    sin: jax.Array
    delta_bar: jax.Array
    epsilon: jax.Array
    phi_bar: jax.Array
    norm: jax.Array
    scale: jax.Array
    flat: jax.Array
    k: jax.Array


def minimum_residuals(
    matvec: Matvec, precondition: Matvec, b: jax.Array, tol: jax.Array, limit: int
) -> Step:
    """One run of MINRES from zero until |r| <= tol |b| in the preconditioner's norm.

    Ends with SINGULAR where A r vanishes and r does not: x is then a least-squares solution.
    """
    start = _begin(precondition, b)
    target = tol * start.beta

    def unfinished(s: _State) -> jax.Array:
        return (s.phi_bar > target) & ~s.flat & (s.k < limit) & (s.beta > 0)

    end = lax.while_loop(unfinished, lambda s: _advance(matvec, precondition, s), start)
    stuck = end.flat & (end.phi_bar > target)
    outcome = jnp.where(stuck, Outcome.SINGULAR, Outcome.CONVERGED)
    return Step(end.x, end.k, outcome, end.norm)


def _begin(precondition: Matvec, b: jax.Array) -> _State:
    y = precondition(b)
    beta = jnp.sqrt(b @ y)
    zero, nothing = jnp.zeros(()), jnp.zeros_like(b)
    return _State(
        x=nothing, r_old=nothing, r=b, y=y, w_old=nothing, w=nothing,
        beta_old=jnp.ones(()), beta=beta, cos=-jnp.ones(()), sin=zero, delta_bar=zero,
        epsilon=zero, phi_bar=beta, norm=zero, scale=zero, flat=jnp.asarray(False), k=jnp.asarray(0),
    )  # fmt: skip


def _advance(matvec: Matvec, precondition: Matvec, s: _State) -> _State:
    # Lanczos: the next vector of the Krylov space, orthogonal to the last two.
    v = s.y / s.beta
    product = matvec(v)
    alpha = v @ product
    r = product - (s.beta / s.beta_old) * s.r_old - (alpha / s.beta) * s.r
    y = precondition(r)
    beta = jnp.sqrt(jnp.maximum(r @ y, 0.0))
    # Apply the previous rotation to the new column of the tridiagonal matrix, find the next one.
    delta = s.cos * s.delta_bar + s.sin * alpha
    gamma_bar = s.sin * s.delta_bar - s.cos * alpha
    norm = jnp.maximum(s.norm, jnp.sqrt((product @ product) / (v @ v)))
    scale = jnp.maximum(s.scale, jnp.sqrt(alpha**2 + beta**2))
    root = jnp.hypot(gamma_bar, s.cos * beta)
    # root is |A r| / |r|, in the preconditioned metric, of the x we already have.
    flat = root <= _FLAT * scale
    gamma = jnp.maximum(jnp.hypot(gamma_bar, beta), EPS * scale)
    cos, sin = gamma_bar / gamma, beta / gamma
    w = (v - s.epsilon * s.w_old - delta * s.w) / gamma
    return _State(
        x=jnp.where(flat, s.x, s.x + cos * s.phi_bar * w),
        r_old=s.r, r=r, y=y, w_old=s.w, w=w,
        beta_old=s.beta, beta=beta, cos=cos, sin=sin, delta_bar=-s.cos * beta,
        epsilon=s.sin * beta, phi_bar=jnp.where(flat, s.phi_bar, sin * s.phi_bar),
        norm=norm, scale=scale, flat=flat, k=s.k + 1,
    )  # fmt: skip
