"""Pair potentials: E = sum over pairs e(r_ij; p_ij), one half-list entry per pair.

A pair parameter p_ij comes from a number, a table per pair of species, or per-particle (or
per-species) values, which mix by the arithmetic mean p_ij = (p_i + p_j)/2. A half list counts each
pair once: dE/dp of a number is the sum of de/dp over pairs.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from mdsens.neighbors import Pairs, even, folded
from mdsens.potentials.base import Blocks, LocalHessian, Params
from mdsens.potentials.described import Described
from mdsens.potentials.mixing import check_complete, derivative, of_pairs, plain

# Pairs worked on at a time.
PIECE = 16_384


@dataclass(frozen=True)
class MixedPotential(Described):
    """Base of potentials all of whose parameters are those of pairs; a subclass gives `range`."""

    @abstractmethod
    def range(self, p: dict[str, Any]) -> Any:
        """The distance beyond which pairs do nothing, from pair (or unmixed) parameters."""

    def cutoff(self, params: Params) -> jax.Array:
        # `range` is increasing in every length, and means never exceed the largest value.
        return jnp.max(self.range({k: jnp.max(plain(v)) for k, v in params.items()}))

    def reach(self, params: Params, neighbors: Pairs) -> jax.Array:
        return jnp.broadcast_to(self.range(self._mixed(params, neighbors)), neighbors.valid.shape)

    def _mixed(self, params: Params, neighbors: Pairs) -> dict[str, jax.Array]:
        """Pair parameters, () or (P,)."""
        check_complete(self.entry, self.options, params)
        return {name: of_pairs(name, value, neighbors) for name, value in params.items()}


@dataclass(frozen=True)
class PairPotential(MixedPotential):
    """E = sum over pairs e(r_ij; p_ij), each pair and periodic image once.

    A subclass gives e as `pair_energy`, its `range`, and a description of its parameters: an entry of
    the catalogue by `class P(PairPotential, kind="...")`, or a `PotentialEntry` of its own as the class
    attribute `entry`. Forces, stress, second derivatives pair by pair and everything by parameters
    follow. p_ij is one number, one of a table per pair of species, or the mean of per-particle values,
    (p_i + p_j)/2.
    """

    @property
    def is_local(self) -> bool:
        return True

    @abstractmethod
    def pair_energy(self, p: dict[str, jax.Array], r: jax.Array) -> jax.Array:
        """e(r) of pairs, element by element; finite with finite derivatives for every r > 0."""

    def energy(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array:
        r = neighbors.distances(positions, cell)
        e = self.pair_energy(self._mixed(params, neighbors), r)
        return jnp.sum(jnp.where(neighbors.valid, e, 0.0))

    def gradient(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array:
        """In 3D in two thirds of the time that differentiating the energy takes."""

        def slope(near: Pairs, r: jax.Array) -> jax.Array:
            p = self._mixed(params, near)
            return derivative(lambda x: self.pair_energy(p, x))(r)

        return pulls(neighbors, positions, cell, slope)

    def local_hessian(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> LocalHessian:
        vectors = neighbors.vectors(positions, cell)
        r = jnp.sqrt(jnp.sum(vectors**2, axis=1))
        p = self._mixed(params, neighbors)
        slope = derivative(lambda x: self.pair_energy(p, x))
        return (springs(neighbors, vectors, slope(r), derivative(slope)(r)),)

    def contacts(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array | None:
        if not self.entry.knows_contacts:
            return None
        r = neighbors.distances(positions, cell)
        return neighbors.valid & (r < self.range(self._mixed(params, neighbors)))

    def pair_forces(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array:
        p = self._mixed(params, neighbors)
        slope = derivative(lambda x: self.pair_energy(p, x))
        r = neighbors.distances(positions, cell)
        return jnp.where(neighbors.valid, -slope(r), 0.0)


def pulls(
    neighbors: Pairs,
    positions: jax.Array,
    cell: jax.Array,
    slope: Callable[..., jax.Array],
    *given: Any,
) -> jax.Array:
    """(N, d) the sum over pairs of e' n on j and -e' n on i, n = r_ij/r.

    Args:
        slope: e' of a piece of the list at distances r, from (piece, r, *its part of `given`).
        given: pytrees of arrays (P, ...).
    """
    x, h = even(positions), even(cell)

    def step(sums: Any, piece: Any) -> tuple[Any, None]:
        columns, mine = piece
        near = neighbors.only(columns)
        rows = near.rows(x, h)
        r = near.lengths(rows)
        pull = jnp.where(near.valid, slope(near, r, *mine) / r, 0.0)[:, None] * rows
        return near.at_ends(sums, pull, pull), None

    start = (jnp.zeros_like(x), jnp.zeros_like(x))
    (taken, received), _ = folded(step, start, (neighbors.columns, given), PIECE)
    return (received - taken)[:, : positions.shape[1]]


def springs(neighbors: Pairs, vectors: jax.Array, first: jax.Array, second: jax.Array) -> Blocks:
    """Blocks [[K, -K], [-K, K]], K = e'' n n^T + (e'/r)(1 - n n^T), n = r_ij/r.

    Args:
        vectors: (P, d) r_ij.
        first, second: (P,) e' and e''; anything in unused places.
    """
    r = jnp.sqrt(jnp.sum(vectors**2, axis=1))
    across = jnp.where(neighbors.valid, first / r, 0.0)[:, None, None]
    along = jnp.where(neighbors.valid, second, 0.0)[:, None, None]
    n = vectors / r[:, None]
    outer = n[:, :, None] * n[:, None, :]
    k = along * outer + across * (jnp.eye(vectors.shape[1])[None] - outer)
    signs = jnp.array([[1.0, -1.0], [-1.0, 1.0]])[None, :, :, None, None]
    ends = jnp.stack([neighbors.i, neighbors.j], axis=1)
    images = jnp.stack([jnp.zeros_like(neighbors.shift), neighbors.shift], axis=1)
    return Blocks(ends, signs * k[:, None, None], images)
