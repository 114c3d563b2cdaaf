"""The search for a minimum with concrete numbers: lists grow as needed, factorisations are sparse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np

from mdsens.equilibrium.descent import begin, descend
from mdsens.equilibrium.linearized import solver_for
from mdsens.equilibrium.lists import Lists
from mdsens.equilibrium.newton import measure
from mdsens.equilibrium.plan import FLOOR, Plan
from mdsens.equilibrium.polish import polish
from mdsens.equilibrium.problem import Problem, Setting
from mdsens.equilibrium.scaled import scales
from mdsens.linear import Inverse
from mdsens.state import Report
from mdsens.system import System

Progress = Callable[[str, float, float | None, str], None]

# Steps between two looks at the clock, the progress bar and the keyboard, after which a descent
# begins anew: curvatures may have changed a lot.
_CHUNK = 2000
# What is left of a residual after a Newton step by an iterative solver; the next step mends it.
_NEWTON_RTOL = 1e-4


def find_minimum(
    problem: Problem, setting: Setting, system: System, plan: Plan, progress: Progress | None
) -> tuple[Setting, Report, Inverse | None]:
    """The state found from `setting`, with a list valid there, the report, and the last sparse
    factor of the polish (see `Polished`)."""
    lists = Lists(problem, setting, system)
    setting = lists.here(setting)
    units = scales(problem, setting)
    scale = float(units[1])
    volume = abs(np.linalg.det(np.asarray(setting.cell)))
    search = _Search(problem, lists, plan, progress or (lambda *_: None), volume)
    for fraction, limit, polish_now in plan.attempts:
        setting = search.descend(setting, units, max(fraction * scale, plan.fmax), limit)
        units = None
        last = search.residual <= plan.fmax or search.exhausted
        if search.within_reason and (polish_now or (last and plan.polish)):
            setting = search.polish(setting, FLOOR * scale)
        if last or search.residual <= plan.fmax:
            break
    return setting, search.report(), search.factor


class _Search:
    """The mutable part of one search: counters, and what is at work."""

    def __init__(
        self, problem: Problem, lists: Lists, plan: Plan, progress: Progress, volume: float
    ):
        self.problem, self.lists, self.plan, self.progress = problem, lists, plan, progress
        self.start_volume, self.swelling = volume, 1.0
        self.minimizer = plan.first
        self.steps = self.newton_steps = 0
        self.residual = np.inf
        self.solver: Any = None
        self.factor: Inverse | None = None

    @property
    def within_reason(self) -> bool:
        return bool(np.isfinite(self.residual)) and self.swelling == 1.0

    @property
    def exhausted(self) -> bool:
        return self.steps >= self.plan.max_steps or not self.within_reason

    def descend(self, setting: Setting, units: Any, goal: float, limit: int | None) -> Setting:
        """Run the minimizer to the goal, or until it gives up or may not go on.

        Args:
            units: `scales` of the setting, where they are known.
        """
        last = self.plan.max_steps
        if limit is not None:
            last = min(last, self.steps + limit)
        while True:
            before, budget = self.steps, min(last, self.steps + _CHUNK)
            setting, reached = self._stretch(setting, units, goal, budget)
            units = None
            self.progress("relax", self.steps, None, f"fmax {self.residual:.2e}")
            if self.residual <= goal or self.steps in (before, last) or self.exhausted:
                return setting
            if self.steps < budget and not reached:
                self.minimizer = self.plan.later
                return setting

    def _stretch(
        self, setting: Setting, units: Any, goal: float, budget: int
    ) -> tuple[Setting, bool]:
        """As many steps as the budget allows from z = 0, and whether the goal was reached.

        The list is renewed whenever it no longer holds; the minimizer's memory goes on.
        """
        problem, lists = self.problem, self.lists
        units = units or scales(problem, setting)
        measured = measure(problem, setting)
        p = begin(problem, self.minimizer, setting, units, measured, np.int64(self.steps))
        there, fresh = setting, False
        while not fresh:
            p = descend(
                problem, self.minimizer, lists.wide(setting, there), units,
                np.float64(goal), np.int64(budget), p, np.float64(lists.slack), lists.room,
                lists.width,
            )  # fmt: skip
            there = _moved(problem, setting, p.z)
            self.steps, self.residual = int(p.steps), float(p.residual)
            self._watch(there.cell)
            fresh = bool(p.fresh) or not self.within_reason
        # The list of a cell that collapsed, each particle next to thousands, could fill the memory.
        if not np.isfinite(self.residual) or self.swelling < 1.0:
            return setting, False
        # Measured again where the minimizer stopped: a strained cell is its own reference now.
        there = lists.here(there)
        self.residual = float(measure(problem, there)[1])
        return there, float(p.residual) <= goal

    def _watch(self, cell: Any) -> None:
        swelling = abs(np.linalg.det(np.asarray(cell))) / self.start_volume
        if swelling < 1.0 / self.plan.swelling or swelling > self.plan.swelling:
            self.swelling = float(swelling)

    def polish(self, setting: Setting, goal: float) -> Setting:
        if self.solver is None:
            size = self.problem.start(setting).size
            self.solver, _ = solver_for(self.problem, size, traced=False, rtol=_NEWTON_RTOL)
        while True:
            end = polish(self.problem, setting, self.solver, goal)
            setting, self.residual, self.factor = end.setting, end.residual, end.factor
            self.newton_steps += end.steps
            self.progress("polish", self.newton_steps, None, f"fmax {self.residual:.2e}")
            if bool(_holds(self.problem, setting)):
                return setting
            setting = self.lists.here(setting)

    def report(self) -> Report:
        finite = bool(np.isfinite(self.residual))
        return Report(
            converged=self.within_reason and self.residual <= self.plan.fmax,
            residual=self.residual,
            steps=self.steps,
            newton_steps=self.newton_steps,
            neighbors_valid=True,
            finite=finite,
            swelling=self.swelling,
        )


@partial(jax.jit, static_argnames="problem")
def _moved(problem: Problem, setting: Setting, z: jax.Array) -> Setting:
    positions, cell = problem.configuration(z, setting)
    return replace(setting, positions=positions, cell=cell)


@partial(jax.jit, static_argnames="problem")
def _holds(problem: Problem, setting: Setting) -> jax.Array:
    cutoff = problem.potential.cutoff(setting.params)
    return setting.neighbors.holds_for(setting.positions, setting.cell, cutoff)
