"""The conditions of Karush, Kuhn and Tucker: a constrained minimum with its multipliers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mdsens.errors import InputError
from mdsens.implicit.condition import require_like

Constraint = Callable[[Any, Any], Any]


class KKTPoint(NamedTuple):
    """A solution with its multipliers; None, or an empty tuple, where there is no such constraint."""

    primal: Any
    dual_equality: Any = None
    dual_inequality: Any = None


def kkt(
    objective: Callable[[Any, Any], Any],
    equality: Constraint | None = None,
    inequality: Constraint | None = None,
    margin: float = 1e-8,
) -> Callable[..., Any]:
    """F for `custom_root`: what holds at a minimum z of f subject to h(z) = 0 and g(z) <= 0.

        F((z, nu, lam), theta_f, theta_h, theta_g) = ( grad_z f + nu . grad_z h + lam . grad_z g,
                                                       h(z, theta_h),
                                                       lam * g(z, theta_g) )

    with f(z, theta_f) and lam >= 0. All unknowns are differentiated, the multipliers included.
    The Jacobian is symmetric if there is no inequality, and unsymmetric otherwise. It is regular
    if the gradients of the active constraints are linearly independent, the Hessian of the
    Lagrangian is positive definite along them (the second-order sufficient condition), and

        strict complementarity:    for every i, either lam_i > 0 or g_i < 0

    Without the last, the solution has one-sided derivatives only, and the linear system would
    return some number all the same. So where max(|lam_i|, |g_i|) <= margin the derivative of
    lam_i g_i is NaN: that of the solution is refused. With dependent active gradients the
    multipliers are not unique; their derivative is then of minimum norm, or refused.

    Args:
        objective: f(z, theta_f) -> scalar; z any pytree.
        equality: h(z, theta_h) -> pytree like nu.
        inequality: g(z, theta_g) -> pytree like lam.
        margin: in the units of lam and g; above the accuracy of the solver that found them, or a
            degenerate point goes unnoticed.

    Returns:
        F, whose unknowns are a `KKTPoint` or any tuple (primal, dual_equality, dual_inequality),
        and which returns the same. theta_h and theta_g may be left out.

    Raises:
        InputError: when called, if the unknowns are not three, a constraint is not like its
            multiplier, or one of the two is missing.
        DerivativeUndefined: from the derivative, in eager code, where the Jacobian is singular or
            complementarity is not strict; NaN under jit and vmap.

    Blondel et al. 2022, doi:10.48550/arXiv.2105.15183, section 2; Fiacco 1976,
    doi:10.1007/BF01580677.
    """

    def residual(unknowns: Any, theta_f: Any, theta_h: Any = None, theta_g: Any = None) -> Any:
        z, nu, lam = _three(unknowns)
        h = _evaluate(equality, z, theta_h, nu, "equality")
        g = _evaluate(inequality, z, theta_g, lam, "inequality")

        def lagrangian(y: Any) -> Any:
            value = objective(y, theta_f)
            if equality is not None:
                value = value + _dot(nu, equality(y, theta_h))
            if inequality is not None:
                value = value + _dot(lam, inequality(y, theta_g))
            return value

        slack = jax.tree_util.tree_map(partial(_complementary, margin), lam, g)
        parts = (jax.grad(lagrangian)(z), h, slack)
        return type(unknowns)(*parts) if hasattr(unknowns, "_fields") else parts

    return residual


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _complementary(margin: float, lam: jax.Array, g: jax.Array) -> jax.Array:
    del margin
    return lam * g


@_complementary.defjvp
def _product_rule(margin: float, primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    lam, g = primals
    degenerate = jnp.maximum(jnp.abs(lam), jnp.abs(g)) <= margin
    weight = jnp.where(degenerate, jnp.nan, 1.0)
    change = weight * (lam * tangents[1] + g * tangents[0])
    return _complementary(margin, lam, g), change


def _three(unknowns: Any) -> tuple[Any, Any, Any]:
    if not isinstance(unknowns, tuple) or len(unknowns) != 3:
        raise InputError(
            "the unknowns must be a tuple (primal, dual_equality, dual_inequality), with None for "
            "the multipliers of a constraint that is not there"
        )
    return unknowns


def _evaluate(constraint: Constraint | None, z: Any, theta: Any, dual: Any, name: str) -> Any:
    if constraint is None:
        if jax.tree_util.tree_leaves(dual):
            raise InputError(f"there are multipliers for an {name} constraint that was not given")
        return dual
    value = constraint(z, theta)
    require_like(value, dual, f"the {name} constraint returned", "its multiplier")
    return value


def _dot(a: Any, b: Any) -> Any:
    products = jax.tree_util.tree_map(lambda x, y: jnp.sum(x * y), a, b)
    return sum(jax.tree_util.tree_leaves(products))
