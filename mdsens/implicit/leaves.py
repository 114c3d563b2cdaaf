"""Which leaves of a pytree JAX may trace, and which are plain Python values."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import jax
import jax.core
import numpy as np
from jax.core import Tracer


def is_traceable(leaf: Any) -> bool:
    """Arrays and floating numbers are traced; ints, bools, strings and functions stay Python.

    A Python int in an argument list is nearly always a count or a switch, and an optimality
    function may branch on it; a float is a parameter somebody may want to differentiate by.
    """
    return isinstance(leaf, (jax.Array, np.ndarray, np.generic, float, complex))


_TRACED = object()


@dataclass(frozen=True)
class Rebuild:
    """Puts traceable leaves back among the rest of a pytree; hashable if the rest is.

    Attributes:
        treedef: of the whole.
        rest: its leaves, with a mark in the place of the traceable ones.
    """

    treedef: Any
    rest: tuple

    def __call__(self, dynamic: list[Any]) -> Any:
        """The pytree with `dynamic` for its traceable leaves."""
        fresh = iter(dynamic)
        mixed = [next(fresh) if leaf is _TRACED else leaf for leaf in self.rest]
        return jax.tree_util.tree_unflatten(self.treedef, mixed)

    @property
    def is_hashable(self) -> bool:
        """Whether programs may be compiled for what is not traceable."""
        try:
            hash(self)
        except TypeError:
            return False
        return True


def split(tree: Any) -> tuple[list[Any], Rebuild]:
    """The traceable leaves of a pytree, and the function that puts others in their place."""
    leaves, treedef = jax.tree_util.tree_flatten(tree)
    rest = tuple(_TRACED if is_traceable(leaf) else leaf for leaf in leaves)
    return [leaf for leaf in leaves if is_traceable(leaf)], Rebuild(treedef, rest)


def is_traced_now(tree: Any) -> bool:
    """Whether any leaf is being transformed or compiled at this moment."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree_util.tree_leaves(tree))


def closes_over_tracers(tree: Any) -> bool:
    """Whether a function among the leaves holds a tracer: in its closure, at any depth, in the
    object whose method it is, or in itself if it is an object that can be called."""
    return any(_captures(leaf, set()) for leaf in jax.tree_util.tree_leaves(tree))


def _captures(value: Any, seen: set[int]) -> bool:
    if not callable(value) or id(value) in seen:
        return False
    seen.add(id(value))
    inside = [c.cell_contents for c in getattr(value, "__closure__", None) or () if _filled(c)]
    inside += [getattr(value, name, None) for name in ("func", "args", "keywords", "__wrapped__")]
    inside += [_attributes(value), _attributes(getattr(value, "__self__", None))]
    leaves = jax.tree_util.tree_leaves(inside)
    return is_traced_now(leaves) or any(_captures(leaf, seen) for leaf in leaves)


def _attributes(owner: Any) -> list[Any]:
    shared = isinstance(owner, (ModuleType, type))
    return [] if shared else list(getattr(owner, "__dict__", {}).values())


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:  # the variable is assigned later
        return False
    return True


def stopped(tree: Any) -> Any:
    """`stop_gradient` of every traceable leaf; everything else untouched."""
    dynamic, rebuild = split(tree)
    return rebuild([jax.lax.stop_gradient(leaf) for leaf in dynamic])


# Under jax.grad every call of compiled code takes the slow way through Python (1 ms each, and a
# search makes hundreds), although a search sees nothing but numbers; outside of it they do not. A
# JAX without this name only loses the speed.
outside_transformations = getattr(jax.core, "eval_context", nullcontext)
