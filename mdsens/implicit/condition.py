"""The optimality condition F(x, theta) = 0 with everything it depends on made explicit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp

from mdsens.errors import InputError
from mdsens.implicit.hoist import hoist
from mdsens.implicit.leaves import is_traceable, split
from mdsens.linear.precision import require_float64

Residual = Callable[[Any, Sequence[Any]], Any]


def close(optimality_fun: Callable[..., Any], sol: Any, args: tuple) -> tuple[Residual, list[Any]]:
    """Turn F(sol, *args) into (residual, theta) with F = residual(sol, theta).

    theta lists the traceable leaves of `args`, and every value being transformed that F closes
    over.

    Raises:
        InputError: F(sol, *args) has not the structure, shapes or type of sol, or args is no tuple.
    """
    require_tuple(args)
    dynamic, rebuild = split(args)

    def condition(inputs: tuple) -> Any:
        with explained(optimality_fun, sol):
            return optimality_fun(inputs[0], *rebuild(inputs[1]))

    explicit, captured, shape = hoist(condition, (sol, dynamic))
    require_same_shape(shape, sol)

    def residual(x: Any, theta: Sequence[Any]) -> Any:
        return explicit(theta[len(dynamic) :], (x, list(theta[: len(dynamic)])))

    return residual, [*dynamic, *captured]


@contextmanager
def explained(optimality_fun: Callable[..., Any], sol: Any) -> Iterator[None]:
    """Errors raised inside are somebody else's; say what was being done when they came up."""
    try:
        yield
    except Exception as error:
        shapes = jax.tree_util.tree_map(jnp.shape, sol)
        error.add_note(
            f"mdsens: raised by the optimality function {_name(optimality_fun)}, which was traced "
            f"for a solution of shape {shapes}. It must be written in jax.numpy, without Python "
            "branches on values; if the solver returns more than the solution, say has_aux=True."
        )
        raise


def require_condition(optimality_fun: Callable[..., Any], sol: Any, args: tuple) -> None:
    """Refuse an F(sol, *args) that is not like sol, and arguments that are no tuple.

    Raises:
        InputError: one sentence with what was found.
    """
    require_tuple(args)
    with explained(optimality_fun, sol):
        shape = jax.eval_shape(lambda x: optimality_fun(x, *args), sol)
    require_same_shape(shape, sol)


def _name(function: Any) -> str:
    return getattr(function, "__name__", repr(function))


def require_tuple(args: Any, what: str = "arguments") -> None:
    """Refuse arguments that would be taken apart.

    Raises:
        InputError: args is neither tuple nor list.
    """
    if not isinstance(args, (tuple, list)):
        raise InputError(
            f"the {what} must be a tuple, also if there is one, (theta,), not {type(args).__name__}"
        )


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
        kind = str(jnp.result_type(leaf)) if is_traceable(leaf) else type(leaf).__name__
        if not kind.startswith(("float", "bfloat")):
            raise InputError(
                f"the solution holds a leaf of type {kind}; the unknowns of an implicit derivative "
                "must be real floating numbers, so return others as auxiliary data (has_aux=True)"
            )
    require_float64(sol)
    return jax.tree_util.tree_map(jnp.asarray, sol)


def require_same_shape(found: Any, sol: Any) -> None:
    """Refuse an optimality function (or tangent) that does not look like the solution.

    Raises:
        InputError: structure, a shape, or a type differs.
    """
    require_like(found, sol, "the optimality function returned", "the solution")


def is_like(found: Any, model: Any) -> bool:
    """Whether a pytree holds real numbers in the structure and shapes of its model."""
    if jax.tree_util.tree_structure(found) != jax.tree_util.tree_structure(model):
        return False
    pairs = zip(jax.tree_util.tree_leaves(found), jax.tree_util.tree_leaves(model), strict=True)
    return all(_is_real(a) and jnp.shape(a) == jnp.shape(b) for a, b in pairs)


def _is_real(leaf: Any) -> bool:
    if not isinstance(leaf, int) and not is_traceable(leaf):
        return False
    dtype = jnp.result_type(leaf)
    return jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)


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
