"""Trajectories used again at other parameters, and the slope of the free energy.

    dF/dtheta = <dU/dtheta>

A trajectory serves parameters near its own; where too few of its samples count there, it is simulated
again. For differences of the free energy see `mdsens.thermal.bennett`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax

from mdsens.derivatives.named import replaced, select
from mdsens.equilibrium import Progress
from mdsens.potentials import Potential
from mdsens.thermal.average import LEAST_SHARE, effective_share
from mdsens.thermal.simulate import simulate
from mdsens.thermal.trajectory import Sample, Trajectory


def trajectory_for(
    potential: Potential,
    params: Any,
    trajectory: Trajectory,
    *,
    least: float = LEAST_SHARE,
    progress: Progress | None = None,
) -> Trajectory:
    """The trajectory itself if `average` can use it at `params`, else a new one there.

    The new one begins where the first walker ended, with the same ensemble. Its `system` stays that of
    the old one, from whose places displacements are measured.

    Args:
        least: the effective share of the samples, between 0 and 1, below which it is made anew.
        progress: as for `simulate`.

    Raises:
        InputError, NotConverged: as `simulate`.
    """
    if float(effective_share(potential, params, trajectory)) >= least:
        return trajectory
    end = trajectory.system.with_positions(trajectory.positions[0, -1])
    end = end.with_cell(trajectory.cells[0, -1])
    found = simulate(potential, params, end, trajectory.ensemble, progress=progress)
    return replace(found, system=trajectory.system)


def energy_slope(name: str) -> Callable[[Potential, Any, Sample], jax.Array]:
    """An observable: dU/d(parameter) at fixed positions, in the parameter's shape.

    Its average is dF/d(parameter), that of the Gibbs energy at constant pressure; the derivatives of
    the average by parameters are the second derivatives of F.
    """

    def slope(potential: Potential, params: Any, state: Sample) -> jax.Array:
        def energy(value: jax.Array) -> jax.Array:
            here = (state.positions, state.cell, state.neighbors)
            return potential.energy(replaced(params, {name: value}), *here)

        return jax.grad(energy)(select(params, [name])[name])

    slope.__name__ = f"energy_slope_{name}"
    return slope
