"""Whether every motion of a crystal has had its share of the heat.

In a canonical ensemble, and at constant energy, <(w.u)(w.dU/dx)> = k_B T for displacements u and every unit
vector w of all of them. Plane waves of the cell are, or nearly are, the normal modes of a crystal. Where
these hardly exchange energy, a thermostat on the kinetic energy as a whole, and none, leave each with
what it had at the start: averages are wrong, and steady.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from mdsens.errors import NotConverged
from mdsens.potentials import Potential
from mdsens.system import System
from mdsens.thermal.controls import sites
from mdsens.thermal.jets import jets
from mdsens.thermal.observables import displacements
from mdsens.thermal.statistics import mean_error
from mdsens.thermal.trajectory import Sample, Trajectory

# Waves that are looked at, each in every direction.
_WAVES = 24
# A share may be off by as much for the time step, as the kinetic temperature may.
_TOLERANCE = 0.05
# The mean square of M shares' deviations in standard errors is about one where the modes have their shares,
# give or take sqrt(2/M): how much longer than told errors may be, and how many of these it may be off.
_LONGER, _DEVIATIONS = 1.5, 4.0


def require_equipartition(potential: Potential, trajectory: Trajectory) -> None:
    """Raise NotConverged where the modes of a crystal have not exchanged their energies; particles that
    have left their sites have."""
    home = sites(trajectory)
    if home is None:
        return
    waves = jnp.asarray(_waves(trajectory.system))
    found = jets([Partial(_along, home, waves)], potential, (), trajectory).values
    u, slopes = np.split(found, 2, axis=2)
    shares = (u - u.mean(axis=(0, 1))) * slopes / trajectory.sampled_kt.mean()
    error, independent = mean_error(shares)
    # A harmonic mode's share varies by two; one that has kept still would have no error.
    error = np.maximum(error, np.sqrt(2.0 / independent))
    off = np.maximum(np.abs(shares.mean(axis=(0, 1)) - 1.0) - _TOLERANCE, 0.0)
    square = float(np.mean((off / error) ** 2))
    if square > _LONGER * (1.0 + _DEVIATIONS * np.sqrt(2.0 / len(off))):
        raise NotConverged(
            "ensemble: the modes of the crystal have not exchanged their energies (their potential energies "
            f"are off by {np.sqrt(square):.1f} standard errors, root mean square, of the temperature's); use "
            f"nvt with thermostat langevin; if it is that already, {trajectory.ensemble.remedy} or "
            "raise steps"
        )


def _along(
    home: jax.Array, waves: jax.Array, potential: Potential, params: Any, state: Sample
) -> jax.Array:
    """Displacements and dU/dx along waves (M, N, d), one after the other, (2 M,)."""
    slope = potential.gradient(params, state.positions, state.cell, state.neighbors)
    both = jnp.stack([displacements(home, state), slope])
    return jnp.einsum("mnd,bnd->bm", waves, both).reshape(-1)


def _waves(system: System) -> np.ndarray:
    """(M, N, d) orthonormal, the longest first; zero where particles are fixed."""
    free = ~np.asarray(system.fixed)
    inverse = np.linalg.inv(np.asarray(system.cell))
    places = np.asarray(system.positions) @ inverse
    d = system.dimension
    whole = np.array([n for n in product(range(-3, 4), repeat=d) if n > (0,) * d])
    wavevectors = 2.0 * np.pi * whole @ inverse.T
    order = np.argsort(np.sum(wavevectors**2, axis=1), kind="stable")
    # The motion of all together is none of a crystal's where nothing is held.
    known = [np.ones(len(places)) / np.sqrt(len(places))] if free.all() else []
    found = []
    for k in order:
        phase = 2.0 * np.pi * places @ whole[k]
        for wave in (np.cos(phase) * free, np.sin(phase) * free):
            left = wave - sum((np.dot(other, wave) * other for other in known), np.zeros(len(wave)))
            # What is left of a wave that the sites cannot tell from longer ones is rounding.
            if len(found) < _WAVES * d and np.linalg.norm(left) > 0.1 * np.sqrt(len(wave)):
                known.append(left / np.linalg.norm(left))
                frame = np.linalg.qr(np.column_stack([wavevectors[k], np.eye(d)]))[0].T
                found.extend(known[-1][:, None] * direction for direction in frame)
    return np.array(found).reshape(-1, *places.shape)
