"""The sum of two potentials; parameters stay apart under the addend's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from mdsens.errors import InputError
from mdsens.neighbors import Pairs
from mdsens.potentials.base import LocalHessian, Params, Potential
from mdsens.system import System


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

    def energy(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array:
        a, b = self.names
        return self.first.energy(params[a], positions, cell, neighbors) + self.second.energy(
            params[b], positions, cell, neighbors
        )

    def local_hessian(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> LocalHessian | None:
        a, b = self.names
        one = self.first.local_hessian(params[a], positions, cell, neighbors)
        two = self.second.local_hessian(params[b], positions, cell, neighbors)
        if one is None or two is None:
            return None
        return LocalHessian(*(jnp.concatenate(pair) for pair in zip(one, two, strict=True)))

    def contacts(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array | None:
        # A particle that two different forces hold is held: touching in either sense counts, and
        # an addend without contacts (a bond, an attraction) leaves no particle free.
        a, b = self.names
        one = self.first.contacts(params[a], positions, cell, neighbors)
        two = self.second.contacts(params[b], positions, cell, neighbors)
        return None if one is None or two is None else one | two
