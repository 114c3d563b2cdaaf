"""The search for a minimum with concrete numbers: lists grow as needed, factorisations are sparse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np

from mdsens.equilibrium.linearized import solver_for
from mdsens.equilibrium.minimizers import descend, scales
from mdsens.equilibrium.newton import measure, polish_eager
from mdsens.equilibrium.plan import FLOOR, Plan
from mdsens.equilibrium.problem import Problem, Setting
from mdsens.neighbors import NoPairs, pair_list
from mdsens.state import Report
from mdsens.system import System

Progress = Callable[[str, float, float | None, str], None]

_SKIN = 0.3
# Steps between two looks at the clock, the progress bar and the keyboard.
_CHUNK = 1000


def find_minimum(
    problem: Problem, setting: Setting, system: System, plan: Plan, progress: Progress | None
) -> tuple[Setting, Report]:
    """The state found from `setting`, with a list valid there, and the report."""
    search = _Search(problem, system, plan, progress or (lambda *_: None))
    setting = search.listed(setting)
    scale = float(scales(problem, setting)[1])
    for stage, fraction in enumerate(plan.stages):
        goal = max(fraction * scale, plan.fmax)
        setting = search.descend(setting, plan.first if stage == 0 else plan.later, goal)
        if plan.polish and np.isfinite(search.residual):
            setting = search.polish(setting, FLOOR * scale)
        if search.residual <= plan.fmax or search.exhausted:
            break
    return setting, search.report()


class _Search:
    """The mutable part of one search: counters and the size of the list."""

    def __init__(self, problem: Problem, system: System, plan: Plan, progress: Progress):
        self.problem, self.system, self.plan, self.progress = problem, system, plan, progress
        self.steps = self.newton_steps = self.capacity = 0
        self.residual = np.inf
        self.solver: Any = None

    @property
    def exhausted(self) -> bool:
        return self.steps >= self.plan.max_steps or not np.isfinite(self.residual)

    def listed(self, setting: Setting) -> Setting:
        """The setting with a neighbour list made for where it is now."""
        here = replace(self.system, positions=setting.positions, cell=setting.cell)
        if not self.problem.potential.uses_pairs:
            return replace(setting, neighbors=NoPairs().build(here))
        cutoff = float(self.problem.potential.cutoff(setting.params))
        pairs = pair_list(here, cutoff * (1.0 + _SKIN), self.capacity)
        self.capacity = len(pairs.valid)
        return jax.device_put(replace(setting, neighbors=pairs))

    def descend(self, setting: Setting, name: str, goal: float) -> Setting:
        """Run the minimizer, renewing the list whenever it no longer holds."""
        while True:
            curvature = scales(self.problem, setting)[0]
            budget = min(self.plan.max_steps, self.steps + _CHUNK)
            p = descend(
                self.problem, name, setting, curvature,
                np.float64(goal), np.int64(budget), np.int64(self.steps),
            )  # fmt: skip
            progressed = int(p.steps) > self.steps
            self.steps, self.residual = int(p.steps), float(p.residual)
            self.progress("relax", self.steps, None, f"fmax {self.residual:.2e}")
            if not np.isfinite(self.residual):
                return setting
            setting = _moved(self.problem, setting, p.z)
            if bool(p.fresh):
                # Measured again where the minimizer stopped: a strained cell is its own reference now.
                self.residual = float(measure(self.problem, setting)[1])
                idle = self.steps < budget and float(p.residual) > goal
                if self.residual <= goal or idle or not progressed:
                    return self.listed(setting)
            setting = self.listed(setting)
            if self.exhausted:
                self.residual = float(measure(self.problem, setting)[1])
                return setting

    def polish(self, setting: Setting, goal: float) -> Setting:
        if self.solver is None:
            size = self.problem.start(setting).size
            self.solver, _ = solver_for(self.problem, size, traced=False)
        while True:
            setting, self.residual, count = polish_eager(self.problem, setting, self.solver, goal)
            self.newton_steps += count
            self.progress("polish", self.newton_steps, None, f"fmax {self.residual:.2e}")
            if bool(_holds(self.problem, setting)):
                return setting
            setting = self.listed(setting)

    def report(self) -> Report:
        finite = bool(np.isfinite(self.residual))
        return Report(
            converged=self.residual <= self.plan.fmax,
            residual=self.residual,
            steps=self.steps,
            newton_steps=self.newton_steps,
            neighbors_valid=True,
            finite=finite,
        )


@partial(jax.jit, static_argnames="problem")
def _moved(problem: Problem, setting: Setting, z: jax.Array) -> Setting:
    positions, cell = problem.configuration(z, setting)
    return replace(setting, positions=positions, cell=cell)


@partial(jax.jit, static_argnames="problem")
def _holds(problem: Problem, setting: Setting) -> jax.Array:
    cutoff = problem.potential.cutoff(setting.params)
    return setting.neighbors.holds_for(setting.positions, setting.cell, cutoff)
