"""Neighbour lists made again and again inside compiled code, in rooms that the host enlarges.

All pairs or jax-md's cells give the candidates; from these come the pairs closer than the cutoff and
a slack, in which particles may move until the list is made anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.errors import InputError
from mdsens.neighbors import (
    AllPairs,
    CellList,
    NoPairs,
    Pairs,
    count_nearby,
    most_neighbors,
    nearby,
    places_for,
    room_for,
)
from mdsens.potentials import Potential
from mdsens.system import System, heights

# Slack as a fraction of the cutoff, and in particle spacings, of which the smaller is taken: the latter
# where the cell has room, and where it has little.
_SLACK, _SPACINGS, _LEAST = 0.25, 0.5, 0.35
# Cells list faster than all pairs do from three cells per direction and so many particles on.
_MANY = 600
_MOST = 3000
# How much more room than at present.
_SPARE = 1.15


@dataclass(frozen=True, eq=False)
class Lister:
    """Makes lists; a pytree.

    Attributes:
        source: of the candidates.
        slack: length.
        species, pbc: of the system.
        room: pairs of a list; None for potentials without.
        width: neighbours per particle in its table; None without one.
    """

    source: Any
    slack: Any
    species: tuple[str, ...]
    pbc: tuple[bool, ...]
    room: int | None
    width: int | None

    def listed(self, potential: Potential, params: Any, positions: Any, cell: Any) -> Pairs:
        """The pairs that interact here and within the slack; without derivatives."""
        params, positions, cell = jax.lax.stop_gradient((params, positions, cell))
        pairs = self._candidates(positions, cell)
        if self.room is None:
            return pairs
        cutoff = potential.cutoff(params)
        reach = potential.reach(params, pairs)
        near = nearby(pairs, positions, cell, reach, self.slack, cutoff, self.room, self.width)
        known = jnp.isinf(pairs.radius) | (pairs.radius >= cutoff + self.slack)
        return replace(near, overflow=near.overflow | ~known)

    def crowd(self, potential: Potential, params: Any, positions: Any, cell: Any) -> Any:
        """How many pairs a list here holds, and how many neighbours a particle has at most."""
        pairs = self._candidates(positions, cell)
        within = potential.cutoff(params) + self.slack
        reach = potential.reach(params, pairs)
        count = count_nearby(pairs, positions, cell, reach + self.slack)
        return count, most_neighbors(pairs, positions, cell, within), pairs.overflow

    def grown(self) -> Lister:
        """With an eighth more room and two pairs more, four neighbours more, for every particle."""
        # A gas starts with next to no pairs, of which an eighth is nothing.
        room = None if self.room is None else self.room + self.room // 8 + 2 * len(self.species)
        return replace(self, room=room, width=None if self.width is None else self.width + 4)

    def _candidates(self, positions: Any, cell: Any) -> Pairs:
        free = (False,) * len(self.species)
        return self.source.build(System(positions, cell, self.pbc, self.species, free))


jax.tree_util.register_dataclass(
    Lister,
    data_fields=["source", "slack"],
    meta_fields=["species", "pbc", "room", "width"],
)


def make_lister(
    potential: Potential, params: Any, system: System, room: int = 0, width: int = 0
) -> Lister:
    """A lister for a system, without room for anything yet but what is given.

    Raises:
        InputError: the cell is too small for the cutoff.
    """
    if not potential.uses_pairs:
        return Lister(NoPairs(), jnp.zeros(()), system.species, system.pbc, None, None)
    cutoff = float(potential.cutoff(params))
    slack = _slack(system, cutoff)
    source = _source(system, cutoff + slack)
    table = width if potential.uses_sites else None
    return Lister(source, jnp.asarray(slack), system.species, system.pbc, room, table)


def roomier(
    lister: Lister, potential: Potential, params: Any, system: System, starts: Any
) -> Lister:
    """The lister with room for what is at each of `starts`, positions (W, N, d) and cells (W, d, d).

    Raises:
        InputError: the cell is too small for the cutoff.
    """
    before = lister.room
    if before is None:
        return lister
    positions, cells = starts
    known = _crowds(lister, potential, params, positions, cells)
    if bool(np.any(known[2])):
        source = _widest(system, float(potential.cutoff(params) + lister.slack), starts)
        lister = replace(lister, source=source)
        known = _crowds(lister, potential, params, positions, cells)
    pairs, neighbors = int(np.max(known[0])), int(np.max(known[1]))
    width = lister.width
    if width is not None:
        width = max(width, places_for(int(_SPARE * neighbors), system.n_particles))
    return replace(lister, room=max(before, room_for(int(_SPARE * pairs), 8)), width=width)


@partial(jax.jit, static_argnames="potential")
def _crowds(lister: Lister, potential: Potential, params: Any, positions: Any, cells: Any) -> Any:
    one = partial(lister.crowd, potential, params)
    return jax.lax.map(lambda at: one(*at), (positions, cells))


def _source(system: System, radius: float) -> AllPairs | CellList:
    n = system.n_particles
    if not any(system.pbc):
        return _all_pairs(system)
    smallest = float(heights(np.asarray(system.cell))[list(system.pbc)].min())
    if n >= _MANY and smallest >= 3.0 * radius:
        return CellList.allocate(system, radius)
    if n > _MOST:
        raise InputError(
            f"{system.source}: cell: its smallest height {smallest:.6g} holds fewer than three "
            f"list radii ({radius:.6g}), too few for {n} particles; use a larger or rounder cell"
        )
    source = _all_pairs(system)
    if (source.images + 0.5) * smallest < radius:
        raise InputError(
            f"{system.source}: cell: its smallest height {smallest:.6g} is less than twice the list "
            f"radius {radius:.6g} (the cutoff and a slack); use a larger cell"
        )
    return source


def _all_pairs(system: System) -> AllPairs:
    return AllPairs.sized_for(system) if system.n_particles <= 2000 else AllPairs(system.pbc, 0)


def _widest(system: System, radius: float, starts: Any) -> AllPairs | CellList:
    """The source with the most room among those for each start."""
    found = [
        _source(system.with_positions(np.asarray(x)).with_cell(np.asarray(h)), radius)
        for x, h in zip(*starts, strict=True)
    ]
    sizes = [s.allocated.idx.shape[1] if isinstance(s, CellList) else 0 for s in found]
    return found[int(np.argmax(sizes))]


def _slack(system: System, cutoff: float) -> float:
    spacing, room = _spacing(system), np.inf
    if any(system.pbc):
        # Cells that change keep a tenth of their room.
        smallest = heights(np.asarray(system.cell))[list(system.pbc)].min()
        room = max(_LEAST * spacing, 0.9 * (0.5 * float(smallest) - cutoff))
    return min(_SLACK * cutoff, _SPACINGS * spacing, room)


def _spacing(system: System) -> float:
    """Between neighbouring particles, (room/N)^(1/d).

    The room is that of the cell where it is periodic: particles may come unwrapped from far away.
    """
    extent = np.ptp(np.asarray(system.positions), axis=0)
    extent = np.where(system.pbc, heights(np.asarray(system.cell)), extent.max())
    return float(np.prod(extent) / system.n_particles) ** (1.0 / system.dimension) or 1.0
