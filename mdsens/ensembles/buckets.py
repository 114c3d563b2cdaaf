"""Members of an ensemble sorted into buckets that share one compiled program.

Members of nearly the same size are padded to the largest of them by ghosts: particles without pairs,
which are rattlers like any other, so that nothing else needs to know of them. Only potentials that
know contacts know rattlers; for others a bucket has members of one size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from mdsens.equilibrium.problem import Problem
from mdsens.errors import InputError
from mdsens.neighbors import NoPairs, room_for
from mdsens.parameters import Table
from mdsens.potentials import Potential
from mdsens.system import System

# Sizes in a bucket differ by no more than one part in this many.
_PARTS = 8


@dataclass(frozen=True, eq=False)
class Member:
    """One system of an ensemble with its parameters.

    Attributes:
        place: its number in the ensemble.
        system: padded.
        params: padded.
        n_particles: before padding.
    """

    place: int
    system: System
    params: Any
    n_particles: int

    def visible(self, positions: np.ndarray, cell: np.ndarray) -> System:
        """The system without ghosts that stands there."""
        n, system = self.n_particles, self.system
        return replace(
            system,
            positions=positions[:n],
            cell=cell,
            species=system.species[:n],
            fixed=system.fixed[:n],
        )

    def cut(self, tree: Any) -> Any:
        """A tree like the padded parameters without what belongs to ghosts."""
        size = self.system.n_particles
        return _each(lambda x: x[: self.n_particles] if x.shape[:1] == (size,) else x, tree)


@dataclass(frozen=True, eq=False)
class Bucket:
    """Members of one shape: same problem, same number of particles, same form of parameters."""

    problem: Problem
    members: tuple[Member, ...]


def buckets(
    potential: Potential, params: Sequence[Any], systems: Sequence[System], cell: str
) -> tuple[Bucket, ...]:
    """All members, each in one bucket.

    Raises:
        InputError: not one set of parameters per system.
    """
    if len(params) != len(systems):
        raise InputError(
            f"{len(params)} sets of parameters for {len(systems)} systems; give one per system"
        )
    groups: dict[Any, list[int]] = {}
    ghosts = len(systems) > 0 and _knows_contacts(potential, params[0], systems[0])
    for k, (p, system) in enumerate(zip(params, systems, strict=True)):
        groups.setdefault(_kind(p, system, ghosts), []).append(k)
    return tuple(
        Bucket(
            Problem(potential, systems[places[0]].pbc, cell),
            tuple(_padded(places, [params[k] for k in places], [systems[k] for k in places])),
        )
        for places in groups.values()
    )


def _kind(params: Any, system: System, ghosts: bool) -> Any:
    """What two members must have in common to share a bucket; hashable."""
    n = system.n_particles
    room = room_for(n - 1, _PARTS) if ghosts else n
    shapes = _each(lambda x: ("each", *x.shape[1:]) if x.shape[:1] == (n,) else x.shape, params)
    leaves, structure = jax.tree.flatten(shapes, is_leaf=lambda x: isinstance(x, tuple))
    return room, system.pbc, system.type_names, structure, tuple(leaves)


def _knows_contacts(potential: Potential, params: Any, system: System) -> bool:
    if not potential.uses_pairs:
        return False
    nobody = NoPairs().build(system)
    return potential.contacts(params, system.positions, system.cell, nobody) is not None


def _padded(
    places: Sequence[int], params: Sequence[Any], systems: Sequence[System]
) -> Iterator[Member]:
    size = max(system.n_particles for system in systems)
    for place, p, system in zip(places, params, systems, strict=True):
        n = system.n_particles
        wide = _each(lambda x, n=n: _repeat_last(x, n, size), p)
        yield Member(place, _with_ghosts(system, size), wide, n)


def _with_ghosts(system: System, size: int) -> System:
    """Ghosts stand where the last particle stands: neither the extent nor the types change."""
    more = size - system.n_particles
    return replace(
        system,
        positions=_repeat_last(np.asarray(system.positions), system.n_particles, size),
        species=(*system.species, *system.species[-1:] * more),
        fixed=(*system.fixed, *(False,) * more),
        columns={},
    )


def _repeat_last(x: np.ndarray, n: int, size: int) -> np.ndarray:
    """(n, ...) padded to (size, ...); anything else as it is."""
    if x.shape[:1] != (n,):
        return x
    return np.concatenate([x, np.repeat(x[-1:], size - n, axis=0)])


def _each(function: Callable[[np.ndarray], Any], tree: Any) -> Any:
    """The function of every array; tables are left as they are, having as many entries as keys."""
    return jax.tree.map(
        lambda x: x if isinstance(x, Table) else function(np.asarray(x)),
        tree,
        is_leaf=lambda x: isinstance(x, Table),
    )
