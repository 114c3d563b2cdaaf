"""Metals in the second-moment approximation: the cohesive energy of an atom is -sqrt(rho_i)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import jax
import jax.numpy as jnp

from mdsens.errors import InputError
from mdsens.neighbors import Pairs
from mdsens.potentials.base import Params
from mdsens.potentials.embedded import Bonds, EmbeddedPotential
from mdsens.potentials.pair import MixedPotential
from mdsens.potentials.smooth import xplor


@dataclass(frozen=True)
class SecondMoment(MixedPotential, EmbeddedPotential):
    """Base of potentials whose pairs give both their particles the same density; a subclass gives
    `pair_energy`, `density` and `range`."""

    @abstractmethod
    def pair_energy(self, p: dict[str, jax.Array], r: jax.Array) -> jax.Array:
        """phi of pairs, element by element."""

    @abstractmethod
    def density(self, p: dict[str, jax.Array], r: jax.Array) -> jax.Array:
        """What a pair adds to rho of both, element by element."""

    def bonds(self, params: Params, neighbors: Pairs) -> Callable[[jax.Array], Bonds]:
        p = self._mixed(params, neighbors)

        def of(r: jax.Array) -> Bonds:
            f = self.density(p, r)
            return Bonds(self.pair_energy(p, r), f, f)

        return of

    def embedding(self, params: Params, neighbors: Pairs) -> Callable[[jax.Array], jax.Array]:
        return _minus_root


def _minus_root(rho: jax.Array) -> jax.Array:
    # An atom without neighbours has no energy and no force.
    return jnp.where(rho > 0.0, -jnp.sqrt(jnp.where(rho > 0.0, rho, 1.0)), 0.0)


@final
@dataclass(frozen=True)
class FinnisSinclair(SecondMoment, kind="finnis_sinclair"):
    """Transition metals, with polynomials that end smoothly at c and d:

        phi(r) = (r - c)^2 (c0 + c1 r + c2 r^2)  for r < c
        rho_i  = sum_j A^2 [(r - d)^2 + beta (r - d)^3 / d]  for r < d,  F = -sqrt(rho)

    so that a pure metal has F = -A sqrt(sum_j ...) as published. Parameters are numbers or tables per
    pair of species: A [energy/length], d, c [length], beta, c0, c1, c2. Tungsten: A 1.896373 eV/angstrom,
    d 4.400224, c 3.25, c0 47.1346499, c1 -33.7665655, c2 6.2541999, beta 0.

    Source: Finnis, Sinclair, doi:10.1080/01418618408244210.
    """

    def range(self, p: dict[str, Any]) -> Any:
        return jnp.maximum(p["c"], p["d"])

    def pair_energy(self, p: dict[str, jax.Array], r: jax.Array) -> jax.Array:
        x = jnp.minimum(r - p["c"], 0.0)
        return x**2 * (p["c0"] + r * (p["c1"] + r * p["c2"]))

    def density(self, p: dict[str, jax.Array], r: jax.Array) -> jax.Array:
        x = jnp.minimum(r - p["d"], 0.0)
        return p["A"] ** 2 * x**2 * (1.0 + p["beta"] * x / p["d"])


@final
@dataclass(frozen=True)
class Gupta(SecondMoment, kind="gupta"):
    """Transition and noble metals, x = r/r0 - 1 (also called RGL):

        E = sum_i { sum_j A exp(-p x_ij) - sqrt(sum_j xi^2 exp(-2 q x_ij)) },  r_ij < cutoff

    A pair thus costs 2 A exp(-p x). Parameters are numbers or tables per pair of species: A, xi [energy],
    p, q, r0, cutoff [length]. Truncated, or with smoothing = "xplor" switched off from `onset` (default
    0.8 cutoff) on. Copper: A 0.0855 eV, xi 1.224 eV, p 10.960, q 2.278, r0 2.556 angstrom; published
    values hold for the sum up to fifth neighbours of fcc.

    Source: Cleri, Rosato, doi:10.1103/PhysRevB.48.22.
    """

    smoothing: str = "none"

    def __post_init__(self) -> None:
        allowed = dict(self.entry.options)["smoothing"]
        if self.smoothing not in allowed:
            raise InputError(
                f'gupta: smoothing "{self.smoothing}" is unknown; allowed: {", ".join(allowed)}'
            )

    def range(self, p: dict[str, Any]) -> Any:
        return p["cutoff"]

    def pair_energy(self, p: dict[str, jax.Array], r: jax.Array) -> jax.Array:
        return self._cut(p, r, 2.0 * p["A"] * jnp.exp(-p["p"] * (r / p["r0"] - 1.0)))

    def density(self, p: dict[str, jax.Array], r: jax.Array) -> jax.Array:
        return self._cut(p, r, p["xi"] ** 2 * jnp.exp(-2.0 * p["q"] * (r / p["r0"] - 1.0)))

    def _cut(self, p: dict[str, jax.Array], r: jax.Array, value: jax.Array) -> jax.Array:
        if self.smoothing == "xplor":
            value = value * xplor(r, p["onset"], p["cutoff"])
        return jnp.where(r < p["cutoff"], value, 0.0)
