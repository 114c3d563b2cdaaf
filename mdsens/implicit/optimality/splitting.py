"""Fixed points of gradient steps that end in a proximal operator or a projection.

The derivative does not depend on the step, as long as it is positive: every step has the same fixed
points. No step is taken here; a step of 1 is as good as any unless rounding says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from mdsens.errors import InputError

Proximal = Callable[[Any, Any, Any], Any]


def proximal_gradient(
    objective: Callable[..., Any], prox: Proximal, step: float = 1.0
) -> Callable[..., Any]:
    """T(x, theta_f, theta_prox) = prox(x - step grad f(x, theta_f), theta_prox, step).

    The fixed points minimise f(x, theta_f) + g(x, theta_prox), f smooth and g convex, where

        prox(u, theta_prox, step) = argmin_y |y - u|^2 / 2 + step g(y, theta_prox)

    Where u is at a kink of prox (a coordinate of the lasso that is just about to enter), x* has
    only one-sided derivatives; what is returned is then what prox takes for its own (`proximal`).

    Args:
        objective: f(x, theta_f) -> scalar; x any pytree.
        prox: see `proximal`, or your own; differentiable by JAX.
        step: positive.

    Raises:
        DerivativeUndefined: from the derivative, where the minimum is not isolated.

    Blondel et al. 2022, doi:10.48550/arXiv.2105.15183, section 2.
    """

    def fixed_point(x: Any, theta_f: Any, theta_prox: Any = None) -> Any:
        return prox(descend(x, jax.grad(objective)(x, theta_f), step), theta_prox, step)

    return fixed_point


def projected_gradient(
    objective: Callable[..., Any], projection: Callable[..., Any], step: float = 1.0
) -> Callable[..., Any]:
    """T(x, theta_f, *theta_c) = projection(x - step grad f(x, theta_f), *theta_c).

    The fixed points are the stationary points of f on the convex set C(theta_c), where

        projection(u, *theta_c) = argmin_{y in C(theta_c)} |y - u|

    Where a constraint holds with equality and a vanishing multiplier, x* has only one-sided
    derivatives; what is returned is then what the projection takes for its own (`projections`).

    Args:
        objective: f(x, theta_f) -> scalar; x any pytree.
        projection: see `projections`, or your own; differentiable by JAX.
        step: positive.

    Raises:
        DerivativeUndefined: from the derivative, where the solution is not isolated.

    Blondel et al. 2022, doi:10.48550/arXiv.2105.15183, section 2.
    """

    def fixed_point(x: Any, theta_f: Any, *theta_c: Any) -> Any:
        return projection(descend(x, jax.grad(objective)(x, theta_f), step), *theta_c)

    return fixed_point


def block_proximal_gradient(
    objective: Callable[..., Any],
    prox: Proximal | Sequence[Proximal],
    steps: float | Sequence[float] = 1.0,
) -> Callable[..., Any]:
    """T_i(x, theta_f, theta_prox) = prox_i(x_i - step_i grad_i f(x, theta_f), theta_prox_i, step_i).

    x = (x_1, ..., x_m) minimises f(x, theta_f) + sum_i g_i(x_i, theta_prox_i): what block
    coordinate descent converges to where f is smooth and the rest separates. All blocks are
    evaluated at the same x, though the descent takes them in turn.

    Args:
        objective: f(x, theta_f) -> scalar; x a tuple of pytrees.
        prox: one operator for all blocks, or one for each; see `proximal`.
        steps: one positive number, or one for each block.

    Returns:
        T, whose theta_prox is None or a tuple with one entry for each block.

    Raises:
        InputError: when called, if x is not a tuple, or anything given for each block is not as
            long as x.
        DerivativeUndefined: from the derivative, where the minimum is not isolated.

    Blondel et al. 2022, doi:10.48550/arXiv.2105.15183, appendix.
    """

    def fixed_point(x: tuple, theta_f: Any, theta_prox: Sequence[Any] | None = None) -> tuple:
        if not isinstance(x, tuple):
            raise InputError(f"the blocks must be a tuple, not a {type(x).__name__}")
        gradients = jax.grad(objective)(x, theta_f)
        operators = _for_each(prox, len(x), "prox")
        lengths = _for_each(steps, len(x), "steps")
        thetas = _for_each(theta_prox, len(x), "theta_prox")
        parts = zip(operators, x, gradients, thetas, lengths, strict=True)
        return tuple(p(descend(block, g, s), theta, s) for p, block, g, theta, s in parts)

    return fixed_point


def descend(x: Any, gradient: Any, step: Any) -> Any:
    """x - step gradient for pytrees."""
    return jax.tree_util.tree_map(lambda a, g: a - step * g, x, gradient)


def _for_each(given: Any, blocks: int, name: str) -> Sequence[Any]:
    if not isinstance(given, (tuple, list)):
        if name == "theta_prox" and given is not None:
            raise InputError("theta_prox must be a tuple with one entry for each block, or None")
        return [given] * blocks
    if len(given) != blocks:
        raise InputError(f"{name} has {len(given)} entries for {blocks} blocks; give one for each")
    return given
