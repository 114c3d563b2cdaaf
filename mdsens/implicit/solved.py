"""Whether a point solves F(x, theta) = 0 at all: a coarse test, asked before it is differentiated.

A derivative at a point that is no root is a number without meaning, and nothing in the linear solve
betrays it. A point passes if its residual is small against the terms that cancel in it,

    |F(x)| <= a (|A x| + |B s|),    A = dF/dx,  B = dF/dtheta,  s of the size of theta

or if no leaf of x would be changed much by a Newton step d = -A^-1 F(x),

    |d| <= a max(|x|, |x + d|)    or    |d| <= (a / 10) |x - x_0|

with a the accuracy asked for and x_0 the start of the solver, where it is known: it gives a scale to
a solution that vanishes. Multiplying F, x or theta by a constant changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from mdsens.errors import DerivativeUndefined
from mdsens.implicit.checked import arbitrary, transposed
from mdsens.implicit.condition import Residual
from mdsens.implicit.leaves import is_traced_now, stopped
from mdsens.implicit.tangents import differentiable

# Of the accuracy: the way from the start may be long, and says less than the solution itself.
_OF_THE_WAY = 0.1
# Steps of conjugate gradients for d: from below, so that stiff and soft problems alike pass rather
# than fail. A start that was handed back or another equation's root shows in the first few.
_STEPS = 30


class Asked(NamedTuple):
    """How well x is to solve F, and whether A = A^T may be relied on."""

    accuracy: float
    symmetric: bool


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def unless_wrong(
    residual: Residual, asked: Asked, theta: list[Any], sol: Any, start: Any
) -> list[Any]:
    """theta, whose derivative is refused where `sol` does not solve F(sol, theta) = 0.

    Args:
        residual: F(x, theta).
        asked: what counts as solved.
        theta: arrays.
        sol: pytree of float64 arrays.
        start: pytree like sol where the search began, or None.

    Raises:
        DerivativeUndefined: from the derivative, in eager code; NaN under jit and vmap.
    """
    del residual, asked, sol, start
    return theta


@unless_wrong.defjvp
def _refuse(
    residual: Residual, asked: Asked, primals: tuple, tangents: tuple
) -> tuple[list[Any], list[Any]]:
    theta, sol, start = stopped(primals)
    weight = jnp.where(_is_wrong(residual, asked, theta, sol, start), jnp.nan, 1.0)
    return primals[0], [_times(weight, t) for t in tangents[0]]


def _times(weight: jax.Array, tangent: Any) -> Any:
    return tangent if jnp.result_type(tangent) == jax.dtypes.float0 else weight * tangent


def _is_wrong(residual: Residual, asked: Asked, theta: list[Any], sol: Any, start: Any) -> Any:
    """Whether sol fails, as a boolean array (); where it is concrete, the failure is told.

    Raises:
        DerivativeUndefined: with the sizes that were found.
    """
    flat, unravel = ravel_pytree(sol)
    floats, rebuild = differentiable(tuple(theta))

    def flat_residual(x: jax.Array, *values: Any) -> jax.Array:
        return ravel_pytree(residual(unravel(x), rebuild(values)))[0]

    force, linear = jax.linearize(flat_residual, flat, *floats)
    nothing = [jnp.zeros_like(value) for value in floats]
    varied = [_varied(value, seed) for seed, value in enumerate(floats)]
    size = jnp.linalg.norm(force)
    terms = jnp.linalg.norm(linear(flat, *nothing))
    terms = terms + jnp.linalg.norm(linear(jnp.zeros_like(flat), *varied))
    suspicious = size > asked.accuracy * terms
    eager = not is_traced_now((flat, suspicious))
    if eager and not np.all(np.isfinite(flat)):
        raise DerivativeUndefined(_NOT_FINITE)
    if eager and not suspicious:
        return suspicious
    step = unravel(_newton_step(lambda v: linear(v, *nothing), force, suspicious, asked.symmetric))
    change, far = _change(asked.accuracy, sol, step, start)
    if eager and far:
        raise DerivativeUndefined(_NOT_SOLVED.format(change=change, size=size, terms=terms))
    return far


_NOT_FINITE = (
    "the solver returned NaN or infinity, which has no derivative; it probably did not converge"
)
_NOT_SOLVED = (
    "the solution returned does not solve the optimality function: one Newton step would change a "
    "part of it by {change:.0%} of its size (|F| = {size:.1e}, its terms have size {terms:.1e}); "
    "check that the function is the condition this solver meets (signs, penalties, order of the "
    "arguments) and that the solver has converged, or switch this test off by accuracy=None"
)


def _varied(value: Any, seed: int) -> jax.Array:
    """A direction of the size of `value`, or of 1 where that is zero; of mixed signs, because most
    F are homogeneous in theta, and vanish along theta itself."""
    value = jnp.asarray(value)
    largest = jnp.max(jnp.abs(value), initial=0.0)
    signs = arbitrary(value.size, 1.0 + 0.3 * seed).reshape(value.shape)
    return (jnp.where(largest > 0, largest, 1.0) * signs).astype(value.dtype)


class _State(NamedTuple):
    x: jax.Array
    r: jax.Array
    p: jax.Array
    slope: jax.Array
    k: jax.Array


def _newton_step(
    matvec: Callable[[jax.Array], jax.Array], force: jax.Array, wanted: Any, symmetric: bool
) -> jax.Array:
    """d with A d = -F in the sense of least squares, short of it rather than beyond; 0 unless
    wanted. Conjugate gradients on A^T A, whatever A is."""
    transpose = matvec if symmetric else transposed(matvec, force)
    size = jnp.linalg.norm(force)
    unit = -force / jnp.where(size > 0, size, 1.0)

    def unfinished(s: _State) -> jax.Array:
        return wanted & (s.k < _STEPS) & (s.slope > 1e-8 * first)

    def advance(s: _State) -> _State:
        q = matvec(s.p)
        alpha = s.slope / (q @ q)
        r = s.r - alpha * q
        gradient = transpose(r)
        slope = gradient @ gradient
        return _State(s.x + alpha * s.p, r, gradient + (slope / s.slope) * s.p, slope, s.k + 1)

    gradient = transpose(unit)
    first = gradient @ gradient
    start = _State(jnp.zeros_like(force), unit, gradient, first, jnp.asarray(0))
    return size * jax.lax.while_loop(unfinished, advance, start).x


def _change(accuracy: float, sol: Any, step: Any, start: Any) -> tuple[Any, Any]:
    """(largest relative change of a leaf, whether any changes too much)."""
    leaves, steps = jax.tree_util.tree_leaves(sol), jax.tree_util.tree_leaves(step)
    starts = leaves if start is None else jax.tree_util.tree_leaves(start)
    largest, far = jnp.zeros(()), jnp.asarray(False)
    for x, d, x0 in zip(leaves, steps, starts, strict=True):
        change = _norm(d)
        size = jnp.maximum(_norm(x), _norm(x + d))
        too_much = (change > accuracy * size) & (change > _OF_THE_WAY * accuracy * _norm(x - x0))
        relative = change / jnp.where(size > 0, size, 1.0)
        largest = jnp.where(too_much, jnp.maximum(largest, relative), largest)
        far = far | too_much
    return largest, far


def _norm(x: jax.Array) -> jax.Array:
    return jnp.linalg.norm(x.ravel())
