"""Settings of several members as one, and the neighbour lists of padded systems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mdsens.ensembles.buckets import Member
from mdsens.equilibrium.problem import Problem, Setting
from mdsens.neighbors import NoPairs, Pairs, pair_list

# Extra list radius as a fraction of the cutoff.
_SKIN = 1.0


def row(tree: Any, k: int) -> Any:
    """The k-th of stacked trees of NumPy arrays."""
    return jax.tree.map(lambda x: x[k], tree)


def batch_size(count: int, members: int) -> int:
    """How many members to take at a time, at most `count`: a multiple of the number of devices, if
    that many are there."""
    size, devices = min(count, members), jax.local_device_count()
    return size - size % devices if size >= devices else size


def stacked(settings: Sequence[Setting]) -> Setting:
    """Settings as one with an axis of members in front; their lists may have different room.

    Where there are several devices, each has its part of the members.
    """
    room = max(len(s.neighbors.valid) for s in settings)
    tables = [s.neighbors.table for s in settings]
    width = max(0 if t is None else t.shape[1] for t in tables)
    alike = [replace(s, neighbors=s.neighbors.widened(room, width)) for s in settings]
    whole = jax.tree.map(lambda *leaves: np.stack(leaves), *alike)
    devices = jax.local_devices()
    if len(devices) == 1 or len(settings) % len(devices):
        return whole
    mesh = Mesh(np.array(devices), ("members",))
    return jax.device_put(whole, NamedSharding(mesh, PartitionSpec("members")))


class Lists:
    """Makes the lists of a bucket and remembers the largest, so that compiled code is used again."""

    def __init__(self, problem: Problem, pressure: float):
        self._problem, self._pressure = problem, pressure
        self._room = 0

    def start(self, member: Member) -> Setting:
        """The start of a member, with its list."""
        s = member.system
        return Setting(
            member.params, np.asarray(s.positions, float), np.asarray(s.cell, float),
            np.asarray(s.fixed), np.asarray(self._pressure, float), self.at(member, s.positions, s.cell),
        )  # fmt: skip

    def at(self, member: Member, positions: np.ndarray, cell: np.ndarray) -> Pairs:
        """The list for a member that stands there; ghosts have no part in it."""
        if not self._problem.potential.uses_pairs:
            here = replace(member.system, positions=positions, cell=cell)
            return jax.tree.map(np.asarray, NoPairs().build(here))
        radius = (1.0 + _SKIN) * float(self._problem.potential.cutoff(member.params))
        pairs = pair_list(member.visible(positions, cell), radius, self._room)
        self._room = len(pairs.valid)
        pairs = replace(pairs, reference_positions=positions, types=member.system.types)
        tabled = self._problem.potential.tabled(member.params, pairs, positions, cell)
        return jax.tree.map(np.asarray, tabled)
