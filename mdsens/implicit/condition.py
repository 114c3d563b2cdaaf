"""The optimality condition F(x, theta) = 0 with everything it depends on made explicit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mdsens.errors import InputError
from mdsens.implicit.hoist import hoist
from mdsens.implicit.leaves import split
from mdsens.linear.precision import require_float64

Residual = Callable[[Any, Sequence[Any]], Any]


def close(optimality_fun: Callable[..., Any], sol: Any, args: tuple) -> tuple[Residual, list[Any]]:
    """Turn F(sol, *args) into (residual, theta) with F = residual(sol, theta).

    theta lists the traceable leaves of `args`, and every value being transformed that F closes
    over.

    Raises:
        InputError: F(sol, *args) has not the structure, shapes or type of sol.
    """
    dynamic, rebuild = split(args)
    explicit, captured, shape = hoist(
        lambda inputs: optimality_fun(inputs[0], *rebuild(inputs[1])), (sol, dynamic)
    )
    require_same_shape(shape, sol)

    def residual(x: Any, theta: Sequence[Any]) -> Any:
        return explicit(theta[len(dynamic) :], (x, list(theta[: len(dynamic)])))

    return residual, [*dynamic, *captured]


def require_unknowns(sol: Any) -> Any:
    """sol as float64 arrays.

    Raises:
        InputError: a leaf is not real and floating, or there is none.
        Float32Error: a leaf is narrower than 64 bits.
    """
    leaves = jax.tree_util.tree_leaves(sol)
    if not leaves:
        raise InputError("the solution holds no array; an implicit derivative needs unknowns")
    for leaf in leaves:
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            raise InputError(
                f"the solution holds a leaf of type {jnp.result_type(leaf)}; the unknowns of an "
                "implicit derivative must be real floating numbers, so return others as auxiliary "
                "data (has_aux=True)"
            )
    require_float64(sol)
    return jax.tree_util.tree_map(jnp.asarray, sol)


def require_same_shape(found: Any, sol: Any) -> None:
    """Refuse an optimality function (or tangent) that does not look like the solution.

    Raises:
        InputError: structure, a shape, or a type differs.
    """
    require_like(found, sol, "the optimality function returned", "the solution")


def require_like(found: Any, model: Any, what: str, whose: str) -> None:
    """Refuse a pytree that has not the structure, shapes and type of its model.

    Raises:
        InputError: one sentence with both.
    """
    one, other = jax.tree_util.tree_structure(found), jax.tree_util.tree_structure(model)
    if one != other:
        raise InputError(f"{what} the structure {one}, but {whose} has {other}")
    pairs = zip(jax.tree_util.tree_leaves(found), jax.tree_util.tree_leaves(model), strict=True)
    for a, b in pairs:
        if jnp.shape(a) != jnp.shape(b) or jnp.result_type(a) != jnp.result_type(b):
            raise InputError(
                f"{what} an array of shape {jnp.shape(a)} and type {jnp.result_type(a)}, where "
                f"{whose} has shape {jnp.shape(b)} and type {jnp.result_type(b)}"
            )
