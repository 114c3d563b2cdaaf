"""Gradient steps in another geometry than the Euclidean one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from mdsens.implicit.optimality.splitting import descend


def mirror_descent(
    objective: Callable[..., Any],
    bregman_projection: Callable[..., Any],
    mirror_map: Callable[[Any], Any],
    step: float = 1.0,
) -> Callable[..., Any]:
    """T(x, theta_f, *theta_c) = bregman_projection(mirror_map(x) - step grad f, *theta_c).

    With a strictly convex phi, mirror_map = grad phi and

        bregman_projection(y, *theta_c) = argmin_{x in C(theta_c)} phi(x) - <x, y>

    the fixed points are those of `projected_gradient` on C(theta_c), found without Euclidean
    projection. On the simplex phi(x) = sum_i x_i log x_i belongs to `jax.numpy.log` as the mirror
    map (its constant cancels) and `kl_projection`; see `exponentiated_gradient` for points with
    zeros, where the logarithm has no derivative.

    Args:
        objective: f(x, theta_f) -> scalar; x any pytree.
        bregman_projection: takes the mirror image y, not x.
        mirror_map: x -> pytree like x.
        step: positive; the derivative does not depend on it.

    Raises:
        DerivativeUndefined: from the derivative, in eager code, where the mirror map has none, or
            where the solution is not isolated.

    Blondel et al. 2022, doi:10.48550/arXiv.2105.15183, appendix; Beck & Teboulle
    2003, doi:10.1016/S0167-6377(02)00231-6.
    """

    def fixed_point(x: Any, theta_f: Any, *theta_c: Any) -> Any:
        y = descend(mirror_map(x), jax.grad(objective)(x, theta_f), step)
        return bregman_projection(y, *theta_c)

    return fixed_point


def kl_projection(y: jax.Array, total: Any = 1.0, axis: int | None = None) -> jax.Array:
    """total exp(y) / sum exp(y): onto {x >= 0, sum x = total} in the Kullback-Leibler geometry.

    Args:
        y: an array of any shape; the logarithm of what is projected.
        total: positive.
        axis: along which each simplex lies; None for one simplex over the whole array.
    """
    return total * jax.nn.softmax(y, axis=axis)


def exponentiated_gradient(
    objective: Callable[..., Any], step: float = 1.0, axis: int | None = None
) -> Callable[..., Any]:
    """T(x, theta_f, total) = total w / sum w,  w = x exp(-step grad f(x, theta_f)).

    Mirror descent on the simplex {x >= 0, sum x = total} with the logarithm worked out, which
    leaves T differentiable where coordinates of x are exactly zero. These stay zero:

        dT_i/dx_i = exp(step (nu - grad_i f)) < 1,    nu the multiplier of the sum

    so that the derivative is defined where grad_i f > nu strictly. At a degenerate zero, where
    grad_i f = nu, and at a zero that should not be one (grad_i f < nu, a fixed point but no
    minimum), do not trust it: the Jacobian is singular for the first, and the second is not seen.

    Args:
        objective: f(x, theta_f) -> scalar; x an array of any shape.
        step: positive; the derivative does not depend on it.
        axis: along which each simplex lies (-1: every row is one); None for one simplex over the
            whole array.

    Kivinen & Warmuth 1997, doi:10.1006/inco.1996.2612.
    """

    def fixed_point(x: jax.Array, theta_f: Any, total: Any = 1.0) -> jax.Array:
        exponent = -step * jax.grad(objective)(x, theta_f)
        # Any constant shift cancels; this one keeps the exponential from overflowing.
        kept = jnp.where(x > 0, exponent, -jnp.inf)
        shift = jax.lax.stop_gradient(jnp.max(kept, axis=axis, keepdims=True))
        w = x * jnp.exp(exponent - shift)
        return total * w / jnp.sum(w, axis=axis, keepdims=True)

    return fixed_point
