"""Ions: exponential repulsion, dispersion, and charges summed pair by pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import jax
import jax.numpy as jnp
from jax.scipy.special import erfc

from mdsens.neighbors import Pairs
from mdsens.potentials.base import Params
from mdsens.potentials.mixing import of_particles
from mdsens.potentials.smooth import CutPotential

# e^2 / (4 pi epsilon_0) in eV angstrom (CODATA 2018).
COULOMB = 14.3996454784255


@dataclass(frozen=True)
class Buckingham(CutPotential, kind="buckingham"):
    """e(r) = A exp(-r/rho) - C/r^6, cut at `cutoff` (an absolute length).

    Shifted or smoothed at the cutoff as LennardJones. Parameters: A [energy], rho [length],
    C [energy length^6], cutoff, onset [length]. With C > 0 the energy has a maximum at a small distance
    and falls to minus infinity below it: two particles that get there never part.

    Source: Buckingham, doi:10.1098/rspa.1938.0173; conventions of LAMMPS pair_style buck.
    """

    def bare(self, p: dict[str, jax.Array], r: jax.Array) -> jax.Array:
        return p["A"] * jnp.exp(-r / p["rho"]) - p["C"] / r**6


@final
@dataclass(frozen=True)
class BKS(Buckingham, kind="bks"):
    """Silica and other ionic solids: Buckingham per pair, and charges q_i, q_j in elementary charges,

        e_C(r) = q_i q_j k [v(r) - v(rc) - (r - rc) v'(rc)],  v(r) = erfc(alpha r)/r,  r < rc
        E_self = -k sum_i q_i^2 [v(rc)/2 - rc v'(rc)/2 + alpha/sqrt(pi)]

    with rc = `cutoff_coulomb` and k = e^2/(4 pi epsilon_0) = 14.39964548 eV angstrom: damped,
    force-shifted charges (LAMMPS coul/dsf), which need no sum over reciprocal space and approach it with
    larger rc. Energies in eV, lengths in angstrom. `charge` is per species (or particle); the sum of
    charges should vanish. Silica: charge Si 2.4, O -1.2; A, rho, C of Si-O 18003.7572 eV,
    1/4.87318 angstrom, 133.5381 eV angstrom^6; of O-O 1388.7730, 1/2.76, 175.0000; of Si-Si 0, any, 0.
    Good values: cutoff 5.5 to 10, cutoff_coulomb 10, alpha 0.2.

    Source: van Beest, Kramer, van Santen, doi:10.1103/PhysRevLett.64.1955; Fennell, Gezelter,
    doi:10.1063/1.2206581.
    """

    def range(self, p: dict[str, Any]) -> Any:
        return jnp.maximum(p["cutoff"], p["cutoff_coulomb"])

    def pair_energy(self, p: dict[str, jax.Array], r: jax.Array) -> jax.Array:
        rc = jnp.broadcast_to(p["cutoff_coulomb"], r.shape)
        near = r < rc
        at_cutoff, slope = _damped(p["alpha"], rc)
        inside = jnp.where(near, r, rc)
        e = _damped(p["alpha"], inside)[0] - at_cutoff - (inside - rc) * slope
        return super().pair_energy(p, r) + COULOMB * p["charges"] * e

    def energy(
        self, params: Params, positions: jax.Array, cell: jax.Array, neighbors: Pairs
    ) -> jax.Array:
        charge = of_particles("charge", params["charge"], neighbors)
        squares = jnp.sum(jnp.broadcast_to(charge, neighbors.types.shape) ** 2)
        alpha, rc = params["alpha"], params["cutoff_coulomb"]
        at_cutoff, slope = _damped(alpha, rc)
        own = 0.5 * (at_cutoff - rc * slope) + alpha / jnp.sqrt(jnp.pi)
        return super().energy(params, positions, cell, neighbors) - COULOMB * own * squares

    def _mixed(self, params: Params, neighbors: Pairs) -> dict[str, jax.Array]:
        q = jnp.broadcast_to(
            of_particles("charge", params["charge"], neighbors), neighbors.types.shape
        )
        mixed = super()._mixed(params, neighbors)
        return {**mixed, "charges": q[neighbors.i] * q[neighbors.j]}


def _damped(alpha: jax.Array, r: jax.Array) -> tuple[jax.Array, jax.Array]:
    """v = erfc(alpha r)/r and v'."""
    v = erfc(alpha * r) / r
    return v, -v / r - 2.0 * alpha / jnp.sqrt(jnp.pi) * jnp.exp(-((alpha * r) ** 2)) / r
