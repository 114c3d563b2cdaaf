"""What is measured: pure functions of (potential, params, state).

`state` is a Minimum, any Configuration, or a System (measured as it stands). All are differentiable
in params and state except `coordination`. With `mdsens.relax` inside, jax.grad gives the total
derivative: d o(x*(p), p)/dp = partial o/partial p + (dx*/dp)^T partial o/partial x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from mdsens.errors import InputError
from mdsens.gauge import rattlers
from mdsens.linear import require_float64
from mdsens.neighbors import AllPairs, NoPairs, pair_list
from mdsens.potentials import Potential
from mdsens.state import Configuration
from mdsens.system import System

Observable = Callable[[Potential, Any, Any], jax.Array]


def energy(potential: Potential, params: Any, state: Any) -> jax.Array:
    """Total potential energy E, ()."""
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
    _require_periodic(s, "stress")
    return _stress(potential, params, s.positions, s.cell, s.neighbors)


@partial(jax.jit, static_argnums=0)
def _stress(potential: Potential, params: Any, positions: Any, cell: Any, pairs: Any) -> jax.Array:
    def strained(strain: jax.Array) -> jax.Array:
        symmetric = 0.5 * (strain + strain.T)
        return potential.strained_energy(params, positions, cell, pairs, symmetric)

    return jax.grad(strained)(jnp.zeros_like(cell)) / jnp.abs(jnp.linalg.det(cell))


def pressure(potential: Potential, params: Any, state: Any) -> jax.Array:
    """-trace(stress)/d, (), positive in compression; energy per volume (area in 2D)."""
    sigma = stress(potential, params, state)
    return -jnp.trace(sigma) / sigma.shape[0]


def volume(potential: Potential, params: Any, state: Any) -> jax.Array:
    """Volume of the cell, () (area in 2D)."""
    s = as_configuration(potential, params, state)
    _require_periodic(s, "volume")
    return jnp.abs(jnp.linalg.det(s.cell))


def cell(potential: Potential, params: Any, state: Any) -> jax.Array:
    """Lattice vectors as rows, (d, d)."""
    return jnp.asarray(state.cell)


def positions(potential: Potential, params: Any, state: Any) -> jax.Array:
    """Cartesian coordinates, (N, d)."""
    return jnp.asarray(state.positions)


def coordination(potential: Potential, params: Any, state: Any) -> jax.Array:
    """Mean number of contacts Z = 2 N_contacts / (N - N_rattlers) among non-rattlers, ().

    Measured, not differentiable (a step function): its derivative is NaN. Zero where all are
    rattlers. Raises InputError for a potential without contacts.
    """
    s = as_configuration(potential, params, state)
    touching = potential.contacts(params, s.positions, s.cell, s.neighbors)
    if touching is None:
        raise InputError(
            f"coordination: potential {potential.kind} knows no contacts; "
            "it is defined for soft_sphere and wca"
        )
    n, d = s.positions.shape
    fixed = getattr(state, "fixed", None)
    fixed = jnp.zeros(n, bool) if fixed is None else jnp.asarray(fixed)
    loose = rattlers(s.neighbors, touching, fixed, d)
    kept = touching & ~loose[s.neighbors.i] & ~loose[s.neighbors.j]
    z = 2.0 * jnp.sum(kept) / jnp.maximum(jnp.sum(~loose), 1)
    return _no_derivative(z, s.positions)


OBSERVABLES: dict[str, Observable] = {
    "energy": energy,
    "pressure": pressure,
    "stress": stress,
    "volume": volume,
    "cell": cell,
    "positions": positions,
    "coordination": coordination,
}


def as_configuration(potential: Potential, params: Any, state: Any) -> Any:
    """`state` itself, or a System with its neighbour list made.

    Raises:
        Float32Error: 64-bit floats are off.
    """
    require_float64(params)
    if not isinstance(state, System):
        return state
    if not potential.uses_pairs:
        pairs = NoPairs().build(state)
    elif _traced(params, state):
        pairs = AllPairs.sized_for(state).build(state)
        holds = pairs.holds_for(state.positions, state.cell, potential.cutoff(params))
        # A list that cannot hold must not pass for one that does.
        blank = jnp.where(holds, 0.0, jnp.nan)
        state = replace(state, positions=jnp.asarray(state.positions) + blank)
    else:
        pairs = jax.tree.map(
            jnp.asarray, pair_list(_stopped(state), float(_cutoff(potential, params)))
        )
    return Configuration(jnp.asarray(state.positions), jnp.asarray(state.cell), pairs, state.pbc)


def _cutoff(potential: Potential, params: Any) -> jax.Array:
    return potential.cutoff(jax.lax.stop_gradient(params))


def _stopped(system: System) -> System:
    positions, cell = jax.lax.stop_gradient((system.positions, system.cell))
    return replace(system, positions=positions, cell=cell)


def _traced(params: Any, system: System) -> bool:
    stopped = jax.lax.stop_gradient((params, system.positions, system.cell))
    return any(isinstance(x, Tracer) for x in jax.tree.leaves(stopped))


def _require_periodic(state: Any, name: str) -> None:
    if not all(state.pbc):
        raise InputError(
            f"{name}: the cell is not periodic in every direction, so it has no volume; "
            "ask for energy or positions instead"
        )


@jax.custom_jvp
def _no_derivative(value: jax.Array, positions: jax.Array) -> jax.Array:
    del positions
    return value


@_no_derivative.defjvp
def _refused(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    value = primals[0]
    # Linear in the tangents, and NaN: a number would be wrong, zero most of all.
    return value, jnp.nan * (tangents[0] + jnp.sum(tangents[1]))


__all__ = ["OBSERVABLES", "Observable", "as_configuration", *OBSERVABLES]
