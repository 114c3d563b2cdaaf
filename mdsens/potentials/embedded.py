"""Embedded atoms: E = sum over pairs phi(r_ij) + sum_i F_i(rho_i), rho_i = sum_j f_ij(r_ij).

f_ij is what i receives from j. Everything is a sum over a half list of pairs: no table of
neighbours, and of second derivatives only what belongs to pairs and one row per neighbour.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mdsens.neighbors import Pairs, even, folded
from mdsens.potentials.base import LocalHessian, Params, Squares
from mdsens.potentials.described import Described
from mdsens.potentials.mixing import derivative
from mdsens.potentials.pair import PIECE, pulls, springs


class Bonds(NamedTuple):
    """What a pair contributes, or its derivatives by the distance.

    Attributes:
        energy: (P,) phi.
        to_i, to_j: (P,) f_ij and f_ji.
    """

    energy: jax.Array
    to_i: jax.Array
    to_j: jax.Array


@dataclass(frozen=True)
class EmbeddedPotential(Described):
    """Base of embedded-atom potentials; a subclass gives `bonds`, `embedding` and `cutoff`."""

    @property
    def is_local(self) -> bool:
        return True

    @abstractmethod
    def bonds(self, params: Params, neighbors: Pairs) -> Callable[[jax.Array], Bonds]:
        """From distances (P,), element by element; finite with finite derivatives for every r > 0."""

    @abstractmethod
    def embedding(self, params: Params, neighbors: Pairs) -> Callable[[jax.Array], jax.Array]:
        """F of (N,) densities, element by element; finite with finite derivatives, at 0 too."""

    def energy(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array:
        x, h = even(positions), even(cell)

        def added(sums: Any, columns: Any) -> tuple[Any, None]:
            near = neighbors.only(columns)
            bonds = self.bonds(params, near)(near.distances(x, h))
            pairs, *densities = sums
            pairs = pairs + jnp.sum(jnp.where(near.valid, bonds.energy, 0.0))
            return (pairs, *_added(densities, bonds, near)), None

        nothing = jnp.zeros(len(x))
        # Differentiated, a piece is made again rather than kept.
        step = jax.checkpoint(added, prevent_cse=False)
        (pairs, at_i, at_j), _ = folded(
            step, (jnp.zeros(()), nothing, nothing), neighbors.columns, PIECE
        )
        return pairs + jnp.sum(self.embedding(params, neighbors)(at_i + at_j))

    def gradient(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array:
        """That of pairs with e' = phi' + F_i' f_ij' + F_j' f_ji', the densities summed up before."""
        x, h = even(positions), even(cell)

        def densities(sums: Any, columns: Any) -> tuple[Any, Bonds]:
            near = neighbors.only(columns)
            r = near.distances(x, h)
            bonds, slopes = jax.jvp(self.bonds(params, near), (r,), (jnp.ones_like(r),))
            return _added(sums, bonds, near), slopes

        nothing = jnp.zeros(len(x))
        sums, slopes = folded(densities, (nothing, nothing), neighbors.columns, PIECE)
        strength = derivative(self.embedding(params, neighbors))(sums[0] + sums[1])
        return pulls(
            neighbors, positions, cell, lambda near, r, s: _with(strength, s, near), slopes
        )

    def local_hessian(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> LocalHessian:
        """Pairs as if F were linear, and F_i'' g_i g_i^T with g_i = d rho_i / dx."""
        vectors = neighbors.vectors(positions, cell)
        r = jnp.sqrt(jnp.sum(vectors**2, axis=1))
        bonds = self.bonds(params, neighbors)
        slopes = derivative(bonds)
        first = slopes(r)
        rho = _received(bonds(r), neighbors)
        strength = derivative(self.embedding(params, neighbors))
        pairs = springs(
            neighbors,
            vectors,
            _with(strength(rho), first, neighbors),
            _with(strength(rho), derivative(slopes)(r), neighbors),
        )
        return pairs, _squares(first, vectors / r[:, None], derivative(strength)(rho), neighbors)


def _received(bonds: Bonds, neighbors: Pairs) -> jax.Array:
    """(N,) rho."""
    nothing = jnp.zeros(neighbors.types.shape[0])
    at_i, at_j = _added((nothing, nothing), bonds, neighbors)
    return at_i + at_j


def _added(sums: Any, bonds: Bonds, neighbors: Pairs) -> tuple[jax.Array, jax.Array]:
    """Two sums (N,), together rho, with what these pairs add to them."""
    to_i, to_j = (jnp.where(neighbors.valid, f, 0.0) for f in (bonds.to_i, bonds.to_j))
    return neighbors.at_ends(sums, to_i, to_j)


def _with(strength: jax.Array, bonds: Bonds, neighbors: Pairs) -> jax.Array:
    """(P,) what pairs do while densities count with F'."""
    at_i, at_j = strength[neighbors.i], strength[neighbors.j]
    return bonds.energy + at_i * bonds.to_i + at_j * bonds.to_j


def _squares(slopes: Bonds, n: jax.Array, weights: jax.Array, neighbors: Pairs) -> Squares:
    """d rho_i / dx_j = f_ij' n, d rho_i / dx_i = -f_ij' n for each neighbour, and the same of j."""
    i, j, shift = neighbors.i, neighbors.j, neighbors.shift
    home = jnp.zeros_like(shift)
    at_i = jnp.where(neighbors.valid, slopes.to_i, 0.0)[:, None] * n
    at_j = jnp.where(neighbors.valid, slopes.to_j, 0.0)[:, None] * n
    return Squares(
        sites=jnp.concatenate([i, i, j, j]),
        particles=jnp.concatenate([j, i, j, i]),
        rows=jnp.concatenate([at_i, -at_i, at_j, -at_j]),
        weights=weights,
        images=jnp.concatenate([shift, home, home, -shift]),
    )
