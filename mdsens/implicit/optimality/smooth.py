"""Conditions without constraints: a vanishing gradient, and Newton's map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from mdsens.implicit.attach import solve_linear
from mdsens.implicit.auto import AUTO
from mdsens.implicit.solve import certified


def stationary_point(objective: Callable[..., Any]) -> Callable[..., Any]:
    """F(x, *theta) = grad_x f(x, *theta), for `custom_root`.

    Its Jacobian is the Hessian of f, symmetric; minima, maxima and saddles are alike to it.

    Args:
        objective: f(x, *theta) -> scalar, twice differentiable; x any pytree.

    Raises:
        TypeError: when called, if f does not return a real scalar (from JAX).
        DerivativeUndefined: from the derivative, where the Hessian is singular along theta's pull.
    """
    return jax.grad(objective)


def newton(
    residual: Callable[..., Any], step: float = 1.0, solve: Callable[..., Any] = AUTO
) -> Callable[..., Any]:
    """T(x, *theta) = x - step (dF/dx)^-1 F(x, *theta), for `custom_fixed_point`.

    At a root dT/dx = (1 - step) I, so that the fixed point equation gives

        dx*/dtheta = -(dF/dx)^-1 dF/dtheta

    whatever the step: the same as `custom_root(F)`, for more work. Use it to iterate with T, or
    where a fixed point is asked for; for derivatives alone it adds nothing.

    Args:
        residual: F(x, *theta) -> pytree like x.
        step: damping; not 0, where every x is a fixed point.
        solve: solve(matvec, b) for the system with dF/dx; see `attach`.

    Raises:
        DerivativeUndefined: T or its derivative, in eager code, where dF/dx is singular.

    Blondel et al. 2022, doi:10.48550/arXiv.2105.15183, section 2.
    """
    checked = certified(solve)

    def fixed_point(x: Any, *theta: Any) -> Any:
        value, matvec = jax.linearize(lambda y: residual(y, *theta), x)
        correction = solve_linear(checked, matvec, value)
        return jax.tree_util.tree_map(lambda a, d: a - step * d, x, correction)

    return fixed_point
