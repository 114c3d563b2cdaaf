"""Many descents at once: slots that go on together, and are refilled one after the other.

A vmapped loop goes on until its slowest member is done. Here it goes on for a few steps only; then
members that have arrived make room for others, so that no slot works for nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.ensembles.buckets import Bucket, Member
from mdsens.ensembles.stacks import Lists, stacked
from mdsens.equilibrium.descent import Progress, Units, begin, descend
from mdsens.equilibrium.newton import measure
from mdsens.equilibrium.plan import Plan
from mdsens.equilibrium.problem import Problem, Setting
from mdsens.equilibrium.scaled import scales

# Steps between two looks at who has arrived.
_ROUND = 25
# The part of the slots that may stand empty: starting costs all slots as much as thirty steps.
_EMPTY = 0.25
# Newton's method takes over at this residual, in units of stiffness times particle spacing.
_NEAR = 1e-8


@dataclass(frozen=True, eq=False)
class Descended:
    """Where the descent of a member ended after so many steps, with a list that holds there.

    One that is `lost`, its forces no numbers any more, is where it started.
    """

    member: Member
    setting: Setting
    steps: int
    lost: bool


class _Courses(NamedTuple):
    """What the compiled descents go by, an axis of slots in front."""

    units: Units
    goal: jax.Array
    progress: Progress


def descents(bucket: Bucket, plan: Plan, lists: Lists, count: int) -> Iterator[Descended]:
    """The descents of all members, `count` at a time, in the order of their arrival."""
    waiting = deque(bucket.members)
    batch = _Batch(bucket.problem, plan, lists, [waiting.popleft() for _ in range(count)])
    while batch.taken:
        yield from batch.go_on()
        batch.refill(waiting)


class _Batch:
    """The members that are on their way down; None in slots that nobody has."""

    def __init__(self, problem: Problem, plan: Plan, lists: Lists, first: list[Member]):
        self._problem, self._plan, self._lists = problem, plan, lists
        self._members: list[Member | None] = [*first]
        self._settings = [lists.start(member) for member in first]
        self._courses = _begin(problem, plan.first, plan.fmax, stacked(self._settings))

    @property
    def taken(self) -> list[int]:
        return [k for k, member in enumerate(self._members) if member is not None]

    def go_on(self) -> Iterator[Descended]:
        """Some steps for all; who arrives leaves its slot, who outran its list gets another."""
        taken = self.taken
        active = np.isin(np.arange(len(self._members)), taken)
        self._courses, *there = _go_on(
            self._problem, self._plan, stacked(self._settings), self._courses, active
        )
        progress = self._courses.progress
        told = (progress.residual, progress.fresh, progress.steps, *there)
        residual, fresh, steps, ended, positions, cells = jax.device_get(told)
        for k in taken:
            member, setting = self._members[k], self._settings[k]
            lost = not np.isfinite(residual[k])
            if member is None or not (lost or ended[k] or not fresh[k]):
                continue
            if not lost:
                pairs = self._lists.at(member, positions[k], cells[k])
                setting = self._settings[k] = replace(setting, neighbors=pairs)
            if not lost and ended[k]:
                setting = replace(setting, positions=positions[k], cell=cells[k])
            if lost or ended[k]:
                self._members[k] = None
                yield Descended(member, setting, int(steps[k]), lost)

    def refill(self, waiting: deque[Member]) -> None:
        """The next members take the empty slots, once there are enough of these."""
        empty = [k for k, member in enumerate(self._members) if member is None]
        if not waiting or len(empty) < _EMPTY * len(self._members):
            return
        entering = empty[: len(waiting)]
        for k in entering:
            self._members[k] = member = waiting.popleft()
            self._settings[k] = self._lists.start(member)
        begun = _begin(self._problem, self._plan.first, self._plan.fmax, stacked(self._settings))
        self._courses = _merged(
            np.isin(np.arange(len(self._members)), entering), begun, self._courses
        )


@partial(jax.jit, static_argnames=("problem", "name"))
def _begin(problem: Problem, name: str, fmax: float, settings: Setting) -> _Courses:
    """The courses of members at their starts."""

    def one(setting: Setting) -> _Courses:
        units = scales(problem, setting)
        progress = begin(problem, name, setting, units, measure(problem, setting), 0)
        return _Courses(units, jnp.maximum(_NEAR * units[1], fmax), progress)

    return jax.vmap(one)(settings)


@partial(jax.jit, static_argnames=("problem", "plan"))
def _go_on(
    problem: Problem, plan: Plan, settings: Setting, courses: _Courses, active: jax.Array
) -> tuple[_Courses, jax.Array, jax.Array, jax.Array]:
    """Courses, who ended, positions and cells after a round; only active slots move."""

    def one(setting: Setting, c: _Courses, active: jax.Array) -> Any:
        budget = jnp.where(active, jnp.minimum(c.progress.steps + _ROUND, plan.max_steps), 0)
        p = descend(problem, plan.first, setting, c.units, c.goal, budget, c.progress)
        ended = (p.fresh & ((p.steps < budget) | (p.residual <= c.goal))) | (
            p.steps >= plan.max_steps
        )
        return c._replace(progress=p), ended, *problem.configuration(p.z, setting)

    return jax.vmap(one)(settings, courses, active)


@jax.jit
def _merged(mask: jax.Array, new: _Courses, old: _Courses) -> _Courses:
    """The new courses where the mask says so."""

    def one(chosen: jax.Array, a: _Courses, b: _Courses) -> _Courses:
        return jax.tree.map(lambda x, y: jnp.where(chosen, x, y), a, b)

    return jax.vmap(one)(mask, new, old)
