"""The neighbour lists of a search with concrete numbers: made on the host, as large as needed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import numpy as np

from mdsens.equilibrium.descent import crowd
from mdsens.equilibrium.problem import Problem, Setting
from mdsens.neighbors import NoPairs, Pairs, pair_list, places_for, room_for_pairs
from mdsens.system import System

# Extra radius as a fraction of the cutoff: of the list a state is known by, and of the list that
# lasts for a stretch of a descent.
_SKIN, _WIDE = 0.3, 0.7
# The latter is no more than this many particle spacings wider: a long-ranged potential has pairs
# enough as it is.
_SPACINGS = 0.9
# So few particles relax in less time than it takes to compile the making of short lists.
FEW = 1000
# Slack of the short lists that are taken from the wide one, as a fraction of what that has.
_SHORT = 0.18


class Lists:
    """Makes lists for one search and remembers their sizes, so that compiled code is used again.

    Attributes:
        room: pairs that a short list needs room for; None where there are none.
        width: neighbours per particle in its table; None where there is no table.
        slack: how much wider than the reach of each pair it is.
    """

    def __init__(self, problem: Problem, setting: Setting, system: System):
        self._problem, self._system = problem, system
        self._cutoff = float(_cutoff(problem, setting))
        spacing = np.ptp(system.positions, axis=0).max() / system.n_particles ** (
            1.0 / system.dimension
        )
        skin = _SKIN * self._cutoff
        self._extra = {
            "here": skin,
            "wide": max(skin, min(_WIDE * self._cutoff, _SPACINGS * spacing)),
        }
        self._capacity = {"here": 0, "wide": 0}
        # A table of neighbours is worth its shortness at once: angles count by its square.
        sites = problem.potential.uses_sites
        shorten = problem.potential.uses_pairs and (sites or system.n_particles > FEW)
        self.room: int | None = 0 if shorten else None
        self.width: int | None = 0 if sites else None
        self.slack = _SHORT * self._extra["wide"]

    def here(self, setting: Setting) -> Setting:
        """The setting with the list a state is known by."""
        return replace(setting, neighbors=self._made("here", setting))

    def wide(self, setting: Setting, there: Setting) -> Setting:
        """The setting with a list made for `there`, from which `room` is enough for a short one."""
        wide = replace(setting, neighbors=self._made("wide", there))
        if self.room is not None:
            n = self._system.n_particles
            near, most = map(int, crowd(self._problem, wide, there, self.slack))
            # Particles at random have fewer neighbours than the same at rest.
            if near > self.room:
                self.room = room_for_pairs(int(near * (1.1 if self.room else 1.2)), n, 8)
            if self.width is not None:
                self.width = max(self.width, places_for(most, n))
        return wide

    def _made(self, kind: str, setting: Setting) -> Pairs:
        here = replace(self._system, positions=setting.positions, cell=setting.cell)
        if not self._problem.potential.uses_pairs:
            return NoPairs().build(here)
        pairs = pair_list(here, self._cutoff + self._extra[kind], self._capacity[kind])
        self._capacity[kind] = len(pairs.valid)
        pairs = jax.device_put(pairs)
        if kind == "wide":
            return pairs
        return self._problem.potential.tabled(setting.params, pairs, here.positions, here.cell)


@partial(jax.jit, static_argnames="problem")
def _cutoff(problem: Problem, setting: Setting) -> jax.Array:
    return problem.potential.cutoff(setting.params)
