"""Iterative refinement: trust no recursive residual, solve again for what is left.

    x <- x + step(r),    r = b - A x,    until |r| is small enough or stops shrinking.

The residual that CG and MINRES carry along drifts away from the true one when A is badly
conditioned; recomputing it, and restarting from it, costs one product and keeps them honest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mdsens.linear.accuracy import allowance, relative
from mdsens.linear.outcome import Outcome

Matvec = Callable[[jax.Array], jax.Array]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Step:
    """What one inner solve returns.

    Attributes:
        x: approximate solution of A x = r for the r it was given.
        iterations: how many products it took.
        outcome: CONVERGED, or INDEFINITE or SINGULAR if it met the reason to give up.
        norm: a lower estimate of |A| seen on the way.
    """

    x: jax.Array
    iterations: Any
    outcome: Any
    norm: Any


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Refined:
    """The state of the refinement, and its result."""

    x: jax.Array
    residual: jax.Array
    iterations: jax.Array
    outcome: jax.Array
    norm: jax.Array
    rounds: jax.Array
    stalled: jax.Array


def refine(
    matvec: Matvec,
    b: jax.Array,
    step: Callable[[jax.Array, jax.Array], Step],
    rtol: float,
    rounds: int,
) -> Refined:
    """Solve A x = b for one right-hand side b (n,) by at most `rounds` calls of `step(r, tol)`.

    `step` is given right-hand sides of unit length (Krylov methods compare them with absolute
    constants; see jax issue 40254 for what happens to tiny ones) and the relative tolerance that is
    still missing. On return `outcome` is CONVERGED only if the true residual says so.
    """
    size = jnp.max(jnp.abs(b))  # not the norm, whose squares would underflow
    unit = b / jnp.where(size > 0, size, 1.0)
    one = jnp.linalg.norm(unit)

    def unfinished(s: Refined) -> jax.Array:
        wanted = s.residual > allowance(one, jnp.linalg.norm(s.x), s.norm, rtol)
        healthy = s.outcome == Outcome.CONVERGED
        return wanted & healthy & ~s.stalled & (s.rounds < rounds)

    def again(s: Refined) -> Refined:
        r = unit - matvec(s.x)
        length = jnp.linalg.norm(r)
        tol = jnp.clip(0.5 * rtol / length, 1e-15, 0.1)
        inner = step(r / length, tol)
        x = s.x + length * inner.x
        residual = jnp.linalg.norm(unit - matvec(x))
        halved = residual < 0.5 * s.residual
        # A run that thought it saw a null mode was wrong if the residual could still be reduced.
        excused = halved & (inner.outcome == Outcome.SINGULAR)
        return Refined(
            x=x,
            residual=residual,
            iterations=s.iterations + inner.iterations,
            outcome=jnp.where(excused, Outcome.CONVERGED, inner.outcome),
            norm=jnp.maximum(s.norm, inner.norm),
            rounds=s.rounds + 1,
            stalled=~halved,
        )

    start = Refined(
        x=jnp.zeros_like(b),
        residual=one,
        iterations=jnp.asarray(0),
        outcome=jnp.asarray(int(Outcome.CONVERGED)),
        norm=jnp.zeros(()),
        rounds=jnp.asarray(0),
        stalled=jnp.asarray(False),
    )
    end = lax.while_loop(unfinished, again, start)
    return _judged(end, b, size, allowance(one, jnp.linalg.norm(end.x), end.norm, rtol))


def _judged(end: Refined, b: jax.Array, size: jax.Array, allowed: jax.Array) -> Refined:
    missed = (end.outcome == Outcome.CONVERGED) & ~(end.residual <= allowed)
    outcome = jnp.where(missed, Outcome.NOT_CONVERGED, end.outcome)
    outcome = jnp.where(jnp.all(jnp.isfinite(b)), outcome, Outcome.NOT_FINITE)
    one = jnp.linalg.norm(b / jnp.where(size > 0, size, 1.0))
    return replace(end, x=size * end.x, residual=relative(end.residual, one), outcome=outcome)
