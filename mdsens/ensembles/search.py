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
from mdsens.ensembles.stacks import Lists, batch_size, row, stacked
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
    problem, lists = bucket.problem, Lists(bucket.problem, pressure)
    count = batch_size(count, len(bucket.members))
    arrivals = descents(bucket, plan, lists, count)
    while group := list(islice(arrivals, count)):
        yield from (_ended(d, d.setting, np.nan, 0, plan) for d in group if d.lost)
        sane = [d for d in group if not d.lost]
        if sane:
            for ended in _polished(problem, plan, lists, sane, count):
                yield ended if ended.report.converged else _alone(problem, plan, lists, ended)


def _polished(
    problem: Problem, plan: Plan, lists: Lists, group: list[Descended], count: int
) -> Iterator[Ended]:
    """Newton's method for all; a group of less than `count` repeats its last, for the shape."""

    def full(settings: list[Setting]) -> Setting:
        return stacked(settings + settings[-1:] * (count - len(settings)))

    there, newton_steps = jax.device_get(_polish(problem, full([d.setting for d in group])))
    settings = [row(there, k) for k in range(len(group))]
    settings = [
        replace(s, neighbors=lists.at(d.member, s.positions, s.cell))
        for s, d in zip(settings, group, strict=True)
    ]
    residuals = np.asarray(_residuals(problem, full(settings)))
    for k, d in enumerate(group):
        yield _ended(d, settings[k], float(residuals[k]), int(newton_steps[k]), plan)


def _ended(d: Descended, setting: Setting, residual: float, newton_steps: int, plan: Plan) -> Ended:
    report = Report(
        converged=residual <= plan.fmax,
        residual=residual,
        steps=d.steps,
        newton_steps=newton_steps,
        neighbors_valid=True,
        finite=bool(np.isfinite(residual)),
    )
    return Ended(d.member, setting, report)


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
    found, report, _ = find_minimum(
        problem, visible, member.visible(padded.positions, padded.cell), left, None
    )
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
