"""Purely repulsive contact potentials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from mdsens.potentials.pair import PairPotential
from mdsens.potentials.power import power


@dataclass(frozen=True)
class SoftSphere(PairPotential, kind="soft_sphere"):
    """e(r) = (epsilon/alpha) (1 - r/sigma_ij)^alpha for r < sigma_ij, else 0.

    sigma_ij = (D_i + D_j)/2 for per-particle diameters D. alpha = 2: harmonic discs or spheres,
    5/2: Hertzian, any alpha > 1. Parameters: epsilon [energy, default 1], alpha [1, default 2],
    diameter [length, required]. For alpha < 2 the stiffness diverges at contact; for alpha = 2 it
    jumps there, so derivatives hold between contact changes.

    Source: O'Hern, Silbert, Liu, Nagel, doi:10.1103/PhysRevE.68.011306.
    """

    def range(self, p: dict[str, Any]) -> Any:
        return p["diameter"]

    def pair_energy(self, p: dict[str, jax.Array], r: jax.Array) -> jax.Array:
        overlap = 1.0 - r / p["diameter"]
        touching = overlap > 0.0
        # log(overlap) enters d/d(alpha): keep it finite where the energy is zero anyway.
        safe = jnp.where(touching, overlap, 1.0)
        return jnp.where(touching, p["epsilon"] / p["alpha"] * power(safe, p["alpha"]), 0.0)


@dataclass(frozen=True)
class WCA(PairPotential, kind="wca"):
    """e(r) = 4 epsilon [(sigma/r)^12 - (sigma/r)^6] + epsilon for r < 2^(1/6) sigma, else 0.

    Parameters: epsilon [energy], sigma [length]. Twice differentiable except at contact, where e''
    jumps. Source: Weeks, Chandler, Andersen, doi:10.1063/1.1674820.
    """

    def range(self, p: dict[str, Any]) -> Any:
        return 2.0 ** (1.0 / 6.0) * p["sigma"]

    def pair_energy(self, p: dict[str, jax.Array], r: jax.Array) -> jax.Array:
        s6 = (p["sigma"] / r) ** 6
        inside = r < self.range(p)
        return jnp.where(inside, 4.0 * p["epsilon"] * (s6 * s6 - s6) + p["epsilon"], 0.0)
