"""The adjoint equation A^T w = b, solved from where the last outer step left it.

A warm start of a linear solve is the solve of a correction,

    A^T dw = b - A^T w0,    w = w0 + dw,

to a residual that is small enough for w; any Krylov method can do that. The other thing that is kept
is M, the inverse of A^T at an earlier step, as preconditioner. It ages as theta moves. A new one has
the price of n iterations, and is bought when so many have been spent on the old one, not counting a
few per solve that a new one would need as well: whatever theta does, this costs no more than about
twice what the best choice of moments would have cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from mdsens.implicit.bilevel.gmres import generalised_minimum_residuals
from mdsens.implicit.bilevel.warm import AdjointInfo, Memory, WarmImplicit
from mdsens.linear import Outcome, Projector
from mdsens.linear.accuracy import allowance, relative
from mdsens.linear.minres import minimum_residuals
from mdsens.linear.refinement import Matvec, Step

Method = Callable[[Matvec, Matvec, jax.Array, jax.Array, Any], Step]
# Runs of the Krylov method at most, and what one must make of a residual to be followed by another.
_RUNS = 50
_PROGRESS = 0.9
# Iterations per solve that are not held against an old inverse.
_EASY = 3


class _Equation(NamedTuple):
    """A^T w = b to |r| <= goal, on the complement of a null space."""

    matvec: Matvec
    b: jax.Array
    goal: jax.Array
    projector: Projector


class _State(NamedTuple):
    w: jax.Array
    r: jax.Array
    inverse: jax.Array | None
    iterations: jax.Array
    runs: jax.Array
    spent: jax.Array
    refreshed: jax.Array
    stalled: jax.Array
    outcome: jax.Array
    norm: jax.Array


def solve_adjoint(
    settings: WarmImplicit,
    product: Matvec,
    b: jax.Array,
    memory: Memory,
    projector: Projector,
    reduction: jax.Array,
) -> tuple[Memory, AdjointInfo]:
    """w with |b - A^T w| <= max(rtol |b|, reduction |b - A^T w0|), all of it projected.

    Args:
        product: v -> A^T v for v (n,), linear.
        b: (n,).
        memory: w0 and M. A w0 that is worse than zero is not used.
        reduction: how much of the residual of w0 may stay; 0 for full accuracy.
    """
    b = projector(b)
    keeps = memory.inverse is not None

    def matvec(v: jax.Array) -> jax.Array:
        return projector(product(projector(v)))

    start = _begin(matvec, b, memory._replace(adjoint=projector(memory.adjoint)))
    size = jnp.linalg.norm(b)
    goal = jnp.maximum(settings.rtol * size, reduction * jnp.linalg.norm(start.r))
    equation = _Equation(matvec, b, goal, projector)

    def unfinished(s: _State) -> jax.Array:
        # A run that brings nothing is the last one, unless a better inverse can be had.
        hopeful = ~s.stalled | (~s.refreshed & keeps)
        return (jnp.linalg.norm(s.r) > goal) & hopeful & (s.runs < _RUNS)

    def advance(s: _State) -> _State:
        if keeps:
            return _preconditioned(equation, s)
        method = minimum_residuals if settings.symmetric else generalised_minimum_residuals
        return _corrected(equation, method, lambda y: y, 5 * b.size + 100, s)

    end = lax.while_loop(unfinished, advance, start)
    left = jnp.linalg.norm(end.r)
    allowed = allowance(size, jnp.linalg.norm(end.w), end.norm, settings.rtol)
    missed = jnp.maximum(end.outcome, Outcome.NOT_CONVERGED)
    outcome = jnp.where(left <= jnp.maximum(goal, allowed), Outcome.CONVERGED, missed)
    outcome = jnp.where(jnp.isfinite(left), outcome, Outcome.NOT_FINITE)
    products = 1 + end.iterations + end.runs + jnp.where(end.refreshed, b.size, 0)
    info = AdjointInfo(products, end.refreshed, relative(left, size), outcome)
    return Memory(end.w, end.inverse, end.spent), info


def _begin(matvec: Matvec, b: jax.Array, memory: Memory) -> _State:
    w = memory.adjoint
    r = b - matvec(w)
    # Not a number is kept, to be found at the end.
    useful = ~(jnp.linalg.norm(r) >= jnp.linalg.norm(b))
    no = jnp.asarray(False)
    return _State(
        w=jnp.where(useful, w, 0.0), r=jnp.where(useful, r, b), inverse=memory.inverse,
        iterations=jnp.asarray(0), runs=jnp.asarray(0),
        spent=jnp.maximum(memory.spent - _EASY, 0), refreshed=no, stalled=no,
        outcome=jnp.asarray(int(Outcome.CONVERGED)), norm=jnp.zeros(()),
    )  # fmt: skip


def _preconditioned(equation: _Equation, s: _State) -> _State:
    """A run with the inverse at hand, or with a new one if that has had its chance."""
    projector, n = equation.projector, equation.b.size
    renew = ~s.refreshed & (s.stalled | (s.spent >= n))
    inverse = lax.cond(renew, lambda: _inverse(equation.matvec, projector), lambda: s.inverse)
    refreshed, spent = s.refreshed | renew, jnp.where(renew, 0, s.spent)
    limit = jnp.where(refreshed, n, n - spent)
    s = s._replace(inverse=inverse, refreshed=refreshed, spent=spent)
    method = generalised_minimum_residuals
    return _corrected(equation, method, lambda y: projector(inverse @ y), limit, s)


def _inverse(matvec: Matvec, projector: Projector) -> jax.Array:
    """The inverse of A^T on the complement of the null space, and of 1 on the null space."""
    identity = jnp.eye(projector.size)
    matrix = jax.vmap(matvec, out_axes=1)(identity)
    return jnp.linalg.inv(matrix + identity - projector(identity))


def _corrected(
    equation: _Equation, method: Method, precondition: Matvec, limit: Any, s: _State
) -> _State:
    """One run of the Krylov method for what is left, and the true residual after it."""
    length = jnp.linalg.norm(s.r)
    # Half, because the residual that a method carries along is not quite the true one.
    tol = jnp.maximum(0.5 * equation.goal / length, 1e-15)
    step = method(equation.matvec, precondition, s.r / length, tol, limit)
    w = s.w + length * step.x
    r = equation.b - equation.matvec(w)
    left = jnp.linalg.norm(r)
    better = left < length
    return s._replace(
        w=jnp.where(better, w, s.w),
        r=jnp.where(better, r, s.r),
        iterations=s.iterations + step.iterations,
        runs=s.runs + 1,
        spent=s.spent + step.iterations,
        stalled=~(left < _PROGRESS * length),
        outcome=step.outcome,
        norm=jnp.maximum(s.norm, step.norm),
    )
