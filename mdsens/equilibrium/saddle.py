"""`saddle`: from a start near a transition state to that state, differentiable like a minimum.

Eigenvector following: along every mode of curvature a Newton step downhill, along the lowest one
uphill. Where exactly that one has negative curvature this is Newton's method itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from mdsens.equilibrium.arguments import list_source, lister, live_setting, start_setting
from mdsens.equilibrium.derivative import differentiable, refined
from mdsens.equilibrium.eager import Progress
from mdsens.equilibrium.linearized import backbone, dense_hessian
from mdsens.equilibrium.lists import Lists
from mdsens.equilibrium.newton import measure, move
from mdsens.equilibrium.plan import FLOOR
from mdsens.equilibrium.problem import Problem, Setting
from mdsens.equilibrium.scaled import scales
from mdsens.errors import DerivativeUndefined, InputError, NotConverged
from mdsens.implicit import Certified
from mdsens.implicit.leaves import outside_transformations
from mdsens.linear import Projector, require_float64
from mdsens.neighbors import CellList
from mdsens.potentials import Potential
from mdsens.state import Report, Saddle
from mdsens.system import System

# A spectrum of 3000 unknowns takes 5 s and 0.2 GB.
LARGEST = 3000
# Curvatures within this fraction of the largest of zero have no sign.
_ZERO = 1e-10
# Steps without a new lowest residual, near the floor of float64 and elsewhere.
_IDLE = 3


def saddle(
    potential: Potential,
    params: Any,
    system: System,
    *,
    fmax: float = 1e-10,
    max_steps: int = 200,
    neighbors: CellList | None = None,
    progress: Progress | None = None,
) -> Saddle:
    """The first-order saddle x*(params) next to the start: dE/dx = 0 with one negative curvature.

    Its derivative is that of F(x*, params) = dE/dx = 0, as for a minimum,

        dx*/dparams = -(P H P)^+ P dF/dparams,    H indefinite,

    from the spectrum of H. A barrier is `energy` here less `energy` of the minimum, and its
    derivative by parameters that of the two energies at fixed positions. Composes with grad, jvp,
    jacfwd, jacrev, hessian, vmap and jit in `params` and `system.cell`.

    The start has to be near: the highest image of a nudged elastic band or where a dimer search
    ended (ASE has both; `mdsens.calculator` makes them run on this potential), or half-way of a hop
    that is symmetric.

    Args:
        potential, params, system: as for `relax`.
        fmax: largest force component accepted; the search goes on to the floor of float64.
        max_steps: of eigenvector following, each one spectrum of H; 5 to 20 from a good start.
        neighbors: under jit or vmap, as for `relax`.
        progress: called as progress(stage, done, total, text) in eager code.

    Returns:
        Saddle; under jit and vmap with NaN positions where there is none.

    Raises:
        NotConverged: in eager code; the last state is its `result`.
        DerivativeUndefined: the stationary point is a minimum, a higher saddle, or has an
            unexplained zero mode; which, and with what curvatures, is said.
        InputError: more than 1000 atoms (3000 unknowns).
        Float32Error: 64-bit floats are off.

    Source: Cerjan, Miller, doi:10.1063/1.442352.
    """
    require_float64(params, system.positions, system.cell)
    if system.n_particles * system.dimension > LARGEST:
        raise InputError(
            f"saddle: {system.n_particles} particles are more than {LARGEST // system.dimension}, for "
            "which the spectrum can be had; cut a smaller system out around the hop"
        )
    problem = Problem(potential, system.pbc)
    frozen = jax.lax.stop_gradient((params, system.positions, system.cell, 0.0))
    traced = any(isinstance(x, Tracer) for x in jax.tree.leaves(frozen)) or neighbors is not None
    begin = start_setting(system, frozen)
    if traced:
        source = neighbors or list_source(potential, system)
        end = _traced(problem, begin, lister(problem, system, source), fmax, max_steps)
    else:
        with outside_transformations():
            concrete = replace(system, positions=begin.positions, cell=begin.cell)
            end = _eager(problem, begin, concrete, fmax, max_steps, progress or (lambda *_: None))
    return _differentiable(
        problem, end, live_setting(problem, end.setting, params, system, 0.0), fmax
    )


class _End(NamedTuple):
    """Where the search stands: a setting, its spectrum, the residual, steps, idle steps."""

    setting: Setting
    solve: SpectralSolve
    residual: jax.Array
    steps: jax.Array
    idle: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SpectralSolve(Certified):
    """x = (P H P)^+ b from the spectrum of H, refined; NaN unless one curvature is negative.

    Attributes:
        projector: of the state.
        vectors, values: of P H P + 3 |H| (1 - P), which lifts the removed modes to the top.
        largest: |H|.
    """

    symmetric = True
    projector: Projector
    vectors: jax.Array
    values: jax.Array
    largest: jax.Array

    @property
    def sound(self) -> jax.Array:
        zero = _ZERO * self.largest
        return (self.values[0] < -zero) & jnp.all(self.values[1:] > zero)

    def __call__(self, matvec: Any, b: jax.Array) -> jax.Array:
        x, good = refined(self._apply, self.projector, matvec, b, self.largest)
        return jnp.where(self.sound & good, x, jnp.nan)

    def _apply(self, b: jax.Array) -> jax.Array:
        return self.projector(self.vectors @ ((self.vectors.T @ b) / self.values))


@partial(jax.jit, static_argnames="problem")
def _spectral(problem: Problem, setting: Setting) -> tuple[Setting, SpectralSolve]:
    here = backbone(problem, setting)
    p = here.projector
    matrix = p(p(dense_hessian(problem, here.setting)).T)
    largest = jnp.maximum(jnp.max(jnp.sum(jnp.abs(matrix), axis=1)), 1e-300)
    lifted = matrix + 3.0 * largest * (jnp.eye(p.size) - p(jnp.eye(p.size)))
    values, vectors = jnp.linalg.eigh(0.5 * (lifted + lifted.T))
    return here.setting, SpectralSolve(p, vectors, values, largest)


@partial(jax.jit, static_argnames="problem")
def _followed(problem: Problem, setting: Setting, solve: SpectralSolve) -> Setting:
    """Downhill along all modes but the lowest."""
    part = solve.vectors.T @ solve.projector(measure(problem, setting)[0])
    step = -part / jnp.maximum(jnp.abs(solve.values), _ZERO * solve.largest)
    return move(problem, setting, solve.vectors @ step.at[0].multiply(-1.0))


def _looked_at(problem: Problem, setting: Setting, before: _End | None) -> _End:
    """The state after a step, kept if it is the better one."""
    setting, solve = _spectral(problem, setting)
    residual = measure(problem, setting)[1]
    if before is None:
        return _End(setting, solve, residual, jnp.asarray(0), jnp.asarray(0))
    # Away from the saddle forces rise and fall; only at the floor does that mean the end.
    idle = jnp.where(residual < 0.9 * before.residual, 0, before.idle + 1)
    return _End(setting, solve, residual, before.steps + 1, idle)


def _eager(
    problem: Problem, begin: Setting, system: System, fmax: float, limit: int, progress: Progress
) -> _End:
    lists = Lists(problem, begin, system)
    end = _looked_at(problem, lists.here(begin), None)
    floor = FLOOR * float(scales(problem, end.setting)[1])
    while _unfinished(end, floor, fmax, limit):
        end = _looked_at(problem, lists.here(_followed(problem, end.setting, end.solve)), end)
        progress("saddle", int(end.steps), None, f"fmax {float(end.residual):.2e}")
    return end


def _traced(problem: Problem, begin: Setting, listed: Callable, fmax: float, limit: int) -> _End:
    end = _looked_at(problem, listed(jax.lax.optimization_barrier(begin)), None)
    floor = FLOOR * scales(problem, end.setting)[1]
    return jax.lax.while_loop(
        lambda e: _unfinished(e, floor, fmax, limit),
        lambda e: _looked_at(problem, listed(_followed(problem, e.setting, e.solve)), e),
        end,
    )


def _unfinished(end: _End, floor: Any, fmax: float, limit: int) -> Any:
    at_floor = (end.residual <= fmax) & (end.idle >= _IDLE)
    going = (end.residual > floor) & ~at_floor & jnp.isfinite(end.residual)
    return going & (end.steps < limit) & ~end.setting.neighbors.overflow


def _differentiable(problem: Problem, end: _End, here: Setting, fmax: float) -> Saddle:
    s, solve = end.setting, end.solve
    cutoff = problem.potential.cutoff(s.params)
    valid = s.neighbors.holds_for(s.positions, s.cell, cutoff)
    converged = (end.residual <= fmax) & valid
    report = Report(
        converged, end.residual, end.steps, end.steps, valid, jnp.isfinite(end.residual)
    )
    mode = solve.vectors[:, 0].reshape(s.positions.shape)

    def found(positions: Any, cell: Any) -> Saddle:
        curvatures = solve.values[:2]
        return Saddle(
            positions, cell, s.neighbors, problem.pbc, report, curvatures, mode, fixed=s.fixed
        )

    if not isinstance(converged, Tracer):
        _require(found(s.positions, s.cell), bool(converged), bool(solve.sound))
    positions, cell = differentiable(problem, here.params, here.cell, here.pressure, s, solve)
    if isinstance(converged, Tracer):
        positions = jnp.where(converged & solve.sound, positions, jnp.nan)
    return found(positions, cell)


def _require(found: Saddle, converged: bool, sound: bool) -> None:
    if not converged:
        raise NotConverged(
            f"saddle: not converged, fmax {float(found.report.residual):.3g} after "
            f"{int(found.report.steps)} steps; start nearer, as from a nudged elastic band",
            found,
        )
    if not sound:
        low, second = np.asarray(found.curvatures)
        what = "a minimum" if low > 0 else "a saddle of higher order or with a zero mode"
        raise DerivativeUndefined(
            f"saddle: the stationary point is {what} (lowest curvatures {low:.3g}, {second:.3g}); "
            "start nearer to the transition state",
            found,
        )
