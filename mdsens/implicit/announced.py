"""Results of host code against what was announced of them."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from mdsens.errors import InputError
from mdsens.implicit.leaves import is_traceable


def shapes_of(tree: Any) -> Any:
    """The shapes and types of a pytree of arrays and numbers."""
    return jax.tree_util.tree_map(
        lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), _dtype(leaf)), tree
    )


def floating(tree: Any) -> Any:
    """The shapes of a pytree of arrays and numbers, its type float64 throughout."""
    return jax.tree_util.tree_map(
        lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), np.float64), tree
    )


def _dtype(leaf: Any) -> Any:
    return getattr(leaf, "dtype", None) or np.asarray(leaf).dtype


def as_announced(found: Any, announced: Any, what: str) -> Any:
    """A pytree of NumPy arrays of exactly the shapes and types announced.

    Raises:
        InputError: another structure or shape, or a type that would lose digits.
    """
    one, other = (jax.tree_util.tree_structure(tree) for tree in (found, announced))
    if one != other:
        raise InputError(f"{what} the structure {one} instead of {other}; say like=")
    return jax.tree_util.tree_map(lambda leaf, shape: _cast(leaf, shape, what), found, announced)


def _cast(leaf: Any, shape: jax.ShapeDtypeStruct, what: str) -> np.ndarray:
    array = np.asarray(leaf)
    # Digits that single precision has lost do not come back by a cast.
    narrow = array.dtype.kind == "f" and array.dtype.itemsize < np.dtype(shape.dtype).itemsize
    if array.shape != shape.shape or narrow or not np.can_cast(array.dtype, shape.dtype, "safe"):
        raise InputError(
            f"{what} an array of shape {array.shape} and type {array.dtype} instead of shape "
            f"{shape.shape} and type {shape.dtype}; say like="
        )
    return array.astype(shape.dtype)


def copied(leaf: Any) -> Any:
    """An array as a NumPy array of one's own, a number as a NumPy number."""
    return np.array(leaf)[()]


def without_value(shape: jax.ShapeDtypeStruct) -> np.ndarray:
    """NaN, or 0 where there is no NaN."""
    empty = np.nan if np.dtype(shape.dtype).kind in "fc" else 0
    return np.full(shape.shape, empty, shape.dtype)


def has_nan(tree: Any) -> bool:
    """Whether any number in a pytree is NaN."""
    numbers = [np.asarray(leaf) for leaf in jax.tree_util.tree_leaves(tree) if is_traceable(leaf)]
    return any(np.isnan(x).any() for x in numbers if x.dtype.kind in "fc")
