"""The gradient of L(x*(theta), theta), with x*(theta) from F(x*, theta) = 0, by warm starts.

With the adjoint w, A^T w = dL/dx, the gradient is that of a Lagrangian at fixed x and w:

    dL/dtheta = d/dtheta [L(x, theta) - w . F(x, theta)],    A = dF/dx

How accurately are x and w wanted? An outer step moves theta and with it x* and w by O(|dtheta|), so
that the old ones, taken as a start, are off by that much. Both solves remove all but a fraction
`reduction` of the residual they find there. The error of the gradient is then proportional to the
last step, reduction * O(|dtheta|), and so to the gradient itself for an optimiser whose steps are; it
vanishes as the outer iteration converges, whatever the units and without a schedule. One fraction
serves both, because their errors add up in the gradient, and because A and dL/dx are only as good as
x. It is a fraction of residuals: along soft directions of A the error lags behind.

The inverse M that preconditions the adjoint solve also moves the old x along with theta, to first
order, before the inner iteration starts.

Steady fractions: Arbel & Mairal 2022, arXiv:2111.14580; summable tolerances: Pedregosa 2016,
arXiv:1602.02355.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mdsens.implicit.bilevel.adjoint import solve_adjoint
from mdsens.implicit.bilevel.warm import WARM, AdjointInfo, Memory, WarmImplicit
from mdsens.implicit.estimators import Estimator
from mdsens.implicit.iteration import Info, Iteration
from mdsens.linear import Projector

OuterLoss = Callable[..., jax.Array]


class Hypergradient(NamedTuple):
    """The outer loss at theta, its gradient, and what the next evaluation starts from.

    Attributes:
        value: L(x, theta), ().
        gradient: pytree like theta.
        x: what the inner iteration found.
        memory: of the adjoint solve; () for an estimator without one.
        inner: how the inner iteration ended.
        adjoint: how the adjoint solve ended; None for an estimator without one.
    """

    value: jax.Array
    gradient: Any
    x: Any
    memory: Any
    inner: Info
    adjoint: AdjointInfo | None


def hypergradient(
    outer_loss: OuterLoss,
    inner: Iteration,
    theta: Any,
    x: Any,
    memory: Any,
    *data: Any,
    estimator: Estimator | WarmImplicit = WARM,
    reduction: Any = 0.0,
) -> Hypergradient:
    """One evaluation of L(x*(theta), theta) and its gradient. Composes with jit and vmap.

    Args:
        outer_loss: L(x, theta, *data) -> scalar.
        inner: the iteration for F(x, theta) = 0.
        theta: pytree of float64 arrays.
        x: where the inner iteration starts.
        memory: where the adjoint solve starts, from the last evaluation or `estimator.memory(n)`;
            () for an estimator without one.
        estimator: `WarmImplicit`, or any estimator, which is then applied at the x found.
        reduction: fraction of the residuals of x and w that may remain; 0 for `inner.tol` and
            `rtol`, which are enough in any case.

    Returns:
        What was found. Whether it was good enough is told, not enforced: see `inner.converged` and
        `adjoint.outcome`.
    """
    if isinstance(estimator, WarmImplicit):
        x, info = _inner(inner, x, theta, reduction, memory.inverse)
        return _by_adjoint(estimator, outer_loss, inner, theta, x, info, memory, data, reduction)
    x, info = _inner(inner, x, theta, reduction, None)

    def total(t: Any) -> jax.Array:
        return outer_loss(estimator.at(inner, x, t), t, *data)

    value, gradient = jax.value_and_grad(total)(theta)
    return Hypergradient(value, gradient, x, (), info, None)


def _inner(
    inner: Iteration, x: Any, theta: Any, reduction: Any, inverse: jax.Array | None
) -> tuple[Any, Info]:
    """The inner iteration, stopped at |F| <= max(tol, reduction |F at the start|)."""
    flat, unravel = ravel_pytree(x)

    def condition(y: jax.Array) -> jax.Array:
        return ravel_pytree(inner.condition(unravel(y), theta))[0]

    force = condition(flat)
    start = jnp.linalg.norm(force)
    if inverse is not None:
        # F(x_old, theta) = B dtheta, so that this is x_old + dx*/dtheta . dtheta, as far as M holds.
        ahead = flat - force @ inverse
        flat = jnp.where(jnp.linalg.norm(condition(ahead)) < start, ahead, flat)
    if inner.tol == 0.0:
        return inner.run(unravel(flat), theta)
    # A tolerance that changes from step to step, as a scale of F.
    scale = jnp.maximum(1.0, reduction * start / inner.tol)

    def scaled(y: Any, t: Any) -> Any:
        return jax.tree_util.tree_map(lambda leaf: leaf / scale, inner.condition(y, t))

    x, info = replace(inner, optimality_fun=scaled).run(unravel(flat), theta)
    return x, info._replace(residual=info.residual * scale)


def _by_adjoint(
    estimator: WarmImplicit,
    outer_loss: OuterLoss,
    inner: Iteration,
    theta: Any,
    x: Any,
    info: Info,
    memory: Memory,
    data: tuple,
    reduction: Any,
) -> Hypergradient:
    flat, unravel = ravel_pytree(x)

    def condition(y: jax.Array, t: Any) -> jax.Array:
        return ravel_pytree(inner.condition(unravel(y), t))[0]

    def loss(y: jax.Array, t: Any) -> jax.Array:
        return outer_loss(unravel(y), t, *data)

    transpose = jax.vjp(lambda y: condition(y, theta), flat)[1]
    slope = jax.grad(loss)(flat, theta)
    make = estimator.projector
    projector = Projector.identity(flat.size) if make is None else make(x, theta)
    memory, told = solve_adjoint(
        estimator, lambda v: transpose(v)[0], slope, memory, projector, reduction
    )

    def lagrangian(t: Any) -> tuple[jax.Array, jax.Array]:
        value = loss(flat, t)
        return value - memory.adjoint @ condition(flat, t), value

    gradient, value = jax.grad(lagrangian, has_aux=True)(theta)
    return Hypergradient(value, gradient, x, memory, info, told)
