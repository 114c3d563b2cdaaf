"""Amorphous solids by melting and quenching: Langevin dynamics in a fixed periodic cell."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.neighbors import Pairs, nearby, pair_list, places_for, room_for
from mdsens.potentials import SitePotential
from mdsens.system import System

# In K: eV. Of an atomic mass unit: eV fs^2/angstrom^2.
_BOLTZMANN, _MASS = 8.617333262e-5, 103.642697
# fs, and friction per fs.
_STEP, _FRICTION = 2.0, 0.01
# Short lists, made every few steps, are longer than the range by the one length in angstrom; the list
# that they are taken from is by the other, and is made on the host after so many of them.
_SLACK, _STEPS, _SKIN, _LISTS = 0.6, 2, 4.0, 8

State = tuple[jax.Array, jax.Array, jax.Array]


def melt_and_quench(
    potential: SitePotential, params: Any, start: System, mass: float,
    schedule: list[tuple[float, float, float]], seed: int,
) -> System:  # fmt: skip
    """Positions after Langevin dynamics from rest at `start`.

    Args:
        mass: of every atom, in atomic mass units.
        schedule: (from, to, picoseconds): temperatures in K, linear in time.
    """
    cutoff, n = float(potential.cutoff(params)), start.n_particles
    density = n / abs(np.linalg.det(start.cell))
    around = 4.19 * density * (cutoff + _SLACK) ** 3
    room, width = room_for(int(0.8 * n * around)), places_for(int(1.7 * around))
    x = jnp.asarray(start.positions)
    state, capacity = (x, jnp.zeros_like(x), jax.random.key(seed)), 0
    for begin, end, time in schedule:
        for kelvin in np.linspace(begin, end, round(1e3 * time / (_STEP * _STEPS * _LISTS))):
            here = start.with_positions(np.asarray(state[0]))
            pairs = pair_list(here, cutoff + _SKIN, capacity)
            capacity = len(pairs.valid)
            state, held = _block(potential, room, width, params, pairs, mass, kelvin, state)
            assert bool(held), f"{kelvin:.0f} K: an atom left its list"
    return start.with_positions(np.asarray(state[0]))


@partial(jax.jit, static_argnames=("potential", "room", "width"))
def _block(
    potential: SitePotential, room: int, width: int, params: Any, pairs: Pairs, mass: float,
    kelvin: float, state: State,
) -> tuple[State, jax.Array]:  # fmt: skip
    """_LISTS times _STEPS steps, and whether the lists held all the time."""
    cell, cutoff = pairs.reference_cell, potential.cutoff(params)
    inertia = mass * _MASS
    keep = jnp.exp(-_FRICTION * _STEP)
    noise = jnp.sqrt((1.0 - keep**2) * _BOLTZMANN * kelvin / inertia)
    reach = jnp.broadcast_to(cutoff, pairs.valid.shape)

    def step(state: State, near: Pairs) -> State:
        # Half a drift, the forces around friction and noise, half a drift.
        x, v, key = state
        key, use = jax.random.split(key)
        x = x + 0.5 * _STEP * v
        kick = -0.5 * _STEP / inertia * potential.gradient(params, x, cell, near)
        v = keep * (v + kick) + noise * jax.random.normal(use, v.shape) + kick
        return x + 0.5 * _STEP * v, v, key

    def listed(state: State, _: None) -> tuple[State, jax.Array]:
        near = nearby(pairs, state[0], cell, reach, jnp.asarray(_SLACK), cutoff, room, width)
        state = jax.lax.fori_loop(0, _STEPS, lambda _, s: step(s, near), state)
        held = near.holds_for(state[0], cell, cutoff)
        return state, held & pairs.holds_for(state[0], cell, cutoff + _SLACK)

    state, held = jax.lax.scan(listed, state, None, length=_LISTS)
    return state, jnp.all(held)
