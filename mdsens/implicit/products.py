"""Products with the Jacobian of a root, for those who know the root and want one product.

jvp:  A u = -B t                     vjp:  A^T w = -v,  returns B^T w
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.errors import InputError
from mdsens.implicit.attach import solve_linear
from mdsens.implicit.auto import AUTO
from mdsens.implicit.condition import require_like, require_same_shape, require_unknowns
from mdsens.implicit.guard import Side, check
from mdsens.implicit.leaves import is_traceable, is_traced_now
from mdsens.implicit.solve import certified
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
    if len(args) != len(tangents):
        raise InputError(f"{len(args)} args were given, but {len(tangents)} tangents")
    floats, rebuild = _differentiable(args)
    directions = _tangents_of(args, tangents)
    force = jax.jvp(
        lambda *theta: optimality_fun(sol, *rebuild(theta)), tuple(floats), tuple(directions)
    )[1]
    matvec = jax.linearize(lambda x: optimality_fun(x, *args), sol)[1]
    return _solve(solve, matvec, jax.tree_util.tree_map(jnp.negative, force))


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
    floats, rebuild = _differentiable(args)
    transpose = jax.vjp(lambda x: optimality_fun(x, *args), sol)[1]
    negative = jax.tree_util.tree_map(lambda v: -jnp.asarray(v), cotangent)
    w = _solve(solve, lambda u: transpose(u)[0], negative)
    pull = jax.vjp(lambda *theta: optimality_fun(sol, *rebuild(theta)), *floats)[1]
    return _like_args(args, pull(w))


def _checked(optimality_fun: Callable[..., Any], sol: Any, args: tuple) -> Any:
    sol = require_unknowns(sol)
    require_float64(args)
    require_same_shape(jax.eval_shape(lambda x: optimality_fun(x, *args), sol), sol)
    return sol


def _solve(solve: Callable[..., Any] | None, matvec: Callable[[Any], Any], b: Any) -> Any:
    """Called directly in eager code, so that `solve` may be host code; else differentiable."""
    trusted = certified(AUTO if solve is None else solve)
    if is_traced_now((b, matvec(b))):
        return solve_linear(trusted, matvec, b)
    check(b, Side.INPUT)
    x = trusted(matvec, b)
    check(x, Side.OUTPUT)
    return x


def _is_differentiable(leaf: Any) -> bool:
    return is_traceable(leaf) and jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)


def _differentiable(args: tuple) -> tuple[list[Any], Callable[[Any], Any]]:
    """The floating leaves of args, and the function that puts others in their place."""
    leaves, treedef = jax.tree_util.tree_flatten(args)

    def rebuild(floats: Any) -> Any:
        fresh = iter(floats)
        mixed = [next(fresh) if _is_differentiable(leaf) else leaf for leaf in leaves]
        return jax.tree_util.tree_unflatten(treedef, mixed)

    return [leaf for leaf in leaves if _is_differentiable(leaf)], rebuild


def _tangents_of(args: tuple, tangents: tuple) -> list[Any]:
    leaves, treedef = jax.tree_util.tree_flatten(args)
    try:
        directions = treedef.flatten_up_to(tangents)
    except ValueError as error:
        raise InputError(f"the tangents have not the structure of the args: {error}") from error
    kept = []
    for leaf, direction in zip(leaves, directions, strict=True):
        if _is_differentiable(leaf):
            require_like(direction, leaf, "a tangent has", "its argument")
            kept.append(direction)
        elif direction is not None and jnp.result_type(direction) != jax.dtypes.float0:
            raise InputError(
                f"an argument of type {type(leaf).__name__} that is no floating number was given a "
                "tangent; give None in its place"
            )
    return kept


def _like_args(args: tuple, gradients: Any) -> tuple:
    leaves, treedef = jax.tree_util.tree_flatten(args)
    fresh = iter(gradients)
    filled = [next(fresh) if _is_differentiable(leaf) else _no_gradient(leaf) for leaf in leaves]
    return jax.tree_util.tree_unflatten(treedef, filled)


def _no_gradient(leaf: Any) -> Any:
    """What JAX returns for integers; nothing for what is no number."""
    is_number = isinstance(leaf, (bool, int)) or is_traceable(leaf)
    return np.zeros(jnp.shape(leaf), jax.dtypes.float0) if is_number else None
