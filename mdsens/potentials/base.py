"""The one interface of all potentials.

E(params, positions, cell, neighbors) -> scalar. Parameters are always an explicit argument, a
pytree; a potential object holds options only. What a potential says about its locality, and nothing
else, gives forces, Hessian-vector products and the assembled sparse Hessian.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mdsens.errors import InputError
from mdsens.neighbors import Pairs, most_neighbors, nearby, places_for, tabulated
from mdsens.system import System

Params = Any

# Range of a table of neighbours in units of the cutoff.
_TABLE = 1.2


class Blocks(NamedTuple):
    """H = sum_t blocks[t] scattered to the particles of term t.

    Attributes:
        particles: (T, k) particles of each term.
        blocks: (T, k, k, d, d) d2 e_t / dx_a dx_b.
        images: (T, k, d) integers S, the particle standing at x + S h; equal ones for all of a term
            may be added.
    """

    particles: jax.Array
    blocks: jax.Array
    images: jax.Array


class Squares(NamedTuple):
    """H = sum_s weights[s] g_s g_s^T, where g_s is the sum of its rows at their particles: what is
    left of F(rho_s), a function of a sum over neighbours, besides pairs; a particle with fifty
    neighbours has fifty rows, where it would have 2601 blocks.

    Attributes:
        sites, particles: (E,) the site s of each row and the particle it stands at.
        rows: (E, d) d rho_s / dx_particle, or a part of it.
        weights: (N,) F''(rho_s).
        images: (E, d) integers S, the particle standing at x + S h where the site is at home.
    """

    sites: jax.Array
    particles: jax.Array
    rows: jax.Array
    weights: jax.Array
    images: jax.Array


# Second derivatives term by term; H is the sum of all.
LocalHessian = tuple[Blocks | Squares, ...]


class Potential(ABC):
    """An energy E(params, x, h, pairs) with named parameters, which are always an argument.

    A subclass gives `kind`, `parameters`, `cutoff` and `energy`; the object holds options only, is
    frozen and can be hashed. Forces, stress and products with the Hessian follow by differentiation.
    With `local_hessian` (and `is_local`) the Hessian can also be assembled: sparse factorisations,
    phonons. `a + b` is a potential too.
    """

    @property
    def uses_pairs(self) -> bool:
        """False for a potential that keeps a neighbour list of its own."""
        return True

    @property
    def uses_sites(self) -> bool:
        """Whether the list needs a table of each particle's neighbours, see `tabled`."""
        return False

    @property
    def is_local(self) -> bool:
        """Whether `local_hessian` knows the second derivatives term by term."""
        return False

    @property
    @abstractmethod
    def kind(self) -> str:
        """The name it has in a RUN.toml."""

    @abstractmethod
    def parameters(self, system: System, **given: Any) -> Params:
        """Checked parameters as float64 arrays: numbers (), Tables (n,), per particle (N,)."""

    @abstractmethod
    def cutoff(self, params: Params) -> jax.Array:
        """The largest distance at which anything interacts."""

    def reach(self, params: Params, neighbors: Pairs) -> jax.Array:
        """(P,) the distance beyond which each listed pair does not interact, at most `cutoff`."""
        return jnp.broadcast_to(self.cutoff(params), neighbors.valid.shape)

    def tabled(
        self, params: Params, pairs: Pairs, positions: Any, cell: Any, width: int | None = None
    ) -> Pairs:
        """A list made for this configuration, with a table of neighbours if one is needed.

        `width` None: as many places as are needed here, where numbers are concrete. Else the list
        is shortened to that many pairs per particle as well.
        """
        if not self.uses_sites:
            return pairs
        within = _TABLE * self.cutoff(params)
        if width is None:
            most = int(most_neighbors(pairs, positions, cell, within))
            width = places_for(most, len(pairs.types))
            return tabulated(pairs, positions, cell, within, width)
        reach = jnp.broadcast_to(within, pairs.valid.shape)
        room = min(len(pairs.valid), len(pairs.types) * width // 2)
        return nearby(pairs, positions, cell, reach, jnp.zeros(()), within, room, width)

    @abstractmethod
    def energy(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array:
        """Total potential energy, scalar."""

    def gradient(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array:
        """dE/dx, (N, d)."""
        return jax.grad(self.energy, argnums=1)(params, positions, cell, neighbors)

    def strained_energy(
        self,
        params: Params,
        positions: jax.Array,
        cell: jax.Array,
        neighbors: Pairs,
        strain: jax.Array,
    ) -> jax.Array:
        """Energy after the homogeneous deformation x -> x (1 + strain), h -> h (1 + strain)."""
        stretch = jnp.eye(cell.shape[0]) + strain
        return self.energy(params, positions @ stretch, cell @ stretch, neighbors)

    def local_hessian(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> LocalHessian | None:
        """Second derivatives by local terms, or None for a potential without known locality."""
        return None

    def contacts(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array | None:
        """(P,) True for touching pairs; None where touching has no meaning."""
        return None

    def pair_forces(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array | None:
        """(P,) -de/dr of each pair, positive in repulsion; None where E is no sum over pairs."""
        return None

    def __add__(self, other: Potential) -> Potential:
        return Sum(self, other)


@dataclass(frozen=True)
class Sum(Potential):
    """E = E_first + E_second, written `first + second`.

    Parameters are a dict with one entry per addend, under its `kind`; where both addends have the
    same kind the second is called `<kind>_2`:
    `potential.parameters(system, soft_sphere={"diameter": 1.0}, morse={...})`.
    """

    first: Potential
    second: Potential

    @property
    def kind(self) -> str:
        return f"{self.first.kind}+{self.second.kind}"

    @property
    def uses_pairs(self) -> bool:
        return self.first.uses_pairs or self.second.uses_pairs

    @property
    def uses_sites(self) -> bool:
        return self.first.uses_sites or self.second.uses_sites

    @property
    def is_local(self) -> bool:
        return self.first.is_local and self.second.is_local

    @property
    def names(self) -> tuple[str, str]:
        a, b = self.first.kind, self.second.kind
        return (a, b) if a != b else (a, f"{b}_2")

    def parameters(self, system: System, **given: Any) -> Params:
        a, b = self.names
        unknown = set(given) - {a, b}
        if unknown:
            raise InputError(f"{sorted(unknown)[0]}: not an addend; the addends are {a} and {b}")
        return {
            a: self.first.parameters(system, **given.get(a, {})),
            b: self.second.parameters(system, **given.get(b, {})),
        }

    def cutoff(self, params: Params) -> jax.Array:
        a, b = self.names
        return jnp.maximum(self.first.cutoff(params[a]), self.second.cutoff(params[b]))

    def reach(self, params: Params, neighbors: Pairs) -> jax.Array:
        a, b = self.names
        one, two = (self.first.reach(params[a], neighbors), self.second.reach(params[b], neighbors))
        return jnp.maximum(one, two)

    def energy(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array:
        a, b = self.names
        return self.first.energy(params[a], positions, cell, neighbors) + self.second.energy(
            params[b], positions, cell, neighbors
        )

    def gradient(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array:
        # Each addend knows how it is done fast.
        a, b = self.names
        here = (positions, cell, neighbors)
        return self.first.gradient(params[a], *here) + self.second.gradient(params[b], *here)

    def strained_energy(
        self,
        params: Params,
        positions: jax.Array,
        cell: jax.Array,
        neighbors: Pairs,
        strain: jax.Array,
    ) -> jax.Array:
        # Each addend knows how it is strained.
        a, b = self.names
        here = (positions, cell, neighbors, strain)
        return self.first.strained_energy(params[a], *here) + self.second.strained_energy(
            params[b], *here
        )

    def local_hessian(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> LocalHessian | None:
        a, b = self.names
        one = self.first.local_hessian(params[a], positions, cell, neighbors)
        two = self.second.local_hessian(params[b], positions, cell, neighbors)
        if one is None or two is None:
            return None
        return (*one, *two)

    def contacts(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array | None:
        # A particle that two different forces hold is held: touching in either sense counts, and
        # an addend without contacts (a bond, an attraction) leaves no particle free.
        a, b = self.names
        one = self.first.contacts(params[a], positions, cell, neighbors)
        two = self.second.contacts(params[b], positions, cell, neighbors)
        return None if one is None or two is None else one | two

    def pair_forces(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array | None:
        a, b = self.names
        one = self.first.pair_forces(params[a], positions, cell, neighbors)
        two = self.second.pair_forces(params[b], positions, cell, neighbors)
        return None if one is None or two is None else one + two
