"""Energy, stress, and the state itself."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from mdsens.observables.configuration import as_configuration, require_periodic
from mdsens.potentials import Potential


def energy(potential: Potential, params: Any, state: Any) -> jax.Array:
    """Total potential energy E(x; params), (), in the unit of the parameters."""
    s = as_configuration(potential, params, state)
    return _energy(potential, params, s.positions, s.cell, s.neighbors)


@partial(jax.jit, static_argnums=0)
def _energy(potential: Potential, params: Any, positions: Any, cell: Any, pairs: Any) -> jax.Array:
    return potential.energy(params, positions, cell, pairs)


def stress(potential: Potential, params: Any, state: Any) -> jax.Array:
    """Cauchy stress (1/V) dE/d(strain), (d, d), symmetric, positive in tension; per area in 2D.

    Raises:
        InputError: the cell is not periodic in every direction, so that V has no meaning.
    """
    s = as_configuration(potential, params, state)
    require_periodic(s, "stress")
    return _stress(potential, params, s.positions, s.cell, s.neighbors)


@partial(jax.jit, static_argnums=0)
def _stress(potential: Potential, params: Any, positions: Any, cell: Any, pairs: Any) -> jax.Array:
    def strained(strain: jax.Array) -> jax.Array:
        symmetric = 0.5 * (strain + strain.T)
        return potential.strained_energy(params, positions, cell, pairs, symmetric)

    return jax.grad(strained)(jnp.zeros_like(cell)) / jnp.abs(jnp.linalg.det(cell))


def pressure(potential: Potential, params: Any, state: Any) -> jax.Array:
    """p = -trace(stress)/d, (), positive in compression; energy per volume (area in 2D).

    Raises:
        InputError: the cell is not periodic in every direction.
    """
    sigma = stress(potential, params, state)
    return -jnp.trace(sigma) / sigma.shape[0]


def volume(potential: Potential, params: Any, state: Any) -> jax.Array:
    """V = |det h| of the cell h, () (area in 2D).

    Raises:
        InputError: the cell is not periodic in every direction.
    """
    s = as_configuration(potential, params, state)
    require_periodic(s, "volume")
    return jnp.abs(jnp.linalg.det(s.cell))


def cell(potential: Potential, params: Any, state: Any) -> jax.Array:
    """Lattice vectors as rows, (d, d)."""
    return jnp.asarray(state.cell)


def positions(potential: Potential, params: Any, state: Any) -> jax.Array:
    """Cartesian coordinates, (N, d)."""
    return jnp.asarray(state.positions)
