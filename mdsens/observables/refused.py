"""What has no derivative says NaN: a number would be wrong, zero most of all."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


def without_derivative(value: jax.Array, depends_on: Any) -> jax.Array:
    """`value`, with a derivative of NaN by itself and by every floating array of a pytree."""
    leaves = [x for x in jax.tree.leaves(depends_on) if jnp.issubdtype(x.dtype, jnp.floating)]
    return _without_derivative(value, leaves)


@jax.custom_jvp
def _without_derivative(value: jax.Array, leaves: list[jax.Array]) -> jax.Array:
    del leaves
    return value


@_without_derivative.defjvp
def _refused(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    value, (along, others) = primals[0], tangents
    # Linear in the tangents, so that it transposes.
    return value, jnp.nan * (along + jnp.full(value.shape, sum(jnp.sum(t) for t in others)))
