"""Who surrounds each particle: a table of neighbours, made from a half list inside compiled code."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mdsens.neighbors.pairs import Pairs
from mdsens.neighbors.tree import FEW

# The width of a table in compiled code, which cannot count beforehand: atoms within 1.2 cutoffs of an
# angular potential are fewer; where not, the list overflows.
WIDTH = 32


class Surroundings(NamedTuple):
    """The neighbours of all particles.

    Attributes:
        vectors: (N, K, d) from each particle to its neighbours; anything where absent.
        present: (N, K) False for unused places.
        particles: (N, K) which particles the neighbours are (images of).
        images: (N, K, d) integers, and which images.
    """

    vectors: jax.Array
    present: jax.Array
    particles: jax.Array
    images: jax.Array


@partial(jax.jit, static_argnames="width")
def tabulated(pairs: Pairs, positions: Any, cell: Any, within: Any, width: int) -> Pairs:
    """The list with a table of the neighbours closer than `within`, for which it then holds.

    The table (N, K = `width`) names directed pairs: 2 e is pair e seen from i, 2 e + 1 from j, -1
    nobody. The list overflows where a particle has more than K neighbours.
    """
    n, p = pairs.types.shape[0], pairs.i.shape[0]
    near = pairs.valid & (pairs.distances(positions, cell) <= within)
    ends = jnp.stack([pairs.i, pairs.j], axis=1)
    owner = jnp.where(near[:, None], ends, n).reshape(-1)
    order = jnp.argsort(owner)
    owner = owner[order]
    place = jnp.arange(2 * p) - jnp.searchsorted(owner, owner)
    table = jnp.full((n, width), -1).at[owner, place].set(order, mode="drop")
    crowded = jnp.any((owner < n) & (place >= width))
    return replace(
        pairs,
        table=table,
        radius=jnp.minimum(pairs.radius, within),
        overflow=pairs.overflow | crowded,
    )


def places_for(most: int, particles: int) -> int:
    """The width of a table for at most `most` neighbours: 4, 6, 8, 12, 16, 24, ... so that tables of
    similar width share compiled code; 16, 32, ... for few particles."""
    if particles <= FEW:
        return max(16, 1 << (most - 1).bit_length())
    return next(w for k in range(2, 32) for w in (2**k, 3 * 2 ** (k - 1)) if w >= most)


@jax.jit
def most_neighbors(pairs: Pairs, positions: Any, cell: Any, within: Any) -> jax.Array:
    """The largest number of neighbours closer than `within` that a particle has."""
    near = pairs.valid & (pairs.distances(positions, cell) <= within)
    counts = jnp.zeros(pairs.types.shape[0], jnp.int32)
    return jnp.max(counts.at[pairs.i].add(near).at[pairs.j].add(near))


def surroundings(pairs: Pairs, positions: jax.Array, cell: jax.Array) -> Surroundings:
    """The neighbours that the list's table names."""
    pair, outward = pairs.table // 2, pairs.table % 2 == 0
    present = (pairs.table >= 0) & pairs.valid[pair]
    vectors = pairs.vectors(positions, cell)[pair]
    vectors = jnp.where(outward[:, :, None], vectors, -vectors)
    particles = jnp.where(outward, pairs.j[pair], pairs.i[pair])
    shift = pairs.shift[pair]
    images = jnp.where(outward[:, :, None], shift, -shift)
    return Surroundings(vectors, present, particles, images)
