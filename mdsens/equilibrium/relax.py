"""`relax`: from a start to a minimum, differentiable by the implicit function theorem."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from mdsens.catalogue import CELL_MODES, MINIMIZERS
from mdsens.equilibrium.arguments import list_source, live_setting, start_setting
from mdsens.equilibrium.derivative import differentiable, prepare, prepare_eager
from mdsens.equilibrium.eager import Progress, find_minimum
from mdsens.equilibrium.linearized import backbone
from mdsens.equilibrium.plan import Plan, why_not_converged
from mdsens.equilibrium.problem import Problem, Setting
from mdsens.equilibrium.traced import find_minimum_traced
from mdsens.equilibrium.unrolled import at_minimum, by_minimizer
from mdsens.errors import InputError, NotConverged
from mdsens.implicit import Automatic, Estimator, Implicit
from mdsens.implicit.leaves import outside_transformations
from mdsens.linear import Inverse, require_float64
from mdsens.neighbors import CellList
from mdsens.potentials import Potential
from mdsens.state import Minimum, Report
from mdsens.system import System

_IMPLICIT = Implicit()


def relax(
    potential: Potential,
    params: Any,
    system: System,
    *,
    minimizer: str = "auto",
    fmax: float = 1e-10,
    max_steps: int = 100_000,
    cell: str = "fixed",
    pressure: Any = 0.0,
    polish: bool = True,
    swelling: float = 100.0,
    neighbors: CellList | None = None,
    progress: Progress | None = None,
    estimator: Estimator = _IMPLICIT,
) -> Minimum:
    """The minimum x*(params) = argmin_x E(x; params) next to the start, with its derivative.

    The value comes from a minimizer and Newton's method; how it was found never enters the
    derivative, which is that of F(x*, params) = dE/dx = 0:

        dx*/dparams = -(P H P)^+ P dF/dparams,    H = d2E/dx2,

    P removing rigid motions, fixed particles and rattlers (see `mdsens.gauge`). Composes with grad,
    jvp, jacfwd, jacrev, hessian, vmap and jit, in `params`, in `system.cell` (fixed cell: positions
    in Cartesian coordinates relax at constant images) and in `pressure` (free cell).

    Args:
        potential: any mdsens potential.
        params: from `potential.parameters(system, ...)`.
        system: the start. Its positions may be traced (vmap over starts).
        minimizer: "auto", "fire", "precon_fire", "gradient_descent", "lbfgs".
        fmax: largest force component accepted, in the potential's units of force. The Newton polish
            goes on to the floor of float64 all the same.
        max_steps: of the minimizer.
        cell: "fixed", "isotropic" (the volume is free) or "full" (symmetric strains are free; needs
            a fully periodic cell). Minimises E + pressure V.
        pressure: target for a free cell.
        polish: finish by Newton's method; without it the minimizer goes all the way to fmax.
        swelling: the factor by which the volume of a free cell may change, either way, above 1; beyond
            it the cell has run away. Watched in eager code. A collapse by 100 may cost gigabytes.
        neighbors: under jit or vmap with more than a few hundred particles, a list allocated
            beforehand by `neighbor_list`.
        progress: called as progress(stage, done, total, text) in eager code.
        estimator: what stands for the derivative above, a value of `mdsens.implicit.estimators`.
            `Analytic()`: the minimum is a constant. `OneStep()`, `Neumann(m)`: the last steps of
            gradient descent. `Automatic()`: the minimizer itself is unrolled from the start (FIRE
            if "auto"), stops where the 2-norm of all forces is fmax, or after as many steps as
            `Automatic(steps=...)` says, and is not polished. All are projected by the same P.

    Returns:
        Minimum. Under jit and vmap an unconverged one has NaN positions.

    Raises:
        NotConverged: in eager code; the last state is its `result`.
        InputError: unknown option, a list that must be allocated beforehand, or an estimator that
            cannot do it.
        Float32Error: 64-bit floats are off.
    """
    require_float64(params, system.positions, system.cell, pressure)
    check_options(minimizer, cell, system)
    _check_estimator(estimator)
    problem = Problem(potential, system.pbc, cell)
    plan = Plan(minimizer, float(fmax), int(max_steps), polish, float(swelling))
    frozen = jax.lax.stop_gradient((params, system.positions, system.cell, pressure))
    start = start_setting(system, frozen)
    traced = any(isinstance(x, Tracer) for x in jax.tree.leaves(frozen))
    if isinstance(estimator, Automatic):
        live = live_setting(problem, start, params, system, pressure)
        source = neighbors or list_source(potential, system)
        setting, report = by_minimizer(problem, estimator, plan, live, source, system.species)
        _require_converged(problem, setting, report)
        return _plain(problem, setting, report)
    factor = None
    if traced or neighbors is not None:
        source = neighbors or list_source(potential, system)
        setting, report = find_minimum_traced(problem, start, system, plan, source)
    else:
        with outside_transformations():
            concrete = replace(system, positions=start.positions, cell=start.cell)
            setting, report, factor = find_minimum(problem, start, concrete, plan, progress)
    _require_converged(problem, setting, report)
    live = live_setting(problem, setting, params, system, pressure)
    return _with_derivative(problem, estimator, setting, live, report, factor)


@dataclass(frozen=True)
class Found:
    """Where an eager search ended: the problem, the state (z = 0), the report, and `why` not.

    `factor` is the last one of the Newton polish: of the Hessian next to this state, as good a
    preconditioner here as an exact factor. None where the polish needed none, or failed.
    """

    problem: Problem
    setting: Setting
    report: Report
    why: str
    factor: Inverse | None


def search(
    potential: Potential,
    params: Any,
    system: System,
    *,
    minimizer: str = "auto",
    fmax: float = 1e-10,
    max_steps: int = 100_000,
    cell: str = "fixed",
    pressure: float = 0.0,
    polish: bool = True,
    progress: Progress | None = None,
) -> Found:
    """The minimum next to the start as concrete numbers; arguments as for `relax`.

    Non-convergence is an outcome here: `why` says it in a sentence.
    """
    require_float64(params, system.positions, system.cell)
    check_options(minimizer, cell, system)
    problem = Problem(potential, system.pbc, cell)
    plan = Plan(minimizer, float(fmax), int(max_steps), polish)
    start = start_setting(system, (params, system.positions, system.cell, pressure))
    setting, report, factor = find_minimum(problem, start, system, plan, progress)
    why = "" if bool(report.converged) else why_not_converged(report)
    return Found(problem, setting, report, why, factor)


def neighbor_list(potential: Potential, params: Any, system: System, skin: float = 0.3) -> CellList:
    """Room for a neighbour list, allocated for concrete positions and parameters, to be used by
    `relax(..., neighbors=...)` under jit and vmap.

    Args:
        skin: extra radius as a fraction of the cutoff; particles may move half of it before the
            list is rebuilt, and parameters may enlarge the cutoff by it.

    Raises:
        InputError: the cell is smaller than twice the list radius.
    """
    require_float64(params)
    return CellList.allocate(system, float(potential.cutoff(params)) * (1.0 + skin))


def _plain(problem: Problem, found: Setting, report: Report) -> Minimum:
    s = found
    return Minimum(s.positions, s.cell, s.neighbors, problem.pbc, report, fixed=s.fixed)


def check_options(minimizer: str, cell: str, system: System) -> None:
    if minimizer not in MINIMIZERS:
        raise InputError(f'minimizer "{minimizer}" is unknown; allowed: {", ".join(MINIMIZERS)}')
    if cell not in CELL_MODES:
        raise InputError(f'cell "{cell}" is unknown; allowed: {", ".join(CELL_MODES)}')
    if cell != "fixed" and not all(system.pbc):
        raise InputError(
            f'{system.source}: cell = "{cell}" needs a cell that is periodic in every direction; '
            'use cell = "fixed"'
        )


def _check_estimator(estimator: Estimator) -> None:
    if not isinstance(estimator, Estimator):
        raise InputError(
            f"estimator = {estimator!r} is none; give a value such as mdsens.implicit.Automatic()"
        )
    if isinstance(estimator, Implicit) and estimator != _IMPLICIT:
        raise InputError(
            "relax solves the linear systems of implicit derivatives by a method of its own, which "
            "knows the rigid motions; use Implicit() without a solve"
        )


def _require_converged(problem: Problem, found: Setting, report: Report) -> None:
    if not isinstance(report.converged, Tracer) and not bool(report.converged):
        raise NotConverged(why_not_converged(report), _plain(problem, found, report))


def _with_derivative(
    problem: Problem,
    estimator: Estimator,
    found: Setting,
    live: Setting,
    report: Report,
    factor: Inverse | None,
) -> Minimum:
    """The minimum as a function of what is live; plain where none of that is transformed."""
    given = (live.params, live.cell, live.pressure)
    if not any(isinstance(x, Tracer) for x in jax.tree.leaves(given)):
        found = backbone(problem, found).setting
    elif isinstance(estimator, Implicit):
        if isinstance(report.converged, Tracer):
            found, solve = prepare(problem, found)
        else:
            found, solve = prepare_eager(problem, found, factor)
        positions, cell = differentiable(problem, *given, found, solve)
        found = replace(found, positions=positions, cell=cell)
    else:
        found = at_minimum(problem, estimator, live)
    if isinstance(report.converged, Tracer):
        positions = jnp.where(report.converged, found.positions, jnp.nan)
        found = replace(found, positions=positions)
    return _plain(problem, found, report)
