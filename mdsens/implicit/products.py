"""Products with the Jacobian of a root, for those who know the root and want one product.

jvp:  A u = -B t                     vjp:  A^T w = -v,  returns B^T w
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mdsens.implicit.attach import solve_linear
from mdsens.implicit.auto import AUTO, trusted
from mdsens.implicit.condition import require_condition, require_like, require_unknowns
from mdsens.implicit.guard import Side, check
from mdsens.implicit.leaves import is_traced_now
from mdsens.implicit.solve import Certified
from mdsens.implicit.tangents import differentiable, like_args, tangents_of
from mdsens.linear.precision import require_float64


def root_jvp(
    optimality_fun: Callable[..., Any],
    sol: Any,
    args: tuple,
    tangents: tuple,
    solve: Callable[..., Any] | None = AUTO,
) -> Any:
    """dx*/dargs . tangents, for x* = sol with F(sol, *args) = 0.

    Args:
        optimality_fun: F(sol, *args) -> pytree like sol.
        sol: pytree of float64 arrays.
        args: tuple of pytrees.
        tangents: tuple like args; None (or a float0 array) where a leaf of args is no float.
        solve: solve(matvec, b); in eager code it may be host code.

    Returns:
        A pytree like sol.

    Raises:
        InputError: shapes or structures do not match, or a leaf that is no float has a tangent.
        DerivativeUndefined: in eager code, where the linear solve fails; under jit NaN.
    """
    sol = _checked(optimality_fun, sol, args)
    floats, rebuild = differentiable(args)
    directions = tangents_of(args, tangents)
    force = jax.jvp(
        lambda *theta: optimality_fun(sol, *rebuild(theta)), tuple(floats), tuple(directions)
    )[1]
    matvec = jax.linearize(lambda x: optimality_fun(x, *args), sol)[1]
    return _solve(trusted(solve), matvec, jax.tree_util.tree_map(jnp.negative, force))


def root_vjp(
    optimality_fun: Callable[..., Any],
    sol: Any,
    args: tuple,
    cotangent: Any,
    solve: Callable[..., Any] | None = AUTO,
) -> tuple:
    """cotangent . dx*/dargs, for x* = sol with F(sol, *args) = 0.

    Args:
        optimality_fun: F(sol, *args) -> pytree like sol.
        sol: pytree of float64 arrays.
        args: tuple of pytrees.
        cotangent: pytree like sol.
        solve: solve(matvec, b); in eager code it may be host code.

    Returns:
        A tuple like args: float0 zeros for integers and booleans, as JAX does, and None in the
        place of anything that is no number.

    Raises:
        InputError: shapes or structures do not match.
        DerivativeUndefined: in eager code, where the linear solve fails; under jit NaN.
    """
    sol = _checked(optimality_fun, sol, args)
    require_like(cotangent, sol, "the cotangent has", "the solution")
    floats, rebuild = differentiable(args)
    transpose = jax.vjp(lambda x: optimality_fun(x, *args), sol)[1]
    negative = jax.tree_util.tree_map(lambda v: -jnp.asarray(v), cotangent)
    w = _solve(trusted(solve), lambda u: transpose(u)[0], negative)
    pull = jax.vjp(lambda *theta: optimality_fun(sol, *rebuild(theta)), *floats)[1]
    return like_args(args, pull(w))


def _checked(optimality_fun: Callable[..., Any], sol: Any, args: tuple) -> Any:
    sol = require_unknowns(sol)
    require_float64(args)
    require_condition(optimality_fun, sol, args)
    return sol


def _solve(solve: Certified, matvec: Callable[[Any], Any], b: Any) -> Any:
    """Called directly in eager code, so that `solve` may be host code; else differentiable."""
    if is_traced_now((b, matvec(b))) or not ravel_pytree(b)[0].size:
        return solve_linear(solve, matvec, b)
    check(b, Side.INPUT)
    x = solve(matvec, b)
    check(x, Side.OUTPUT)
    return x
