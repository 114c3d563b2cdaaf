"""From the arguments of `relax` and `saddle` to settings and lists, frozen or live."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax.numpy as jnp

from mdsens.equilibrium.problem import Problem, Setting
from mdsens.neighbors import WIDTH, AllPairs, NoPairs
from mdsens.potentials import Potential
from mdsens.system import System


def start_setting(system: System, frozen: Any) -> Setting:
    """The start, all arrays alike, with an empty list; `frozen`: params, positions, cell, pressure."""
    params, positions, cell, pressure = frozen
    positions, cell = jnp.asarray(positions), jnp.asarray(cell)
    empty = NoPairs().build(replace(system, positions=positions, cell=cell))
    return Setting(
        params, positions, cell, jnp.asarray(system.fixed), jnp.asarray(pressure, float), empty
    )


def live_setting(
    problem: Problem, setting: Setting, params: Any, system: System, pressure: Any
) -> Setting:
    """The setting with what it is a function of in the place of frozen copies."""
    # A free cell is part of the solution; a fixed one is an argument.
    cell = setting.cell if problem.cell_mode != "fixed" else jnp.asarray(system.cell)
    return replace(setting, params=params, cell=cell, pressure=jnp.asarray(pressure, float))


def list_source(potential: Potential, system: System) -> AllPairs | NoPairs:
    """What rebuilds the neighbour list inside a transformation, if none was allocated for it."""
    return AllPairs.sized_for(system) if potential.uses_pairs else NoPairs()


def lister(problem: Problem, system: System, source: Any) -> Callable[[Setting], Setting]:
    """A function that makes the list of a setting anew, inside a transformation."""

    def listed(s: Setting) -> Setting:
        pairs = source.build(replace(system, positions=s.positions, cell=s.cell))
        pairs = problem.potential.tabled(s.params, pairs, s.positions, s.cell, WIDTH)
        return replace(s, neighbors=pairs)

    return listed
