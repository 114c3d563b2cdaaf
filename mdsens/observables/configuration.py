"""What an observable is measured at: any state, with its neighbour list made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from mdsens.errors import InputError
from mdsens.linear import require_float64
from mdsens.neighbors import WIDTH, AllPairs, NoPairs, pair_list
from mdsens.potentials import Potential
from mdsens.state import Configuration
from mdsens.system import System


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
    elif is_traced((params, state.positions, state.cell)):
        pairs = AllPairs.sized_for(state).build(state)
        pairs = potential.tabled(params, pairs, state.positions, state.cell, WIDTH)
        holds = pairs.holds_for(state.positions, state.cell, potential.cutoff(params))
        # A list that cannot hold must not pass for one that does.
        blank = jnp.where(holds, 0.0, jnp.nan)
        state = replace(state, positions=jnp.asarray(state.positions) + blank)
    else:
        known = jax.lax.stop_gradient(params)
        here = _stopped(state)
        pairs = jax.tree.map(jnp.asarray, pair_list(here, float(potential.cutoff(known))))
        pairs = potential.tabled(known, pairs, here.positions, here.cell)
    positions, cell = jnp.asarray(state.positions), jnp.asarray(state.cell)
    return Configuration(positions, cell, pairs, state.pbc, fixed=jnp.asarray(state.fixed))


def _stopped(system: System) -> System:
    positions, cell = jax.lax.stop_gradient((system.positions, system.cell))
    return replace(system, positions=positions, cell=cell)


def is_traced(tree: Any) -> bool:
    """Whether values are unknown while Python runs: under jit and vmap, not under grad alone."""
    return any(isinstance(x, Tracer) for x in jax.tree.leaves(jax.lax.stop_gradient(tree)))


def require_periodic(state: Any, name: str) -> None:
    if not all(state.pbc):
        raise InputError(
            f"{name}: the cell is not periodic in every direction, so it has no volume; "
            "ask for energy or positions instead"
        )
