"""Potentials of sites: E = sum_i e(r_i1, r_i2, ...), the vectors from atom i to its neighbours.

Parameters are numbers, or tables per ordered triple of species as in LAMMPS' files: the entry A-B-C
belongs to the centre A with neighbours B and C; what belongs to the pair of A and B alone is taken
from A-B-B. Entries that mean the same, as A-B-C and A-C-B or, for a pair, A-B-B and B-A-A, count
half each; in sound files they are equal.

These are not jax-md's implementations, which have one species, the nearest image only, and no
second derivatives site by site.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mdsens.errors import InputError
from mdsens.neighbors import Pairs, Surroundings, even, mapped, surroundings
from mdsens.parameters import Table, triple_index
from mdsens.potentials.base import Blocks, LocalHessian, Params, Potential
from mdsens.potentials.described import Described
from mdsens.potentials.mixing import check_complete, plain

# Angles, wanted or not, of as many atoms as are worked on at a time.
_ANGLES = 2**16


AtomEnergy = Callable[[jax.Array, jax.Array, jax.Array, jax.Array], jax.Array]


class Site(NamedTuple):
    """One atom and its K neighbours.

    Attributes:
        r: (K,) distances; of absent neighbours, some positive number.
        cosine: (K, K) of the angle between two neighbours.
        present: (K,) whether there is a neighbour at all.
        others: (K, K) whether both are there and are different.
        pair: name -> () or (K,) parameters of the pair of the atom and each neighbour.
        triple: name -> () or (K, K) parameters of the atom and two neighbours.
    """

    r: jax.Array
    cosine: jax.Array
    present: jax.Array
    others: jax.Array
    pair: dict[str, jax.Array]
    triple: dict[str, jax.Array]


class Sites(Potential):
    """Base of potentials that are sums over atoms; a subclass gives `atom_energy` and `cutoff`."""

    @property
    def uses_sites(self) -> bool:
        return True

    @property
    def is_local(self) -> bool:
        return True

    @abstractmethod
    def atom_energy(self, params: Params, neighbors: Pairs) -> AtomEnergy:
        """The energy () of an atom from the vectors (K, d) to its neighbours, which of them are
        there (K,), its own type and theirs (K,)."""

    def energy(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array:
        energy = self.atom_energy(params, neighbors)
        around = surroundings(neighbors, positions, cell)
        # Differentiated, a piece is made again rather than kept.
        return jnp.sum(of_sites(jax.checkpoint(energy, prevent_cse=False), around, neighbors))

    def gradient(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array:
        slopes = jax.grad(self.atom_energy(params, neighbors))
        around = surroundings(neighbors, positions, cell)
        pull = of_sites(slopes, around, neighbors)
        n, k, d = pull.shape
        given = even(pull.reshape(n * k, d))
        received = jnp.zeros((n, given.shape[1])).at[around.particles.reshape(-1)].add(given)
        return received[:, :d] - jnp.sum(pull, axis=1)

    def local_hessian(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> LocalHessian:
        """d2 e_i / dr_ij dr_ik, of which the atom itself gets what keeps sums over all at zero."""
        around = surroundings(neighbors, positions, cell)
        curvatures = jax.hessian(self.atom_energy(params, neighbors))
        by_neighbors = of_sites(curvatures, around, neighbors)
        # (N, K, d, K, d) -> (N, K + 1, K + 1, d, d), the atom itself first.
        h = by_neighbors.transpose(0, 1, 3, 2, 4)
        h = jnp.concatenate([-jnp.sum(h, 1, keepdims=True), h], 1)
        h = jnp.concatenate([-jnp.sum(h, 2, keepdims=True), h], 2)
        centre = jnp.arange(h.shape[0], dtype=around.particles.dtype)[:, None]
        return (
            Blocks(
                jnp.concatenate([centre, around.particles], 1),
                h,
                jnp.concatenate([jnp.zeros_like(around.images[:, :1]), around.images], 1),
            ),
        )


@dataclass(frozen=True)
class SitePotential(Sites, Described):
    """E = sum_i e(distances to the neighbours of i, angles between them): potentials with angles.

    A subclass gives e as `site_energy`, its `range`, and a description of its parameters as for
    `PairPotential`. Parameters are numbers or tables per ordered triple of species. The Hessian is
    assembled site by site.
    """

    @abstractmethod
    def site_energy(self, site: Site) -> jax.Array:
        """e of one atom, (); finite with finite derivatives for all distances > 0."""

    @abstractmethod
    def range(self, p: dict[str, jax.Array]) -> jax.Array:
        """The distance beyond which two atoms do not interact, element by element."""

    def cutoff(self, params: Params) -> jax.Array:
        # Entries of a table belong together; a number belongs to all of them.
        return jnp.max(self.range({name: jnp.asarray(plain(v)) for name, v in params.items()}))

    def atom_energy(self, params: Params, neighbors: Pairs) -> AtomEnergy:
        check_complete(self.entry, self.options, params)
        p = {name: _by_types(name, v, neighbors.type_names) for name, v in params.items()}

        def of(vectors: Any, present: Any, own: Any, types: Any) -> jax.Array:
            r, cosine, others = geometry(vectors, present)
            pair = {k: v[own, types, types] if v.ndim else v for k, v in p.items()}
            triple = {
                k: v[own, types[:, None], types[None, :]] if v.ndim else v for k, v in p.items()
            }
            return self.site_energy(Site(r, cosine, present, others, pair, triple))

        return of


def geometry(vectors: Any, present: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Distances (K,), some positive number where nobody is, cosines (K, K) of the angles between two
    neighbours, and where both are there and are different (K, K)."""
    r = jnp.sqrt(jnp.where(present, jnp.sum(vectors**2, axis=1), 1.0))
    n = vectors / r[:, None]
    return r, n @ n.T, present[:, None] & present[None, :] & ~jnp.eye(len(r), dtype=bool)


def of_sites(function: Callable[..., Any], around: Surroundings, neighbors: Pairs) -> Any:
    """(N, ...) function(vectors, present, own type, types) of every atom."""
    types = jnp.asarray(neighbors.types)
    rows = (around.vectors, around.present, types, types[around.particles])
    return mapped(function, rows, max(1, _ANGLES // around.present.shape[1] ** 2))


def _by_types(name: str, value: Any, type_names: tuple[str, ...]) -> jax.Array:
    if isinstance(value, Table):
        return jnp.asarray(value.values)[triple_index(name, value.keys, type_names)]
    if jnp.ndim(value):
        raise InputError(f"{name}: shape {jnp.shape(value)}; one number, or a Table per triple")
    return jnp.asarray(value)
