"""Whether the forces of a potential add up to zero, so that its dynamics keeps the total momentum."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.potentials import Potential
from mdsens.system import System
from mdsens.thermal.lists import Lister, make_lister, roomier

# How far particles are displaced, in spacings: forces at rest, or of a symmetric place, may add up to zero.
_DISPLACED = 0.02
# The sum of all forces over that of their lengths; rounding leaves 1e-12.
_LEAST = 1e-6


def keeps_momentum(potential: Potential, params: Any, system: System) -> bool:
    """By the forces at a place near that of `system`, which is periodic in every direction."""
    cell = jnp.asarray(system.cell)
    spacing = jnp.abs(jnp.linalg.det(cell) / system.n_particles) ** (1.0 / system.dimension)
    noise = np.random.default_rng(0).normal(size=(system.n_particles, system.dimension))
    x = jnp.asarray(system.positions) + _DISPLACED * spacing * noise
    lister = make_lister(potential, params, system)
    lister = roomier(lister, potential, params, system, (x[None], cell[None]))
    slopes = np.asarray(_slopes(lister, potential, params, x, cell))
    total = np.linalg.norm(slopes.sum(axis=0))
    # Slopes that are no numbers are told elsewhere.
    return not total > _LEAST * np.sum(np.linalg.norm(slopes, axis=1))


@partial(jax.jit, static_argnames="potential")
def _slopes(lister: Lister, potential: Potential, params: Any, x: Any, cell: Any) -> jax.Array:
    return potential.gradient(params, x, cell, lister.listed(potential, params, x, cell))
