"""Making explicit what a function closes over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

Explicit = Callable[[Sequence[Any], Any], Any]


def hoist(fun: Callable[[Any], Any], inputs: Any) -> tuple[Explicit, list[Any], Any]:
    """(explicit, captured, shape) with fun(inputs) = explicit(captured, inputs).

    `captured` lists the values under transformation that `fun` closes over; constants stay inside.
    A rule of differentiation sees nothing but its arguments, so a parameter smuggled in by a
    closure would have a silent derivative of zero.

    Args:
        fun: from one pytree of arrays to another; traced once, abstractly.
        inputs: an example.
    """
    closed, shape = jax.make_jaxpr(fun, return_shape=True)(inputs)
    hoisted = [isinstance(const, Tracer) for const in closed.consts]
    treedef = jax.tree_util.tree_structure(shape)

    def explicit(captured: Sequence[Any], inputs: Any) -> Any:
        fresh = iter(captured)
        merged = zip(closed.consts, hoisted, strict=True)
        consts = [next(fresh) if outside else const for const, outside in merged]
        flat = jaxpr_as_fun(ClosedJaxpr(closed.jaxpr, consts))
        return jax.tree_util.tree_unflatten(treedef, flat(*jax.tree_util.tree_leaves(inputs)))

    captured = [c for c, outside in zip(closed.consts, hoisted, strict=True) if outside]
    return explicit, captured, shape
