"""The pairs of a list that may interact here and soon, taken out of it inside compiled code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from mdsens.neighbors.pairs import Pairs
from mdsens.neighbors.sites import tabulated


def count_nearby(pairs: Pairs, positions: Any, cell: Any, within: jax.Array) -> jax.Array:
    """How many listed pairs are closer than `within` (P,)."""
    return jnp.sum(_near(pairs, positions, cell, within))


def nearby(
    pairs: Pairs,
    positions: jax.Array,
    cell: jax.Array,
    reach: jax.Array,
    slack: jax.Array,
    cutoff: jax.Array,
    room: int,
    width: int | None = None,
) -> Pairs:
    """The listed pairs closer than their own reach and a slack, with these positions as reference.

    It holds until two particles may have come closer by the slack, and overflows where more than
    `room` pairs are near. A list as wide as the longest reach holds twice the pairs that touch or
    nearly do; every force would pay for them.

    Args:
        pairs: a list that holds here for `cutoff` + `slack`.
        reach: (P,) where each pair ceases to interact, at most `cutoff`.
        room: pairs of the result.
        width: neighbours per particle of its table, where one is wanted (see `tabulated`).
    """
    near = _near(pairs, positions, cell, reach + slack)
    place = jnp.where(near, jnp.cumsum(near.astype(jnp.int32)) - 1, room)
    source = jnp.arange(near.shape[0], dtype=jnp.int32)
    chosen = jnp.zeros(room, jnp.int32).at[place].set(source, mode="drop")
    found = jnp.sum(near)
    short = replace(
        pairs,
        i=pairs.i[chosen],
        j=pairs.j[chosen],
        shift=pairs.shift[chosen],
        valid=jnp.arange(room) < found,
        radius=jnp.where(jnp.isinf(pairs.radius), pairs.radius, cutoff + slack),
        reference_positions=positions,
        reference_cell=cell,
        overflow=pairs.overflow | (found > room),
        table=None,
    )
    return short if width is None else tabulated(short, positions, cell, short.radius, width)


def _near(pairs: Pairs, positions: Any, cell: Any, within: jax.Array) -> jax.Array:
    return pairs.valid & (pairs.distances(positions, cell) <= within)
