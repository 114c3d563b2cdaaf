"""The search for a minimum inside jit, vmap or grad: one loop, fixed shapes, NaN for failure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from mdsens.equilibrium.arguments import lister
from mdsens.equilibrium.descent import Progress, begin, descend
from mdsens.equilibrium.linearized import solver_for
from mdsens.equilibrium.newton import measure, polish_traced
from mdsens.equilibrium.plan import FLOOR, Plan
from mdsens.equilibrium.problem import Problem, Setting
from mdsens.equilibrium.scaled import scales
from mdsens.state import Report
from mdsens.system import System


def find_minimum_traced(
    problem: Problem, setting: Setting, system: System, plan: Plan, source: Any
) -> tuple[Setting, Report]:
    """As `eager.find_minimum`, with the list renewed by `source.build` in its fixed room."""

    listed = lister(problem, system, source)
    # Else XLA makes the list of a start that is known to it while it compiles, which takes minutes.
    setting = listed(jax.lax.optimization_barrier(jax.tree.map(jnp.asarray, setting)))
    _, scale = scales(problem, setting)
    stages = jnp.asarray(plan.stages)
    solver, _ = solver_for(problem, problem.start(setting).size, traced=True)

    def unfinished(carry):
        here, residual, steps, stage, _ = carry
        going = (residual > plan.fmax) & (stage < len(stages)) & (steps < plan.max_steps)
        # What overflowed will do so again.
        return going & jnp.isfinite(residual) & ~here.neighbors.overflow

    def advance(carry):
        here, _, steps, stage, newton_steps = carry
        goal = jnp.maximum(stages[stage] * scale, plan.fmax)
        p = _descend(problem, plan, here, goal, steps)
        positions, cell = problem.configuration(p.z, here)
        here = listed(replace(here, positions=positions, cell=cell))
        if plan.polish:
            here, residual, count = jax.lax.cond(
                p.fresh,
                lambda s: polish_traced(problem, s, solver, FLOOR * scale),
                lambda s: (s, p.residual, jnp.asarray(0)),
                here,
            )
            here = listed(here)
            newton_steps = newton_steps + count
        residual = measure(problem, here)[1]
        return here, residual, p.steps, stage + p.fresh, newton_steps

    start = (setting, measure(problem, setting)[1], jnp.asarray(0), jnp.asarray(0), jnp.asarray(0))
    found, residual, steps, _, newton_steps = jax.lax.while_loop(unfinished, advance, start)
    cutoff = problem.potential.cutoff(found.params)
    valid = found.neighbors.holds_for(found.positions, found.cell, cutoff)
    report = Report(
        converged=(residual <= plan.fmax) & valid,
        residual=residual,
        steps=steps,
        newton_steps=newton_steps,
        neighbors_valid=valid,
        finite=jnp.isfinite(residual),
    )
    return found, report


def _descend(problem: Problem, plan: Plan, here: Setting, goal: Any, steps: Any) -> Progress:
    units = scales(problem, here)
    start = begin(problem, plan.first, here, units, measure(problem, here), steps)
    return descend(problem, plan.first, here, units, goal, plan.max_steps, start)
