"""Control variates: functions of a sample whose average is exactly zero.

For a field v(x) of displacements, integration by parts gives

    <div v - beta v . dU/dx> = 0

where U is continuous, at every volume. Fields: displacements from lattice sites, which for a harmonic
crystal tell the energy itself; and pairs pushed apart, v_j - v_i = 2 phi(r) r, with three ranges of
phi (the equations of Yvon, Born and Green). At constant pressure <p - P> = <1 + V (p - P)/k_B T> = 0
for the pressure p of a sample. What of an estimate moves along with these is noise and is taken off.
Assaraf, Caffarel, doi:10.1103/PhysRevLett.83.4682; Mira, Solgi, Imparato,
doi:10.1007/s11222-012-9344-6.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from mdsens.potentials import Potential
from mdsens.potentials.base import Sum
from mdsens.thermal.ensemble import NPT
from mdsens.thermal.observables import displacements, pressure, volume
from mdsens.thermal.trajectory import Sample, Trajectory

# Ranges of phi in units of the reach of a pair.
_RANGES = (0.4, 0.6, 1.0)
# Particles that stay this near their sites, in units of the distance to the nearest other one.
_NEAR = 0.4


def controls(potential: Potential, trajectory: Trajectory) -> list[Partial]:
    """All that hold for a trajectory, functions (potential, params, sample) -> (q,)."""
    found: list[Partial] = []
    if _is_continuous(potential):
        home = sites(trajectory)
        if home is not None:
            found.append(Partial(_site_identity, home))
        if potential.uses_pairs:
            found.append(Partial(_pair_identities))
    if isinstance(trajectory.ensemble, NPT):
        found.append(Partial(_volume_identities))
    return found


def _site_identity(home: jax.Array, potential: Potential, params: Any, state: Sample) -> jax.Array:
    u = displacements(home, state)
    n, d = u.shape
    moving = jnp.sum(~state.held)
    freedom = d * jnp.where(jnp.any(state.held), moving, n - 1)
    slope = potential.gradient(params, state.positions, state.cell, state.neighbors)
    return (freedom - jnp.sum(u * slope) / state.kt)[None]


def _pair_identities(potential: Potential, params: Any, state: Sample) -> jax.Array:
    pairs, d = state.neighbors, state.positions.shape[1]
    slope = potential.gradient(params, state.positions, state.cell, pairs)
    slope = jnp.where(state.held[:, None], 0.0, slope)
    vectors = pairs.vectors(state.positions, state.cell)
    r = jnp.sqrt(jnp.sum(vectors**2, axis=1))
    reach = jax.lax.stop_gradient(potential.reach(params, pairs))
    # A particle and its own image are not moved.
    counted = pairs.valid & (pairs.i != pairs.j)
    ends = (~state.held)[pairs.i] * 1.0 + (~state.held)[pairs.j]
    pulled = jnp.sum(vectors * (slope[pairs.j] - slope[pairs.i]), axis=1) / state.kt

    def identity(part: float) -> jax.Array:
        left = jnp.maximum(1.0 - r / (part * reach), 0.0)
        phi, change = left**2, -2.0 * left * r / (part * reach)
        return jnp.sum(jnp.where(counted, ends * (change + d * phi) - phi * pulled, 0.0))

    return jnp.stack([identity(part) for part in _RANGES])


def _volume_identities(potential: Potential, params: Any, state: Sample) -> jax.Array:
    excess = (pressure(potential, params, state) - state.pressure) / state.kt
    return jnp.stack([excess, 1.0 + excess * volume(potential, params, state)])


def _is_continuous(potential: Potential) -> bool:
    if isinstance(potential, Sum):
        return _is_continuous(potential.first) and _is_continuous(potential.second)
    return getattr(potential, "smoothing", "") != "none"


def sites(trajectory: Trajectory) -> jax.Array | None:
    """Fractional places (N, d) at the start, if particles have stayed near them."""
    system = trajectory.system
    cell = np.asarray(system.cell)
    home = np.asarray(system.positions) @ np.linalg.inv(cell)
    if system.n_particles < 2 or not all(system.pbc):
        return None
    positions, cells = trajectory.kept
    moved = positions - home @ cells
    moved = moved - (0.0 if any(system.fixed) else moved.mean(axis=1, keepdims=True))
    farthest = np.sqrt(np.max(np.sum(moved**2, axis=2)))
    return jnp.asarray(home) if farthest < _NEAR * _nearest(home, cell) else None


def _nearest(home: np.ndarray, cell: np.ndarray) -> float:
    """The smallest distance between sites, of nearest images."""
    gaps = home[:, None] - home[None]
    gaps -= np.round(gaps)
    lengths = np.linalg.norm(gaps @ cell, axis=2)
    return float(np.min(lengths + np.diag(np.full(len(home), np.inf))))
