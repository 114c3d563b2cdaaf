"""From starts to minima: descents in slots, Newton's method in batches, stragglers one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import jax
import numpy as np

from mdsens.ensembles.buckets import Bucket, Member
from mdsens.ensembles.slots import Descended, descents
from mdsens.ensembles.stacks import Lists, row, stacked
from mdsens.equilibrium.eager import find_minimum
from mdsens.equilibrium.linearized import solver_for
from mdsens.equilibrium.newton import measure, polish_traced
from mdsens.equilibrium.plan import FLOOR, Plan, why_not_converged
from mdsens.equilibrium.problem import Problem, Setting
from mdsens.equilibrium.scaled import scales
from mdsens.state import Report


@dataclass(frozen=True, eq=False)
class Ended:
    """Where the search for a member's minimum ended; `why` is empty where it was found."""

    member: Member
    setting: Setting
    report: Report

    @property
    def why(self) -> str:
        return "" if self.report.converged else why_not_converged(self.report)


def minima(bucket: Bucket, plan: Plan, pressure: float, count: int) -> Iterator[Ended]:
    """The minima of all members, in no particular order."""
    lists = Lists(bucket.problem)
    arrivals = descents(bucket, plan, pressure, count)
    while group := list(islice(arrivals, count)):
        for ended in _polished(bucket.problem, plan, lists, group, min(count, len(bucket.members))):
            yield ended if ended.report.converged else _alone(bucket.problem, plan, lists, ended)


def _polished(
    problem: Problem, plan: Plan, lists: Lists, group: list[Descended], count: int
) -> Iterator[Ended]:
    # A short group repeats its last member, for the sake of the shape.
    padded = [d.setting for d in group] + [group[-1].setting] * (count - len(group))
    there, newton_steps = jax.device_get(_polish(problem, stacked(padded)))
    rows = [row(there, k) for k in range(len(group))]
    renewed = [
        replace(s, neighbors=lists.at(d.member, s.positions, s.cell))
        for s, d in zip(rows, group, strict=True)
    ]
    residual = np.asarray(
        _residuals(problem, stacked(renewed + renewed[-1:] * (count - len(group))))
    )
    for k, d in enumerate(group):
        found = float(residual[k])
        report = Report(
            converged=found <= plan.fmax,
            residual=found,
            steps=d.steps,
            newton_steps=int(newton_steps[k]),
            neighbors_valid=True,
            finite=bool(np.isfinite(found)),
        )
        yield Ended(d.member, renewed[k], report)


def _alone(problem: Problem, plan: Plan, lists: Lists, ended: Ended) -> Ended:
    """One that is difficult gets all that `relax` has, from where it stands."""
    member, padded, first = ended.member, ended.setting, ended.report
    if first.steps >= plan.max_steps or not first.finite:
        return ended
    n = member.n_particles
    visible = replace(
        padded,
        params=member.cut(padded.params),
        positions=padded.positions[:n],
        fixed=padded.fixed[:n],
    )
    left = replace(plan, max_steps=plan.max_steps - first.steps)
    found, report, _ = find_minimum(problem, visible, member.visible(padded.positions, padded.cell), left, None)
    positions = np.concatenate([np.asarray(found.positions), padded.positions[n:]])
    cell = np.asarray(found.cell)
    there = replace(
        padded, positions=positions, cell=cell, neighbors=lists.at(member, positions, cell)
    )
    return Ended(member, there, replace(report, steps=first.steps + report.steps))


@partial(jax.jit, static_argnames="problem")
def _polish(problem: Problem, settings: Setting) -> tuple[Setting, jax.Array]:
    """Newton's method for each; (settings, steps made)."""

    def one(setting: Setting) -> tuple[Setting, jax.Array]:
        solver, _ = solver_for(problem, problem.start(setting).size, traced=True)
        goal = FLOOR * scales(problem, setting)[1]
        best, _, count = polish_traced(problem, setting, solver, goal)
        return best, count

    return jax.vmap(one)(settings)


@partial(jax.jit, static_argnames="problem")
def _residuals(problem: Problem, settings: Setting) -> jax.Array:
    return jax.vmap(lambda setting: measure(problem, setting)[1])(settings)
