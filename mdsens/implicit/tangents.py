"""The floating leaves of an argument list: what a derivative is taken by, and what it is like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.errors import InputError
from mdsens.implicit.condition import require_like, require_tuple
from mdsens.implicit.leaves import is_traceable


def differentiable(args: tuple) -> tuple[list[Any], Callable[[Any], Any]]:
    """The floating leaves of args, and the function that puts others in their place."""
    leaves, treedef = jax.tree_util.tree_flatten(args)

    def rebuild(floats: Any) -> Any:
        fresh = iter(floats)
        mixed = [next(fresh) if _is_differentiable(leaf) else leaf for leaf in leaves]
        return jax.tree_util.tree_unflatten(treedef, mixed)

    return [leaf for leaf in leaves if _is_differentiable(leaf)], rebuild


def tangents_of(args: tuple, tangents: tuple) -> list[Any]:
    """The tangents of the floating leaves of args, in their order.

    Raises:
        InputError: shapes or structures do not match, or a leaf that is no float has a tangent.
    """
    require_tuple(tangents, "tangents")
    if len(args) != len(tangents):
        raise InputError(f"{len(args)} args were given, but {len(tangents)} tangents")
    leaves, treedef = jax.tree_util.tree_flatten(tuple(args))
    try:
        directions = treedef.flatten_up_to(tuple(tangents))
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


def like_args(args: tuple, gradients: Any) -> tuple:
    """Gradients of the floating leaves in the structure of args.

    Integers and booleans get float0 zeros, as in JAX; what is no number gets None.
    """
    leaves, treedef = jax.tree_util.tree_flatten(args)
    fresh = iter(gradients)
    filled = [next(fresh) if _is_differentiable(leaf) else _no_gradient(leaf) for leaf in leaves]
    return jax.tree_util.tree_unflatten(treedef, filled)


def _is_differentiable(leaf: Any) -> bool:
    return is_traceable(leaf) and jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)


def _no_gradient(leaf: Any) -> Any:
    is_number = isinstance(leaf, (bool, int)) or is_traceable(leaf)
    return np.zeros(jnp.shape(leaf), jax.dtypes.float0) if is_number else None
