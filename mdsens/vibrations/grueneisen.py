"""How phonons change with the volume, mode by mode."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from mdsens.observables import nonaffine_displacements
from mdsens.observables.configuration import as_configuration, require_periodic
from mdsens.potentials import Potential
from mdsens.state import Configuration
from mdsens.vibrations.phonons import squared_frequencies


def grueneisen_parameters(
    potential: Potential, params: Any, state: Any, q: Any, masses: Any = None
) -> jax.Array:
    """gamma = -d(ln omega)/d(ln V) of every phonon at wave vectors q, (..., N d), as they ascend.

    Ions find their minimum again in each cell, whose shape is kept. Weighted by the modes' heat
    capacities their mean is `QuasiHarmonic.grueneisen`. Members of a degenerate set are given the
    set's mean, which all have where the strain keeps the symmetry. NaN, as 0/0, for the rigid
    motions at q = 0.

    Args:
        potential, params, q, masses: as for `phonon_frequencies`.
        state: relaxed.

    Raises:
        InputError: as for `phonon_frequencies` and `elastic_tensor`.
        DerivativeUndefined: the state is no stable minimum; NaN under jit.
    """
    s = as_configuration(potential, params, state)
    require_periodic(s, "grueneisen_parameters")
    d = len(s.pbc)
    # Of the strain xx + yy + zz = 1 each.
    follow = jnp.sum(nonaffine_displacements(potential, params, s)[:d], axis=0)

    def squares(strain: jax.Array) -> jax.Array:
        x = s.positions * (1.0 + strain) + strain * follow
        here = Configuration(x, s.cell * (1.0 + strain), s.neighbors, s.pbc, fixed=s.fixed)
        return squared_frequencies(potential, params, here, q, masses, units="reduced")

    values, slopes = jax.jvp(squares, (jnp.zeros(()),), (jnp.ones(()),))
    moving = values > 1e-12 * jnp.max(values)
    gamma = -slopes / (2.0 * d * jnp.where(moving, values, 1.0))
    return jnp.where(moving, gamma, jnp.nan)
